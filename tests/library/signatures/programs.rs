//! What Git, ssh-keygen and minisign sign opens here; what is altered afterwards does not.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use git_two_key::{
    model::{Digest, PrincipalId, PublicKey, Reason},
    push::signer_of,
    signature::{
        Carrier, Cosignature, ObjectFormat, Opened, Presence, detached_base64, links, minisign::Minisig, open_commit,
        open_detached, open_note, parse_tag, sshsig::SshSig, statement_message,
    },
};

use super::world::{World, statement, user1};
use crate::kit::software::Key;

fn votes(opened: Opened) -> Vec<Result<Cosignature, Reason>> {
    match opened {
        carrier @ Opened::Carrier { .. } => {
            carrier.votes(|_| Ok(())).into_iter().map(|vote| vote.map_err(|bad| bad.refusal.reason)).collect()
        }
        other => panic!("no carrier: {other:?}"),
    }
}

fn only_vote(opened: Opened) -> Result<Cosignature, Reason> {
    let mut votes = votes(opened);
    assert_eq!(votes.len(), 1);
    votes.remove(0)
}

#[test]
fn what_git_signs_opens_in_both_object_formats() {
    for world in World::both() {
        let promote = statement("promote");
        let evidence = Digest::of(b"evidence");
        let reason = Some("p99 is flat — go");
        let message =
            statement_message(&promote, "promote to 25 %", Some(&user1()), reason, Some(evidence), &[]).unwrap();
        let raw = world.signed(&message);
        let vote = only_vote(open_commit(&raw, world.format)).unwrap();
        assert_eq!(vote.statement(), &promote);
        assert_eq!(vote.key(), &world.key());
        assert_eq!(vote.claims(), &user1());
        assert_eq!((vote.carrier(), vote.presence()), (Carrier::Commit, Presence::None));
        assert_eq!((vote.reason(), vote.evidence()), (reason, Some(evidence)));
        assert_eq!(vote.claimed_time(), Some(1_761_531_600));
        assert_eq!(vote.seal_line(), None);
        let links = links(&raw, world.format).unwrap();
        assert_eq!(links.tree.to_string(), world.git(&["rev-parse", "main^{tree}"], b""));
        assert_eq!(links.parents[0].to_string(), world.git(&["rev-parse", "main"], b""));
        assert_eq!(links.committer_time, 1_761_531_600);
    }
}

#[test]
fn what_ssh_keygen_and_minisign_sign_opens_sealed_and_by_note() {
    for world in World::both() {
        let start = statement("start");
        let cosign = statement("cosign");
        let armour = world.ssh_sign(&cosign.text(), "two-key");
        let ssh = open_detached(&cosign, user1(), &world.key(), &detached_base64(&armour).unwrap()).unwrap();
        let mini_file = world.minisign(&start.text(), &[]);
        let cp18 = PrincipalId::parse("cp18").unwrap();
        let mini_key = world.minisign_key();
        let mini = open_detached(&start, cp18.clone(), &mini_key, &detached_base64(&mini_file).unwrap()).unwrap();
        assert_eq!((ssh.carrier(), mini.carrier()), (Carrier::Detached, Carrier::Detached));

        let sealed = [ssh.seal_line().unwrap(), mini.seal_line().unwrap()];
        let unsigned = statement_message(&start, "start", None, None, None, &sealed).unwrap();
        let opened = votes(open_commit(&world.unsigned(&unsigned), world.format));
        assert_eq!(opened, [Ok(ssh.clone()), Ok(mini.clone())]);

        let signed = statement_message(&start, "start", Some(&user1()), None, None, &sealed).unwrap();
        let opened = votes(open_commit(&world.signed(&signed), world.format));
        assert_eq!(opened.len(), 3, "sealed lines first, then the commit's own");
        assert_eq!(opened[..2], [Ok(ssh.clone()), Ok(mini.clone())]);
        assert_eq!(opened[2].as_ref().unwrap().carrier(), Carrier::Commit);

        // As `cat s s.sig | git notes append -F -` twice makes a note.
        for (statement, file) in [(&cosign, &armour), (&start, &mini_file)] {
            let entry = format!("{}{file}", statement.text());
            world.git(&["notes", "--ref", "two-key/user1", "append", "-F", "-", "main^{tree}"], entry.as_bytes());
        }
        let note = world.run("git", &["notes", "--ref", "two-key/user1", "show", "main^{tree}"], b"");
        let entries = open_note(&note, &user1(), &[world.key(), mini_key.clone()]);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].opened.as_ref().unwrap(), &ssh);
        assert_eq!(entries[1].opened.as_ref().unwrap().key(), &mini_key);
        let unlisted = open_note(&note, &user1(), &[]);
        assert!(unlisted[0].opened.is_ok(), "an SSH signature brings its key along");
        assert_eq!(unlisted[1].opened.as_ref().unwrap_err().reason, Reason::UnknownKey);

        // A key id is no key: of two keys that bear the same one, the signer is found.
        let mut twin = STANDARD.decode(mini_key.bare()).unwrap();
        let point = world.key().blob();
        twin[10..].copy_from_slice(&point[point.len() - 32..]);
        let twin = PublicKey::from_bare_minisign(&STANDARD.encode(twin)).unwrap();
        for candidates in [[twin.clone(), mini_key.clone()], [mini_key.clone(), twin.clone()]] {
            let entries = open_note(&note, &user1(), &candidates);
            assert_eq!(entries[1].opened.as_ref().map(Cosignature::key), Ok(&mini_key));
        }
    }
}

#[test]
fn an_ordinary_commit_names_its_signer_and_only_a_good_one() {
    for world in World::both() {
        let raw = world.signed("a lease\n");
        assert_eq!(signer_of(&open_commit(&raw, world.format)), Some(world.key().raw()));
        let other = match world.format {
            ObjectFormat::Sha1 => ObjectFormat::Sha256,
            ObjectFormat::Sha256 => ObjectFormat::Sha1,
        };
        assert_eq!(open_commit(&raw, other), Opened::Ordinary { signature: None });
        let unsigned = world.unsigned("a lease\n");
        assert_eq!(open_commit(&unsigned, world.format), Opened::Ordinary { signature: None });
        for at in 0..raw.len() {
            let mut altered = raw.clone();
            altered[at] ^= 1;
            assert_eq!(signer_of(&open_commit(&altered, world.format)), None, "byte {at}");
        }
    }
}

#[test]
fn no_byte_of_a_signed_carrier_can_change() {
    for world in World::both() {
        let message = statement_message(&statement("promote"), "go", Some(&user1()), Some("why"), None, &[]).unwrap();
        let raw = world.signed(&message);
        assert!(only_vote(open_commit(&raw, world.format)).is_ok());
        for at in 0..raw.len() {
            for bit in 0..8 {
                let mut altered = raw.clone();
                altered[at] ^= 1 << bit;
                let votes = open_commit(&altered, world.format).votes(|_| Ok(()));
                assert!(votes.iter().all(Result::is_err), "byte {at} bit {bit}");
            }
        }
    }
}

#[test]
fn a_tag_that_git_makes_reads_and_a_nested_or_lightweight_one_does_not() {
    for world in World::both() {
        let name = "rollout/LEASE-20251027-021913/2-promote-25";
        let key = format!("user.signingkey={}", world.path("key").display());
        for signed in [false, true] {
            let sign: &[&str] = if signed { &["-c", "gpg.format=ssh", "-c", &key] } else { &[] };
            let tag = [sign, &["tag", "-f", if signed { "-s" } else { "-a" }, "-m", "x", name, "main"]].concat();
            world.git(&tag, b"");
            let raw = world.run("git", &["cat-file", "tag", name], b"");
            let tag = parse_tag(&raw, world.format).unwrap();
            assert_eq!(tag.name, name);
            assert_eq!(tag.object.to_string(), world.git(&["rev-parse", "main"], b""));
        }
        world.git(&["tag", "-a", "-m", "nested", "outer", name], b"");
        let nested = world.run("git", &["cat-file", "tag", "outer"], b"");
        assert_eq!(parse_tag(&nested, world.format).unwrap_err().reason, Reason::Malformed);
        let commit = world.run("git", &["cat-file", "commit", "main"], b"");
        assert_eq!(parse_tag(&commit, world.format).unwrap_err().reason, Reason::Malformed);
    }
}

#[test]
fn authenticator_signatures_agree_with_ssh_keygen() {
    let world = World::new(ObjectFormat::Sha1);
    let cosign = statement("cosign");
    for (flags, presence) in [(0, Presence::NotShown), (1, Presence::Touched), (5, Presence::Verified)] {
        for (hash, message, honest) in
            [("sha512", cosign.text(), true), ("sha256", cosign.text(), true), ("sha512", "other\n".to_owned(), false)]
        {
            let key = Key { hash, ..Key::hardware(7, flags) };
            let armour = key.armour("two-key", message.as_bytes());
            fs::write(world.path("sk.sig"), &armour).unwrap();
            fs::write(world.path("allowed"), format!("user1 {}\n", key.public().line())).unwrap();
            let args = ["-Y", "verify", "-f", "allowed", "-I", "user1", "-n", "two-key", "-s", "sk.sig"];
            let theirs = world.try_run("ssh-keygen", &args, cosign.text().as_bytes());
            let ours = open_detached(&cosign, user1(), &key.public(), &detached_base64(&armour).unwrap());
            assert_eq!(theirs.is_ok(), honest, "{flags} {hash}: {theirs:?}");
            assert_eq!(ours.is_ok(), honest, "{flags} {hash}: {ours:?}");
            if let Ok(vote) = ours {
                assert_eq!(vote.presence(), presence, "ssh-keygen -Y verify does not say whether somebody was there");
            }
        }
    }
}

#[test]
fn a_commit_that_an_authenticator_signed_agrees_with_git() {
    for world in World::both() {
        let message = statement_message(&statement("start"), "go", Some(&user1()), None, None, &[]).unwrap();
        let key = Key::hardware(7, 1);
        let raw = key.commit(&world.unsigned(&message), world.format.signature_header());
        let id = world.git(&["hash-object", "-t", "commit", "-w", "--stdin"], &raw);
        fs::write(world.path("allowed"), format!("user1@example {}\n", key.public().line())).unwrap();
        let allowed = format!("gpg.ssh.allowedSignersFile={}", world.path("allowed").display());
        world.git(&["-c", &allowed, "verify-commit", &id], b"");
        let vote = only_vote(open_commit(&raw, world.format)).unwrap();
        assert_eq!((vote.key(), vote.presence()), (&key.public(), Presence::Touched));
    }
}

#[test]
fn no_byte_of_a_detached_signature_or_its_statement_can_change() {
    let world = World::new(ObjectFormat::Sha1);
    let cosign = statement("cosign");
    let armour = world.ssh_sign(&cosign.text(), "two-key");
    let file = world.minisign(&cosign.text(), &[]);
    let comment = file.find('\n').unwrap();
    let (ssh, mini) = (world.key(), world.minisign_key());
    let opens = |key: &PublicKey, bytes: &[u8]| {
        let base64 = std::str::from_utf8(bytes).ok().and_then(|text| detached_base64(text).ok());
        base64.is_some_and(|base64| open_detached(&cosign, user1(), key, &base64).is_ok())
    };
    // The untrusted comment, the first line of a minisign file, is covered by nothing; the last line feed is optional.
    for (key, signature, from) in [(&ssh, armour.as_bytes(), 0), (&mini, file.as_bytes(), comment)] {
        assert!(opens(key, signature));
        for at in from..signature.len() - 1 {
            for bit in 0..8 {
                let mut altered = signature.to_vec();
                altered[at] ^= 1 << bit;
                assert!(!opens(key, &altered), "byte {at} bit {bit}");
            }
        }
    }
    for action in ["start", "promote", "halt"] {
        for (key, signature) in [(&ssh, &armour), (&mini, &file)] {
            let base64 = detached_base64(signature).unwrap();
            let bad = open_detached(&statement(action), user1(), key, &base64).unwrap_err();
            assert_eq!(bad.refusal.reason, Reason::BadSignature);
        }
    }
}

#[test]
fn a_git_signature_is_no_deliberate_one_and_the_other_way_round() {
    let world = World::new(ObjectFormat::Sha1);
    let cosign = statement("cosign");
    for namespace in ["git", "file", "two-keys"] {
        let base64 = detached_base64(&world.ssh_sign(&cosign.text(), namespace)).unwrap();
        let bad = open_detached(&cosign, user1(), &world.key(), &base64).unwrap_err();
        assert_eq!(bad.refusal.reason, Reason::BadSignature, "{namespace}");
    }
    let message = statement_message(&cosign, "go", Some(&user1()), None, None, &[]).unwrap();
    let raw = Key::ssh(1).commit(&world.unsigned(&message), "gpgsig");
    assert!(only_vote(open_commit(&raw, world.format)).is_ok());
    let text = String::from_utf8(raw).unwrap();
    let (begin, end) = (text.find("gpgsig ").unwrap() + 7, text.find("SIGNATURE-----\n\n").unwrap() + 14);
    let armour = Key::ssh(1).armour("two-key", &world.unsigned(&message));
    let deliberate = [&text[..begin], &armour.trim_end().replace('\n', "\n "), &text[end..]].concat();
    assert_eq!(only_vote(open_commit(deliberate.as_bytes(), world.format)), Err(Reason::BadSignature));
}

/// Attack 19: Git signs again, with whoever's key is configured, what somebody else wrote.
#[test]
fn a_statement_that_git_commits_again_is_malformed() {
    for world in World::both() {
        let message = statement_message(&statement("start"), "go", Some(&user1()), None, None, &[]).unwrap();
        let raw = world.signed(&message);
        assert!(only_vote(open_commit(&raw, world.format)).is_ok());
        let id = world.git(&["hash-object", "-t", "commit", "-w", "--stdin"], &raw);
        world.git(&["update-ref", "refs/heads/main", &id], b"");
        let key = format!("user.signingkey={}", world.path("key").display());
        for (name, email) in [("Somebody Else", "user1@example"), ("User One", "else@example")] {
            let (name, email) = (format!("committer.name={name}"), format!("committer.email={email}"));
            // The committer of the environment would win over the configuration.
            let script = "unset GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL; \
                exec git -c \"$1\" -c gpg.format=ssh -c \"$2\" -c \"$3\" commit --amend -q -S --allow-empty --no-edit";
            world.run("sh", &["-c", script, "sh", &key, &name, &email], b"");
            let again = world.run("git", &["cat-file", "commit", "main"], b"");
            assert_ne!(again, raw);
            match open_commit(&again, world.format) {
                Opened::Malformed(refusal) => assert_eq!(refusal.reason, Reason::Malformed),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Where this crate is stricter than the programs, it is on purpose: one signature, one spelling.
#[test]
fn what_the_programs_tolerate_and_this_crate_does_not() {
    let world = World::new(ObjectFormat::Sha1);
    let text = statement("cosign").text();
    let armour = world.ssh_sign(&text, "two-key");
    fs::write(world.path("allowed"), format!("user1 {}\n", world.key().line())).unwrap();
    let verify = ["-Y", "verify", "-f", "allowed", "-I", "user1", "-n", "two-key", "-s", "x.sig"];
    for (what, tolerated) in [
        ("text after the end", format!("{armour}junk\n")),
        ("an empty line", armour.replacen("-----\n", "-----\n\n", 1)),
        ("a space", armour.replacen("-----\n", "-----\n ", 1)),
    ] {
        fs::write(world.path("x.sig"), &tolerated).unwrap();
        world.run("ssh-keygen", &verify, text.as_bytes());
        assert_eq!(SshSig::from_armour(&tolerated).unwrap_err().reason, Reason::Malformed, "{what}");
    }
    let (file, legacy) = (world.minisign(&text, &[]), world.minisign(&text, &["-l"]));
    for (what, tolerated) in
        [("legacy", legacy), ("text after the end", format!("{file}junk\n")), ("crlf", file.replace('\n', "\r\n"))]
    {
        fs::write(world.path("x.mini"), &tolerated).unwrap();
        world.run("minisign", &["-V", "-p", "mini.pub", "-m", "message", "-x", "x.mini"], b"");
        assert_eq!(Minisig::parse(&tolerated).err().unwrap().reason, Reason::Malformed, "{what}");
    }
    // Git verifies a commit with an encoding header; as a carrier it is malformed, as an ordinary commit it has a signer.
    let allowed = format!("gpg.ssh.allowedSignersFile={}", world.path("allowed").display());
    let message = statement_message(&statement("start"), "go", Some(&user1()), None, None, &[]).unwrap();
    for message in [message, "ordinary\n".to_owned()] {
        let unsigned = String::from_utf8(world.unsigned(&message)).unwrap();
        let encoded = unsigned.replacen("\n\n", "\nencoding ISO-8859-1\n\n", 1);
        let raw = Key::ssh(1).commit(encoded.as_bytes(), "gpgsig");
        let id = world.git(&["hash-object", "-t", "commit", "-w", "--stdin"], &raw);
        fs::write(world.path("allowed"), format!("user1 {}\n", Key::ssh(1).public().line())).unwrap();
        world.git(&["-c", &allowed, "verify-commit", &id], b"");
        match open_commit(&raw, world.format) {
            opened @ Opened::Ordinary { .. } => assert_eq!(signer_of(&opened), Some(Key::ssh(1).public().raw())),
            Opened::Malformed(refusal) => assert_eq!(refusal.reason, Reason::Malformed),
            other @ Opened::Carrier { .. } => panic!("{other:?}"),
        }
    }
}
