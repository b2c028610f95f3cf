//! Raw key: a point on one of two curves.

use std::{cell::RefCell, collections::HashMap, fmt};

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use super::KeyError;
use crate::model::oid::{hex_array, hex_encode};

/// Keys that are remembered, decoded.
const MAX_TAKEN: usize = 256;
/// Points of which it is remembered whether they are of the large prime order, at least the last that were asked for: policies may
/// list hundreds, each of them again.
const MAX_CHECKED: usize = 65_536;

thread_local! {
    /// Ed25519 keys that were taken before: a few keys sign everything, and decoding one costs a good part of verifying
    /// a signature.
    static TAKEN: RefCell<HashMap<[u8; 32], VerifyingKey>> = RefCell::default();
    /// Whether points that were looked at before are keys. To find that out takes as long as to verify a signature. Once there
    /// are too many those go that have not been asked for since there last were.
    static CHECKED: RefCell<[HashMap<[u8; 32], bool>; 2]> = RefCell::default();
}

/// Whether 32 bytes are the canonical encoding of a point of the large prime order.
fn is_key(bytes: &[u8; 32]) -> bool {
    CHECKED.with_borrow_mut(|[recent, before]| {
        if let Some(known) = recent.get(bytes) {
            return *known;
        }
        if recent.len() >= MAX_CHECKED {
            *before = std::mem::take(recent);
        }
        let known = before.get(bytes).copied().unwrap_or_else(|| is_key_anew(bytes));
        recent.insert(*bytes, known);
        known
    })
}

fn is_key_anew(bytes: &[u8; 32]) -> bool {
    // y >= 2^255 - 19 is a second spelling of a smaller y.
    let overflow = bytes[31] & 0x7f == 0x7f && bytes[1..31].iter().all(|b| *b == 0xff) && bytes[0] >= 0xed;
    let sound = |point: &VerifyingKey| !point.is_weak() && point.to_edwards().is_torsion_free();
    !overflow && VerifyingKey::from_bytes(bytes).is_ok_and(|point| sound(&point))
}

/// The Ed25519 key of a point, to verify under.
pub(crate) fn verifying_key(point: &[u8; 32]) -> Option<VerifyingKey> {
    let taken = TAKEN.with_borrow(|taken| taken.get(point).copied());
    if taken.is_some() {
        return taken;
    }
    let key = VerifyingKey::from_bytes(point).ok()?;
    TAKEN.with_borrow_mut(|taken| {
        if taken.len() >= MAX_TAKEN {
            taken.clear();
        }
        taken.insert(*point, key);
    });
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
            assert_eq!(CHECKED.take(), [HashMap::from([(good, true), (weak, false)]), HashMap::new()]);
        }
        // What is remembered is believed, and stays while it is asked for.
        let full = || {
            (0..MAX_CHECKED)
                .map(|number| (std::array::from_fn(|at| number.to_le_bytes().get(at).copied().unwrap_or(9)), true))
        };
        CHECKED.set([full().collect(), HashMap::from([(weak, true)])]);
        assert!(RawKey::ed25519(weak).is_err(), "it went with those before");
        CHECKED.set([full().collect(), HashMap::new()]);
        let [first, second] = [0, 1].map(|at| full().nth(at).unwrap().0);
        assert!(RawKey::ed25519(good).is_ok() && RawKey::ed25519(first).is_ok());
        assert_eq!(CHECKED.with_borrow(|[recent, before]| (recent.len(), before.len())), (2, MAX_CHECKED));
        CHECKED.with_borrow_mut(|[recent, _]| recent.extend(full().skip(2)));
        assert!(RawKey::ed25519(weak).is_err());
        assert!(RawKey::ed25519(first).is_ok(), "asked for since");
        assert_eq!(RawKey::ed25519(second).is_ok(), is_key_anew(&second), "not asked for since");
    }
}
