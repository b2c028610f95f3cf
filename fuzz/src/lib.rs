//! Fuzz targets, and what each does with its bytes: one function a parser, and one for the fold. None may panic; what reads
//! must say the same when it is written again, and a ledger may never say more than its votes.
//!
//! The usual tests run the same functions over the seeds (`tests/library/fuzz_seeds.rs`), so they also build without a
//! fuzzer. Run one with: `cargo +nightly fuzz run sshsig fuzz/corpus/sshsig tests/hostile/sshsig`.

mod fold;

use git_two_key::git::{Node, Tree};
use two_key_core::{
    model::{Oid, PrincipalId, PublicKey, Reason, Refusal, Statement, lease as leases, policy as policies},
    signature::{
        CommitBytes, LargeReader, Links, ObjectFormat, Opened,
        attestation::{Attestation, AttestationRoot, Issuer},
        links,
        minisign::Minisig,
        open_commit, open_note, parse_tag,
        sshsig::SshSig,
    },
};

pub use fold::{fold, honest};

const FORMATS: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];

/// libgit2's view of an object, in a repository that is in memory only.
fn in_libgit2(kind: git2::ObjectType, data: &[u8]) -> Option<(git2::Repository, git2::Oid)> {
    let odb = git2::Odb::new().ok()?;
    odb.add_new_mempack_backend(1).ok()?;
    let repository = git2::Repository::from_odb(odb).ok()?;
    let id = repository.odb().ok()?.write(kind, data).ok()?;
    Some((repository, id))
}

/// A raw commit. What libgit2 reads of it too, it reads as we do.
pub fn commit(data: &[u8]) {
    if let (Ok(ours), Some((theirs, id))) =
        (links(data, ObjectFormat::Sha1), in_libgit2(git2::ObjectType::Commit, data))
        && let Ok(commit) = theirs.find_commit(id)
    {
        assert_eq!(ours.tree.to_string(), commit.tree_id().to_string());
        let parents: Vec<_> = commit.parent_ids().map(|id| id.to_string()).collect();
        assert_eq!(ours.parents.iter().map(ToString::to_string).collect::<Vec<_>>(), parents);
    }
    for format in FORMATS {
        // Read whole or piece by piece it is the same.
        let mut pieces = LargeReader::default();
        data.chunks(7).for_each(|piece| pieces.read(piece));
        let pieces = CommitBytes::Large(pieces.end()).links(format).map(distinct);
        assert_eq!(pieces, links(data, format).map(distinct));
        let opened = open_commit(data, format);
        if let Opened::Carrier { statement: stated, .. } = &opened {
            let votes = opened.votes(|_| Ok(()));
            assert!(!votes.is_empty(), "a carrier has votes");
            statement(stated.text().as_bytes());
            for vote in votes.iter().flatten() {
                assert!(vote.statement().lease() == stated.lease());
                assert!(Statement::parse(&vote.statement().text()).as_ref() == Ok(vote.statement()));
            }
        }
    }
}

/// With each parent once.
fn distinct(mut links: Links) -> Links {
    let mut seen = std::collections::BTreeSet::new();
    links.parents.retain(|parent| seen.insert(*parent));
    links
}

/// A raw tree. What libgit2 reads of it too, it reads as we do.
pub fn tree(data: &[u8]) {
    let _ = Tree::parse(data, ObjectFormat::Sha256);
    if let (Some(ours), Some((theirs, id))) =
        (Tree::parse(data, ObjectFormat::Sha1), in_libgit2(git2::ObjectType::Tree, data))
        && let Ok(tree) = theirs.find_tree(id)
    {
        let mut names: Vec<_> = tree.iter().map(|entry| entry.name_bytes().to_vec()).collect();
        names.sort_unstable();
        let mut distinct = names.clone();
        distinct.dedup();
        assert_eq!(ours.iter().map(|(name, _)| name.to_vec()).collect::<Vec<_>>(), distinct);
        for entry in &tree {
            let twice = names.iter().filter(|name| **name == entry.name_bytes()).count() > 1;
            let id = Oid::from_bytes(entry.id().as_bytes());
            match (ours.get(entry.name_bytes()), entry.filemode_raw() & 0o170_000) {
                (Node::File(ours), 0o100_000) | (Node::Folder(ours), 0o040_000) => assert!(!twice && Some(ours) == id),
                (node, mode) => assert!(node == Node::Other && (twice || ![0o100_000, 0o040_000].contains(&mode))),
            }
        }
    }
}

/// A raw tag. What we take, libgit2 takes too.
pub fn tag(data: &[u8]) {
    if let (Ok(ours), Some((theirs, id))) =
        (parse_tag(data, ObjectFormat::Sha1), in_libgit2(git2::ObjectType::Tag, data))
    {
        let tag = theirs.find_tag(id).ok().map(|tag| (tag.name_bytes().to_vec(), tag.target_id().to_string()));
        assert_eq!(tag, Some((ours.name.into_bytes(), ours.object.to_string())));
    }
    for format in FORMATS {
        if let Ok(tag) = parse_tag(data, format) {
            assert!(!tag.name.is_empty() && !tag.name.contains('\n'));
        }
    }
}

/// An SSH signature: armour, base64 or binary.
pub fn sshsig(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = [SshSig::from_blob(data), SshSig::from_armour(&text), SshSig::from_base64(&text)];
    for ssh in read.into_iter().flatten() {
        assert!(SshSig::from_base64(&ssh.base64()).as_ref() == Ok(&ssh), "it reads back");
        assert!(ssh.verify("two-key", b"nobody signed this").is_err());
    }
}

/// A minisign signature file.
pub fn minisign(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for minisig in [Minisig::parse(&text), Minisig::from_base64(&text)].into_iter().flatten() {
        assert!(Minisig::from_base64(&minisig.base64()).is_ok_and(|again| again.base64() == minisig.base64()));
    }
}

/// What ssh-keygen wrote of a new key, or an issuer's certificate.
pub fn attestation(data: &[u8]) {
    const KEY: &str = "sk-ssh-ed25519@openssh.com \
        AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIsAAAABHNzaDo=";
    let _ = AttestationRoot::from_pem(data);
    if let (Ok(read), Ok(key)) = (Attestation::read(data), PublicKey::parse(KEY)) {
        assert!(read.check(&key, b"a challenge that nobody was given", Issuer::Anybody).is_err());
    }
}

/// A note.
pub fn note(data: &[u8]) {
    if let Some(user1) = PrincipalId::parse("user1") {
        for entry in open_note(data, &user1, &[]) {
            if let Ok(vote) = &entry.opened {
                assert!(vote.seal_line().is_some(), "what is in a note can be sealed");
            }
        }
    }
}

/// A statement.
pub fn statement(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(statement) = Statement::parse(text) {
        assert_eq!(statement.text(), text, "one meaning has one spelling");
    }
}

/// A policy file.
pub fn policy(data: &[u8]) {
    if let Ok(policy) = policies::read(data) {
        let again = policies::read(policies::write(policy.get()).as_bytes());
        assert!(again.is_ok_and(|again| again.get() == policy.get()), "it reads back");
    }
}

/// A lease file.
pub fn lease(data: &[u8]) {
    if let Ok(lease) = leases::read(data) {
        match leases::read(leases::write(lease.get()).as_bytes()) {
            Ok(again) => assert_eq!(again.get(), lease.get(), "it reads back"),
            // Written out it has what is so by default as well, for which there may be no room.
            Err(error) => assert_eq!(Refusal::from(error).reason, Reason::TooLarge),
        }
    }
}
