//! Minisign signatures, as minisign made them.

use crate::{
    model::{PublicKey, Reason, Wrapping},
    signature::minisign::Minisig,
};

const HONEST: &str = include_str!("../../../../../tests/hostile/minisign/honest.minisig");
const SMALL_ORDER: &str = include_str!("../../../../../tests/hostile/minisign/small-order-commitment.minisig");
const KEY: &str = include_str!("../../../../../tests/hostile/minisign/key.pub");
const MESSAGE: &[u8] = b"message\n";

fn key() -> PublicKey {
    PublicKey::parse(&format!("minisign {}", KEY.lines().nth(1).unwrap())).unwrap()
}

#[test]
fn a_signature_file_opens_whole_and_in_base64() {
    let minisig = Minisig::parse(HONEST).unwrap();
    assert!(minisig.names(&key()));
    assert_eq!(minisig.verify(&key(), MESSAGE), Ok(()));
    assert_eq!(minisig.verify(&key(), b"massage\n").unwrap_err().reason, Reason::BadSignature);
    let again = Minisig::from_base64(&minisig.base64()).unwrap();
    assert_eq!(again.verify(&key(), MESSAGE), Ok(()));
    assert!(Minisig::parse(HONEST.trim_end()).is_ok());
}

#[test]
fn a_commitment_of_small_order_is_refused_before_any_key_is_asked() {
    assert_eq!(Minisig::parse(SMALL_ORDER).err().unwrap().reason, Reason::BadSignature);
}

#[test]
fn the_raw_key_is_what_an_ssh_wrapping_of_it_would_be() {
    let raw = key().raw();
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend_from_slice(raw.as_bytes());
    let ssh = PublicKey::from_ssh_blob(&blob).unwrap();
    assert_eq!((ssh.raw(), ssh.wrapping()), (raw, &Wrapping::Ssh));
    let minisig = Minisig::parse(HONEST).unwrap();
    assert!(!minisig.names(&ssh));
    assert_eq!(minisig.verify(&ssh, MESSAGE).unwrap_err().reason, Reason::BadSignature);
}

#[test]
fn files_are_bounded() {
    let long = format!("untrusted comment: {}\n{}", "a".repeat(5 * 1024), HONEST.split_once('\n').unwrap().1);
    assert_eq!(Minisig::parse(&long).err().unwrap().reason, Reason::Malformed);
    assert_eq!(Minisig::from_base64(&"A".repeat(16 * 1024)).err().unwrap().reason, Reason::Malformed);
    let fits = long.replacen(&"a".repeat(4 * 1024), "a", 1);
    assert!(Minisig::parse(&fits).is_ok());
}
