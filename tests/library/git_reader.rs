//! The reader against repositories that real Git made.

use std::{fmt::Write as _, fs};

use git_two_key::{
    git::{Base, GitError, ObjectKind, Repository},
    ledger::{Descent, Entry, Step},
    model::Oid,
};

use crate::kit::scratch::Scratch;

/// Every step, or the error that ended them.
fn steps(repository: &Repository, base: Base, tip: Oid) -> Result<Vec<Step>, GitError> {
    repository.steps(base, tip)?.collect()
}

fn from_root(scratch: &Scratch, root: Oid, tip: Oid) -> Vec<Step> {
    steps(&scratch.repository(), Base::Root(root), tip).unwrap()
}

fn regular(text: &str) -> Entry {
    Entry::Regular(text.as_bytes().into())
}

/// A root with a policy and a lease, then a lease that changes, one that comes in a folder, and one that goes.
fn small(scratch: &Scratch) -> [Oid; 3] {
    scratch.write(".two-key/policy.yaml", "policy 1\n");
    scratch.write("leases/A.yaml", "a 1\n");
    scratch.write("README", "hello\n");
    let root = scratch.commit("root");
    scratch.write("leases/A.yaml", "a 2\n");
    scratch.write("leases/2025-10/B.yaml", "b 1\n");
    scratch.write("leases/notes.txt", "no lease\n");
    let second = scratch.commit("second");
    scratch.remove("leases/A.yaml");
    scratch.write(".two-key/policy.yaml", "policy 2\n");
    [root, second, scratch.commit("third")]
}

fn check_small(repository: &Repository, [root, second, third]: [Oid; 3]) {
    let steps = steps(repository, Base::Root(root), third).unwrap();
    let [first, next, last] = steps.as_slice() else { panic!("{} steps", steps.len()) };
    assert_eq!(first.commit, root);
    assert_eq!(first.policy, Some(regular("policy 1\n")));
    assert_eq!(first.leases, [("leases/A.yaml".to_owned(), regular("a 1\n"))]);
    assert_eq!(next.commit, second);
    assert_eq!(next.policy, None);
    assert_eq!(
        next.leases,
        [("leases/2025-10/B.yaml".to_owned(), regular("b 1\n")), ("leases/A.yaml".to_owned(), regular("a 2\n"))]
    );
    assert_eq!(last.policy, Some(regular("policy 2\n")));
    assert_eq!(last.leases, [("leases/A.yaml".to_owned(), Entry::Absent)]);
    assert_eq!(last.claimed_time, 1_761_530_400 + 2);
    assert_eq!(last.commits.len(), 1);
    assert_eq!((last.commits[0].id, last.commits[0].parents), (third, 1));
}

#[test]
fn every_kind_of_repository_reads_alike() {
    for format in ["sha1", "sha256"] {
        for refs in ["files", "reftable"] {
            let scratch = Scratch::with(format, refs, "a b:c é");
            let commits = small(&scratch);
            check_small(&scratch.repository(), commits);
            scratch.git(&["repack", "-adq"]);
            scratch.git(&["prune-packed"]);
            check_small(&scratch.repository(), commits);

            let bare = scratch.beside("bare: ü.git");
            scratch.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
            let repository = Repository::open(&bare).unwrap();
            assert_eq!(repository.worktree(), None);
            check_small(&repository, commits);

            let worktree = scratch.beside("work tree");
            scratch.git(&["worktree", "add", "-q", "--detach", worktree.to_str().unwrap()]);
            let repository = Repository::open(&worktree.join("leases")).unwrap();
            assert_eq!(repository.worktree(), Some(worktree.canonicalize().unwrap().as_path()));
            assert_ne!(repository.git_dir(), repository.common_dir());
            check_small(&repository, commits);

            let borrower = scratch.beside("borrower");
            scratch.git(&["clone", "-q", "--shared", "--bare", ".", borrower.to_str().unwrap()]);
            assert!(borrower.join("objects/info/alternates").exists());
            check_small(&Repository::open(&borrower).unwrap(), commits);
        }
    }
}

#[test]
fn a_place_without_a_repository_is_said_to_have_none() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Repository::open(folder.path()), Err(GitError::NotARepository { .. })));
    assert!(matches!(Repository::open(&folder.path().join("gone")), Err(GitError::NotARepository { .. })));
}

#[test]
fn replacement_refs_and_grafts_change_nothing() {
    let scratch = Scratch::new();
    let commits @ [root, second, third] = small(&scratch);
    scratch.git(&["replace", &third.to_string(), &root.to_string()]);
    check_small(&scratch.repository(), commits);
    let blob = scratch.id("HEAD:README");
    let other = scratch.id(&format!("{root}:leases/A.yaml"));
    scratch.git(&["replace", "-f", &blob.to_string(), &other.to_string()]);
    let mut objects = scratch.repository().objects().unwrap();
    assert_eq!(objects.blob(blob).unwrap(), b"hello\n");
    // A graft that hides the second commit.
    std::fs::write(scratch.path().join(".git/info/grafts"), format!("{third} {root}\n")).unwrap();
    assert_eq!(scratch.git(&["--no-replace-objects", "rev-list", "--count", "HEAD"]).trim(), "2");
    check_small(&scratch.repository(), commits);
    assert_eq!(from_root(&scratch, root, third)[1].commit, second);
}

#[test]
fn a_shallow_clone_is_refused_and_a_full_one_is_not() {
    let scratch = Scratch::new();
    let commits @ [_, second, third] = small(&scratch);
    let (shallow, full) = (scratch.beside("shallow"), scratch.beside("full"));
    let url = format!("file://{}", scratch.path().display());
    scratch.git(&["clone", "-q", "--bare", "--depth", "2", &url, shallow.to_str().unwrap()]);
    scratch.git(&["clone", "-q", "--bare", &url, full.to_str().unwrap()]);
    let repository = Repository::open(&shallow).unwrap();
    assert!(repository.is_shallow());
    let refused = repository.steps(Base::After { tip: second, root: second }, third);
    assert_eq!(refused.err(), Some(GitError::Shallow));
    check_small(&Repository::open(&full).unwrap(), commits);
}

#[test]
fn what_is_no_regular_file_is_never_opened() {
    let scratch = Scratch::new();
    scratch.write(".two-key/policy.yaml", "policy 1\n");
    let root = scratch.commit("root");
    // A symbolic link, a gitlink to a commit that is nowhere, and folders where files should be.
    scratch.symlink("leases/link.yaml", "/etc/passwd");
    scratch.write("leases/folder.yaml/inner.yaml", "inner\n");
    scratch.gitlink("leases/sub.yaml");
    let leases = scratch.commit("no files");
    let steps = from_root(&scratch, root, leases);
    let paths = ["leases/folder.yaml", "leases/link.yaml", "leases/sub.yaml"];
    assert_eq!(steps[1].leases, paths.map(|path| (path.to_owned(), Entry::NotAFile)));

    // The places themselves.
    scratch.git(&["rm", "-rq", "--cached", "."]);
    scratch.clear();
    scratch.symlink(".two-key", "elsewhere");
    scratch.gitlink("leases");
    let places = scratch.commit("no folders");
    let steps = from_root(&scratch, root, places);
    assert_eq!(steps[2].policy, Some(Entry::NotAFile));
    assert_eq!(steps[2].leases[0], ("leases".to_owned(), Entry::NotAFile));
    assert_eq!(steps[2].leases[1..], paths.map(|path| (path.to_owned(), Entry::Absent)));

    // The policy itself, and the way back.
    scratch.git(&["rm", "-rq", "--cached", "."]);
    scratch.clear();
    scratch.symlink(".two-key/policy.yaml", "elsewhere");
    scratch.write("leases/A.yaml", "a\n");
    let policy = scratch.commit("no policy");
    scratch.git(&["rm", "-rq", "--cached", "."]);
    scratch.clear();
    scratch.write(".two-key/policy.yaml", "policy 1\n");
    let back = scratch.commit("back");
    let steps = from_root(&scratch, root, back);
    assert_eq!(steps[3].commit, policy);
    // It was no file before and is none now: no difference.
    assert_eq!(steps[3].policy, None);
    assert_eq!(steps[3].leases, [("leases".to_owned(), Entry::Absent), ("leases/A.yaml".to_owned(), regular("a\n"))]);
    assert_eq!(steps[4].policy, Some(regular("policy 1\n")));
}

#[test]
fn a_file_up_to_64_kib_is_read_and_a_larger_one_is_not() {
    let scratch = Scratch::new();
    let most = "x".repeat(64 * 1024);
    scratch.write("leases/most.yaml", &most);
    scratch.write("leases/more.yaml", &format!("{most}x"));
    let root = scratch.commit("root");
    let steps = from_root(&scratch, root, root);
    let expected = [("leases/more.yaml".to_owned(), Entry::TooLarge), ("leases/most.yaml".to_owned(), regular(&most))];
    assert_eq!(steps[0].leases, expected);
}

#[test]
fn folders_are_looked_into_down_to_depth_16_and_no_further() {
    let scratch = Scratch::new();
    let deep = |folders: usize| format!("leases/{}A.yaml", "d/".repeat(folders));
    scratch.write(&deep(15), "in\n");
    scratch.write(&deep(16), "out\n");
    let root = scratch.commit("root");
    let steps = from_root(&scratch, root, root);
    let folder = format!("leases{}", "/d".repeat(16));
    assert_eq!(steps[0].leases, [(deep(15), regular("in\n")), (folder, Entry::TooDeep)]);
}

/// Whatever is named as a folder and is none that can be read is said to be no file, and nothing else beside it is lost.
#[test]
fn a_folder_that_cannot_be_read_is_no_file() {
    let scratch = Scratch::new();
    scratch.write("leases/A.yaml", "a\n");
    scratch.write("leases/d/B.yaml", "b\n");
    let root = scratch.commit("root");
    let (a, d) = (scratch.id("HEAD:leases/A.yaml"), scratch.id("HEAD:leases/d"));
    let with = |name: &[u8], folder: Oid, after: Oid| {
        let entry = |mode: &str, name: &[u8], id: Oid| [mode.as_bytes(), b" ", name, b"\0", id.as_bytes()].concat();
        let leases = scratch.raw("tree", &[entry("100644", b"A.yaml", a), entry("40000", name, folder)].concat());
        let tree = scratch.raw("tree", &entry("40000", b"leases", leases));
        scratch.commit_tree(tree, &[after], "folder")
    };
    let broken = scratch.raw("tree", b"100644 no id follows\0");
    let is = |path: &str, entry: Entry| (path.to_owned(), entry);
    let (there, gone) = (is("leases/d/B.yaml", regular("b\n")), is("leases/d/B.yaml", Entry::Absent));
    // A file in a folder's place is no folder either; that another one cannot be read makes no difference.
    let file = with(b"d", a, root);
    let tree = with(b"d", broken, file);
    let back = with(b"d", d, tree);
    // No path can spell what is in a folder of such a name.
    let unnamed = with(b"\xff", d, back);
    let steps = from_root(&scratch, root, unnamed);
    assert_eq!(steps[1].leases, [is("leases/d", Entry::NotAFile), gone.clone()]);
    assert_eq!(steps[2].leases, []);
    assert_eq!(steps[3].leases, [is("leases/d", Entry::Absent), there]);
    assert_eq!(steps[4].leases, [is("leases/\\xff", Entry::NotAFile), gone]);
}

/// Names are counted as `git diff-tree -r -t` lists them.
#[test]
fn a_step_that_changes_too_many_names_changes_none() {
    let scratch = Scratch::new();
    scratch.write("leases/A.yaml", "a\n");
    let root = scratch.commit("root");
    let [one, other] = ["one\n", "other\n"].map(|text| scratch.raw("blob", text.as_bytes()));
    let tree = |lines: Vec<String>| {
        let leases = scratch.mktree(&lines);
        scratch.mktree(&[format!("040000 tree {leases}\tleases")])
    };
    let folder = |files: usize, blob: Oid| {
        let files = (0..files).map(|name| format!("100644 blob {blob}\tL{name:04}.yaml"));
        scratch.mktree(&files.collect::<Vec<_>>())
    };
    // The file that goes, two folders that come, and what is in them.
    let most = |blob, extra: usize| {
        let (x, y) = (folder(126, blob), folder(127 + extra, blob));
        tree(vec![format!("040000 tree {x}\tx"), format!("040000 tree {y}\ty")])
    };
    let listed = |old: Oid, new: Oid| {
        let (old, new) = (format!("{old}:leases"), format!("{new}:leases"));
        scratch.git(&["diff-tree", "-r", "-t", "--name-only", &old, &new]).lines().count()
    };
    let within = scratch.commit_tree(most(one, 0), &[root], "within");
    let beyond = scratch.commit_tree(most(other, 2), &[within], "beyond");
    let back = scratch.commit_tree(most(one, 0), &[beyond], "back");
    let few = scratch.commit_tree(most(one, 1), &[back], "few");
    assert_eq!([(root, within), (within, beyond), (few, back)].map(|(a, b)| listed(a, b)), [256, 257, 2]);
    let steps = from_root(&scratch, root, few);
    let too_much = [("leases".to_owned(), Entry::TooMuch)];
    assert_eq!(steps[1].leases.len(), 254);
    assert_eq!((steps[2].leases.as_slice(), steps[3].leases.as_slice()), (&too_much[..], &too_much[..]));
    assert_eq!(steps[4].leases, [("leases/y/L0127.yaml".to_owned(), regular("one\n"))]);
    // The root is pinned by hand.
    let founding = scratch.commit_tree(most(one, 100), &[], "another root");
    assert_eq!(from_root(&scratch, founding, founding)[0].leases.len(), 353);
}

#[test]
fn a_step_that_brings_too_many_bytes_brings_none() {
    for (more, too_much) in [(0, false), (1, true)] {
        let scratch = Scratch::new();
        scratch.write("leases/A.yaml", "a\n");
        let root = scratch.commit("root");
        for (at, size) in [16 << 10, 16 << 10, 16 << 10, 8 << 10, (8 << 10) + more].into_iter().enumerate() {
            scratch.write(&format!("leases/L{at}.yaml"), &"x".repeat(size));
        }
        // Nobody reads it, so it counts for nothing.
        scratch.write("leases/M.yaml", &"x".repeat((64 << 10) + 1));
        let tip = scratch.commit("files");
        let steps = from_root(&scratch, root, tip);
        let first = steps[1].leases.first().map(|(path, entry)| (path.as_str(), entry == &Entry::TooMuch));
        assert_eq!(first, Some(if too_much { ("leases", true) } else { ("leases/L0.yaml", false) }));
        assert_eq!(steps[1].leases.len(), if too_much { 1 } else { 6 });
    }
}

#[test]
fn folders_shared_without_end_are_too_much_for_a_step() {
    let scratch = Scratch::new();
    scratch.write("leases/A.yaml", "a\n");
    let root = scratch.commit("root");
    // Each level has the level below it ten times: 10^8 paths from eight trees.
    let blob = scratch.id("HEAD:leases/A.yaml");
    let mut tree = scratch.mktree(&[format!("100644 blob {blob}\tA.yaml")]);
    for _ in 0..8 {
        let entries: Vec<String> = (0..10).map(|name| format!("040000 tree {tree}\t{name}")).collect();
        tree = scratch.mktree(&entries);
    }
    let bomb = scratch.mktree(&[format!("040000 tree {tree}\tleases")]);
    let bombed = scratch.commit_tree(bomb, &[root], "bomb");
    let back = scratch.commit_tree(scratch.id("HEAD^{tree}"), &[bombed], "back");
    let steps = from_root(&scratch, root, back);
    let too_much = [("leases".to_owned(), Entry::TooMuch)];
    assert_eq!((steps[1].leases.as_slice(), steps[2].leases.as_slice()), (&too_much[..], &too_much[..]));
    // Also for the root itself, which may bring more.
    let root = scratch.commit_tree(bomb, &[], "a bomb for a root");
    assert_eq!(from_root(&scratch, root, root)[0].leases, too_much);
}

/// A history with every shape of merge; the ids of its first-parent chain from the root on, and the names of all.
fn merges(scratch: &Scratch) -> (Vec<Oid>, impl Fn(Oid) -> String) {
    let foreign_1 = scratch.graph("foreign 1", &[]);
    let foreign_2 = scratch.graph("foreign 2", &[foreign_1]);
    let before = scratch.graph("before", &[]);
    let root = scratch.graph("root", &[before]);
    let m1 = scratch.graph("m1", &[root]);
    let a1 = scratch.graph("a1", &[root]);
    let a2 = scratch.graph("a2", &[a1]);
    let b1 = scratch.graph("b1", &[m1]);
    let c1 = scratch.graph("c1", &[a1]);
    // An octopus.
    let m2 = scratch.graph("m2", &[m1, b1, a2, c1]);
    // A criss-cross: x and y merge each other's first commits.
    let x1 = scratch.graph("x1", &[m2]);
    let y1 = scratch.graph("y1", &[m2]);
    let x2 = scratch.graph("x2", &[x1, y1]);
    let y2 = scratch.graph("y2", &[y1, x1]);
    let m3 = scratch.graph("m3", &[m2, y2]);
    let m4 = scratch.graph("m4", &[m3, x2]);
    // Foreign history, then foreign history that merged the root, then more on top of what was foreign.
    let m5 = scratch.graph("m5", &[m4, foreign_2]);
    let mixed = scratch.graph("mixed", &[foreign_2, root]);
    let m6 = scratch.graph("m6", &[m5, mixed]);
    let foreign_3 = scratch.graph("foreign 3", &[foreign_1]);
    let side = scratch.graph("side", &[before]);
    let m7 = scratch.graph("m7", &[m6, foreign_3, side]);
    // The same parent twice in other clothes, and one that brings nothing.
    let m8 = scratch.graph("m8", &[m7, m3]);
    let late = scratch.graph("late", &[b1]);
    let m9 = scratch.graph("m9", &[m8, late]);
    let names = [
        (foreign_1, "foreign 1"),
        (foreign_2, "foreign 2"),
        (foreign_3, "foreign 3"),
        (before, "before"),
        (root, "root"),
        (m1, "m1"),
        (m2, "m2"),
        (m3, "m3"),
        (m4, "m4"),
        (m5, "m5"),
        (m6, "m6"),
        (m7, "m7"),
        (m8, "m8"),
        (m9, "m9"),
        (a1, "a1"),
        (a2, "a2"),
        (b1, "b1"),
        (c1, "c1"),
        (x1, "x1"),
        (x2, "x2"),
        (y1, "y1"),
        (y2, "y2"),
        (mixed, "mixed"),
        (side, "side"),
        (late, "late"),
    ];
    let name = move |id| names.iter().find(|(other, _)| *other == id).unwrap().1.to_owned();
    (vec![root, m1, m2, m3, m4, m5, m6, m7, m8, m9], name)
}

#[test]
fn merges_bring_in_commits_in_one_order_each_once() {
    let scratch = Scratch::new();
    let (chain, name) = merges(&scratch);
    let steps = from_root(&scratch, chain[0], chain[9]);
    let told: Vec<Vec<String>> = steps
        .iter()
        .map(|step| {
            let foreign = |descent| if descent == Descent::Foreign { "!" } else { "" };
            step.commits.iter().map(|commit| format!("{}{}", foreign(commit.descent), name(commit.id))).collect()
        })
        .collect();
    let expected: [&[&str]; 10] = [
        &["root"],
        &["m1"],
        &["b1", "a1", "a2", "c1", "m2"],
        &["y1", "x1", "y2", "m3"],
        &["x2", "m4"],
        &["!foreign 1", "!foreign 2", "m5"],
        &["mixed", "m6"],
        &["!foreign 3", "!side", "m7"],
        &["m8"],
        &["late", "m9"],
    ];
    assert_eq!(told, expected);
    assert_eq!(steps[2].commits[4].parents, 4);
}

#[test]
fn reading_in_two_parts_is_reading_at_once() {
    let scratch = Scratch::new();
    let (chain, _) = merges(&scratch);
    let root = chain[0];
    let whole = from_root(&scratch, root, chain[9]);
    let repository = scratch.repository();
    for (split, tip) in chain.iter().enumerate() {
        let mut parts = from_root(&scratch, root, *tip);
        assert_eq!(parts.len(), split + 1);
        parts.extend(steps(&repository, Base::After { tip: *tip, root }, chain[9]).unwrap());
        assert_eq!(parts, whole, "split at {split}");
    }
}

#[test]
fn dates_out_of_order_do_not_bring_anything_in_twice() {
    let scratch = Scratch::new();
    let (past, future) = (100_000_000, 4_000_000_000);
    let root = scratch.graph("root", &[]);
    let early = scratch.graph_at(future, "early", &[root]);
    let mut tip = scratch.graph_at(past, "first", &[root]);
    tip = scratch.graph_at(past, "merge early", &[tip, early]);
    for number in 0..20 {
        tip = scratch.graph_at(past, &format!("main {number}"), &[tip]);
    }
    let accepted = tip;
    let late = scratch.graph_at(future, "late", &[early]);
    tip = scratch.graph_at(future, "merge late", &[tip, late]);
    // Git itself is misled here; if it is no longer, this test has lost its point.
    let listed = scratch.git(&["rev-list", &tip.to_string(), &format!("^{accepted}")]);
    assert!(listed.contains(&early.to_string()), "{listed}");

    let rest = steps(&scratch.repository(), Base::After { tip: accepted, root }, tip).unwrap();
    let [last] = rest.as_slice() else { panic!("{} steps", rest.len()) };
    assert_eq!(last.commits.iter().map(|commit| commit.id).collect::<Vec<_>>(), [late, tip]);
    assert_eq!(from_root(&scratch, root, tip).last(), Some(last));
}

#[test]
fn many_branch_points_do_not_change_what_descends() {
    // More old branch points than are asked about one by one.
    let scratch = Scratch::new();
    let root = scratch.graph("root", &[]);
    let alien = scratch.graph("alien", &[]);
    let mut tip = scratch.graph("merge alien", &[root, alien]);
    let mut old = Vec::new();
    for number in 0..40 {
        old.push(tip);
        tip = scratch.graph(&format!("main {number}"), &[tip]);
    }
    let accepted = tip;
    for (number, point) in old.iter().enumerate() {
        let branch = scratch.graph(&format!("branch {number}"), &[*point]);
        tip = scratch.graph(&format!("merge {number}"), &[tip, branch]);
    }
    let branch = scratch.graph("late alien", &[alien]);
    tip = scratch.graph("last", &[tip, branch]);
    let whole = from_root(&scratch, root, tip);
    let rest = steps(&scratch.repository(), Base::After { tip: accepted, root }, tip).unwrap();
    assert_eq!(rest, whole[whole.len() - rest.len()..]);
    let foreign: Vec<Oid> =
        whole.iter().flat_map(|step| &step.commits).filter(|c| c.descent == Descent::Foreign).map(|c| c.id).collect();
    assert_eq!(foreign, [alien, branch]);
}

#[test]
fn a_base_off_the_first_parent_chain_is_said_to_be_off() {
    let scratch = Scratch::new();
    let root = scratch.graph("root", &[]);
    let ours = scratch.graph("ours", &[root]);
    let theirs = scratch.graph("theirs", &[root]);
    let honest = scratch.graph("merge", &[ours, theirs]);
    // To Git this is a fast-forward from `ours`.
    let foxtrot = scratch.graph("foxtrot", &[theirs, ours]);
    let repository = scratch.repository();
    let after = |tip| Base::After { tip, root };
    assert_eq!(steps(&repository, after(ours), honest).unwrap().len(), 1);
    let off = |base, tip| assert_eq!(steps(&repository, after(base), tip), Err(GitError::NotOnChain { base, tip }));
    off(ours, foxtrot);
    off(ours, theirs);
    off(ours, root);
    assert_eq!(steps(&repository, after(ours), ours), Ok(vec![]));
    let stranger = scratch.graph("stranger", &[]);
    assert_eq!(steps(&repository, Base::Root(root), stranger), Err(GitError::NotOnChain { base: root, tip: stranger }));
}

#[test]
fn missing_and_corrupt_objects_end_the_steps() {
    let scratch = Scratch::new();
    let [root, second, third] = small(&scratch);
    let repository = scratch.repository();
    let nowhere = Oid::parse(&"1".repeat(40)).unwrap();
    assert_eq!(steps(&repository, Base::Root(nowhere), third), Err(GitError::MissingObject(nowhere)));
    assert_eq!(steps(&repository, Base::Root(root), nowhere), Err(GitError::MissingObject(nowhere)));
    let blob = scratch.id("HEAD:leases/2025-10/B.yaml");
    let object = |id: Oid| {
        let hex = id.to_string();
        scratch.path().join(".git/objects").join(&hex[..2]).join(&hex[2..])
    };
    std::fs::rename(object(blob), scratch.beside("kept")).unwrap();
    assert_eq!(steps(&repository, Base::Root(root), third), Err(GitError::MissingObject(blob)));
    // Another object's file under its name: the bytes are fine, the id is not theirs.
    std::fs::copy(object(scratch.id("HEAD:README")), object(blob)).unwrap();
    assert_eq!(steps(&repository, Base::Root(root), third), Err(GitError::Corrupt(blob)));
    std::fs::remove_file(object(blob)).unwrap();
    std::fs::rename(scratch.beside("kept"), object(blob)).unwrap();
    check_small(&repository, [root, second, third]);
}

#[test]
fn kinds_are_told_apart() {
    let scratch = Scratch::new();
    let [root, ..] = small(&scratch);
    scratch.git(&["tag", "-a", "-m", "a tag", "v1", &root.to_string()]);
    let mut objects = scratch.repository().objects().unwrap();
    let tag = scratch.id("refs/tags/v1");
    assert_eq!(objects.kind(tag).unwrap(), ObjectKind::Tag);
    assert!(objects.tag(tag).unwrap().starts_with(b"object "));
    let wrong = objects.commit(tag);
    assert_eq!(wrong, Err(GitError::WrongKind { id: tag, wanted: "commit", found: "tag" }));
    // The reader goes on after an error.
    assert!(objects.commit(root).is_ok());
}

#[test]
fn an_oversized_commit_is_ordinary_unless_it_has_a_statement() {
    use git_two_key::signature::Opened;
    let scratch = Scratch::new();
    let root = scratch.graph("root", &[]);
    let long = "long\n".repeat(300_000);
    let large = scratch.graph(&long, &[root]);
    let statement = scratch.graph(&format!("{long}\nTwo-Key-Statement: 1\n"), &[large]);
    let tip = scratch.graph("tip", &[statement]);
    let steps = from_root(&scratch, root, tip);
    let opened = |step: usize| steps[step].commits[0].opened.clone();
    assert_eq!(opened(1), Opened::Ordinary { signature: None });
    let Opened::Malformed(refusal) = opened(2) else { panic!("{:?}", opened(2)) };
    assert_eq!(refusal.reason, git_two_key::model::Reason::TooLarge);
    assert_eq!(opened(3), Opened::Ordinary { signature: None });
}

/// Git takes dates for an order, and lists what is to be left out where they are none.
#[test]
fn what_a_commit_has_and_another_has_not_is_so_whatever_dates_say() {
    const NOW: u64 = 1_761_531_600;
    for date in [NOW + 100, 1_000_000_000] {
        let scratch = Scratch::new();
        let mut old = vec![scratch.graph_at(NOW, "root", &[])];
        for number in 1..20 {
            old.push(scratch.graph_at(NOW + number, "old", &[*old.last().unwrap()]));
        }
        let fork = *old.last().unwrap();
        let ours = scratch.graph_at(NOW + 30, "ours", &[fork]);
        let mut theirs = fork;
        for _ in 0..12 {
            theirs = scratch.graph_at(date, "theirs", &[theirs]);
        }
        let repository = scratch.repository();
        let merge = scratch.graph_at(NOW + 40, "merge", &[ours, theirs]);
        assert_eq!(repository.commits_since(theirs, ours).unwrap(), [ours], "{date}");
        assert_eq!(repository.commits_since(theirs, merge).unwrap(), [ours, merge], "{date}");
        assert_eq!(repository.ahead(ours, theirs).unwrap(), 1, "{date}");
        assert_eq!(repository.reachable(&[ours], &[theirs]).unwrap(), [ours], "{date}");
        assert_eq!(repository.reachable(&[ours], &[theirs, old[3]]).unwrap(), [ours], "{date}");
        assert_eq!(repository.reachable(&[theirs], &[ours]).unwrap().len(), 12, "{date}");
    }
}

#[test]
fn a_word_that_is_two_refs_names_no_commit() {
    let scratch = Scratch::new();
    let (one, other) = (scratch.graph("one", &[]), scratch.graph("other", &[]));
    let repository = scratch.repository();
    scratch.git(&["update-ref", "refs/remotes/origin/main", &one.to_string()]);
    let named = |word: &str| repository.revision(word).map_err(|error| error.refusal().reason);
    let short = other.to_string()[..8].to_owned();
    assert_eq!((named("origin/main"), named(&short)), (Ok(Some(one)), Ok(Some(other))));
    for tag in ["origin/main", &short] {
        scratch.git(&["tag", tag, &one.to_string()]);
    }
    for word in ["origin/main", "origin/main~0", "origin/main^{tree}", &short] {
        assert_eq!(named(word), Err(git_two_key::model::Reason::Ambiguous), "{word}");
    }
    assert_eq!(named("refs/remotes/origin/main"), Ok(Some(one)));
    assert_eq!(named(&other.to_string()), Ok(Some(other)));
    assert_eq!(named("tags/origin/main"), Ok(Some(one)));
    assert_eq!(named("nowhere"), Ok(None));
}

#[test]
fn a_long_history_is_read_in_order() {
    let scratch = Scratch::new();
    let mut stream = String::new();
    for number in 0..1000 {
        let at = 1_761_530_400 + number;
        let message = format!("commit {number}\n");
        let length = message.len();
        writeln!(stream, "commit refs/heads/main\ncommitter A <a@example.com> {at} +0000").unwrap();
        writeln!(stream, "data {length}\n{message}").unwrap();
    }
    scratch.git_with(&["fast-import", "--quiet"], stream.as_bytes());
    let (root, tip) = (scratch.id("main~999"), scratch.id("main"));
    let steps = from_root(&scratch, root, tip);
    assert_eq!(steps.len(), 1000);
    for (number, step) in (0..).zip(&steps) {
        assert_eq!(step.claimed_time, 1_761_530_400 + number);
    }
}

/// Files at several depths come, change, move and go, some of them too large and some no files, over more commits than are
/// read ahead at once.
#[test]
fn files_of_many_commits_are_read_as_those_of_each_alone() {
    let scratch = Scratch::new();
    let mut stream = String::new();
    let large = "x".repeat(70_000);
    for number in 0..150_u32 {
        writeln!(stream, "commit refs/heads/main\ncommitter A <a@example.com> 1761530400 +0000\ndata 1\nx").unwrap();
        let deep = "d/".repeat(usize::try_from(number % 18).unwrap());
        let mut put = |mode: &str, path: &str, text: &str| {
            writeln!(stream, "M {mode} inline {path}\ndata {}\n{text}", text.len()).unwrap();
        };
        match number % 7 {
            0 => put("100644", &format!("leases/{deep}L{number}.yaml"), &format!("lease {number}\n")),
            1 => put("100644", &format!("leases/L{}.yaml", number % 5), &format!("lease {number}\n")),
            2 => put("100644", "leases/large.yaml", &format!("{number}{large}")),
            3 => put("120000", "leases/link.yaml", &number.to_string()),
            4 => put("100644", ".two-key/policy.yaml", &format!("policy {number}\n")),
            5 if number % 2 == 0 => writeln!(stream, "D leases/d").unwrap(),
            5 => writeln!(stream, "D leases").unwrap(),
            _ => put("100644", "README", &number.to_string()),
        }
    }
    scratch.git_with(&["-c", "fastimport.unpackLimit=10000", "fast-import", "--quiet"], stream.as_bytes());
    let chain: Vec<Oid> = (0..150).rev().map(|back| scratch.id(&format!("main~{back}"))).collect();
    let root = chain[0];
    let whole = from_root(&scratch, root, chain[149]);
    let repository = scratch.repository();
    let mut alone = from_root(&scratch, root, root);
    for pair in chain.windows(2) {
        alone.extend(steps(&repository, Base::After { tip: pair[0], root }, pair[1]).unwrap());
    }
    assert!(whole == alone);
    assert!(whole.iter().filter(|step| !step.leases.is_empty()).count() > 80);
    // What is asked for ahead of its turn and is not there is missed when its turn comes.
    let tree = scratch.id("main~20^{tree}");
    let hex = tree.to_string();
    fs::remove_file(scratch.path().join(".git/objects").join(&hex[..2]).join(&hex[2..])).unwrap();
    let mut broken = repository.steps(Base::Root(root), chain[149]).unwrap();
    assert_eq!(broken.by_ref().take_while(Result::is_ok).count(), 129);
    assert_eq!(steps(&repository, Base::Root(root), chain[149]), Err(GitError::MissingObject(tree)));
}

/// A commit-graph in which one commit has another first parent than it has.
fn lie(honest: &[u8], child: Oid, parent: Oid) -> Vec<u8> {
    let chunk = |name: &[u8]| {
        let at = honest.windows(4).position(|window| window == name).unwrap();
        usize::try_from(u64::from_be_bytes(honest[at + 4..at + 12].try_into().unwrap())).unwrap()
    };
    let (ids, commits) = (chunk(b"OIDL"), chunk(b"CDAT"));
    let place = |id: Oid| honest[ids..commits].chunks(20).position(|other| other == id.as_bytes()).unwrap();
    let at = commits + place(child) * 36 + 20;
    let mut graph = honest.to_vec();
    graph[at..at + 4].copy_from_slice(&u32::try_from(place(parent)).unwrap().to_be_bytes());
    graph
}

#[test]
fn a_commit_graph_that_lies_changes_nothing() {
    let scratch = Scratch::new();
    let root = scratch.graph("root", &[]);
    let mut chain = vec![root];
    for number in 0..60 {
        chain.push(scratch.graph(&number.to_string(), &[chain[number]]));
    }
    let (gone, tip) = (scratch.graph("gone", &[root]), chain[60]);
    scratch.git(&["update-ref", "refs/heads/main", &tip.to_string()]);
    scratch.git(&["update-ref", "refs/heads/gone", &gone.to_string()]);
    scratch.git(&["commit-graph", "write", "--reachable"]);
    scratch.git(&["update-ref", "-d", "refs/heads/gone"]);
    let (folder, name) = (&gone.to_string()[..2], &gone.to_string()[2..]);
    fs::remove_file(scratch.path().join(".git/objects").join(folder).join(name)).unwrap();
    let file = scratch.path().join(".git/objects/info/commit-graph");
    let honest = fs::read(&file).unwrap();
    // It leaves commits out, goes round in a circle, names what is not there, or is cut short.
    let lies = [(30, chain[20]), (30, root), (1, chain[9]), (30, gone)];
    let lies = lies.map(|(at, parent): (usize, Oid)| lie(&honest, chain[at], parent));
    for graph in lies.into_iter().chain([honest[..honest.len() / 2].to_vec(), honest.clone()]) {
        fs::remove_file(&file).unwrap();
        fs::write(&file, graph).unwrap();
        let ids: Vec<Oid> = from_root(&scratch, root, tip).iter().map(|step| step.commit).collect();
        assert_eq!(ids, chain);
    }
}
