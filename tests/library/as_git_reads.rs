//! Commits, trees and tags that somebody altered, read by us, by Git and by libgit2. Whatever we take from one is what Git
//! takes, or it is malformed.
//!
//! `MUTANTS=100000 cargo test --release --test library as_git_reads` reads so many of each; without it there are a
//! few, the same ones always.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    fs::{self, File},
    path::Path,
    time::Instant,
};

use git_two_key::{
    git::{Node, Tree},
    model::Oid,
    signature::{ObjectFormat, links, parse_tag},
};

#[allow(dead_code, reason = "benches write more kinds")]
#[path = "../../benches/ledger/pack.rs"]
mod pack;

/// What the pack's writer runs.
mod run {
    use std::{path::Path, process::Command};

    /// Git in a repository, without anybody's configuration.
    pub fn git(repository: &Path) -> Command {
        let mut git = Command::new("git");
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("LC_ALL", "C");
        git.args(["-c", "core.commitGraph=false", "-C"]).arg(repository);
        git
    }
}

use crate::kit::dice::Dice;
use pack::{Kind, Pack};

const FORMATS: [(ObjectFormat, &str); 2] = [(ObjectFormat::Sha1, "sha1"), (ObjectFormat::Sha256, "sha256")];
/// Mutants of a kind and format unless `MUTANTS` says how many of a kind.
const FEW: usize = 1_500;

fn many() -> usize {
    std::env::var("MUTANTS").map_or(FEW, |text| text.parse::<usize>().unwrap() / FORMATS.len())
}

/// A repository with objects in it, by their ids, and libgit2's view of it.
struct World {
    folder: tempfile::TempDir,
    objects: Vec<(Oid, Vec<u8>)>,
    theirs: git2::Repository,
}

impl World {
    fn of(kind: Kind, (format, name): (ObjectFormat, &str), all: Vec<Vec<u8>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("repository");
        let init = run::git(folder.path()).args(["init", "-q", "--bare", "--object-format", name]).arg(&path).status();
        assert!(init.unwrap().success());
        let mut pack = Pack::create(&folder.path().join("pack"), format).unwrap();
        let (mut seen, mut objects) = (HashSet::new(), Vec::new());
        for bytes in all.into_iter().collect::<HashSet<_>>() {
            let id = pack.add(kind, &bytes).unwrap();
            if seen.insert(id) {
                objects.push((id, bytes));
            }
        }
        pack.into_repository(&path).unwrap();
        let theirs = git2::Repository::open_ext(&path, git2::RepositoryOpenFlags::NO_SEARCH, &[] as &[&Path]).unwrap();
        Self { folder, objects, theirs }
    }

    fn id(id: Oid) -> git2::Oid {
        git2::Oid::from_bytes(id.as_bytes()).unwrap()
    }

    /// What Git says to lines on its standard input, and whether it ended well.
    fn git(&self, args: &[&str], lines: &[String]) -> (Vec<u8>, bool) {
        let input = self.folder.path().join("input");
        fs::write(&input, lines.concat()).unwrap();
        let git =
            run::git(&self.folder.path().join("repository")).args(args).stdin(File::open(&input).unwrap()).output();
        let git = git.unwrap();
        (git.stdout, git.status.success())
    }
}

/// A different object id each time.
fn some_id(dice: &mut Dice, format: ObjectFormat) -> String {
    (0..format.hex_digits()).map(|_| char::from(b"0123456789abcdef"[dice.next(16)])).collect()
}

/// One to three alterations of lines, digits and bytes; or none.
fn altered(dice: &mut Dice, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..dice.next(4) {
        let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let (one, other) = (dice.next(lines.len()), dice.next(lines.len()));
        let at = dice.next(bytes.len());
        match dice.next(16) {
            0 if one < lines.len() => lines.swap(one, other),
            1 if one < lines.len() => lines.insert(other, lines[one].clone()),
            2 if one < lines.len() => drop(lines.remove(one)),
            3 if one < lines.len() => drop(lines[one].pop()),
            4 if one < lines.len() => lines[one].make_ascii_uppercase(),
            5 if one < lines.len() => {
                let head = lines[one].iter().position(|byte| *byte == b' ').unwrap_or(0);
                lines[one][head..].make_ascii_uppercase();
            }
            6 if one < lines.len() => {
                let end = lines[one].len().saturating_sub(1);
                lines[one].insert(end, b"0a \r\t>"[dice.next(6)]);
            }
            7 if one < lines.len() && lines[one].len() > 2 => {
                let end = lines[one].len() - 2;
                lines[one].remove(end);
            }
            8 if one < lines.len() => lines.insert(one, b"\n".to_vec()),
            // Ended after a line, with its line feed or without.
            9 if one < lines.len() => {
                lines.truncate(one + 1);
                if dice.next(2) == 0 {
                    lines[one].pop();
                }
            }
            _ => {
                match dice.next(4) {
                    0 => bytes.truncate(at),
                    1 if at < bytes.len() => bytes[at] ^= 1 << dice.next(8),
                    2 if at < bytes.len() => bytes[at] = b"\0\n <>-+09azAZ\xff"[dice.next(14)],
                    _ => bytes.insert(at.min(bytes.len()), b"\0\n <>-+09azAZ\xff"[dice.next(14)]),
                }
                continue;
            }
        }
        bytes = lines.concat();
    }
    bytes
}

fn commit(dice: &mut Dice, format: ObjectFormat) -> Vec<u8> {
    const WHEN: [&str; 14] = [
        "1761530400 +0000",
        "0 +0000",
        " 12 +0000",
        "\t12x",
        "-1 +0000",
        "-99999999999999999999",
        "18446744073709551615 +0000",
        "18446744073709551616 +0000",
        "9223372036854775808 -0000",
        "+5 +0000",
        "\u{b}5",
        "\u{c}5",
        "",
        "1 2 3",
    ];
    const WHO: [&str; 6] = ["A <a@example> ", "<> ", "A <a> b> ", "A a@example ", ">", "A <a@example>"];
    let tree = some_id(dice, format);
    let mut text = format!("tree {tree}\n");
    for _ in 0..dice.next(4) {
        let parent = if dice.next(40) == 0 { tree.clone() } else { some_id(dice, format) };
        writeln!(text, "parent {parent}").unwrap();
    }
    for role in ["author", "committer"] {
        let (who, when) = (WHO[dice.next(12).saturating_sub(6)], WHEN[dice.next(28).saturating_sub(14)]);
        writeln!(text, "{role} {who}{when}").unwrap();
    }
    text += ["", "encoding latin1\n", "gpgsig x\n y\n", "parent x\n"][dice.next(4)];
    altered(dice, &(text + "\nA message\n\nparent x\n"))
}

#[test]
fn commits() {
    let (many, begun, mut read) = (many(), Instant::now(), [0, 0]);
    for (format, name) in FORMATS {
        let mut dice = Dice(0x5eed);
        let world = World::of(Kind::Commit, (format, name), (0..many).map(|_| commit(&mut dice, format)).collect());
        let ids: Vec<String> = world.objects.iter().map(|(id, _)| format!("{id}\n")).collect();
        let args = [
            "rev-list",
            "--no-walk=unsorted",
            "--ignore-missing",
            "--parents",
            "--timestamp",
            "--format=%T",
            "--stdin",
        ];
        let (said, well) = world.git(&args, &ids);
        assert!(well);
        let said = String::from_utf8(said).unwrap();
        let mut lines = said.lines();
        let mut git = HashMap::new();
        while let (Some(line), Some(tree)) = (lines.next(), lines.next()) {
            let mut words = line.split(' ');
            let (time, id) = (words.next().unwrap(), words.nth(1).unwrap());
            let parents: Vec<&str> = words.collect();
            git.insert(id.to_owned(), (tree.to_owned(), parents.join(" "), time.to_owned()));
        }
        for (id, bytes) in &world.objects {
            let ours = links(bytes, format).ok().map(|links| {
                let parents: Vec<String> = links.parents.iter().map(ToString::to_string).collect();
                (links.tree.to_string(), parents.join(" "), links.committer_time.to_string())
            });
            let shown = || String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(ours.as_ref(), git.get(&id.to_string()), "{id}: {:?}", shown());
            // libgit2 asks for more than Git does; what it reads, it reads as Git.
            if let Ok(commit) = world.theirs.find_commit(World::id(*id))
                && let Some((tree, parents, _)) = &ours
            {
                let theirs: Vec<String> = commit.parent_ids().map(|id| id.to_string()).collect();
                assert_eq!((commit.tree_id().to_string(), theirs.join(" ")), (tree.clone(), parents.clone()), "{id}");
                read[1] += 1;
            }
            read[0] += usize::from(ours.is_some());
        }
        assert!(git.len() > many / 3 && git.len() < many, "{} of {many}", git.len());
    }
    println!("commits: {many} of each format, {read:?} read, {:?}", begun.elapsed());
}

fn tree(dice: &mut Dice, format: ObjectFormat) -> Vec<u8> {
    const MODES: [&str; 18] = [
        "100644",
        "100755",
        "40000",
        "120000",
        "160000",
        "100664",
        "040000",
        "0",
        "1100644",
        "7777777777100644",
        "140000",
        "060000",
        "",
        "+100644",
        "100648",
        "-1",
        "0100644",
        "1040755",
    ];
    const NAMES: [&[u8]; 12] =
        [b"a", b"a.b", b"b", b"leases", b".two-key", b"a0", b"a-", b"L1.yaml", b"a/b", b"", b"\xff", b".."];
    let mut entries: Vec<Vec<u8>> = (0..dice.next(6))
        .map(|_| {
            let (mode, name) = (MODES[dice.next(54).saturating_sub(36)], NAMES[dice.next(24).saturating_sub(12)]);
            let id: Vec<u8> = (0..format.hex_digits() / 2).map(|_| u8::try_from(dice.next(256)).unwrap()).collect();
            [mode.as_bytes(), b" ", name, b"\0", &id].concat()
        })
        .collect();
    if dice.next(4) != 0 {
        let key = |entry: &Vec<u8>| {
            let name: Vec<u8> = entry.iter().skip_while(|byte| **byte != b' ').skip(1).copied().collect();
            let name = name.split(|byte| *byte == 0).next().unwrap().to_vec();
            if entry.starts_with(b"4") || entry.starts_with(b"04") { [&name[..], b"/"].concat() } else { name }
        };
        entries.sort_by_key(key);
    }
    let mut bytes = entries.concat();
    for _ in 0..dice.next(3).saturating_sub(1) {
        let at = dice.next(bytes.len());
        match dice.next(4) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << dice.next(8),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.insert(at.min(bytes.len()), b"\0 /7+4"[dice.next(6)]),
        }
    }
    bytes
}

/// An entry's mode, id and name.
type Entry = (u32, String, Vec<u8>);

/// What Git reads of each tree; nothing of those that it dies of. It is started again after each of them.
fn as_git_reads_trees(world: &World, empty: &str) -> HashMap<String, Vec<Entry>> {
    let mut read = HashMap::new();
    let ids: Vec<String> = world.objects.iter().map(|(id, _)| id.to_string()).collect();
    for ids in ids.chunks(200) {
        let mut from = 0;
        while from < ids.len() {
            let lines: Vec<String> = ids[from..].iter().map(|id| format!("{empty} {id}\n")).collect();
            let (said, well) = world.git(&["diff-tree", "--stdin", "-z", "--no-renames", "--no-abbrev"], &lines);
            let last = take(&said, &mut read);
            if well {
                break;
            }
            // It says which tree it turns to, and dies of that one.
            let last = last.unwrap();
            read.remove(&last);
            from = ids.iter().position(|id| *id == last).unwrap() + 1;
        }
    }
    read
}

/// Takes what Git says of trees; the last that it turned to.
fn take(said: &[u8], read: &mut HashMap<String, Vec<Entry>>) -> Option<String> {
    let (mut at, mut last) = (0, None);
    while at < said.len() {
        if said[at] != b':' {
            let line = &said[at..at + said[at..].iter().position(|byte| *byte == b'\n').unwrap()];
            let id = std::str::from_utf8(line).unwrap().split(' ').nth(1).unwrap().to_owned();
            read.insert(id.clone(), Vec::new());
            last = Some(id);
            at += line.len() + 1;
            continue;
        }
        let part = |from: usize| from + said[from..].iter().position(|byte| *byte == 0).unwrap();
        let head = part(at);
        let end = part(head + 1);
        let words: Vec<&str> = std::str::from_utf8(&said[at..head]).unwrap().split(' ').collect();
        let entry = (u32::from_str_radix(words[1], 8).unwrap(), words[3].to_owned(), said[head + 1..end].to_vec());
        read.get_mut(last.as_ref().unwrap()).unwrap().push(entry);
        at = end + 1;
    }
    last
}

#[test]
fn trees() {
    let (many, begun, mut read) = (many(), Instant::now(), [0, 0]);
    for (format, name) in FORMATS {
        let mut dice = Dice(0x5eed);
        let world = World::of(Kind::Tree, (format, name), (0..many).map(|_| tree(&mut dice, format)).collect());
        let empty = world.git(&["hash-object", "-t", "tree", "-w", "--stdin"], &[]).0;
        let git = as_git_reads_trees(&world, String::from_utf8(empty).unwrap().trim());
        for (id, bytes) in &world.objects {
            let ours = Tree::parse(bytes, format);
            let git = git.get(&id.to_string());
            let shown = || String::from_utf8_lossy(bytes).into_owned();
            let Some(ours) = ours else {
                assert!(git.is_none_or(|entries| ambiguous(entries)), "{id}: {:?}", shown());
                continue;
            };
            assert!(git.is_some() || bytes.is_empty(), "{id}: {:?}", shown());
            let git: &[Entry] = git.map_or(&[], Vec::as_slice);
            assert!(!ambiguous(git), "{id}: {:?}", shown());
            assert_eq!(listed(&ours), nodes(git), "{id}: {:?}", shown());
            read[0] += 1;
            if let Ok(tree) = world.theirs.find_tree(World::id(*id)) {
                let entry = |entry: git2::TreeEntry<'_>| {
                    (u32::try_from(entry.filemode_raw()).unwrap(), entry.id().to_string(), entry.name_bytes().to_vec())
                };
                assert_eq!(listed(&ours), nodes(&tree.iter().map(entry).collect::<Vec<_>>()), "{id}: {:?}", shown());
                read[1] += 1;
            }
        }
        assert!(read[0] > many / 3 && read[0] < 2 * many, "{read:?} of {many}");
    }
    println!("trees: {many} of each format, {read:?} read, {:?}", begun.elapsed());
}

/// Whether Git's readers find one thing or another in a tree that lists these.
fn ambiguous(entries: &[Entry]) -> bool {
    let place = |(mode, _, name): &Entry| [&name[..], if mode & 0o170_000 == 0o040_000 { b"/" } else { b"" }].concat();
    entries.iter().any(|(_, _, name)| name.contains(&b'/')) || !entries.is_sorted_by_key(place)
}

/// What may be opened under each name.
fn nodes(entries: &[Entry]) -> BTreeMap<Vec<u8>, String> {
    let mut nodes = BTreeMap::new();
    for (mode, id, name) in entries {
        let node = match mode & 0o170_000 {
            0o100_000 => format!("file {id}"),
            0o040_000 => format!("folder {id}"),
            _ => "other".to_owned(),
        };
        let twice = nodes.contains_key(name);
        nodes.insert(name.clone(), if twice { "other".to_owned() } else { node });
    }
    nodes
}

fn listed(tree: &Tree) -> BTreeMap<Vec<u8>, String> {
    let node = |node| match node {
        Node::File(id) => format!("file {id}"),
        Node::Folder(id) => format!("folder {id}"),
        Node::Other => "other".to_owned(),
        Node::Absent => panic!("an entry that is not there"),
    };
    tree.iter().map(|(name, what)| (name.to_vec(), node(what))).collect()
}

#[test]
fn tags() {
    let (many, begun, mut read) = (many(), Instant::now(), 0);
    for (format, name) in FORMATS {
        let mut dice = Dice(0x5eed);
        // Its target has to be there.
        let digits = "0".repeat(format.hex_digits());
        let target = format!("tree {digits}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\n");
        let on = World::of(Kind::Commit, (format, name), vec![target.clone().into_bytes()]).objects[0].0;
        let tag = |dice: &mut Dice| {
            let kind = ["commit", "commit", "commit", "tree", "tag"][dice.next(5)];
            let tag = ["rollout/L1/1-start-5", "v1", "", "ä"][dice.next(4)];
            let text = format!(
                "object {on}\ntype {kind}\ntag {tag}\ntagger A <a@example> 1761530400 +0000\n\n{}\n",
                some_id(dice, format)
            );
            altered(dice, &text)
        };
        let world = World::of(Kind::Tag, (format, name), (0..many).map(|_| tag(&mut dice)).collect());
        let written = world.git(&["hash-object", "-t", "commit", "-w", "--literally", "--stdin"], &[target]);
        assert_eq!(String::from_utf8(written.0).unwrap().trim(), on.to_string());
        // The target first: what Git once takes for a tree, because a tag says so, is no commit to it any more.
        let ids = std::iter::once(on).chain(world.objects.iter().map(|(id, _)| *id));
        let peeled: Vec<String> = ids.map(|id| format!("{id}^{{}}\n")).collect();
        let (said, _) = world.git(&["cat-file", "--batch-check=%(objectname)"], &peeled);
        let said = String::from_utf8(said).unwrap();
        for ((id, bytes), git) in world.objects.iter().zip(said.lines().skip(1)) {
            let Ok(tag) = parse_tag(bytes, format) else { continue };
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(git == on.to_string(), tag.object == on, "{id}: {git} {shown:?}");
            let theirs = world.theirs.find_tag(World::id(*id)).unwrap();
            assert_eq!(theirs.name_bytes(), tag.name.as_bytes(), "{id}: {shown:?}");
            assert_eq!(theirs.target_id().to_string(), tag.object.to_string(), "{id}: {shown:?}");
            read += 1;
        }
        assert!(read > many / 10, "{read} of {many}");
    }
    println!("tags: {many} of each format, {read} read, {:?}", begun.elapsed());
}
