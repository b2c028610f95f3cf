//! Keeps `tests/attacks/README.md` what the tests are.

use std::{fmt::Write as _, fs, path::Path};

use git_two_key::model::Reason;

const HEAD: &str = "\
# Attacks

Each sentence in a list is the comment of a test: a `git push` with real Git and ssh-keygen, beside the nearest honest push, which is admitted.
The hook refuses the attack with this reason code, and nothing changes. The section's file (`tests/attacks/a01_….rs` for section 1) says which
rule refuses it. Unless marked,

- `git two-key ci` refuses the same pull request, as a merge commit and as a fast-forward, and admits its honest twin;
- on a server without a hook the attack alters nothing, `verify --all` finds it, the applier wants and sees what it did before, and honest
  votes after it count.

(ci): only the hook and `ci`. (hook): only the hook. (apply): judged by an applier. `cargo test --test attacks a01` runs section 1;
`UPDATE_DOCS=1 cargo test --test attacks catalogue` writes this page.
";

/// A file of attacks.
struct Section {
    number: u8,
    title: String,
    attacks: Vec<Attack>,
}

/// One attack.
struct Attack {
    what: String,
    codes: Vec<String>,
    judges: &'static str,
}

const EVERYWHERE: &str = "all";

impl Attack {
    /// Its reason codes, and who judges it.
    fn label(&self) -> String {
        let codes = if self.codes.is_empty() { "admitted".to_owned() } else { self.codes.join(", ") };
        if self.judges == EVERYWHERE { codes } else { format!("{codes} ({})", self.judges) }
    }
}

#[test]
fn the_page_says_what_is_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> =
        fs::read_dir(folder.join("tests/attacks")).unwrap().map(|file| file.unwrap().path()).collect();
    let number = |name: &str| name.starts_with('a') && name[1..].starts_with(|char: char| char.is_ascii_digit());
    files.retain(|file| number(file.file_name().unwrap().to_str().unwrap()));
    files.sort();
    let main = fs::read_to_string(folder.join("tests/attacks/main.rs")).unwrap();
    let mut sections = Vec::new();
    for file in files {
        let module = file.file_stem().unwrap().to_str().unwrap();
        assert!(main.contains(&format!("mod {module};")), "{module} is not run");
        sections.push(section(module, &fs::read_to_string(&file).unwrap()));
    }
    written(&folder.join("tests/attacks/README.md"), &page(&sections));
}

fn written(document: &Path, new: &str) {
    let old = fs::read_to_string(document).unwrap_or_default();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(document, new).unwrap();
    } else {
        let how = "write it anew with: UPDATE_DOCS=1 cargo test --test attacks catalogue";
        assert_eq!(old, new, "{}: {how}", document.display());
    }
}

/// What a file's tests are.
fn section(module: &str, text: &str) -> Section {
    let (number, _) = module[1..].split_once('_').unwrap();
    let head: Vec<_> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    assert!(head.len() > 2 && head[1].is_empty(), "{module} says in its head what it is, and how it is refused");
    let mut attacks = Vec::new();
    let parts: Vec<_> = text.split("\n#[test]\nfn ").collect();
    for pair in parts.windows(2) {
        let lines: Vec<_> = pair[0].lines().rev().map_while(|line| line.strip_prefix("/// ")).collect();
        let what = lines.into_iter().rev().collect::<Vec<_>>().join(" ");
        let (name, rest) = pair[1].split_once("()").unwrap();
        let body = rest.split("\n}\n").next().unwrap();
        assert!(what.ends_with('.'), "{module}::{name} says in a sentence what it is");
        assert!(!what.trim_end_matches('.').contains(". "), "{module}::{name} says it in one sentence");
        attacks.push(Attack { what, codes: codes(body), judges: judges(body) });
    }
    Section { number: number.parse().unwrap(), title: head[0].to_owned(), attacks }
}

/// Who judges a test's attack. Helpers named `refused` are `never_counts` about one kind of thing.
fn judges(body: &str) -> &'static str {
    let calls = |name: &str| body.contains(&format!(".{name}("));
    if calls("never_counts") || body.contains(" refused(") {
        EVERYWHERE
    } else if calls("refuses_but_takes") || calls("refuses_main") {
        "ci"
    } else if calls("apply") && !calls("refuses") {
        "apply"
    } else {
        "hook"
    }
}

/// `tests/attacks/README.md`.
fn page(sections: &[Section]) -> String {
    let mut page = format!("{HEAD}\n{}\n", counts(sections));
    for Section { number, title, attacks } in sections {
        write!(page, "\n## {number}. {title}\n\n").unwrap();
        let mut alike: Vec<(String, Vec<&str>)> = Vec::new();
        for attack in attacks {
            let label = attack.label();
            match alike.iter_mut().find(|(other, _)| *other == label) {
                Some((_, whats)) => whats.push(&attack.what),
                None => alike.push((label, vec![&attack.what])),
            }
        }
        for (label, whats) in alike {
            writeln!(page, "- {label}: {}", whats.join(" ")).unwrap();
        }
    }
    page
}

/// How much is tried, and where.
fn counts(sections: &[Section]) -> String {
    let attacks: Vec<_> = sections.iter().flat_map(|section| &section.attacks).collect();
    let count = |wanted: fn(&Attack) -> bool| attacks.iter().filter(|attack| wanted(attack)).count();
    let refused = count(|attack| !attack.codes.is_empty());
    let pulls = count(|attack| [EVERYWHERE, "ci"].contains(&attack.judges));
    let landed = count(|attack| attack.judges == EVERYWHERE);
    format!(
        "{} tests: {refused} refuse something, the others show what must pass. {pulls} are judged as pull requests too; {landed} are landed \
         on a server without a hook.",
        attacks.len()
    )
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
