//! Files in `tests/hostile/`, each named for what is wrong with it, each beside an honest twin.
//!
//! Every file is what its recipe below makes of the honest one, so none can quietly become harmless. A recipe without
//! its file writes the file and fails: look at what was written, and commit it. The minisign originals were made by
//! minisign itself and have no recipe.

use std::{collections::BTreeSet, fs, path::PathBuf};

use Reason::{BadSignature as BAD, Malformed as MALFORMED, UnknownKey, Unsigned, WrongPrincipal};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use git_two_key::{
    model::{PublicKey, Reason},
    signature::{ObjectFormat, Opened, minisign::Minisig, open_commit, open_note, parse_tag, sshsig::SshSig},
};

use super::world::{statement, user1};
use crate::{
    kit::nistp256::{Browser, P256, PHONE, SignatureForm, mpint},
    kit::software::{Key, armour, strings},
};

const MESSAGE: &[u8] = b"message\n";
/// The order of the group, little-endian: what is added to S to spell a signature a second way.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The order of P-256's group, big-endian.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// A file, what it comes to, and its recipe's bytes (`None`: made by a program).
struct Case {
    file: String,
    expect: Result<(), Reason>,
    bytes: Option<Vec<u8>>,
}

fn case(file: &str, expect: Result<(), Reason>, bytes: impl Into<Vec<u8>>) -> Case {
    Case { file: file.to_owned(), expect, bytes: Some(bytes.into()) }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/hostile")
}

fn fixture(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// Adds the group's order to the S of a 64-byte signature.
fn second_spelling(signature: &mut [u8]) {
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
}

fn sshsigs() -> Vec<Case> {
    let key = Key::ssh(1);
    let blob = key.blob("two-key", MESSAGE);
    let honest = armour(&blob);
    let mut non_canonical = blob.clone();
    let at = non_canonical.len() - 64;
    second_spelling(&mut non_canonical[at..]);
    let identity = [&[1][..], &[0; 31]].concat();
    let weak = Key { public: strings(&[b"ssh-ed25519", &identity]), ..Key::ssh(1) };
    let zero = strings(&[b"ssh-ed25519", &[&identity[..], &[0; 32]].concat()]);
    let hard = Key::hardware(1, 1);
    let hard_blob = hard.blob("two-key", MESSAGE);
    let mut untouched = hard_blob.clone();
    let flags = untouched.len() - 5;
    untouched[flags] = 0;
    let rsa = Key { public: strings(&[b"ssh-rsa", b"\x01\0\x01", b"\0\xff"]), ..Key::ssh(1) };
    vec![
        case("honest.sig", Ok(()), honest.clone()),
        case("honest-hardware.sig", Ok(()), armour(&hard_blob)),
        case("honest-sha256.sig", Ok(()), Key { hash: "sha256", ..key.clone() }.armour("two-key", MESSAGE)),
        case("wrong-magic.sig", Err(MALFORMED), armour(&[b"SSHSIH", &blob[6..]].concat())),
        case("version-2.sig", Err(MALFORMED), Key { version: 2, ..key.clone() }.armour("two-key", MESSAGE)),
        case(
            "reserved-not-empty.sig",
            Err(MALFORMED),
            Key { reserved: vec![0], ..key.clone() }.armour("two-key", MESSAGE),
        ),
        case("hash-sha1.sig", Err(MALFORMED), Key { hash: "sha1", ..key.clone() }.armour("two-key", MESSAGE)),
        case("namespace-git.sig", Err(BAD), key.armour("git", MESSAGE)),
        case("namespace-file.sig", Err(BAD), key.armour("file", MESSAGE)),
        case("namespace-with-nul.sig", Err(BAD), key.armour("two-key\0", MESSAGE)),
        case("another-message.sig", Err(BAD), key.armour("two-key", b"massage\n")),
        case("bytes-after-the-blob.sig", Err(MALFORMED), armour(&[&blob[..], b"\0"].concat())),
        case("blob-cut-short.sig", Err(MALFORMED), armour(&blob[..blob.len() - 1])),
        case("small-order-key.sig", Err(BAD), armour(&weak.blob_around("two-key", &zero))),
        case("non-canonical-s.sig", Err(BAD), armour(&non_canonical)),
        case("rsa-key.sig", Err(BAD), armour(&rsa.blob_around("two-key", &strings(&[b"rsa-sha2-512", b"\0"])))),
        case("hardware-signature-of-a-software-key.sig", Err(MALFORMED), {
            let inner = &hard_blob[hard_blob.len() - (4 + 26 + 4 + 64 + 5)..];
            armour(&key.blob_around("two-key", inner))
        }),
        case("touch-flag-taken-away.sig", Err(BAD), armour(&untouched)),
        case("no-counter.sig", Err(MALFORMED), {
            let inner = &hard_blob[hard_blob.len() - (4 + 26 + 4 + 64 + 5)..hard_blob.len() - 4];
            armour(&hard.blob_around("two-key", inner))
        }),
        case("crlf.sig", Err(MALFORMED), honest.replace('\n', "\r\n")),
        case("empty-line-in-the-armour.sig", Err(MALFORMED), honest.replacen("-----\n", "-----\n\n", 1)),
        case("text-after-the-armour.sig", Err(MALFORMED), format!("{honest}text\n")),
        case("two-armours.sig", Err(MALFORMED), format!("{honest}{honest}")),
        case("pgp-armour.sig", Err(MALFORMED), honest.replace("SSH SIG", "PGP SIG")),
    ]
}

/// The same by keys on P-256.
fn p256s() -> Vec<Case> {
    let plain = P256::new(1, SignatureForm::Plain);
    let token = P256::new(1, SignatureForm::Authenticator { flags: 1 });
    let phone = |browser| P256::new(1, SignatureForm::Browser(browser));
    let with = |write: fn(&[u8], &[u8]) -> Vec<u8>| {
        armour(&plain.blob_with("two-key", MESSAGE, |signature| {
            let (r, s) = signature.split_bytes();
            write(&mpint(&r), &mpint(&s))
        }))
    };
    let signed = |key: &P256| armour(&key.blob("two-key", MESSAGE));
    let framed = PHONE.client_data.replace("false", "true").leak();
    let enrolling = PHONE.client_data.replace(".get", ".create").leak();
    vec![
        case("honest-p256.sig", Ok(()), signed(&plain)),
        case("honest-p256-hardware.sig", Ok(()), signed(&token)),
        case("honest-p256-phone.sig", Ok(()), signed(&phone(PHONE))),
        case("p256-r-with-a-zero-more.sig", Err(MALFORMED), with(|r, s| strings(&[&[b"\0", r].concat(), s]))),
        case("p256-s-without-its-sign.sig", Err(MALFORMED), with(|r, _| strings(&[r, &[0xff; 32]]))),
        case("p256-r-zero.sig", Err(BAD), with(|_, s| strings(&[b"", s]))),
        case("p256-s-the-order.sig", Err(BAD), with(|r, _| strings(&[r, &[b"\0", &P256_ORDER[..]].concat()]))),
        case("p256-der.sig", Err(MALFORMED), {
            armour(&plain.blob_with("two-key", MESSAGE, |signature| signature.to_der().as_bytes().to_vec()))
        }),
        case("p256-another-message.sig", Err(BAD), armour(&plain.blob("two-key", b"massage\n"))),
        case("phone-in-a-frame.sig", Err(BAD), signed(&phone(Browser { client_data: framed, ..PHONE }))),
        case("phone-that-enrols.sig", Err(BAD), signed(&phone(Browser { client_data: enrolling, ..PHONE }))),
        case("phone-of-another-origin.sig", Err(BAD), signed(&phone(Browser { origin: "https://x.example", ..PHONE }))),
        case("phone-with-flags-that-lie.sig", Err(BAD), signed(&phone(Browser { flags: 0x85, ..PHONE }))),
    ]
}

fn minisigs() -> Vec<Case> {
    let honest = fixture("minisign/honest.minisig");
    let lines: Vec<&str> = honest.lines().collect();
    let other = fixture("minisign/another-message.minisig");
    let with = |line: usize, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = STANDARD.decode(lines[line]).unwrap();
        change(&mut bytes);
        honest.replace(lines[line], &STANDARD.encode(bytes))
    };
    let identity = [&[1][..], &[0; 31]].concat();
    let by_program = |file: &str, expect| Case { file: file.to_owned(), expect, bytes: None };
    vec![
        by_program("honest.minisig", Ok(())),
        by_program("legacy.minisig", Err(MALFORMED)),
        by_program("another-message.minisig", Err(BAD)),
        by_program("another-key.minisig", Err(BAD)),
        case("wrong-key-id.minisig", Err(BAD), with(1, &|bytes| bytes[2] ^= 1)),
        case("relabelled-as-legacy.minisig", Err(MALFORMED), with(1, &|bytes| bytes[1] = b'd')),
        case("unknown-algorithm.minisig", Err(MALFORMED), with(1, &|bytes| bytes[1] = b'X')),
        case("non-canonical-s.minisig", Err(BAD), with(1, &|bytes| second_spelling(&mut bytes[10..]))),
        case("non-canonical-global-s.minisig", Err(BAD), with(3, &|bytes| second_spelling(bytes))),
        case("small-order-commitment.minisig", Err(BAD), with(1, &|bytes| bytes[10..42].copy_from_slice(&identity))),
        case("signature-cut-short.minisig", Err(MALFORMED), with(1, &|bytes| bytes.truncate(73))),
        case("bytes-after-the-signature.minisig", Err(MALFORMED), with(3, &|bytes| bytes.push(0))),
        case("trusted-comment-altered.minisig", Err(BAD), honest.replace("timestamp:", "timestamp:1")),
        case("global-signature-of-another.minisig", Err(BAD), honest.replace(lines[3], other.lines().nth(3).unwrap())),
        case("three-lines.minisig", Err(MALFORMED), format!("{}\n{}\n{}\n", lines[0], lines[1], lines[2])),
        case("five-lines.minisig", Err(MALFORMED), format!("{honest}more\n")),
        case("crlf.minisig", Err(MALFORMED), honest.replace('\n', "\r\n")),
        case("escape-in-a-comment.minisig", Err(MALFORMED), honest.replace(lines[0], "untrusted comment: \u{1b}[2J")),
        case("bidi-in-a-comment.minisig", Err(MALFORMED), honest.replace(lines[0], "untrusted comment: \u{202e}x")),
        case("no-comment.minisig", Err(MALFORMED), honest.replace(lines[0], "comment")),
        case("space-in-the-base64.minisig", Err(MALFORMED), honest.replace(lines[1], &format!("{} ", lines[1]))),
    ]
}

const WHO: &str = "User One <user1@example> 1761531600 +0100";

fn commits() -> Vec<Case> {
    let key = Key::ssh(1);
    let run = format!("{}Two-Key-Principal: user1\n", statement("start").text());
    let (tree, parent) = (format!("tree {}\n", "1".repeat(40)), format!("parent {}\n", "2".repeat(40)));
    let plain = format!("{tree}{parent}author {WHO}\ncommitter {WHO}\n\ngo\n\n{run}");
    let sign = |text: &str| key.commit(text.as_bytes(), "gpgsig");
    let signed = String::from_utf8(sign(&plain)).unwrap();
    let header = |line: &str| sign(&plain.replacen("+0100\n\n", &format!("+0100\n{line}\n\n"), 1));
    let replaced = |from: &str, to: &str| {
        assert!(plain.contains(from));
        sign(&plain.replacen(from, to, 1))
    };
    let block_at = signed.find("gpgsig ").unwrap();
    let block = &signed[block_at..signed.find("\n\n").unwrap()];
    let armoured =
        |armour: &str| plain.replacen("\n\n", &format!("\ngpgsig {}\n\n", armour.trim_end().replace('\n', "\n ")), 1);
    let rebased = format!("author Agent <cp14@example> 1761531000 +0100\ncommitter {WHO}");
    vec![
        case("honest.commit", Ok(()), signed.clone()),
        case("two-gpgsig-headers.commit", Err(MALFORMED), signed.replacen(block, &format!("{block}\n{block}"), 1)),
        case("gpgsig-in-the-message.commit", Err(MALFORMED), plain.replacen("\n\n", &format!("\n\n{block}\n"), 1)),
        case("nul-and-a-second-trailer-block.commit", Err(MALFORMED), sign(&format!("{plain}\0\n\n{run}"))),
        case("statement-behind-a-nul.commit", Err(MALFORMED), sign(&plain.replacen("go\n\n", "go\n\0", 1))),
        case("header-that-begins-with-gpgsig.commit", Err(MALFORMED), header("gpgsig-of-mine x")),
        case("gpgsig-sha256-beside-gpgsig.commit", Err(MALFORMED), header("gpgsig-sha256 x")),
        case("duplicate-tree.commit", Err(MALFORMED), replaced(&tree, &tree.repeat(2))),
        case("no-parent.commit", Err(MALFORMED), replaced(&parent, "")),
        case("merge.commit", Err(MALFORMED), replaced(&parent, &parent.repeat(2))),
        case("crlf.commit", Err(MALFORMED), replaced(&run, &run.replace('\n', "\r\n"))),
        case("crlf-everywhere.commit", Err(MALFORMED), plain.replace('\n', "\r\n")),
        case("encoding-header.commit", Err(MALFORMED), header("encoding ISO-8859-1")),
        case("mergetag-header.commit", Err(MALFORMED), header("mergetag object 1\n type commit\n tag x")),
        case("rebased.commit", Err(MALFORMED), replaced(&format!("author {WHO}\ncommitter {WHO}"), &rebased)),
        case("two-statements.commit", Err(MALFORMED), replaced("go\n\n", &format!("{run}\n"))),
        case(
            "statement-above-the-last-paragraph.commit",
            Err(MALFORMED),
            sign(&format!("{plain}\nSigned-off-by: a\n")),
        ),
        case("split-run.commit", Err(MALFORMED), replaced("Two-Key-Tier", "Signed-off-by: a\nTwo-Key-Tier")),
        case("unknown-remark.commit", Err(MALFORMED), sign(&format!("{plain}Two-Key-Note: x\n"))),
        case("latin-1-reason.commit", Err(MALFORMED), {
            key.commit(&[plain.as_bytes(), b"Two-Key-Reason: f\xfcr\n"].concat(), "gpgsig")
        }),
        case("principal-without-a-signature.commit", Err(MALFORMED), plain.clone()),
        case("unsigned.commit", Err(Unsigned), plain.replace("Two-Key-Principal: user1\n", "")),
        case("signature-without-a-principal.commit", Err(WrongPrincipal), replaced("Two-Key-Principal: user1\n", "")),
        case("signed-by-pgp.commit", Err(BAD), {
            armoured("-----BEGIN PGP SIGNATURE-----\n\niHUEABYK\n-----END PGP SIGNATURE-----")
        }),
        case("signature-of-another-commit.commit", Err(BAD), signed.replace("Tier: 5", "Tier: 10")),
        case("signature-for-another-purpose.commit", Err(BAD), armoured(&key.armour("two-key", plain.as_bytes()))),
        case("signature-armour-broken.commit", Err(MALFORMED), signed.replace("U1NIU0lH", "U1NIU0l=")),
    ]
}

fn tags() -> Vec<Case> {
    let name = "rollout/LEASE-20251027-021913/2-promote-25";
    let honest = format!("object {}\ntype commit\ntag {name}\ntagger {WHO}\n\npromote\n", "1".repeat(40));
    let object = &honest[..48];
    let replaced = |file: &str, from: &str, to: &str| {
        assert!(honest.contains(from), "{from}");
        case(file, Err(MALFORMED), honest.replacen(from, to, 1))
    };
    vec![
        case("honest.tag", Ok(()), honest.clone()),
        replaced("nested.tag", "type commit", "type tag"),
        replaced("on-a-tree.tag", "type commit", "type tree"),
        replaced("two-objects.tag", object, &object.repeat(2)),
        replaced("two-names.tag", "tagger", "tag other\ntagger"),
        replaced("no-name.tag", name, ""),
        replaced("no-tagger.tag", &format!("tagger {WHO}\n"), ""),
        replaced("tagger-without-a-date.tag", " 1761531600 +0100", ""),
        replaced("unknown-header.tag", "\n\npromote", "\ngpgsig x\n\npromote"),
        replaced("nul-in-the-name.tag", "2-promote-25", "2-promote-25\0x"),
        replaced("nul-in-the-message.tag", "\npromote", "\npro\0mote"),
        replaced("return-in-the-name.tag", "2-promote-25", "2-promote-25\r"),
        replaced("short-object-id.tag", object, &object.replacen('1', "", 1)),
        replaced("object-id-of-another-format.tag", object, &format!("object {}\n", "1".repeat(64))),
        replaced("upper-case-object-id.tag", object, &object.replace('1', "A")),
        replaced("no-empty-line.tag", "\n\npromote\n", "\n"),
    ]
}

fn notes() -> Vec<Case> {
    let (text, key) = (statement("cosign").text(), Key::ssh(1));
    let signature = key.armour("two-key", text.as_bytes());
    let honest = format!("{text}{signature}");
    vec![
        case("honest.note", Ok(()), honest.clone()),
        case("honest-twice.note", Ok(()), format!("{honest}\n{honest}")),
        case("copied-to-another-lease.note", Err(BAD), honest.replace("021913", "021914")),
        case("git-signature.note", Err(BAD), format!("{text}{}", key.armour("git", text.as_bytes()))),
        case("no-signature.note", Err(MALFORMED), text.clone()),
        case("signature-only.note", Err(MALFORMED), signature.clone()),
        case("text-before.note", Err(MALFORMED), format!("approved by user1\n\n{honest}")),
        case("remark-in-the-statement.note", Err(MALFORMED), format!("{text}Two-Key-Principal: user1\n{signature}")),
        case("crlf.note", Err(MALFORMED), honest.replace('\n', "\r\n")),
        case("not-utf-8.note", Err(MALFORMED), [honest.as_bytes(), b"\xff"].concat()),
        case("key-id-nobody-has.note", Err(UnknownKey), format!("{text}{}", fixture("minisign/honest.minisig"))),
    ]
}

/// Opens a file as its folder says.
fn open(folder_name: &str, bytes: &[u8]) -> Result<(), Reason> {
    let text = String::from_utf8_lossy(bytes);
    let refused = match folder_name {
        "sshsig" => SshSig::from_armour(&text).and_then(|ssh| ssh.verify("two-key", MESSAGE)).err(),
        "minisign" => {
            let key = PublicKey::parse(&format!("minisign {}", fixture("minisign/key.pub").lines().nth(1).unwrap()));
            Minisig::parse(&text).and_then(|minisig| minisig.verify(&key.unwrap(), MESSAGE)).err()
        }
        "commit" => match open_commit(bytes, ObjectFormat::Sha1) {
            carrier @ Opened::Carrier { .. } => {
                let votes = carrier.votes(|_| Ok(()));
                assert_eq!(votes.len(), 1);
                votes.into_iter().find_map(Result::err).map(|bad| bad.refusal)
            }
            Opened::Malformed(refusal) => Some(refusal),
            Opened::Ordinary { .. } => panic!("an ordinary commit"),
        },
        "tag" => parse_tag(bytes, ObjectFormat::Sha1).err(),
        "note" => open_note(bytes, &user1(), &[]).into_iter().find_map(|entry| entry.opened.err()),
        other => panic!("{other}"),
    };
    refused.map_or(Ok(()), |refusal| Err(refusal.reason))
}

fn walk(folder_name: &str, cases: Vec<Case>) {
    let folder = folder().join(folder_name);
    let mut named: BTreeSet<String> = cases.iter().map(|case| case.file.clone()).collect();
    let mut written = Vec::new();
    for Case { file, expect, bytes } in cases {
        let path = folder.join(&file);
        if let (Some(bytes), false) = (&bytes, path.exists()) {
            fs::write(&path, bytes).unwrap();
            written.push(file.clone());
        }
        let stored = fs::read(&path).unwrap();
        assert!(bytes.is_none_or(|bytes| bytes == stored), "{file} is not what its recipe makes");
        assert_eq!(open(folder_name, &stored), expect, "{folder_name}/{file}");
    }
    named.insert("key.pub".to_owned());
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(named.contains(&name), "{folder_name}/{name} has no row in the table");
    }
    assert!(written.is_empty(), "written: {written:?}; look at them and commit them");
}

#[test]
fn hostile_ssh_signatures_are_refused() {
    walk("sshsig", sshsigs().into_iter().chain(p256s()).collect());
}

#[test]
fn hostile_minisign_signatures_are_refused() {
    walk("minisign", minisigs());
}

#[test]
fn hostile_commits_are_refused() {
    walk("commit", commits());
}

#[test]
fn hostile_tags_are_refused() {
    walk("tag", tags());
}

#[test]
fn hostile_notes_are_refused() {
    walk("note", notes());
}
