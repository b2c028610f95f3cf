//! Names this build, for what the hook remembers between pushes: another build may have other rules.

#![allow(clippy::disallowed_macros, reason = "Cargo listens to standard output")]

use std::{
    collections::BTreeSet,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    path::{Path, PathBuf},
};

/// Where the program's code is, the core's included.
const FOLDERS: [&str; 2] = ["src", "crates"];

fn main() -> io::Result<()> {
    let mut files = BTreeSet::from([PathBuf::from("Cargo.lock"), PathBuf::from("Cargo.toml")]);
    for folder in FOLDERS {
        sources(Path::new(folder), &mut files)?;
    }
    let mut hasher = DefaultHasher::new();
    for file in files.iter().filter(|file| file.is_file()) {
        file.hash(&mut hasher);
        fs::read(file)?.hash(&mut hasher);
        println!("cargo::rerun-if-changed={}", file.display());
    }
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
    }
    println!("cargo::rustc-env=TWO_KEY_BUILD={:016x}", hasher.finish());
    Ok(())
}

fn sources(folder: &Path, files: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, files)?;
        } else {
            files.insert(path);
        }
    }
    Ok(())
}
