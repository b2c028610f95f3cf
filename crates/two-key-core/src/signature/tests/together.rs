//! Commits that are opened together are judged as each is by itself.

use proptest::{collection::vec, prelude::*};

use super::nistp256::{P256, SignatureForm};
use crate::{
    model::RawKey,
    signature::{
        CommitBytes, ObjectFormat, Opened, open_commit, open_commits,
        testing::{Key, armour, commit, principal, statement, with_header},
    },
};

const SHA1: ObjectFormat = ObjectFormat::Sha1;

/// A commit of one kind out of nine, by one of two keys, which says who of them it is by.
fn made(kind: usize, seed: u8, number: usize) -> Vec<u8> {
    let key = Key::ssh(seed);
    let statement = statement("withdraw", &format!("LEASE-20251027-{number:06}"));
    let carrier = format!("{}Two-Key-Principal: user{seed}\n", statement.text());
    let signed = |message: &str| key.sign_commit(&commit(message), SHA1);
    let altered = |raw: Vec<u8>| String::from_utf8(raw).unwrap().replace("User One", "User Two").into_bytes();
    match kind {
        0 => signed(&carrier),
        1 => altered(signed(&carrier)),
        2 => signed("an ordinary commit\n"),
        3 => altered(signed("an ordinary commit\n")),
        4 => commit("nobody's\n"),
        5 => signed("Two-Key-Statement: 7\n"),
        6 => Key::hardware(seed, 1).sign_commit(&commit(&carrier), SHA1),
        7 => {
            let unsigned = commit(&carrier);
            let blob = P256::new(seed, SignatureForm::Plain).blob("git", &unsigned);
            let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, blob);
            with_header(&unsigned, "gpgsig", &armour(&base64, 70))
        }
        _ => signed(&format!("{}{}\n", statement.text(), Key::ssh(3 - seed).seal("user9", &statement))),
    }
}

/// Who signed an ordinary commit.
fn signer(opened: &Opened) -> Option<RawKey> {
    let Opened::Ordinary { signature } = opened else { return None };
    signature.as_ref()?.signer(|_| true)
}

fn whole(raw: &[Vec<u8>]) -> Vec<CommitBytes> {
    raw.iter().cloned().map(CommitBytes::Whole).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Long enough that keys get their tables on the way.
    #[test]
    fn commits_opened_together_are_what_they_are_by_themselves(kinds in vec((0..9_usize, 1..3_u8), 0..200)) {
        let raw: Vec<Vec<u8>> =
            kinds.iter().enumerate().map(|(number, (kind, seed))| made(*kind, *seed, number)).collect();
        let alone: Vec<Opened> = raw.iter().map(|raw| open_commit(raw, SHA1)).collect();
        let together = open_commits(&whole(&raw), SHA1);
        let votes = |all: &[Opened]| all.iter().map(|opened| opened.votes(|_| Ok(()))).collect::<Vec<_>>();
        prop_assert_eq!(votes(&together), votes(&alone));
        let signers = |all: &[Opened]| all.iter().map(signer).collect::<Vec<_>>();
        prop_assert_eq!(signers(&together), signers(&alone));
        prop_assert_eq!(together, alone);
    }
}

#[test]
fn each_verdict_is_that_of_its_own_commit() {
    for number in 0..100 {
        let raw: Vec<Vec<u8>> = (0..18).map(|at| made(at / 2, 1 + u8::from(at % 2 == 1), number)).collect();
        for (at, opened) in open_commits(&whole(&raw), SHA1).into_iter().enumerate() {
            let seed = 1 + u8::from(at % 2 == 1);
            let votes = opened.votes(|_| Ok(()));
            match (at / 2, opened) {
                (0 | 6 | 7, Opened::Carrier { .. }) => {
                    let [Ok(vote)] = votes.as_slice() else { panic!("{at}: {votes:?}") };
                    assert_eq!(vote.claims(), &principal(&format!("user{seed}")));
                    assert_eq!(vote.key().raw() == Key::ssh(seed).public.raw(), at / 2 != 7);
                }
                (1, Opened::Carrier { .. }) => assert!(votes.iter().all(Result::is_err), "{at}"),
                (2..=4, opened @ Opened::Ordinary { .. }) => {
                    assert_eq!(signer(&opened), Some(Key::ssh(seed).public.raw()).filter(|_| at / 2 == 2));
                }
                (5, Opened::Malformed(_)) => {}
                (8, Opened::Carrier { .. }) => {
                    let [Ok(sealed), Err(_)] = votes.as_slice() else { panic!("{at}: {votes:?}") };
                    assert_eq!(sealed.key().raw(), Key::ssh(3 - seed).public.raw());
                }
                (_, other) => panic!("{at}: {other:?}"),
            }
        }
    }
}
