//! Keeps `docs/attacks.md` what the tests are.

use std::{fmt::Write as _, fs, path::Path};

use git_two_key::model::Reason;

const HEAD: &str = "\
# Attacks

Each row is a test under `tests/attacks/`: real Git and ssh-keygen against the real hook, by `git push`. Beside each
attack the test makes the nearest honest push, which is admitted. An attack on what counts is landed on a server without
a hook too: there it alters nothing, `verify --all` finds it for the same reason, and honest votes after it count as if
it were not there. Attacks on the applier meet `git two-key apply --once`. Run a section's tests with
`cargo test --test attacks a01`.

This page is written from the tests: `UPDATE_DOCS=1 cargo test --test attacks catalogue`.
";

#[test]
fn the_page_says_what_is_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> =
        fs::read_dir(folder.join("tests/attacks")).unwrap().map(|file| file.unwrap().path()).collect();
    let number = |name: &str| name.starts_with('a') && name[1..].starts_with(|char: char| char.is_ascii_digit());
    files.retain(|file| number(file.file_name().unwrap().to_str().unwrap()));
    files.sort();
    let main = fs::read_to_string(folder.join("tests/attacks/main.rs")).unwrap();
    let mut page = HEAD.to_owned();
    for file in files {
        let module = file.file_stem().unwrap().to_str().unwrap();
        assert!(main.contains(&format!("mod {module};")), "{module} is not run");
        page += &section(module, &fs::read_to_string(&file).unwrap());
    }
    let document = folder.join("docs/attacks.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&document, &page).unwrap();
    }
    let written = fs::read_to_string(&document).unwrap_or_default();
    assert_eq!(written, page, "write it anew with: UPDATE_DOCS=1 cargo test --test attacks catalogue");
}

/// A file's title, and a row for each of its tests.
fn section(module: &str, text: &str) -> String {
    let (number, _) = module[1..].split_once('_').unwrap();
    let title = text.lines().next().unwrap().strip_prefix("//! ").unwrap();
    let number: u8 = number.parse().unwrap();
    let mut out = format!("\n## {number}. {title}\n\n| attack | reason code | test |\n|---|---|---|\n");
    let parts: Vec<_> = text.split("\n#[test]\nfn ").collect();
    for pair in parts.windows(2) {
        let lines: Vec<_> = pair[0].lines().rev().map_while(|line| line.strip_prefix("/// ")).collect();
        let what = lines.into_iter().rev().collect::<Vec<_>>().join(" ");
        let (name, rest) = pair[1].split_once("()").unwrap();
        let body = rest.split("\n}\n").next().unwrap();
        assert!(!what.is_empty(), "{module}::{name} does not say what it is");
        let codes = codes(body);
        let codes = if codes.is_empty() { "none: admitted".to_owned() } else { codes.join(", ") };
        writeln!(out, "| {what} | {codes} | `{module}::{name}` |").unwrap();
    }
    out
}

/// The reason codes among a test's words, in their order.
fn codes(body: &str) -> Vec<String> {
    let mut codes = Vec::new();
    for word in body.split('"').skip(1).step_by(2).map(|word| word.trim_end_matches([':', ' '])) {
        let code = format!("`{word}`");
        if Reason::ALL.iter().any(|reason| reason.code() == word) && !codes.contains(&code) {
            codes.push(code);
        }
    }
    codes
}
