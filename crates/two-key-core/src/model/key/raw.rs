//! Raw key: a point on one of two curves.

use std::{cell::RefCell, collections::HashMap, fmt, thread::LocalKey};

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use super::KeyError;
use crate::model::oid::{hex_array, hex_encode};

/// Keys that are remembered, decoded.
const MAX_TAKEN: usize = 256;
/// Points of which it is remembered whether they are of the large prime order: policies may list hundreds, each of them again.
const MAX_CHECKED: usize = 16_384;

thread_local! {
    /// Ed25519 keys that were taken before: a few keys sign everything, and decoding one costs a good part of verifying
    /// a signature.
    static TAKEN: RefCell<HashMap<[u8; 32], VerifyingKey>> = RefCell::default();
    /// Whether points that were looked at before are keys. To find that out takes as long as to verify a signature.
    static CHECKED: RefCell<HashMap<[u8; 32], bool>> = RefCell::default();
}

/// Whether 32 bytes are the canonical encoding of a point of the large prime order.
fn is_key(bytes: &[u8; 32]) -> bool {
    if let Some(known) = CHECKED.with_borrow(|checked| checked.get(bytes).copied()) {
        return known;
    }
    // y >= 2^255 - 19 is a second spelling of a smaller y.
    let overflow = bytes[31] & 0x7f == 0x7f && bytes[1..31].iter().all(|b| *b == 0xff) && bytes[0] >= 0xed;
    let sound = |point: &VerifyingKey| !point.is_weak() && point.to_edwards().is_torsion_free();
    let is_key = !overflow && VerifyingKey::from_bytes(bytes).is_ok_and(|point| sound(&point));
    remember(&CHECKED, MAX_CHECKED, *bytes, is_key);
    is_key
}

/// Keeps something about some bytes, as far as there is room.
fn remember<T>(memory: &'static LocalKey<RefCell<HashMap<[u8; 32], T>>>, most: usize, bytes: [u8; 32], what: T) {
    memory.with_borrow_mut(|memory| {
        if memory.len() >= most {
            memory.clear();
        }
        memory.insert(bytes, what);
    });
}

/// The Ed25519 key of a point, to verify under.
pub(crate) fn verifying_key(point: &[u8; 32]) -> Option<VerifyingKey> {
    let taken = TAKEN.with_borrow(|taken| taken.get(point).copied());
    if taken.is_some() {
        return taken;
    }
    let key = VerifyingKey::from_bytes(point).ok()?;
    remember(&TAKEN, MAX_TAKEN, *point, key);
    Some(key)
}

/// A public key's point: what a key is, whatever its wrapping.
///
/// As text: the hex of the point's canonical encoding, 64 digits on Ed25519, 130 on P-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RawKey(Point);

/// A point in the one encoding that it has here, so that equal points are equal bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// 32 bytes (RFC 8032).
    Ed25519([u8; 32]),
    /// 65 bytes: the uncompressed form (SEC 1, section 2.3.3), the only one that SSH knows (RFC 5656).
    P256([u8; 65]),
}

impl RawKey {
    /// Takes 32 bytes that are the canonical encoding of an Ed25519 point of the large prime order. To any such point seven
    /// others can be added that are of small order, and one secret signs under each of the sums.
    pub fn ed25519(bytes: [u8; 32]) -> Result<Self, KeyError> {
        if is_key(&bytes) { Ok(Self(Point::Ed25519(bytes))) } else { Err(KeyError::Weak) }
    }

    /// Takes 65 bytes that are the uncompressed form of a P-256 point.
    pub fn p256(bytes: [u8; 65]) -> Result<Self, KeyError> {
        if bytes[0] != 4 {
            return Err(KeyError::Encoding("a P-256 point begins with 04"));
        }
        let on_curve = p256::ecdsa::VerifyingKey::from_sec1_bytes(&bytes).is_ok();
        if on_curve { Ok(Self(Point::P256(bytes))) } else { Err(KeyError::Weak) }
    }

    /// The point.
    pub fn point(&self) -> &Point {
        &self.0
    }

    /// The part of the encoding that a point has in common with its negative, for which the same secret signs.
    pub fn up_to_sign(&self) -> Vec<u8> {
        match &self.0 {
            Point::Ed25519(bytes) => {
                let mut bytes = bytes.to_vec();
                if let Some(last) = bytes.last_mut() {
                    *last &= 0x7f;
                }
                bytes
            }
            Point::P256(bytes) => bytes.get(1..33).unwrap_or_default().to_vec(),
        }
    }

    /// Whether a point is this one or its negative.
    pub fn is_up_to_sign(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Point::Ed25519(one), Point::Ed25519(other)) => {
                one[..31] == other[..31] && one[31] | 0x80 == other[31] | 0x80
            }
            (Point::P256(one), Point::P256(other)) => one[1..33] == other[1..33],
            (Point::Ed25519(_), Point::P256(_)) | (Point::P256(_), Point::Ed25519(_)) => false,
        }
    }

    /// The point's encoding, which is also how SSH writes it.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Point::Ed25519(bytes) => bytes,
            Point::P256(bytes) => bytes,
        }
    }
}

impl fmt::Debug for RawKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex_encode(self.as_bytes()))
    }
}

impl TryFrom<String> for RawKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let key = match text.len() {
            64 => hex_array(&text).map(Self::ed25519),
            130 => hex_array(&text).map(Self::p256),
            _ => None,
        };
        key.ok_or("a raw key is 64 or 130 hex digits")?.map_err(|error| error.to_string())
    }
}

impl From<RawKey> for String {
    fn from(key: RawKey) -> Self {
        hex_encode(key.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of a secret that is a number.
    fn key(number: u16) -> [u8; 32] {
        let mut secret = [0; 32];
        secret[..2].copy_from_slice(&number.to_be_bytes());
        ed25519_dalek::SigningKey::from_bytes(&secret).verifying_key().to_bytes()
    }

    #[test]
    fn so_many_keys_are_remembered_and_no_more() {
        let take = |number: u16| {
            assert!(verifying_key(&key(number)).is_some());
            TAKEN.with_borrow(HashMap::len)
        };
        TAKEN.take();
        for number in 0..256 {
            assert_eq!(take(number), usize::from(number) + 1);
        }
        assert_eq!(take(256), 1);
        assert_eq!(take(256), 1, "the same again");
    }

    #[test]
    fn what_a_point_was_found_to_be_it_is_the_next_time() {
        CHECKED.take();
        let (good, weak) = (key(1), [0; 32]);
        for _ in 0..2 {
            assert!(RawKey::ed25519(good).is_ok());
            assert!(RawKey::ed25519(weak).is_err());
            assert_eq!(CHECKED.with_borrow(Clone::clone), HashMap::from([(good, true), (weak, false)]));
        }
        (0..600).for_each(|number| assert!(RawKey::ed25519(key(number)).is_ok()));
        assert!(
            CHECKED.with_borrow(|checked| (0..600).all(|number| checked.contains_key(&key(number)))),
            "a policy's keys"
        );
    }
}
