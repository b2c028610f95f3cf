//! Commits that carry votes.

use crate::{
    model::{Action, Digest, Reason, Refusal, Statement},
    signature::{
        Carrier, Cosignature, ObjectFormat, Opened, Presence, links, open_commit, statement_message,
        testing::{Key, WHO, armour, commit, principal, statement, with_header},
    },
};

const LEASE: &str = "LEASE-20251027-021913";
const OTHER: &str = "LEASE-20251027-021914";

fn open(raw: &[u8]) -> Opened {
    open_commit(raw, ObjectFormat::Sha1)
}

/// What each vote comes to, or why the commit as a whole is no carrier.
fn votes(raw: &[u8]) -> Result<Vec<Result<Cosignature, Reason>>, Reason> {
    match open(raw) {
        carrier @ Opened::Carrier { .. } => {
            let votes = carrier.votes(|_| Ok(()));
            Ok(votes.into_iter().map(|vote| vote.map_err(|bad| bad.refusal.reason)).collect())
        }
        Opened::Malformed(refusal) => Err(refusal.reason),
        Opened::Ordinary { .. } => panic!("ordinary"),
    }
}

fn signed(message: &str) -> Vec<u8> {
    Key::ssh(1).sign_commit(&commit(message), ObjectFormat::Sha1)
}

fn start() -> Statement {
    statement("start", LEASE)
}

fn run() -> String {
    format!("{}Two-Key-Principal: user1\n", start().text())
}

/// The one vote of a commit that is signed over this message.
fn vote(message: &str) -> Result<Cosignature, Reason> {
    let mut votes = votes(&signed(message))?;
    assert_eq!(votes.len(), 1);
    votes.remove(0)
}

#[test]
fn other_peoples_trailers_and_paragraphs_do_not_matter() {
    for message in [
        format!("go\n\n{}", run()),
        run(),
        format!("go\n\nSigned-off-by: a\n{}Change-Id: I1\n", run()),
        format!("go\n\n\n{}\n\n\n", run()),
        format!("go\n\n{}", run().trim_end()),
        format!("go\n\nTwo-Key-Reason: of another paragraph\n\n{}", run()),
        format!("go\n\nsee Two-Key-Statement: 1\n\n{}", run()),
    ] {
        let vote = vote(&message).unwrap();
        assert_eq!((vote.statement(), vote.claims()), (&start(), &principal("user1")), "{message}");
        assert_eq!((vote.reason(), vote.carrier()), (None, Carrier::Commit));
    }
}

#[test]
fn a_run_that_is_not_exactly_one_statement_is_malformed() {
    let statement = start().text();
    let digest = Digest::of(b"x");
    let cases = [
        ("not the last paragraph", format!("{}\nSigned-off-by: a\n", run())),
        ("two statements", format!("{}\n{}", run(), run())),
        ("a second statement line in the body", format!("Two-Key-Statement: 1\n\n{}", run())),
        ("a statement line after a return", format!("x\rTwo-Key-Statement: 1\n\n{}", run())),
        ("two runs", format!("{statement}Signed-off-by: a\nTwo-Key-Principal: user1\n")),
        ("folded", format!("{} and more\n", run())),
        ("folded with a tab", format!("{}\tand more\n", run())),
        ("crlf", run().replace('\n', "\r\n")),
        ("one return", run().replace("user1\n", "user1\r\n")),
        ("unknown remark", format!("{}Two-Key-Extra: 1\n", run())),
        ("remark without a value", format!("{}Two-Key-Reason:\n", run())),
        ("blank reason", format!("{}Two-Key-Reason:  \n", run())),
        ("long reason", format!("{}Two-Key-Reason: {}\n", run(), "a".repeat(1025))),
        ("bidi reason", format!("{}Two-Key-Reason: a\u{202e}b\n", run())),
        ("escape in the reason", format!("{}Two-Key-Reason: a\u{1b}[2Jb\n", run())),
        ("two reasons", format!("{}Two-Key-Reason: a\nTwo-Key-Reason: b\n", run())),
        ("two principals", format!("{}Two-Key-Principal: user2\n", run())),
        ("principal that is no id", format!("{statement}Two-Key-Principal: user 1\n")),
        ("evidence that is no digest", format!("{}Two-Key-Evidence: sha256:00\n", run())),
        ("two evidences", format!("{0}{1}{1}", run(), format_args!("Two-Key-Evidence: {digest}\n"))),
        ("field after a remark", statement.replace("Two-Key-Tier: 5\n", "Two-Key-Principal: user1\nTwo-Key-Tier: 5\n")),
        ("field that the action lacks", format!("{statement}Two-Key-Nonce: {}\n", "0a".repeat(16))),
        ("field missing", run().replace("Two-Key-Tier: 5\n", "")),
        ("statement line alone", "Two-Key-Statement:\n".to_owned()),
        ("format level 2", run().replace("Statement: 1", "Statement: 2")),
        ("sealed line of four words", format!("{}Two-Key-Cosignature: user1 start ssh AAAA\n", run())),
        ("sealed line of another kind", format!("{}Two-Key-Cosignature: user1 start pgp A A\n", run())),
        ("sealed line of no action", format!("{}Two-Key-Cosignature: user1 begin ssh A A\n", run())),
        ("escape in a sealed line", format!("{}Two-Key-Cosignature: user1 start ssh A\u{1b} A\n", run())),
    ];
    assert!(vote(&run()).is_ok());
    for (what, message) in cases {
        assert_eq!(vote(&message), Err(Reason::Malformed), "{what}");
    }
    let just = format!("{}Two-Key-Reason: {}\n", run(), "a".repeat(1024));
    assert!(vote(&just).is_ok());
    assert_eq!(votes(&signed(&format!("{}\n\n{}", "x".repeat(256 * 1024), run()))), Err(Reason::TooLarge));
    let sealed = |count| format!("{}{}", run(), "Two-Key-Cosignature: user1 start ssh A A\n".repeat(count));
    assert_eq!(vote(&sealed(65)), Err(Reason::TooLarge));
    assert_eq!(votes(&signed(&sealed(64))).map(|votes| votes.len()), Ok(65));
}

#[test]
fn bytes_that_are_not_text_are_malformed_in_the_run_only() {
    let with = |from: &str, to: &[u8]| {
        let raw = commit(&format!("body\n\n{}Two-Key-Reason: why\n", run()));
        let at = raw.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let raw = [&raw[..at], to, &raw[at + from.len()..]].concat();
        votes(&Key::ssh(1).sign_commit(&raw, ObjectFormat::Sha1)).map(|votes| votes[0].is_ok())
    };
    assert_eq!(with("body", b"b\xf6dy"), Ok(true));
    assert_eq!(with("why", b"w\xf6y"), Err(Reason::Malformed));
    assert_eq!(with("body", b"bo\0dy"), Err(Reason::Malformed));
    let second_block = [&run().into_bytes(), b"\0\n\nTwo-Key-Statement: 1\n".as_slice()].concat();
    assert_eq!(with("why\n", &second_block), Err(Reason::Malformed));
}

#[test]
fn headers_are_strict() {
    let honest = String::from_utf8(commit(&run())).unwrap();
    let key = Key::ssh(1);
    let sign = |text: &str| votes(&key.sign_commit(text.as_bytes(), ObjectFormat::Sha1)).map(|votes| votes[0].is_ok());
    assert_eq!(sign(&honest), Ok(true));
    let (tree, parent) = (format!("tree {}\n", "1".repeat(40)), format!("parent {}\n", "2".repeat(40)));
    for (what, from, to) in [
        ("no parent", parent.as_str(), String::new()),
        ("two parents", &parent, parent.repeat(2)),
        ("two trees", &tree, tree.repeat(2)),
        ("tree after parent", &parent, format!("{parent}{tree}")),
        ("upper case", &tree, format!("tree {}\n", "A".repeat(40))),
        ("another format's tree", &tree, format!("tree {}\n", "1".repeat(64))),
        ("tree with a return", &tree, tree.replace('\n', "\r\n")),
        ("folded tree", &tree, tree.replace('\n', "\n x\n")),
        ("author differs in name", "author User", "author Usor".into()),
        ("author differs in date", "author User One <user1@example> 1", "author User One <user1@example> 2".into()),
        ("committer differs in zone", "+0100\n\n", "+0200\n\n".into()),
        ("two authors", "committer", format!("author {WHO}\ncommitter")),
        ("encoding", "+0100\n\n", "+0100\nencoding ISO-8859-1\n\n".into()),
        ("mergetag", "+0100\n\n", "+0100\nmergetag object 1\n type commit\n\n".into()),
        ("gpgsigx", "+0100\n\n", "+0100\ngpgsigx y\n\n".into()),
        ("gpgsig-sha256 in a SHA-1 repository", "+0100\n\n", "+0100\ngpgsig-sha256 y\n\n".into()),
        ("two gpgsig", "+0100\n\n", "+0100\ngpgsig y\n\n".into()),
        ("continuation first", "tree", " tree".into()),
    ] {
        let altered = honest.replacen(from, &to, 1);
        assert_ne!(altered, honest, "{what}");
        assert_eq!(sign(&altered), Err(Reason::Malformed), "{what}");
    }
    for (what, who) in
        [("date", "A <a> x +0100"), ("zone", "A <a> 1 0100"), ("address", "A 1 +0100"), ("sign", "A <a> -1 +0100")]
    {
        assert_eq!(sign(&honest.replace(WHO, who)), Err(Reason::Malformed), "{what}");
    }
    let no_end = honest.replace("\n\n", "\n").replace("Two-Key", "x Two-Key");
    assert!(matches!(open(no_end.as_bytes()), Opened::Ordinary { signature: None }));
}

#[test]
fn a_signature_block_in_the_message_is_no_signature() {
    let unsigned = String::from_utf8(commit(&run())).unwrap();
    let block = armour(&Key::ssh(1).base64("git", unsigned.as_bytes()), 70).trim_end().replace('\n', "\n ");
    let moved = unsigned.replace("\n\n", &format!("\n\ngpgsig {block}\n"));
    assert_eq!(votes(moved.as_bytes()), Err(Reason::Malformed));
    let ordinary = moved.replace("Two-Key-Statement: 1", "x");
    assert_eq!(open(ordinary.as_bytes()), Opened::Ordinary { signature: None });
}

#[test]
fn the_commits_own_signature_needs_its_principal_its_namespace_and_its_bytes() {
    let unsigned = commit(&run());
    let with = |value: &str| votes(&with_header(&unsigned, "gpgsig", value)).map(|mut votes| votes.remove(0));
    let key = Key::ssh(1);
    let armoured = |namespace: &str, payload: &[u8]| armour(&key.base64(namespace, payload), 70);
    assert!(with(&armoured("git", &unsigned)).unwrap().is_ok());
    assert_eq!(with(&armoured("two-key", &unsigned)), Ok(Err(Reason::BadSignature)));
    assert_eq!(with(&armoured("git", &commit("other\n"))), Ok(Err(Reason::BadSignature)));
    assert_eq!(
        with("-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----"),
        Ok(Err(Reason::BadSignature))
    );
    assert_eq!(with(&armoured("git", &unsigned).replace("U1N", "x1N")), Ok(Err(Reason::Malformed)));
    assert_eq!(vote(&start().text()), Err(Reason::WrongPrincipal));
    assert_eq!(votes(&unsigned), Err(Reason::Malformed), "a principal without a signature");
    assert_eq!(votes(&commit(&start().text())), Ok(vec![Err(Reason::Unsigned)]));
}

#[test]
fn a_touch_shows_in_a_commits_own_signature() {
    for (flags, presence) in [(0, Presence::NotShown), (1, Presence::Touched)] {
        let raw = Key::hardware(3, flags).sign_commit(&commit(&run()), ObjectFormat::Sha1);
        assert_eq!(votes(&raw).unwrap()[0].as_ref().unwrap().presence(), presence);
    }
}

#[test]
fn sealed_lines_are_over_the_statement_of_their_own_action() {
    let cosign = statement("cosign", LEASE);
    let (human, agent) = (Key::hardware(1, 1), Key::ssh(2));
    let lines = [human.seal("user1", &cosign), agent.seal("cp14", &cosign), agent.seal("cp14", &start())];
    let message = statement_message(&start(), "start", None, None, None, &lines).unwrap();
    let opened: Vec<_> = votes(&commit(&message)).unwrap().into_iter().map(Result::unwrap).collect();
    let seen: Vec<_> = opened.iter().map(|vote| (vote.claims().as_str(), vote.statement().clone())).collect();
    assert_eq!(seen, [("user1", cosign.clone()), ("cp14", cosign), ("cp14", start())]);
    assert_eq!(opened[0].presence(), Presence::Touched);
    let again: Vec<_> = opened.iter().map(|vote| vote.seal_line().unwrap()).collect();
    assert_eq!(again, lines, "what was opened seals again to the same line");
}

#[test]
fn a_sealed_line_cannot_be_lifted_or_relabelled() {
    let key = Key::ssh(1);
    let reasons = |message: &str| {
        let votes = votes(&commit(message)).unwrap();
        votes.into_iter().map(|vote| vote.map(|_| ())).collect::<Vec<_>>()
    };
    let sealed = |line: &str| reasons(&format!("{}{line}\n", start().text()));
    let honest = key.seal("user1", &statement("cosign", LEASE));
    assert_eq!(sealed(&honest), [Ok(())]);
    let cases = [
        ("another lease", key.seal("user1", &statement("cosign", OTHER)), Reason::BadSignature),
        ("another action", honest.replace(" cosign ", " start "), Reason::BadSignature),
        ("a field that is not there", key.seal("user1", &statement("halt", LEASE)), Reason::Malformed),
        ("another key", honest.replace(&key.public.bare(), &Key::ssh(2).public.bare()), Reason::BadSignature),
        (
            "another wrapping",
            honest.replace(&key.public.bare(), &Key::hardware(1, 1).public.bare()),
            Reason::BadSignature,
        ),
        ("no key", honest.replace(&key.public.bare(), "AAAA"), Reason::Malformed),
        ("no minisign key", honest.replace(" ssh ", " minisign "), Reason::Malformed),
        ("broken base64", honest.replace("U1NIU0lH", "U1NIU0l="), Reason::Malformed),
    ];
    let neighbour = Key::ssh(3).seal("user3", &statement("cosign", LEASE));
    for (what, line, reason) in cases {
        assert_ne!(line, honest, "{what}");
        assert_eq!(sealed(&line), [Err(reason)], "{what}");
        assert_eq!(
            sealed(&format!("{neighbour}\n{line}")),
            [Ok(()), Err(reason)],
            "{what}: its neighbour still counts"
        );
    }
    let git_namespace = key.base64("git", statement("cosign", LEASE).text().as_bytes());
    let line = format!("Two-Key-Cosignature: user1 cosign ssh {} {git_namespace}", key.public.bare());
    assert_eq!(sealed(&line), [Err(Reason::BadSignature)], "a Git signature is not a deliberate one");
}

#[test]
fn a_key_has_one_sealed_line_for_one_action() {
    let cosign = statement("cosign", LEASE);
    let sealed = |lines: [String; 2]| votes(&commit(&format!("{}{}\n{}\n", start().text(), lines[0], lines[1])));
    let one = Key::ssh(1).seal("user1", &cosign);
    let both = sealed([one.clone(), Key::ssh(1).seal("user1", &start())]).unwrap();
    assert!(both.iter().all(Result::is_ok) && both.len() == 2, "one for each action");
    assert_eq!(sealed([one.clone(), one.clone()]), Err(Reason::Malformed));
    assert_eq!(
        sealed([one.clone(), Key::hardware(1, 1).seal("user2", &cosign)]),
        Err(Reason::Malformed),
        "wrapped again"
    );
    assert_eq!(sealed([one, Key::hardware(2, 1).seal("user2", &cosign)]).unwrap().len(), 2);
}

#[test]
fn a_key_that_signed_the_commit_seals_nothing_more_for_its_action() {
    let message = |line: &str| format!("{}{line}\n", run());
    let signed = |line: &str| Key::ssh(1).sign_commit(&commit(&message(line)), ObjectFormat::Sha1);
    assert_eq!(votes(&signed(&Key::ssh(1).seal("user1", &start()))), Err(Reason::Malformed));
    for other in [Key::ssh(2).seal("user2", &start()), Key::ssh(1).seal("user1", &statement("cosign", LEASE))] {
        assert_eq!(votes(&signed(&other)).unwrap().into_iter().flatten().count(), 2, "{other}");
    }
}

#[test]
fn what_is_sealed_is_for_the_action_of_the_commit_or_to_cosign() {
    let key = Key::ssh(1);
    let sealed = |of_commit: &str, action: &str| {
        let line = key.seal("user1", &statement(action, LEASE));
        let opened = votes(&commit(&format!("{}{line}\n", statement(of_commit, LEASE).text())));
        opened.unwrap().remove(0).map(|vote| vote.statement().action())
    };
    let stops = [Action::Pause, Action::Halt, Action::Rollback, Action::Withdraw];
    for of_commit in stops {
        for action in stops {
            let expected = if action == of_commit { Ok(action) } else { Err(Reason::Malformed) };
            assert_eq!(sealed(of_commit.word(), action.word()), expected);
        }
    }
    assert_eq!(sealed("start", "cosign"), Ok(Action::Cosign));
}

#[test]
fn a_sealed_signature_is_checked_only_of_a_key_that_could_count() {
    let cosign = statement("cosign", LEASE);
    let lines = [Key::ssh(1).seal("user1", &cosign), Key::ssh(2).seal("user2", &cosign)].join("\n");
    let opened = open(&commit(&format!("{}{lines}\n", start().text())));
    assert_eq!(opened.verified().count(), 0, "nobody has taken any");
    let stranger = Refusal::new(Reason::UnknownKey, "a stranger");
    let one = Key::ssh(1).public.raw();
    let votes = opened.votes(|key| if key == one { Ok(()) } else { Err(stranger.clone()) });
    assert_eq!(votes[0].as_ref().map(Cosignature::claims), Ok(&principal("user1")));
    assert_eq!(votes[1].as_ref().map_err(|bad| bad.refusal.reason), Err(Reason::UnknownKey));
    assert_eq!(opened.verified().map(Cosignature::claims).collect::<Vec<_>>(), [&principal("user1")]);
}

#[test]
fn after_a_sealed_signature_that_does_not_verify_none_is_looked_at() {
    let (good, bad) = (Key::ssh(1).seal("user1", &start()), Key::ssh(2).seal("user2", &statement("start", OTHER)));
    let (next, last) = (Key::ssh(3).seal("user3", &start()), Key::ssh(4).seal("user4", &start()));
    let no_key = Key::ssh(5).seal("user5", &start()).replace(&Key::ssh(5).public.bare(), "AAAA");
    let two = Key::ssh(2).public.raw();
    let stranger = || Refusal::new(Reason::UnknownKey, "a stranger");
    let (unknown, wrong) = (Err(Reason::UnknownKey), Err(Reason::BadSignature));
    for (what, lines, listed, reasons) in [
        ("all verify", [&good, &next, &last], true, [Ok(()), Ok(()), Ok(())]),
        ("the second does not", [&good, &bad, &last], true, [Ok(()), wrong, wrong]),
        ("the first does not", [&bad, &good, &no_key], true, [wrong, wrong, Err(Reason::Malformed)]),
        ("its key could not count anyway", [&good, &bad, &last], false, [Ok(()), unknown, Ok(())]),
        ("it names no key", [&no_key, &good, &last], true, [Err(Reason::Malformed), Ok(()), Ok(())]),
    ] {
        let opened = open(&commit(&format!("{}{}\n", start().text(), lines.map(String::as_str).join("\n"))));
        let votes = opened.votes(|key| if key == two && !listed { Err(stranger()) } else { Ok(()) });
        let found: Vec<_> =
            votes.iter().map(|vote| vote.as_ref().map(drop).map_err(|bad| bad.refusal.reason)).collect();
        assert_eq!(found, reasons, "{what}");
        let looked_at = found.iter().filter(|vote| vote.is_ok()).count();
        assert_eq!(opened.verified().count(), looked_at, "{what}");
    }
}

#[test]
fn one_signature_is_one_vote_even_when_rewrapped() {
    let unsigned = commit(&run());
    let base64 = Key::ssh(1).base64("git", &unsigned);
    let open = |width| votes(&with_header(&unsigned, "gpgsig", &armour(&base64, width))).unwrap().remove(0).unwrap();
    assert_eq!(open(70), open(64), "another object id, the same cosignature to the last field");
}

#[test]
fn statements_in_sha256_repositories_take_their_own_header() {
    let (tree, parent) = ("1".repeat(64), "2".repeat(64));
    let unsigned = format!("tree {tree}\nparent {parent}\nauthor {WHO}\ncommitter {WHO}\n\n{}", run());
    let good = Key::ssh(1).sign_commit(unsigned.as_bytes(), ObjectFormat::Sha256);
    assert!(
        matches!(open_commit(&good, ObjectFormat::Sha256), Opened::Carrier { own: Some(own), .. } if own.vote(|_| Ok(())).is_ok())
    );
    assert!(matches!(open_commit(&good, ObjectFormat::Sha1), Opened::Malformed(_)));
    let other = Key::ssh(1).sign_commit(unsigned.as_bytes(), ObjectFormat::Sha1);
    assert!(matches!(open_commit(&other, ObjectFormat::Sha256), Opened::Malformed(_)));
}

#[test]
fn an_ordinary_commit_that_reads_in_two_ways_has_no_signer() {
    let honest = String::from_utf8(commit("a lease\n")).unwrap();
    let key = Key::ssh(1);
    let signer = |text: &str| match open(&key.sign_commit(text.as_bytes(), ObjectFormat::Sha1)) {
        Opened::Ordinary { signature } => signature.and_then(|signature| signature.signer(|_| true)),
        other => panic!("{other:?}"),
    };
    assert_eq!(signer(&honest), Some(key.public.raw()));
    let merge = honest.replace("author", &format!("parent {}\nauthor", "3".repeat(40)));
    let tagged = merge.replace("+0100\n\n", "+0100\nmergetag object 1\n type commit\n \n x\n\n");
    assert_eq!(signer(&tagged), Some(key.public.raw()), "merges and their mergetags are usual");
    for (what, from, to) in [
        ("another tree at the end", "+0100\n\n", format!("+0100\ntree {}\n\n", "4".repeat(40))),
        ("a late parent", "+0100\n\n", format!("+0100\nparent {}\n\n", "4".repeat(40))),
        ("a second signature", "+0100\n\n", "+0100\ngpgsig x\n\n".into()),
        ("a header like a signature", "+0100\n\n", "+0100\ngpgsig-sha256 x\n\n".into()),
        ("a NUL", "lease", "le\0se".into()),
    ] {
        assert_eq!(signer(&honest.replacen(from, &to, 1)), None, "{what}");
    }
    // A signature that is good over a commit with a second signature header, and stands before it.
    for second in ["gpgsig x", "gpgsig-sha256 x", "gpgsigs x"] {
        let unsigned = honest.replacen("+0100\n\n", &format!("+0100\n{second}\n\n"), 1);
        let block = armour(&key.base64("git", unsigned.as_bytes()), 70).trim_end().replace('\n', "\n ");
        let raw = unsigned.replacen(second, &format!("gpgsig {block}\n{second}"), 1);
        assert_eq!(open(raw.as_bytes()), Opened::Ordinary { signature: None }, "{second}");
    }
}

#[test]
fn history_reads_through_commits_that_are_no_carriers() {
    let read = |raw: &str| links(raw.as_bytes(), ObjectFormat::Sha1);
    let (tree, parent, other) = ("a1".repeat(20), "b2".repeat(20), "c3".repeat(20));
    let head = format!("tree {tree}\nparent {parent}\nparent {other}\n");
    let time = |lines: &str| {
        let links = read(&format!("{head}{lines}")).unwrap();
        assert_eq!(links.parents.len(), 2, "{lines}");
        links.committer_time
    };
    // As `git rev-list --timestamp` says them.
    for (lines, seconds) in [
        ("author x\ncommitter A <a> 12 +0000\nencoding x\nHG:extra\n\ncommitter <> 99 +0\n", 12),
        ("author\ncommitter > <a> > \t12x", 0),
        ("author\ncommitter > <a> > \t12x\n", 12),
        ("author \ncommitters>12\n", 12),
        ("author > 9 \n\ncommitter > 12\n", 0),
        ("encoding x\nauthor x\ncommitter > 12\n", 0),
        ("author x\ncommitter > 18446744073709551615 +0\n", u64::MAX),
        ("author x\ncommitter > 99999999999999999999 +0\n", u64::MAX),
        ("author x\ncommitter > -2 +0\n", u64::MAX - 1),
        ("author x\ncommitter > +2 +0\n", 0),
        ("author x\ncommitter > \x0c2 +0\n", 0),
        ("author x\ncommitter 12 +0\n", 0),
        ("author x\ncommitter >\n", 0),
        ("\n", 0),
    ] {
        assert_eq!(time(lines), seconds, "{lines:?}");
    }
    let upper = head.to_ascii_uppercase().replace("TREE", "tree").replace("PARENT", "parent");
    assert_eq!(read(&format!("{upper}\n")).unwrap(), read(&format!("{head}\n")).unwrap());
    // A line without its line feed that ends the commit is no parent's.
    assert_eq!(read(&format!("tree {tree}\nparent {parent}")).unwrap().parents, []);
    assert_eq!(read(&format!("tree {tree}\nparent {parent}\n\n")).unwrap().parents.len(), 1);
    assert_eq!(read(&format!("tree {tree}\n\nparent {parent}\n\n")).unwrap().parents, []);
    for bad in [
        String::new(),
        "tree\n".to_owned(),
        "parent x\n".to_owned(),
        format!("tree {tree}\n"),
        format!("tree {tree}x\n"),
        format!("Tree {tree}\n\n"),
        format!("tree {}\n\n", "a1".repeat(32)),
        format!("tree {tree}\nparent {parent}\n"),
        format!("tree {tree}\nparent {parent}x\n\n"),
        format!("tree {tree}\nparent {}\n\n", "a1".repeat(32)),
        format!("tree {tree}\nparent {tree}\n\n"),
    ] {
        assert_eq!(read(&bad).unwrap_err().reason, Reason::Malformed, "{bad}");
    }
}

#[test]
fn messages_that_would_not_read_back_are_not_composed() {
    let compose = |subject: &str, reason: Option<&str>, sealed: &[String]| {
        statement_message(&start(), subject, Some(&principal("user1")), reason, None, sealed)
    };
    let good = compose("go", Some("why"), &[]).unwrap();
    assert_eq!(vote(&good).unwrap().reason(), Some("why"));
    let line = Key::ssh(1).seal("user1", &start());
    assert!(compose("go", None, &vec![line.clone(); 64]).is_ok());
    for (subject, reason, sealed) in [
        ("", None, vec![]),
        ("a\nb", None, vec![]),
        ("Two-Key-Statement: 1", None, vec![]),
        ("go", Some(""), vec![]),
        ("go", Some("a\nTwo-Key-Principal: user2"), vec![]),
        ("go", None, vec![line.clone(); 65]),
        ("go", None, vec![format!("{line}\nx")]),
        ("go", None, vec!["Signed-off-by: a".to_owned()]),
    ] {
        let refusal = compose(subject, reason, &sealed).unwrap_err();
        assert_eq!(refusal.reason, Reason::Malformed, "{subject} {reason:?}");
    }
}
