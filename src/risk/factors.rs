//! Factors beside the score: facts about a change that a policy can answer with tighter terms, each by itself.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Reason, Refusal};

use super::facts::{FileChange, FileKind};

/// How many days back reverts and rollbacks are looked for.
pub const DAYS: i64 = 90;
/// How many paths are named before the rest is only counted.
const NAMED: usize = 5;

/// A factor, by the name that policies and leases write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Factor {
    /// A path is touched that the policy calls sensitive.
    SensitivePath,
    /// A lockfile is touched: other people's code changes with it.
    Lockfile,
    /// A database migration is touched: going back may need more than the old binary.
    Migration,
    /// Code is touched, and no test.
    NoTests,
    /// A file is gone.
    DeletedFiles,
    /// A file has another path.
    RenamedFiles,
    /// A file is touched that has no lines: nobody reads what changed in it.
    BinaryFiles,
    /// A touched file was part of a revert in the last 90 days.
    #[serde(rename = "reverts-90d")]
    Reverts,
    /// The target was rolled back in the last 90 days.
    EarlierRollbacks,
    /// The change does not start from what the ledger says runs, so part of what will change is not measured.
    OtherStart,
    /// The target's applier last said that what was there could not be restored, or that it has no pack to restore.
    UnrestorablePack,
}

impl Factor {
    /// Every factor.
    pub const ALL: [Self; 11] = [
        Self::SensitivePath,
        Self::Lockfile,
        Self::Migration,
        Self::NoTests,
        Self::DeletedFiles,
        Self::RenamedFiles,
        Self::BinaryFiles,
        Self::Reverts,
        Self::EarlierRollbacks,
        Self::OtherStart,
        Self::UnrestorablePack,
    ];

    /// The name in policies and leases.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SensitivePath => "sensitive-path",
            Self::Lockfile => "lockfile",
            Self::Migration => "migration",
            Self::NoTests => "no-tests",
            Self::DeletedFiles => "deleted-files",
            Self::RenamedFiles => "renamed-files",
            Self::BinaryFiles => "binary-files",
            Self::Reverts => "reverts-90d",
            Self::EarlierRollbacks => "earlier-rollbacks",
            Self::OtherStart => "other-start",
            Self::UnrestorablePack => "unrestorable-pack",
        }
    }
}

/// A factor that a change has, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FoundFactor {
    /// Which.
    pub name: Factor,
    /// What gave rise to it, in a few words.
    pub why: String,
}

/// Path patterns that a policy calls sensitive.
#[derive(Debug, Clone)]
pub struct Sensitive(GlobSet);

impl Sensitive {
    /// Compiles patterns. `*` stays within a folder, `**` does not; a pattern without `/` is looked for in every folder.
    pub fn new(patterns: &[String]) -> Result<Self, Refusal> {
        let refuse = |pattern: &str, error: &globset::Error| {
            let message = format!("`{pattern}` under `risk.sensitive` is no path pattern: {error}");
            Refusal::new(Reason::Malformed, message).hint("write it as in: auth/**, *.sql, deploy/*/secrets.yaml")
        };
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let anchored = if pattern.contains('/') {
                pattern.strip_prefix('/').unwrap_or(pattern).to_owned()
            } else {
                format!("**/{pattern}")
            };
            let glob = GlobBuilder::new(&anchored).literal_separator(true).backslash_escape(true).build();
            set.add(glob.map_err(|error| refuse(pattern, &error))?);
        }
        set.build().map(Self).map_err(|error| refuse("", &error))
    }

    fn touches(&self, file: &FileChange) -> bool {
        file.paths().any(|path| self.0.is_match(path))
    }
}

/// The factors that the touched paths give.
pub(in crate::risk) fn of_paths(files: &[FileChange], sensitive: &Sensitive) -> Vec<FoundFactor> {
    let mut found = Vec::new();
    let mut look = |name, paths: Vec<&str>| {
        if !paths.is_empty() {
            found.push(FoundFactor { name, why: listed(&paths) });
        }
    };
    let matching = |test: &dyn Fn(&FileChange) -> bool| -> Vec<&str> {
        files.iter().filter(|file| test(file)).map(|file| file.path.as_str()).collect()
    };
    look(Factor::SensitivePath, matching(&|file| sensitive.touches(file)));
    look(Factor::Lockfile, matching(&|file| is_lockfile(&file.path)));
    look(Factor::Migration, matching(&|file| is_migration(&file.path)));
    let code = |file: &FileChange| !is_prose(&file.path) && !is_lockfile(&file.path) && !is_test(&file.path);
    let tested = files.iter().any(|file| is_test(&file.path) && file.kind != FileKind::Deleted);
    if !tested {
        look(Factor::NoTests, matching(&code));
    }
    look(Factor::DeletedFiles, matching(&|file| file.kind == FileKind::Deleted));
    look(Factor::RenamedFiles, matching(&|file| file.renamed_from.is_some()));
    look(Factor::BinaryFiles, matching(&|file| file.lines.is_none() && file.kind != FileKind::Submodule));
    found
}

/// Touched paths that are made by programs, as far as their names tell. They are said, and counted all the same: if
/// they were left out, a file's name could lower a score.
pub(in crate::risk) fn generated(files: &[FileChange]) -> Vec<&str> {
    files.iter().map(|file| file.path.as_str()).filter(|path| is_generated(path)).collect()
}

/// A few paths, and how many more there are.
pub(in crate::risk) fn listed(paths: &[&str]) -> String {
    let named = paths.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn in_folder(path: &str, folders: &[&str]) -> bool {
    let within = path.rsplit_once('/').map_or("", |(within, _)| within);
    within.split('/').any(|part| folders.contains(&part.to_lowercase().as_str()))
}

fn is_lockfile(path: &str) -> bool {
    const NAMES: [&str; 26] = [
        "Cargo.lock",
        "package-lock.json",
        "npm-shrinkwrap.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "bun.lock",
        "bun.lockb",
        "deno.lock",
        "go.sum",
        "Gemfile.lock",
        "poetry.lock",
        "Pipfile.lock",
        "uv.lock",
        "pdm.lock",
        "composer.lock",
        "mix.lock",
        "pubspec.lock",
        "Podfile.lock",
        "Package.resolved",
        "flake.lock",
        "gradle.lockfile",
        "packages.lock.json",
        "conan.lock",
        ".terraform.lock.hcl",
        "MODULE.bazel.lock",
        "Chart.lock",
    ];
    NAMES.contains(&name(path))
}

fn is_migration(path: &str) -> bool {
    let name = name(path);
    let numbered = name.strip_prefix('V').is_some_and(|rest| {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '_');
        rest.len() < name.len() - 1 && name.contains("__")
    });
    in_folder(path, &["migrations", "migration", "migrate", "alembic", "flyway", "liquibase"])
        || (numbered && has_extension(name, &["sql"]))
        || ["schema.rb", "structure.sql", "schema.prisma"].contains(&name)
}

fn is_test(path: &str) -> bool {
    let name = name(path);
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let marked = ["_test.", ".test.", "_spec.", ".spec.", "_tests."].iter().any(|mark| name.contains(mark));
    in_folder(path, &["test", "tests", "__tests__", "spec", "specs", "testing", "testdata", "e2e"])
        || marked
        || stem.starts_with("test_")
        || ["Test", "Tests", "Spec"].iter().any(|end| stem.ends_with(end) && stem.len() > end.len())
        || ["conftest.py", "tests.rs", "test.rs", "tests.py"].contains(&name)
}

fn is_prose(path: &str) -> bool {
    let name = name(path);
    in_folder(path, &["doc", "docs"])
        || has_extension(name, &["md", "markdown", "rst", "adoc", "txt"])
        || ["LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS"].iter().any(|start| name.starts_with(start))
}

fn is_generated(path: &str) -> bool {
    const ENDS: [&str; 12] = [
        ".min.js",
        ".min.css",
        ".map",
        ".pb.go",
        "_pb2.py",
        "_pb2_grpc.py",
        ".pb.cc",
        ".pb.h",
        ".g.dart",
        ".snap",
        ".designer.cs",
        ".generated.ts",
    ];
    is_lockfile(path)
        || in_folder(path, &["vendor", "node_modules", "third_party", "dist", "generated", "__snapshots__"])
        || ENDS.iter().any(|end| path.to_lowercase().ends_with(end))
}

fn has_extension(name: &str, extensions: &[&str]) -> bool {
    name.rsplit_once('.').is_some_and(|(_, end)| extensions.contains(&end.to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::LineCount;

    fn file(path: &str) -> FileChange {
        FileChange {
            path: path.to_owned(),
            renamed_from: None,
            kind: FileKind::Changed,
            lines: Some(LineCount::default()),
        }
    }

    fn names(paths: &[&str], patterns: &[&str]) -> Vec<&'static str> {
        let files: Vec<_> = paths.iter().map(|path| file(path)).collect();
        let patterns: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let found = of_paths(&files, &Sensitive::new(&patterns).unwrap());
        found.iter().map(|found| found.name.name()).collect()
    }

    #[test]
    fn each_factor_has_its_path_and_its_neighbour_has_it_not() {
        assert_eq!(names(&["src/a.rs", "tests/a.rs"], &[]), [""; 0]);
        assert_eq!(names(&["src/a.rs"], &[]), ["no-tests"]);
        assert_eq!(names(&["README.md", "docs/x.svg"], &[]), [""; 0]);
        assert_eq!(names(&["web/yarn.lock"], &[]), ["lockfile"]);
        assert_eq!(names(&["web/yarn.lock.md"], &[]), [""; 0]);
        assert_eq!(names(&["db/migrate/1_x.rb", "spec/x.rb"], &[]), ["migration"]);
        assert_eq!(names(&["sql/V12__add.sql", "x_test.go"], &[]), ["migration"]);
        assert_eq!(names(&["sql/Views.sql", "x_test.go"], &[]), [""; 0]);
    }

    #[test]
    fn a_deleted_test_is_no_test() {
        let mut gone = file("tests/a.rs");
        gone.kind = FileKind::Deleted;
        let found = of_paths(&[file("src/a.rs"), gone], &Sensitive::new(&[]).unwrap());
        assert_eq!(found.iter().map(|found| found.name).collect::<Vec<_>>(), [Factor::NoTests, Factor::DeletedFiles]);
    }

    #[test]
    fn what_has_no_lines_to_be_counted_has_a_factor() {
        let found = |change: &dyn Fn(&mut FileChange)| {
            let mut file = file("docs/a");
            change(&mut file);
            let found = of_paths(&[file], &Sensitive::new(&[]).unwrap());
            found.iter().map(|found| found.name).collect::<Vec<_>>()
        };
        assert_eq!(found(&|_| ()), []);
        assert_eq!(found(&|file| file.kind = FileKind::Deleted), [Factor::DeletedFiles]);
        assert_eq!(found(&|file| file.renamed_from = Some("docs/b".to_owned())), [Factor::RenamedFiles]);
        assert_eq!(found(&|file| file.lines = None), [Factor::BinaryFiles]);
        assert_eq!(found(&|file| (file.lines, file.kind) = (None, FileKind::Submodule)), []);
    }

    #[test]
    fn sensitive_patterns_know_folders() {
        let tests = ["tests/t.rs"];
        let touched = |path: &'static str, pattern| names(&[path, tests[0]], &[pattern]) == ["sensitive-path"];
        assert!(touched("auth/login/a.rs", "auth/**"));
        assert!(!touched("lib/auth/a.rs", "auth/**"));
        assert!(touched("a/b/x.sql", "*.sql"));
        assert!(!touched("deploy/a/b/secrets.yaml", "deploy/*/secrets.yaml"));
        assert!(touched("deploy/a/secrets.yaml", "/deploy/*/secrets.yaml"));
        // Moving a file out of the folder touches the folder.
        let mut moved = file("lib/a.rs");
        moved.renamed_from = Some("auth/a.rs".to_owned());
        assert!(Sensitive::new(&["auth/**".to_owned()]).unwrap().touches(&moved));
    }

    #[test]
    fn a_pattern_that_is_none_is_malformed() {
        let refusal = Sensitive::new(&["auth/[".to_owned()]).unwrap_err();
        assert_eq!(refusal.reason, Reason::Malformed);
        assert!(refusal.message.contains("auth/["), "{refusal}");
    }

    #[test]
    fn names_are_what_json_says() {
        for factor in Factor::ALL {
            assert_eq!(serde_json::to_value(factor).unwrap(), factor.name());
        }
    }
}
