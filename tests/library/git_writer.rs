//! What is written, and how refs, notes and remotes move, against real Git, ssh-keygen and minisign.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    net::TcpListener,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use git_two_key::{
    admission::RefFacts,
    git::{
        Conflict, FullNote, GitError, JudgedAt, Memory, NewCommit, PushOptions, PushedRef, RefUpdate, Repository,
        SignWith, SigningKey, mirrored,
    },
    ledger::{Phase, Transition},
    model::{
        Action, LeaseId, Nonce, Oid, PrincipalId, PublicKey, Reason, RepositoryId, Statement, Stop, StopKind, Subject,
        refs,
    },
    signature::{ObjectFormat, Opened, parse_tag, statement_message},
};

use crate::kit::{World, scratch::Scratch};

/// Longer than anything here takes.
const MINUTE: Duration = Duration::from_secs(60);

fn halt() -> Statement {
    let repository = RepositoryId::parse(&"6f".repeat(16)).unwrap();
    let nonce = Nonce::parse(&"01".repeat(16)).unwrap();
    let lease = LeaseId::parse("LEASE-1").unwrap();
    Statement { repository, subject: Subject::Stop(Stop { lease, kind: StopKind::Halt, nonce }) }
}

fn user1() -> PrincipalId {
    PrincipalId::parse("user1").unwrap()
}

/// A repository with one commit and its own identity.
fn one(format: &str) -> (Scratch, Repository, Oid) {
    let scratch = Scratch::with(format, "files", "repository");
    scratch.write("README", "hello\n");
    scratch.write("leases/A.yaml", "a 1\n");
    let root = scratch.commit("root");
    scratch.git(&["config", "user.name", "Name <odd> Ünicode"]);
    scratch.git(&["config", "user.email", "name@example.com"]);
    let repository = scratch.repository();
    (scratch, repository, root)
}

fn tree_of(repository: &Repository, commit: Oid) -> Oid {
    repository.objects().unwrap().links(commit).unwrap().tree
}

fn carrier(repository: &Repository, parent: Oid, tree: Oid, sign: SignWith<'_>) -> Result<Oid, GitError> {
    let principal = (sign != SignWith::Nobody).then(user1);
    let message = statement_message(&halt(), "Halt", principal.as_ref(), None, None, &[]).unwrap();
    repository.commit_tree(&NewCommit { tree, parents: &[parent], message: &message, sign, who: "user1" })
}

#[test]
fn a_signed_carrier_reads_back_as_one_vote() {
    for format in ["sha1", "sha256"] {
        let (scratch, repository, root) = one(format);
        let file = scratch.ssh_key("key with space");
        let key = SigningKey::parse(file.to_str().unwrap()).unwrap();
        let tree = tree_of(&repository, root);
        let by_key = carrier(&repository, root, tree, SignWith::Key(&key)).unwrap();
        repository.set_config("user.signingkey", file.to_str().unwrap()).unwrap();
        let by_default = carrier(&repository, root, tree, SignWith::GitDefault).unwrap();
        for id in [by_key, by_default] {
            let mut objects = repository.objects().unwrap();
            assert_eq!(objects.links(id).unwrap().parents, [root]);
            let opened = objects.open_one(id).unwrap();
            let Opened::Carrier { statement, own: Some(own), .. } = opened else { panic!("{opened:?}") };
            let vote = own.vote(|_| Ok(())).unwrap();
            assert_eq!(statement, halt());
            assert_eq!(vote.key(), &key.public_key().unwrap());
        }
    }
}

#[test]
fn a_carrier_that_changes_files_is_malformed() {
    let (scratch, repository, root) = one("sha1");
    let key = SigningKey::parse(scratch.ssh_key("key").to_str().unwrap()).unwrap();
    let tree = repository.with_files(Some(tree_of(&repository, root)), &[("leases/A.yaml", Some(b"a 2\n"))]).unwrap();
    let id = carrier(&repository, root, tree, SignWith::Key(&key)).unwrap();
    let Opened::Malformed(refusal) = repository.objects().unwrap().open_one(id).unwrap() else { panic!() };
    assert_eq!(refusal.reason, Reason::Malformed);
    assert!(refusal.message.contains("changes files"), "{refusal}");
}

#[test]
fn ssh_keygen_and_minisign_sign_a_statement_and_the_verifier_agrees() {
    let (scratch, ..) = one("sha1");
    for file in [scratch.ssh_key("ssh"), scratch.minisign_key("mini.key")] {
        let key = SigningKey::parse(file.to_str().unwrap()).unwrap();
        let public = key.public_key().unwrap();
        // What waits in a note goes forward.
        let text = Statement { subject: Subject::Thaw { step: 1 }, ..halt() }.text();
        let signature = key.sign(Path::new("ssh-keygen"), &text).unwrap();
        let candidates = std::slice::from_ref(&public);
        let opened = open_note_entry(&text, &signature, candidates);
        assert_eq!(opened, Ok(public), "{}", file.display());
    }
}

/// The key whose signature an entry of a note holds.
fn open_note_entry(text: &str, signature: &str, candidates: &[PublicKey]) -> Result<PublicKey, String> {
    let note = format!("{text}{signature}");
    let entries = git_two_key::signature::open_note(note.as_bytes(), &user1(), candidates);
    let [entry] = entries.as_slice() else { return Err(format!("{} entries", entries.len())) };
    entry.opened.as_ref().map(|vote| vote.key().clone()).map_err(ToString::to_string)
}

#[test]
fn public_keys_are_derived_where_no_file_has_them() {
    let (scratch, ..) = one("sha1");
    let ssh = scratch.ssh_key("ssh");
    let key = SigningKey::parse(ssh.to_str().unwrap()).unwrap();
    let before = key.public_key().unwrap();
    fs::remove_file(scratch.beside("ssh.pub")).unwrap();
    assert_eq!(key.public_key().unwrap(), before);
    let mini = scratch.minisign_key("mini.key");
    let key = SigningKey::parse(mini.to_str().unwrap()).unwrap();
    assert!(matches!(key, SigningKey::Minisign(_)));
    let before = key.public_key().unwrap();
    fs::remove_file(scratch.beside("mini.pub")).unwrap();
    assert_eq!(key.public_key().unwrap(), before);
}

#[test]
fn a_key_that_is_nowhere_is_said_to_be_nowhere() {
    assert!(matches!(SigningKey::parse("/nowhere/key"), Err(GitError::NoKey(_))));
    let (scratch, repository, root) = one("sha1");
    let mini = SigningKey::parse(scratch.minisign_key("mini.key").to_str().unwrap()).unwrap();
    let signed = carrier(&repository, root, tree_of(&repository, root), SignWith::Key(&mini));
    assert!(matches!(signed, Err(GitError::NoKey(_))), "{signed:?}");
}

#[test]
fn the_default_key_is_ours_before_gits() {
    let (scratch, repository, _) = one("sha1");
    assert_eq!(repository.default_key().unwrap(), None);
    let (ours, gits) = (scratch.ssh_key("ours"), scratch.ssh_key("gits"));
    repository.set_config("user.signingkey", gits.to_str().unwrap()).unwrap();
    assert_eq!(repository.default_key().unwrap(), Some(SigningKey::Ssh(gits)));
    repository.set_config("two-key.key", ours.to_str().unwrap()).unwrap();
    assert_eq!(repository.default_key().unwrap(), Some(SigningKey::Ssh(ours.clone())));
    let line = fs::read_to_string(ours.with_extension("pub")).unwrap().trim().to_owned();
    repository.set_config("two-key.key", &format!("key::{line}")).unwrap();
    let key = repository.default_key().unwrap().unwrap();
    assert_eq!(key, SigningKey::Literal(line));
    assert_eq!(key.public_key().unwrap(), SigningKey::Ssh(ours).public_key().unwrap());
}

#[test]
fn a_pinned_root_is_an_id_of_this_repository_or_an_error() {
    let (_scratch, repository, root) = one("sha256");
    assert_eq!(repository.pinned_root().unwrap(), None);
    repository.set_config("two-key.root", &root.to_string()).unwrap();
    assert_eq!(repository.pinned_root().unwrap(), Some(root));
    for wrong in ["main", &root.to_string()[..40], ""] {
        repository.set_config("two-key.root", wrong).unwrap();
        assert!(matches!(repository.pinned_root(), Err(GitError::BadRoot { .. })), "{wrong}");
    }
}

#[test]
fn trees_are_rewritten_without_touching_index_or_worktree() {
    let (scratch, repository, root) = one("sha1");
    let files: [(&str, Option<&[u8]>); 3] =
        [("leases/A.yaml", None), ("leases/é b/C.yaml", Some(b"c\n")), (".two-key/policy.yaml", Some(b"p\n"))];
    let tree = repository.with_files(Some(tree_of(&repository, root)), &files).unwrap();
    let listed = scratch.git(&["ls-tree", "-r", "-z", "--name-only", &tree.to_string()]);
    assert_eq!(listed, ".two-key/policy.yaml\0README\0leases/é b/C.yaml\0");
    assert_eq!(scratch.git(&["status", "--porcelain"]), "");
    let alone = repository.with_files(None, &files[2..]).unwrap();
    assert_eq!(scratch.git(&["ls-tree", "-r", "--name-only", &alone.to_string()]), ".two-key/policy.yaml\n");
    let bare = Repository::init(&scratch.beside("bare.git"), true, ObjectFormat::Sha1, "trunk").unwrap();
    assert!(bare.with_files(None, &files[1..]).is_ok());
    assert_eq!(bare.head().unwrap().as_deref(), Some("refs/heads/trunk"));
}

#[test]
fn histories_that_crossed_merge_by_all_that_they_have_in_common() {
    let (scratch, repository, root) = one("sha1");
    let tree = |a: Option<&[u8]>, b: Option<&[u8]>| {
        repository.with_files(Some(tree_of(&repository, root)), &[("leases/A.yaml", a), ("leases/B.yaml", b)]).unwrap()
    };
    let old: Option<&[u8]> = Some(b"a 1\n");
    let (added, changed) = (tree(old, Some(b"b 1\n")), tree(Some(b"a 2\n"), None));
    let both = tree(Some(b"a 2\n"), Some(b"b 1\n"));
    let one = scratch.commit_tree(added, &[root], "one adds B");
    let other = scratch.commit_tree(changed, &[root], "the other changes A");
    let crossed = |tree, [first, second]: [Oid; 2]| scratch.commit_tree(tree, &[first, second], "merge");
    let merged = |ours, theirs| repository.merge_trees(ours, theirs).unwrap().unwrap();
    // Each has both, and takes back what the other brought: nothing is left of either.
    let (ours, theirs) = (crossed(added, [one, other]), crossed(changed, [other, one]));
    assert_eq!(merged(ours, theirs), tree_of(&repository, root));
    assert_eq!(merged(theirs, ours), tree_of(&repository, root));
    // Neither takes anything back.
    let (ours, theirs) = (crossed(both, [one, other]), crossed(both, [other, one]));
    assert_eq!(merged(ours, theirs), both);
    // Votes only: what they have in common is all alike.
    let alike = |tree, parent| scratch.commit_tree(tree, &[parent], "vote");
    let (one, other) = (alike(both, ours), alike(both, theirs));
    assert_eq!(merged(crossed(both, [one, other]), crossed(added, [other, one])), added);
    // Nothing in common at all.
    let stranger = scratch.commit_tree(both, &[], "another root");
    assert_eq!(repository.merge_trees(ours, stranger).unwrap().unwrap_err(), Conflict::Strangers);
}

/// Git would take what one side changed along to where the other moved the file. What is governed is where its name says.
#[test]
fn a_merge_takes_nothing_governed_to_another_place() {
    let (scratch, repository, root) = one("sha1");
    let text = |change: &str| [change, &"a line\n".repeat(20)].concat();
    let with = |tree: Option<Oid>, files: &[(&str, Option<&str>)]| {
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.map(str::as_bytes))).collect();
        repository.with_files(tree, &files).unwrap()
    };
    let (policy, lease, note) = (".two-key/policy.yaml", "leases/A.yaml", "notes/a.yaml");
    let (old, new, elsewhere) = (text(""), text("new\n"), text("else\n"));
    let files = [policy, lease, note].map(|path| (path, Some(&*old)));
    let base = with(None, &files);
    let from = scratch.commit_tree(base, &[root], "base");
    let merged = |one: &[(&str, Option<&str>)], other: &[(&str, Option<&str>)]| {
        let [one, other] = [one, other].map(|files| scratch.commit_tree(with(Some(base), files), &[from], "side"));
        let [there, back] =
            [[one, other], [other, one]].map(|[one, other]| repository.merge_trees(one, other).unwrap());
        assert_eq!(there, back);
        there
    };
    let conflict = |paths: &[&str]| Err(Conflict::Paths(paths.iter().map(|path| (*path).to_owned()).collect()));
    for path in [policy, lease] {
        // As it was, and with the very change in it already.
        for moved in [&old, &new] {
            let there = merged(&[(path, None), ("x/a.yaml", Some(moved))], &[(path, Some(&new))]);
            assert_eq!(there, conflict(&[path]), "{path}");
        }
        assert_eq!(merged(&[(note, None), (path, Some(&elsewhere))], &[(path, Some(&new))]), conflict(&[path]));
    }
    // Into what is governed.
    let moved = [(note, None), ("leases/B.yaml", Some(&*old))];
    assert_eq!(merged(&moved, &[(note, Some(&new))]), conflict(&["leases/B.yaml"]));
    // What is moved as it is changes nothing for the other, nor does what is not governed.
    let moved = [(lease, None), ("x/a.yaml", Some(&*old))];
    assert_eq!(
        merged(&moved, &[(policy, Some(&new))]),
        Ok(with(Some(base), &[&moved[..], &[(policy, Some(&new))]].concat()))
    );
    let there = merged(&[(note, None), ("x/a.yaml", Some(&old))], &[(note, Some(&new))]);
    assert_eq!(there, Ok(with(Some(base), &[(note, None), ("x/a.yaml", Some(&new))])));
    // Both changed it, in different places.
    let other = [&*old, "last\n"].concat();
    let there = merged(&[(policy, Some(&new))], &[(policy, Some(&other))]);
    assert_eq!(there, Ok(with(Some(base), &[(policy, Some(&[&*new, "last\n"].concat()))])));
}

/// What Git cannot read stands in the way of no merge but its own, and is never taken for something that is missing.
#[test]
fn histories_with_malformed_commits_and_folders_merge_or_say_why_not() {
    let (scratch, repository, root) = one("sha1");
    let tree = |path: &str, text: &[u8]| {
        repository.with_files(Some(tree_of(&repository, root)), &[(path, Some(text))]).unwrap()
    };
    let raw = |kind: &str, bytes: &[u8]| {
        let id = scratch.git_with(&["hash-object", "-t", kind, "-w", "--literally", "--stdin"], bytes);
        Oid::parse(id.trim()).unwrap()
    };
    let old = tree_of(&repository, root);
    let bad = raw("commit", format!("tree {old}\nparent {root}0\n").as_bytes());
    let commit = |tree, parents: &[Oid]| scratch.commit_tree(tree, parents, "merge");
    let merged = |ours, theirs| repository.merge_trees(ours, theirs).unwrap();
    let (mine, yours) = (tree("leases/M.yaml", b"mine\n"), tree("leases/Y.yaml", b"yours\n"));
    // In one history, in both, as what both have beside the root.
    for [ours, theirs] in [[&[root, bad][..], &[root]], [&[root], &[root, bad]], [&[root, bad], &[root, bad]]] {
        // Votes only; files on both sides; the same file on both.
        assert_eq!(merged(commit(mine, ours), commit(old, theirs)), Ok(mine));
        let both = merged(commit(mine, ours), commit(yours, theirs)).unwrap();
        assert_eq!(scratch.git(&["diff", "--name-only", &mine.to_string(), &both.to_string()]), "leases/Y.yaml\n");
        let other = tree("leases/M.yaml", b"yours\n");
        let conflict = merged(commit(mine, ours), commit(other, theirs)).unwrap_err();
        assert_eq!(conflict, Conflict::Paths(vec!["leases/M.yaml".to_owned()]));
    }
    // One of the two, or all that they have in common.
    assert_eq!(merged(commit(mine, &[root]), bad), Err(Conflict::Unreadable(bad)));
    assert_eq!(merged(bad, commit(mine, &[root])), Err(Conflict::Unreadable(bad)));
    assert_eq!(merged(commit(mine, &[bad]), commit(yours, &[bad])), Err(Conflict::Unreadable(bad)));
    // A folder that both changed, and that is none.
    let folder = raw("tree", b"100644 a");
    let hostile = raw("tree", &[b"40000 leases\0", oid_bytes(folder).as_slice()].concat());
    let conflict = merged(commit(mine, &[root]), commit(hostile, &[root])).unwrap_err();
    assert_eq!((&conflict, conflict.reason()), (&Conflict::Unreadable(folder), Reason::Malformed));
    // What is missing is another matter.
    let gone = Oid::parse(&"12".repeat(20)).unwrap();
    let lost = raw(
        "commit",
        format!("tree {old}\nparent {gone}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\n").as_bytes(),
    );
    assert_eq!(repository.merge_trees(commit(mine, &[root]), lost), Err(GitError::MissingObject(gone)));
}

fn oid_bytes(id: Oid) -> Vec<u8> {
    let hex = id.to_string();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn tags_are_annotated_and_named_for_their_ref() {
    for format in ["sha1", "sha256"] {
        let (_scratch, repository, root) = one(format);
        let name = "rollout/LEASE-1/2-promote-25";
        let (action, phase) = (Action::Promote, Phase::Rolling { tier: 1 });
        let transition = Transition { step: 2, action, tier: Some(25), commit: root, phase, votes: Vec::new() };
        let update = repository.tag_of(&LeaseId::parse("LEASE-1").unwrap(), &transition, "user1").unwrap();
        let tag = update.new;
        repository.update_refs(&[update], "tag").unwrap();
        assert_eq!(repository.resolve(&format!("refs/tags/{name}")).unwrap(), Some(tag));
        let raw = repository.objects().unwrap().tag(tag).unwrap();
        let read = parse_tag(&raw, repository.format()).unwrap();
        assert_eq!((read.object, read.name.as_str()), (root, name));
    }
}

#[test]
fn refs_move_only_from_where_they_were_expected_and_all_or_none() {
    let (scratch, repository, root) = one("sha1");
    let next = scratch.graph("next", &[root]);
    let main = |old| RefUpdate { name: "refs/heads/main".to_owned(), old, new: next };
    let stop = || RefUpdate::create("refs/two-key/stops/A/x", root);
    let refused = repository.update_refs(&[stop(), main(Some(next))], "no");
    assert!(matches!(refused, Err(GitError::RefChanged { .. })), "{refused:?}");
    assert!(matches!(repository.update_refs(&[stop(), main(None)], "no"), Err(GitError::RefChanged { .. })));
    assert_eq!(repository.resolve("refs/two-key/stops/A/x").unwrap(), None);
    repository.update_refs(&[stop(), main(Some(root))], "yes").unwrap();
    assert_eq!(repository.resolve("refs/heads/main").unwrap(), Some(next));
    assert_eq!(repository.refs(&["refs/two-key/stops"]).unwrap(), [("refs/two-key/stops/A/x".to_owned(), root)]);
    // A name is no prefix of itself with more letters.
    assert_eq!(repository.resolve("refs/two-key/stops/A").unwrap(), None);
    assert!(matches!(repository.update_refs(&[stop()], "again"), Err(GitError::RefChanged { .. })));
    assert!(repository.is_ancestor(root, next).unwrap());
    assert!(!repository.is_ancestor(next, root).unwrap());
    assert_eq!(repository.revision("main~1").unwrap(), Some(root));
    assert_eq!(repository.revision("--all").unwrap(), None);
}

#[test]
fn a_branch_that_is_checked_out_advances_with_its_files_and_keeps_edits() {
    let (scratch, repository, root) = one("sha1");
    scratch.write("README", "edited\n");
    let files: [(&str, Option<&[u8]>); 3] =
        [("leases/A.yaml", None), ("leases/new/B.yaml", Some(b"b\n")), ("README", Some(b"theirs\n"))];
    let advance = |from: Oid, files: &[(&str, Option<&[u8]>)]| {
        let tree = repository.with_files(Some(tree_of(&repository, from)), files).unwrap();
        let commit = NewCommit { tree, parents: &[from], message: "files\n", sign: SignWith::Nobody, who: "user1" };
        let new = repository.commit_tree(&commit).unwrap();
        let update = RefUpdate { name: "refs/heads/main".to_owned(), old: Some(from), new };
        repository.advance_with_worktree(&update, "files").unwrap();
        new
    };
    let second = advance(root, &files);
    assert_eq!(scratch.git(&["status", "--porcelain"]), " M README\n");
    assert_eq!(fs::read_to_string(scratch.path().join("README")).unwrap(), "edited\n");
    assert_eq!(fs::read_to_string(scratch.path().join("leases/new/B.yaml")).unwrap(), "b\n");
    assert!(!scratch.path().join("leases/A.yaml").exists());
    // A file that is there already, as a verb may have left it, is simply tracked from now on.
    scratch.write("leases/C.yaml", "c\n");
    advance(second, &[("leases/C.yaml", Some(b"c\n"))]);
    assert_eq!(scratch.git(&["status", "--porcelain"]), " M README\n");
}

#[test]
fn what_git_writes_into_no_worktree_is_left_out_and_the_rest_is_brought_up() {
    for (mode, name) in [("100644", ".git"), ("40000", ".."), ("40000", "."), ("120000", ".gitmodules")] {
        let (scratch, repository, root) = one("sha1");
        let blob = repository.write_blob(b"x\n").unwrap();
        let with = |entries: &[(&str, &str, Oid)]| {
            let entry =
                |(mode, name, id): &(&str, &str, Oid)| [format!("{mode} {name}\0").as_bytes(), id.as_bytes()].concat();
            let tree: Vec<u8> = entries.iter().flat_map(entry).collect();
            let made = scratch.git_with(&["hash-object", "-t", "tree", "-w", "--stdin", "--literally"], &tree);
            Oid::parse(made.trim()).unwrap()
        };
        let id = if mode == "40000" { with(&[("100644", "evil", blob)]) } else { blob };
        let tree = with(&[(mode, name, id), ("100644", "zz-honest", blob)]);
        let commit = NewCommit { tree, parents: &[root], message: "odd\n", sign: SignWith::Nobody, who: "user1" };
        let new = repository.commit_tree(&commit).unwrap();
        let update = RefUpdate { name: "refs/heads/main".to_owned(), old: Some(root), new };
        let left_out = repository.advance_with_worktree(&update, "odd").unwrap();
        assert_eq!(left_out.iter().filter(|one| one.path.starts_with(name)).count(), 1, "{name}: {left_out:?}");
        assert_eq!(left_out.len(), 1, "{name}: {left_out:?}");
        assert_eq!(fs::read_to_string(scratch.path().join("zz-honest")).unwrap(), "x\n", "{name}");
        assert!(!scratch.path().join("leases/A.yaml").exists(), "{name}");
    }
}

/// Appends an entry to somebody's note.
fn append(repository: &Repository, who: &PrincipalId, on: Oid, entry: &str) {
    let name = format!("refs/notes/two-key/{who}");
    let old = repository.resolve(&name).unwrap();
    let new = repository.with_notes(who, old, &[(on, entry)], FullNote::GivesWay).unwrap();
    repository.update_refs(&[RefUpdate { name, old, new }], "note").unwrap();
}

#[test]
fn notes_are_appended_and_read_whoever_annotates_however_many() {
    let (scratch, repository, _) = one("sha1");
    let blob = scratch.id("HEAD:leases/A.yaml");
    append(&repository, &user1(), blob, "one\n");
    append(&repository, &user1(), blob, "two\n");
    let cp14 = PrincipalId::parse("cp14").unwrap();
    append(&repository, &cp14, blob, "three\n");
    // Other people's refs, and so many notes that Git cuts their names into folders.
    scratch.git(&["update-ref", "refs/notes/two-key/user1x/deep", "HEAD"]);
    let many: Vec<Oid> = (0..300).map(|n| repository.write_blob(format!("{n}").as_bytes()).unwrap()).collect();
    let mut stream =
        String::from("commit refs/notes/two-key/cp20\ncommitter A <a@example.com> 1761530400 +0000\ndata 1\nx\n");
    for id in &many {
        let (folder, file) = (&id.to_string()[..2], &id.to_string()[2..]);
        writeln!(stream, "M 100644 inline {folder}/{file}\ndata 41\n{id}\n").unwrap();
    }
    // Copies of one note on other objects are that note.
    for copy in 10..99 {
        let (folder, file) = (copy, &many[0].to_string()[2..]);
        writeln!(stream, "M 100644 inline {folder}/{file}\ndata 41\n{}\n", many[0]).unwrap();
    }
    scratch.git_with(&["fast-import", "--quiet"], stream.as_bytes());
    let cp20 = PrincipalId::parse("cp20").unwrap();
    let notes = repository.notes(refs::NOTES, |_| true).unwrap();
    let of = |who: &PrincipalId| notes.iter().filter(|note| note.principal == *who).count();
    assert_eq!((of(&user1()), of(&cp14), of(&cp20)), (1, 1, 300));
    let note = notes.iter().find(|note| note.principal == user1()).unwrap();
    assert_eq!(note.annotated, blob);
    assert_eq!(note.bytes, b"one\n\ntwo\n");
}

/// A bare remote with a hook that refuses stops.
fn remote(scratch: &Scratch) -> Repository {
    let path = scratch.beside("remote é.git");
    let remote = Repository::init(&path, true, ObjectFormat::Sha1, "main").unwrap();
    scratch.git(&["remote", "add", "origin", path.to_str().unwrap()]);
    remote
}

fn hook(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_push_says_what_was_taken_and_what_the_remote_said() {
    let (scratch, repository, root) = one("sha1");
    let remote = remote(&scratch);
    let push = |refs: &[&str], options: &PushOptions| {
        repository.push("origin", &refs.iter().map(ToString::to_string).collect::<Vec<_>>(), options)
    };
    let plain = PushOptions::default();
    let taken = push(&["main"], &plain).unwrap();
    assert_eq!(taken.accepted, ["refs/heads/main"]);
    assert!(taken.is_accepted());
    assert!(push(&["main"], &plain).unwrap().is_accepted());

    hook(&remote.git_dir().join("hooks/pre-receive"), "echo 'two-key: refused refs/x: stale-step: no' >&2; exit 1");
    let next = scratch.graph("next", &[root]);
    let next_to_main = format!("{next}:refs/heads/main");
    let atomic = PushOptions { atomic: true, ..PushOptions::default() };
    let refused = push(&[&next_to_main, &format!("{root}:refs/two-key/stops/A/x")], &atomic).unwrap();
    assert_eq!(refused.rejected.len(), 2, "{refused:?}");
    assert_eq!(refused.remote, ["two-key: refused refs/x: stale-step: no"]);
    fs::remove_file(remote.git_dir().join("hooks/pre-receive")).unwrap();

    // Lost races: not a fast-forward, and a ref that is not where it was last seen.
    assert!(push(&[&next_to_main], &plain).unwrap().is_accepted());
    let other = scratch.graph("other", &[root]);
    let lost = push(&[&format!("{other}:refs/heads/main")], &plain).unwrap();
    assert_eq!(lost.rejected[0].0, "refs/heads/main");
    let expected = vec![("refs/two-key/appliers/edge1".to_owned(), None)];
    let intent = PushOptions { expected, ..PushOptions::default() };
    assert!(push(&[&format!("{root}:refs/two-key/appliers/edge1")], &intent).unwrap().is_accepted());
    assert!(!push(&[&format!("{next}:refs/two-key/appliers/edge1")], &intent).unwrap().is_accepted());

    scratch.git(&["remote", "set-url", "origin", "/nowhere/at/all.git"]);
    assert!(matches!(push(&["main"], &plain), Err(GitError::Remote { .. })));
}

#[test]
fn exactly_the_governed_refs_are_fetched_and_nothing_local_moves() {
    let (scratch, repository, root) = one("sha1");
    let remote = remote(&scratch);
    let tip = scratch.graph("tip", &[root]);
    let stop = format!("refs/two-key/stops/A/{tip}");
    let names = [
        "refs/heads/main",
        "refs/heads/other",
        "refs/tags/rollout/A/1-start-5",
        "refs/tags/v1",
        "refs/notes/two-key/user1",
        "refs/notes/commits",
        &stop,
        "refs/two-key/appliers/edge1",
    ];
    let refspecs: Vec<String> = names.iter().map(|name| format!("{tip}:{name}")).collect();
    assert!(repository.push("origin", &refspecs, &PushOptions::default()).unwrap().is_accepted());
    // Nothing of ours may be overwritten by what the remote has under the same name.
    repository.update_refs(&[RefUpdate::create(&stop, root)], "ours").unwrap();
    let ours = |repository: &Repository| {
        let refs = repository.refs(&["refs"]).unwrap();
        let kept = |name: &str| name.starts_with("refs/remotes/") || name.starts_with("refs/two-key-remote/");
        refs.into_iter().partition::<Vec<_>, _>(|(name, _)| !kept(name))
    };
    let (before, _) = ours(&repository);
    // As a push leaves it, so that what is seen is what the fetch brings.
    scratch.git(&["update-ref", "-d", "refs/remotes/origin/main"]);
    scratch.git(&["update-ref", "-d", "refs/remotes/origin/other"]);
    repository.fetch("origin", "main").unwrap();
    let (after, fetched) = ours(&repository);
    assert_eq!(after, before);
    let governed = [0, 2, 4, 6, 7].map(|at| names[at]);
    let mut expected: Vec<String> = governed.iter().map(|name| mirrored("origin", name)).collect();
    expected.sort();
    assert_eq!(fetched.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), expected);
    assert!(fetched.iter().all(|(_, id)| *id == tip));

    // What rewinds there is seen rewound here.
    scratch.git(&["push", "-q", "--force", "origin", &format!("{root}:refs/heads/main")]);
    repository.fetch("origin", "main").unwrap();
    assert_eq!(repository.resolve("refs/remotes/origin/main").unwrap(), Some(root));

    let listed = repository.ls_remote("origin", &["refs/two-key/*", "refs/heads/main"]).unwrap();
    let mut seen: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["refs/heads/main", "refs/two-key/appliers/edge1", &stop]);
    assert_eq!(repository.remotes().unwrap(), ["origin"]);
    let clone =
        Repository::clone_bare(remote.git_dir().to_str().unwrap(), &scratch.beside("clone.git"), MINUTE).unwrap();
    assert_eq!(clone.resolve("refs/heads/main").unwrap(), Some(root));
    assert_eq!(clone.resolve("refs/tags/v1").unwrap(), None);
}

#[test]
fn a_first_clone_from_a_server_that_says_nothing_is_given_up_and_what_it_left_hinders_no_later_one() {
    let (scratch, repository, root) = one("sha1");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}/deploy.git", silent.local_addr().unwrap());
    let path = scratch.beside("late.git");
    let outcome = Repository::clone_bare(&url, &path, Duration::from_millis(500));
    assert!(matches!(outcome, Err(GitError::TimedOut { .. })), "{outcome:?}");
    let honest = repository.git_dir().to_str().unwrap().to_owned();
    let again = path.join("HEAD").exists();
    let clone = if again { Repository::open(&path) } else { Repository::clone_bare(&honest, &path, MINUTE) };
    let clone = clone.unwrap();
    clone.fetch(&honest, "main").unwrap();
    assert_eq!(clone.resolve(&mirrored(&honest, "refs/heads/main")).unwrap(), Some(root));
}

/// The refs of the mirror of `origin`, sorted.
fn kept(repository: &Repository) -> Vec<String> {
    let kept = repository.mirror("origin", "refs/heads/main").unwrap();
    let mut names: Vec<_> = kept.into_keys().map(|name| name.replace("refs/two-key-remote/origin", "refs")).collect();
    names.sort();
    names
}

#[test]
fn nothing_that_a_remote_has_hides_a_stop() {
    let (scratch, repository, root) = one("sha1");
    let remote = remote(&scratch);
    let push = |refspecs: &[String]| {
        assert!(repository.push("origin", refspecs, &PushOptions::default()).unwrap().is_accepted(), "{refspecs:?}");
    };
    let named = |commit: Oid| format!("refs/two-key/stops/A/{commit}");
    let stop = |name: &str| {
        let commit = scratch.graph(name, &[root]);
        push(&[format!("{commit}:{}", named(commit))]);
        named(commit)
    };
    push(&["main".to_owned()]);
    let folder = scratch.beside("reader");
    scratch.git(&["clone", "-q", remote.git_dir().to_str().unwrap(), folder.to_str().unwrap()]);
    let reader = Repository::open(&folder).unwrap();
    let main = "refs/remotes/origin/main";
    let mut expected = vec![main.to_owned(), stop("first")];
    reader.fetch("origin", "main").unwrap();
    assert_eq!(kept(&reader), expected);

    // A name that is not UTF-8 and that Git lists with those below `refs/two-key`.
    let odd = remote.git_dir().join("refs/heads/x/refs/two-key");
    fs::create_dir_all(&odd).unwrap();
    fs::write(odd.join(OsStr::from_bytes(b"\xff")), root.to_string()).unwrap();
    expected.push(stop("beside a name that is not UTF-8"));
    reader.fetch("origin", "main").unwrap();
    expected.sort();
    assert_eq!(kept(&reader), expected);

    // A name of nobody's, then one below it; a mirror of old that holds what is now in the way of a stop.
    push(&[format!("{root}:refs/two-key/x"), format!("{root}:refs/two-key/stops/B")]);
    reader.fetch("origin", "main").unwrap();
    push(&[":refs/two-key/x".to_owned(), ":refs/two-key/stops/B".to_owned()]);
    let beside = format!("refs/two-key/stops/B/{root}");
    push(&[format!("{root}:refs/two-key/x/y"), format!("{root}:{beside}")]);
    let old = RefUpdate::create("refs/two-key-remote/origin/two-key/stops/B", root);
    reader.update_refs(&[old], "as it was once").unwrap();
    expected.extend([stop("second"), beside]);
    reader.fetch("origin", "main").unwrap();
    expected.sort();
    assert_eq!(kept(&reader), expected);

    // What Git's own check would not have: the one beside it comes all the same, and so does this.
    let raw = format!("tree {}\nparent {root}\nauthor a <a> 0 +0000\n\n", scratch.id("HEAD^{tree}"));
    let odd = scratch.git_with(&["hash-object", "-t", "commit", "--literally", "-w", "--stdin"], raw.as_bytes());
    let odd = Oid::parse(odd.trim()).unwrap();
    for key in ["fetch.fsckObjects", "transfer.fsckObjects"] {
        reader.set_config(key, "true").unwrap();
    }
    push(&[format!("{odd}:{}", named(odd))]);
    expected.extend([named(odd), stop("third")]);
    reader.fetch("origin", "main").unwrap();
    expected.sort();
    assert_eq!(kept(&reader), expected);

    // What the remote has lost a part of is an error, and all others come; so does this once the remote has that part again.
    scratch.write("part", "lost");
    let lost = scratch.commit("lost");
    push(&[format!("{lost}:{}", named(lost))]);
    let part = scratch.id("HEAD:part").to_string();
    let path = remote.git_dir().join(format!("objects/{}/{}", &part[..2], &part[2..]));
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let next = scratch.graph("next", &[root]);
    expected.push(stop("fourth"));
    push(&[format!("{next}:refs/heads/main"), format!("{next}:refs/notes/two-key/user1")]);
    assert!(matches!(reader.fetch("origin", "main"), Err(GitError::Program { .. })));
    expected.push("refs/notes/two-key/user1".to_owned());
    expected.sort();
    assert_eq!(kept(&reader), expected);
    assert_eq!(reader.resolve(main).unwrap(), Some(next));
    fs::write(&path, bytes).unwrap();
    reader.fetch("origin", "main").unwrap();
    expected.push(named(lost));
    expected.sort();
    assert_eq!(kept(&reader), expected);

    // Without its branch there is nothing to follow, and a stop comes all the same.
    expected.push(stop("fifth"));
    remote.delete_ref("refs/heads/main", next).unwrap();
    let Err(GitError::NoBranch { branch, .. }) = reader.fetch("origin", "main") else { panic!() };
    assert_eq!(branch, "refs/heads/main");
    expected.sort();
    assert_eq!(kept(&reader), expected);
}

#[test]
fn a_lock_that_was_left_behind_hides_no_stop_but_its_own() {
    let (scratch, repository, root) = one("sha1");
    let _remote = remote(&scratch);
    let commits = ["first", "second"].map(|name| scratch.graph(name, &[root]));
    let names = commits.map(|commit| format!("refs/two-key/stops/A/{commit}"));
    let refspecs: Vec<String> = names.iter().zip(commits).map(|(name, commit)| format!("{commit}:{name}")).collect();
    let main = "main".to_owned();
    assert!(
        repository.push("origin", &[&refspecs[..], &[main]].concat(), &PushOptions::default()).unwrap().is_accepted()
    );
    let lock = repository.git_dir().join(format!("{}.lock", mirrored("origin", &names[0])));
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    fs::write(&lock, "").unwrap();
    // Who holds refs in memory has both.
    let wanted = repository.wanted("origin", "refs/heads/main", &BTreeMap::new()).unwrap().0;
    let mut came = BTreeMap::new();
    let missed = repository.bring("origin", &wanted, &mut |refs| came.extend(refs));
    assert_eq!(missed.iter().map(|missed| &missed.wanted.name).collect::<Vec<_>>(), [&names[0]]);
    assert!(missed[0].error.to_string().contains(".lock"), "{}", missed[0].error);
    assert_eq!(came.len(), 3);
    assert_eq!(kept(&repository), ["refs/remotes/origin/main", &names[1]]);
    assert!(repository.fetch("origin", "main").is_err());
    fs::remove_file(lock).unwrap();
    repository.fetch("origin", "main").unwrap();
    assert_eq!(kept(&repository).len(), 3);
}

#[test]
fn files_are_read_from_a_commits_tree() {
    let (scratch, repository, root) = one("sha1");
    let mut objects = repository.objects().unwrap();
    assert_eq!(objects.file_at(root, "leases/A.yaml").unwrap().as_deref(), Some(&b"a 1\n"[..]));
    for nothing in ["leases", "leases/B.yaml", "README/x", "nowhere/x"] {
        assert_eq!(objects.file_at(root, nothing).unwrap(), None, "{nothing}");
    }
    assert_eq!(objects.file_id_at(root, "README").unwrap(), Some(scratch.id("HEAD:README")));
    let names = |files: Vec<(String, Oid)>| files.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(objects.files_in(root, "").unwrap()), ["README"]);
    assert_eq!(names(objects.files_in(root, "leases").unwrap()), ["A.yaml"]);
}

#[test]
fn a_remote_that_does_not_answer_is_given_up() {
    let (scratch, repository, _) = one("sha1");
    let program = scratch.beside("hang");
    // Like ssh, it leaves a child that holds the pipes.
    hook(&program, "sleep 600");
    repository.set_config("remote.slow.url", "ssh://git.example/x.git").unwrap();
    repository.set_config("core.sshCommand", program.to_str().unwrap()).unwrap();
    let hasty = repository.with_patience(std::time::Duration::from_millis(300));
    let Err(error) = hasty.fetch("slow", "main") else { panic!() };
    assert_eq!(error.to_string(), "slow did not answer within 0.3 s");
    let remote = remote(&scratch);
    scratch.git(&["push", "-q", "origin", "main"]);
    let patient = hasty.with_patience(std::time::Duration::from_secs(600));
    assert!(patient.fetch("origin", "main").is_ok());
    drop(remote);
}

#[test]
fn a_note_that_is_too_large_is_left_out_and_the_others_are_read() {
    let (scratch, repository, _) = one("sha1");
    let (blob, other) = (scratch.id("HEAD:leases/A.yaml"), scratch.id("HEAD:README"));
    append(&repository, &user1(), blob, &"x".repeat((1 << 20) + 1));
    append(&repository, &user1(), other, "small\n");
    let notes = repository.notes(refs::NOTES, |_| true).unwrap();
    assert_eq!(notes.iter().map(|note| note.annotated).collect::<Vec<_>>(), [other]);
}

#[test]
fn a_full_note_gives_way_or_stays_and_the_vote_goes_elsewhere() {
    let (scratch, repository, _) = one("sha1");
    let blob = scratch.id("HEAD:leases/A.yaml");
    let notes = |tip: Oid| repository.objects().unwrap().notes_of(&user1(), tip).unwrap();
    let with = |onto, entry: &str, full| repository.with_notes(&user1(), onto, &[(blob, entry)], full).unwrap();
    // The last byte that has room, and one more.
    for (spare, has_room) in [(0, true), (1, false)] {
        let filled = "x".repeat((1 << 20) - "\n\nvote\n".len() + spare);
        let onto = with(None, &filled, FullNote::Stays);
        let stays = notes(with(Some(onto), "vote\n", FullNote::Stays));
        let longest = stays.iter().map(|note| note.bytes.len()).max();
        assert_eq!((stays.len() == 1, longest == Some(1 << 20)), (has_room, has_room), "{spare}");
        let here = stays.iter().find(|note| note.annotated == blob).unwrap();
        assert!(here.bytes.starts_with(filled.as_bytes()));
        assert!(stays.iter().any(|note| note.bytes.ends_with(b"vote\n")));
        let gives_way = notes(with(Some(onto), "vote\n", FullNote::GivesWay));
        assert_eq!((gives_way.len(), gives_way[0].bytes == b"vote\n"), (1, !has_room), "{spare}");
    }
}

#[test]
fn an_object_that_is_pushed_under_many_names_is_read_once() {
    let world = World::founded();
    let repository = Repository::open(world.repo()).unwrap();
    let [root, tip] = [world.git(&["config", "two-key.root"]), world.head()].map(|id| Oid::parse(&id).unwrap());
    world.git(&["tag", "--annotate", "--message", "x", "one"]);
    world.git(&["tag", "--annotate", "--message", "x", "other"]);
    let [one, other] = ["one", "other"].map(|name| Oid::parse(&world.git(&["rev-parse", name])).unwrap());
    let at = |name: &str, id| PushedRef { name: format!("refs/{name}"), old: None, new: Some(id) };
    let pushed = [
        at("tags/rollout/L-1/x1", one),
        at("tags/rollout/L-1/x2", one),
        at("tags/rollout/L-1/x3", other),
        at(&format!("two-key/stops/L-1/{one}"), tip),
        at(&format!("two-key/stops/L-1/{tip}"), tip),
        at(&format!("two-key/stops/L-2/{tip}"), tip),
        at("notes/two-key/stranger", tip),
        at("notes/two-key/user1", tip),
    ];
    let push = repository.gather(&pushed, &[], &Memory::none(root), JudgedAt::Client).unwrap();
    let facts: Vec<_> = push.updates.iter().map(|update| &update.facts).collect();
    assert!(Arc::ptr_eq(facts[0], facts[1]) && !Arc::ptr_eq(facts[1], facts[2]));
    assert!(matches!(**facts[3], RefFacts::Stop(None)), "its name refuses it unread");
    assert!(matches!(**facts[4], RefFacts::Stop(Some(_))) && Arc::ptr_eq(facts[4], facts[5]));
    assert!(!Arc::ptr_eq(facts[6], facts[7]), "only what is refused for its name is unread");
    assert!(matches!(&**facts[7], RefFacts::Notes(notes) if !notes.strays.is_empty()), "{:?}", facts[7]);
}
