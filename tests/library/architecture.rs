//! Holds the arrows between the rooms, and the purity of those inside.
//!
//! That the core names no room of the program is held by the compiler: it is a crate of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, UseTree, visit::Visit};

/// Where the core is, the crate of its own.
const CORE: &str = "crates/two-key-core/src";
/// Where the program is.
const PROGRAM: &str = "src";

/// Each room, where it is, with the rooms that it uses: no more, and no fewer.
const ROOMS: &[(&str, &str, &[&str])] = &[
    ("model", CORE, &[]),
    ("signature", CORE, &["model"]),
    ("ledger", CORE, &["signature", "model"]),
    ("gate", CORE, &["ledger", "model"]),
    ("inbox", CORE, &["ledger", "signature", "model"]),
    ("push", CORE, &["ledger", "signature", "model"]),
    ("admission", CORE, &["push", "ledger", "signature", "model"]),
    ("report", PROGRAM, &["gate", "risk", "admission", "ledger", "signature", "model"]),
    ("risk", PROGRAM, &["ledger", "model"]),
    ("process", PROGRAM, &[]),
    ("sources", PROGRAM, &["process", "gate", "model"]),
    ("git", PROGRAM, &["process", "push", "ledger", "signature", "model"]),
    ("changes", PROGRAM, &["git", "risk", "signature", "model"]),
    ("follower", PROGRAM, &["git", "report", "gate", "admission", "ledger", "signature", "model"]),
    ("reconciler", PROGRAM, &["follower", "process", "git", "sources", "gate", "admission", "ledger", "model"]),
    (
        "agent",
        PROGRAM,
        &[
            "changes",
            "follower",
            "process",
            "git",
            "sources",
            "gate",
            "risk",
            "report",
            "admission",
            "inbox",
            "ledger",
            "model",
        ],
    ),
    (
        "cli",
        PROGRAM,
        &[
            "agent",
            "reconciler",
            "changes",
            "follower",
            "process",
            "git",
            "sources",
            "gate",
            "risk",
            "report",
            "admission",
            "inbox",
            "ledger",
            "signature",
            "model",
        ],
    ),
];

/// Rooms of the program without I/O, clock, environment, processes and threads. Those of the core are all so.
const PURE: &[&str] = &["report", "risk"];

/// What a pure room never names, as the beginning or the end of a path.
const IMPURE: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "io"],
    &["std", "env"],
    &["std", "net"],
    &["std", "os"],
    &["std", "process"],
    &["thread", "spawn"],
    &["thread", "scope"],
    &["thread", "sleep"],
    &["thread", "Builder"],
    &["SystemTime"],
    &["Instant"],
    &["Timestamp", "now"],
    &["Zoned", "now"],
    &["git2"],
    &["rand"],
    &["rustix"],
    &["tempfile"],
    &["ureq"],
];

/// Every path that a file's product code names, in the order of its segments, grouped imports spelled out. What stands in
/// macros is taken from their tokens.
struct Paths {
    /// The module that is read, from the crate's root on.
    module: Vec<String>,
    found: BTreeSet<Vec<String>>,
    /// How deep in modules of the file's own it is read.
    depth: usize,
    /// What the file's own module imports, by the name that it has there.
    imports: BTreeMap<String, Vec<String>>,
}

impl Paths {
    /// Those of a module's source.
    fn of(module: &[String], source: &str) -> Self {
        let mut paths = Self { module: module.to_vec(), found: BTreeSet::new(), depth: 0, imports: BTreeMap::new() };
        paths.visit_file(&syn::parse_file(source).unwrap());
        paths
    }

    /// Keeps a path, from the crate's root on where that can be told.
    fn found(&mut self, path: Vec<String>) {
        let path = self.rooted(path);
        self.found.insert(path);
    }

    fn rooted(&self, path: Vec<String>) -> Vec<String> {
        let ups = path.iter().take_while(|segment| *segment == "super").count();
        let from_here = ups > 0 || path.first().is_some_and(|first| first == "self");
        match path.first().map(String::as_str) {
            Some("two_key_core") => [&owned(&["crate"]), &path[1..]].concat(),
            Some(_) if from_here => {
                let above = &self.module[..self.module.len() - ups];
                [&owned(&["crate"]), above, &path[ups.max(1)..]].concat()
            }
            _ => path,
        }
    }

    /// Keeps what is imported.
    fn imported(&mut self, name: &dyn ToString, path: Vec<String>) {
        if self.depth == 0 {
            let path = self.rooted(path.clone());
            self.imports.insert(name.to_string(), path);
        }
        self.found(path);
    }

    fn tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &dyn ToString| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) if name.ident == "self" => self.imported(&before[before.len() - 1], before.to_vec()),
            UseTree::Name(name) => self.imported(&name.ident, with(&name.ident)),
            UseTree::Rename(rename) => self.imported(&rename.rename, with(&rename.ident)),
            UseTree::Glob(_) => self.found(before.to_vec()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }

    /// Names joined by `::`, wherever they stand among a macro's tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.found(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.found(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.found(path);
    }

    /// The rooms that they lead into: from the crate's root, from the core's, or up from a file in a room.
    fn rooms(&self) -> BTreeSet<&str> {
        let rooms = self.found.iter().filter(|path| path.first().is_some_and(|first| first == "crate"));
        let rooms = rooms.filter_map(|path| path.get(1));
        rooms.map(String::as_str).filter(|room| ROOMS.iter().any(|(known, ..)| known == room)).collect()
    }

    fn impure(&self) -> impl Iterator<Item = &Vec<String>> {
        self.found
            .iter()
            .filter(|path| IMPURE.iter().any(|named| path.starts_with(&owned(named)) || path.ends_with(&owned(named))))
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(ToString::to_string).collect()
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if is_for_tests(attributes) {
            return;
        }
        let inner = if let Item::Mod(item) = item { Some(item.ident.to_string()) } else { None };
        let outer = self.module.len();
        let deeper = usize::from(inner.is_some());
        self.depth += deeper;
        self.module.extend(inner);
        syn::visit::visit_item(self, item);
        self.module.truncate(outer);
        self.depth -= deeper;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.found(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
    }
}

/// The module that a file is, from its crate's root on.
fn module(place: &str, file: &Path) -> Vec<String> {
    let below = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join(place)).unwrap().with_extension("");
    let mut module: Vec<String> = below.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    module.pop_if(|last| last == "mod");
    module
}

/// What breaks the rules in a module's file, where it uses what it may not or is to be pure; and the rooms that it uses.
fn wrongs(module: &[String], allowed: &[&str], pure: bool, source: &str) -> (Vec<String>, BTreeSet<String>) {
    let room = module[0].as_str();
    let paths = Paths::of(module, source);
    let used = paths.rooms().into_iter().filter(|other| *other != room);
    let (allowed, other): (Vec<&str>, Vec<&str>) = used.partition(|other| allowed.contains(other));
    let mut wrongs: Vec<String> = other.iter().map(|other| format!("{room} uses {other}")).collect();
    if pure {
        wrongs.extend(paths.impure().map(|path| format!("{room} is pure, but names {}", path.join("::"))));
    }
    (wrongs, allowed.into_iter().map(str::to_owned).collect())
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.file_name().is_some_and(|name| name == "tests.rs")
}

#[test]
fn arrows_point_one_way_and_the_core_is_pure() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for (room, place, allowed) in ROOMS {
        let mut files = Vec::new();
        sources(&top.join(place).join(room), &mut files);
        assert!(!files.is_empty(), "room {room} is empty");
        let pure = *place == CORE || PURE.contains(room);
        let mut used = BTreeSet::new();
        for file in files.iter().filter(|file| !is_test_file(file)) {
            let name = file.strip_prefix(top).unwrap().display();
            let (wrong, uses) = wrongs(&module(place, file), allowed, pure, &fs::read_to_string(file).unwrap());
            all.extend(wrong.into_iter().map(|wrong| format!("{name}: {wrong}")));
            used.extend(uses);
        }
        let unused = allowed.iter().filter(|other| !used.contains(**other));
        all.extend(unused.map(|other| format!("{room} may use {other}, and does not")));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn every_form_in_which_a_room_or_an_impure_thing_can_be_named_is_noticed() {
    let named = |source: &str| wrongs(&owned(&["ledger", "state"]), &["model"], true, source).0.len();
    for wrong in [
        "use crate::git::Repository;",
        "use crate::{git::Repository, model::Oid};",
        "use crate::{model::{Digest, Oid}, git::{self, Repository}};",
        "use crate::git as model;",
        "pub use crate::git::*;",
        "use super::super::git::Repository;",
        "mod inner { use super::super::super::git::Repository; }",
        "fn f() { crate::git::version(); }",
        "fn f(at: &two_key_core::admission::Push) {}",
        "impl crate::git::Trait for S {}",
        "fn f() { assert!(x, \"{}\", crate::git::version()); }",
        "use std::fs;",
        "use std::{collections::BTreeMap, fs::{self, File}, path::Path};",
        "use std::{fs as files, path::Path};",
        "fn f() { std::fs::read(path); }",
        "fn f() { vec![std::fs::read(path)]; }",
        "fn f() { std::thread::spawn(g); }",
        "fn f() { thread::scope(g); }",
        "use std::net::TcpStream;",
        "use std::time::{Duration, Instant};",
        "fn f() { jiff::Timestamp::now(); }",
        "#[cfg(not(test))] use std::env;",
        "mod inner { use std::process::Command; }",
    ] {
        assert!(named(wrong) > 0, "{wrong}");
    }
    for right in [
        "use crate::model::Oid;",
        "use crate::ledger::State;",
        "use super::state::State;",
        "use super::report::StepReport;",
        "mod inner { use super::super::git::Step; }",
        "use std::{collections::BTreeMap, time::Duration};",
        "//! Unlike `crate::git`, it reads no file: no `std::fs`.",
        "fn f() { g(\"crate::git\"); }",
        "#[cfg(test)] mod tests { use std::fs; use crate::git::Repository; }",
        "fn f(git: Git) { git.fs(); }",
    ] {
        assert_eq!(named(right), 0, "{right}");
    }
}

/// The largest circles of files of a room: files that name one another, be it by way of others. What a name stands for is
/// followed through `mod.rs`, which only hands on; that file itself and tests are left out.
fn circles(files: &BTreeMap<Vec<String>, Paths>) -> Vec<BTreeSet<String>> {
    let names = |module: &Vec<String>| {
        let found = files[module].found.iter();
        let named = found.filter_map(|path| resolved(files, module, path, 0));
        named.filter(|other| *other != module && !is_folder(files, other)).cloned().collect::<BTreeSet<_>>()
    };
    let direct: BTreeMap<_, _> =
        files.keys().filter(|module| !is_folder(files, module)).map(|module| (module.clone(), names(module))).collect();
    let reached = |from: &Vec<String>| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(next) = open.pop() {
            open.extend(direct[next].iter().filter(|other| seen.insert(Vec::clone(other))));
        }
        seen
    };
    let reached: BTreeMap<_, _> = direct.keys().map(|module| (module, reached(module))).collect();
    let circle = |module: &Vec<String>| -> BTreeSet<String> {
        let there = reached[module].iter().filter(|other| reached[other].contains(module));
        there.map(|other| other.join("::")).collect()
    };
    let circles: BTreeSet<_> = direct.keys().map(circle).filter(|circle| !circle.is_empty()).collect();
    circles.into_iter().collect()
}

/// Whether a module is a folder's own file.
fn is_folder(files: &BTreeMap<Vec<String>, Paths>, module: &[String]) -> bool {
    files.keys().any(|other| other.len() > module.len() && other.starts_with(module))
}

/// The file that has what a path names in a module, if that is one of these.
fn resolved<'a>(
    files: &'a BTreeMap<Vec<String>, Paths>,
    module: &[String],
    path: &[String],
    hops: usize,
) -> Option<&'a Vec<String>> {
    let path =
        if path.first().is_some_and(|first| first == "crate") { path[1..].to_vec() } else { [module, path].concat() };
    let longest = (1..=path.len()).rev().find_map(|length| files.get_key_value(&path[..length]))?;
    let (at, paths) = longest;
    let import = path.get(at.len()).and_then(|name| paths.imports.get(name));
    match import {
        Some(import) if hops < 8 && at != module => resolved(files, at, import, hops + 1),
        _ => Some(at),
    }
}

/// Rooms in which circles of more than two files are left.
const TANGLED: &[&str] = &["cli"];

#[test]
fn no_more_than_two_files_name_one_another() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (room, place, _) in ROOMS {
        let mut files = Vec::new();
        sources(&top.join(place).join(room), &mut files);
        let files = files.iter().filter(|file| !is_test_file(file)).map(|file| {
            let module = module(place, file);
            (module.clone(), Paths::of(&module, &fs::read_to_string(file).unwrap()))
        });
        let circles = circles(&files.collect());
        let large = circles.iter().find(|circle| circle.len() > 2);
        assert_eq!(large.is_some(), TANGLED.contains(room), "{room}: {large:?}");
    }
}

#[test]
fn a_circle_of_files_is_noticed_through_every_form_of_a_name() {
    let found = |sources: &[(&str, &str)]| {
        let files = sources.iter().map(|(module, source)| {
            let module: Vec<String> = module.split("::").map(str::to_owned).collect();
            (module.clone(), Paths::of(&module, source))
        });
        circles(&files.collect()).into_iter().map(|circle| Vec::from_iter(circle).join(" ")).collect::<Vec<_>>()
    };
    let room = ("git", "mod a; mod b; mod c; pub use a::A; pub use b::B as Bee;");
    let circle = [
        room,
        ("git::a", "use super::Bee; pub struct A;"),
        ("git::b", "pub struct B; fn f() { crate::git::c::g(); }"),
        ("git::c", "use crate::{git::A, model::Oid}; pub fn g() {}"),
    ];
    assert_eq!(found(&circle), ["git::a git::b git::c"]);
    let pair = [room, circle[1], ("git::b", "use super::{a, c::C}; pub struct B;"), ("git::c", "pub struct C;")];
    assert_eq!(found(&pair), ["git::a git::b"]);
    let by_tests_only = [room, circle[1], ("git::b", "pub struct B; #[cfg(test)] mod tests { use crate::git::A; }")];
    assert_eq!(found(&by_tests_only), Vec::<String>::new());
    let below = [
        ("git::a", "mod x; mod y; use x::X;"),
        ("git::a::x", "use super::y::Y; pub struct X;"),
        ("git::a::y", "use super::x::X; pub struct Y;"),
    ];
    assert_eq!(found(&below), ["git::a::x git::a::y"]);
}

/// The core has no dependency that does I/O, and what it depends on is few.
#[test]
fn the_core_depends_on_nothing_that_reaches_out() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(CORE).join("../Cargo.toml")).unwrap();
    let (_, product) = manifest.split_once("[dependencies]").unwrap();
    let (product, _) = product.split_once("[dev-dependencies]").unwrap();
    let names = product.lines().filter_map(|line| line.split_once(" = ").map(|(name, _)| name));
    let reaching = names.filter(|name| ["git2", "ureq", "rustix", "tempfile", "rand", "signal-hook"].contains(name));
    assert_eq!(reaching.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn files_stay_readable_in_one_sitting() {
    let mut files = Vec::new();
    for place in [PROGRAM, CORE] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(place), &mut files);
    }
    for file in files {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 600, "{} has {lines} lines: split it by what it is about", file.display());
    }
}
