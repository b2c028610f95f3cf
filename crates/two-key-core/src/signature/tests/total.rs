//! No bytes make a parser panic, and no alteration makes a vote.

use proptest::{collection::vec, prelude::*};

use crate::signature::{
    ObjectFormat, links,
    minisign::Minisig,
    open_commit, open_note, parse_tag,
    sshsig::SshSig,
    testing::{Key, commit, principal, statement},
};

const FORMATS: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];

fn honest() -> Vec<u8> {
    let message = format!("{}Two-Key-Principal: user1\n", statement("cosign", "LEASE-20251027-021913").text());
    Key::ssh(1).sign_commit(&commit(&message), ObjectFormat::Sha1)
}

fn read_everything(bytes: &[u8]) {
    for format in FORMATS {
        let _ = (open_commit(bytes, format), links(bytes, format));
        let _ = parse_tag(bytes, format);
    }
    let _ = (SshSig::from_blob(bytes), open_note(bytes, &principal("user1"), &[]));
    let text = String::from_utf8_lossy(bytes);
    let _ =
        (SshSig::from_armour(&text), SshSig::from_base64(&text), Minisig::parse(&text), Minisig::from_base64(&text));
}

/// A signed commit with a part of it replaced by something else, often by another part of itself.
fn spliced() -> impl Strategy<Value = Vec<u8>> {
    let at = 0..honest().len();
    (at.clone(), 0..200_usize, prop_oneof![vec(any::<u8>(), 0..40), at.prop_map(|from| honest()[from..].to_vec())])
        .prop_map(|(at, drop, put)| {
            let raw = honest();
            let end = (at + drop).min(raw.len());
            [&raw[..at], &put, &raw[end..]].concat()
        })
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..600)) {
        read_everything(&bytes);
    }

    #[test]
    fn any_lines_of_ours_are_read_without_a_panic(text in "(Two-Key-(Statement|Action|Cosignature|Reason): [ -~]{0,20}\n|tree |gpgsig |\n| |untrusted comment: x\n|-----BEGIN SSH SIGNATURE-----\n|[ -~]{0,9}){0,20}") {
        read_everything(text.as_bytes());
    }

    #[test]
    fn a_spliced_commit_is_read_without_a_panic_and_votes_only_if_it_is_the_same(raw in spliced()) {
        read_everything(&raw);
        let votes = open_commit(&raw, ObjectFormat::Sha1).votes(|_| Ok(()));
        prop_assert!(raw == honest() || votes.iter().all(Result::is_err));
    }
}
