//! Repositories for unit tests.

use super::{
    Repository,
    command::{Program, RepositoryVariables},
};
use crate::model::Oid;

/// A repository without anything in it.
pub(super) fn empty() -> (tempfile::TempDir, Repository) {
    empty_as("sha1")
}

/// The same with objects of some format.
pub(super) fn empty_as(format: &str) -> (tempfile::TempDir, Repository) {
    let folder = tempfile::tempdir().unwrap();
    let init = Program::git(RepositoryVariables::Dropped)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    init.args(["init", "--quiet", "--object-format", format]).arg(folder.path()).bytes().unwrap();
    let repository = Repository::open(folder.path()).unwrap();
    (folder, repository)
}

/// Writes commits of so many bytes, each the next one's parent.
pub(super) fn chain(repository: &Repository, sizes: &[usize]) -> Vec<Oid> {
    let mut chain: Vec<Oid> = Vec::new();
    for (number, bytes) in sizes.iter().enumerate() {
        let parent = chain.last().map(|parent| format!("parent {parent}\n")).unwrap_or_default();
        let who = format!("A Person <a@example> {} +0000", 1_761_530_400 + number);
        let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        let mut raw = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\n");
        raw += &"x".repeat(bytes - raw.len());
        let program = repository.run(&["hash-object", "-t", "commit", "-w", "--stdin"]).input(raw);
        chain.push(Oid::parse(&program.text().unwrap()).unwrap());
    }
    chain
}
