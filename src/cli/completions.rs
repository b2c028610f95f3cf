//! Completions: what lets a shell complete verbs, flags, and the names that are in a ledger.

use std::collections::BTreeSet;

use clap::{Args as ClapArgs, ValueEnum as _};
use clap_complete::{Shell, generate};

use super::{Failure, Place, governed::Which, session::Session, terminal};

/// Print completions for a shell
///
/// The script completes `git-two-key`, and in bash and zsh `git two-key` as well, through Git's own completion. Names are those of
/// the ledger here (open leases, intents, targets, principals), which `words` prints.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key completions bash \\\n    \
    > ~/.local/share/bash-completion/completions/git-two-key\n  \
    git two-key completions zsh > ~/.zfunc/_git-two-key\n  \
    git two-key completions fish > ~/.config/fish/completions/git-two-key.fish")]
pub struct Args {
    /// The shell: bash, zsh, fish, elvish or powershell; or `words`
    #[arg(value_name = "SHELL|words", value_parser = wanted)]
    what: CompletionOutput,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CompletionOutput {
    /// A shell's script.
    Script(Shell),
    /// The names here, a line each.
    Words,
}

fn wanted(text: &str) -> Result<CompletionOutput, String> {
    if text == "words" {
        Ok(CompletionOutput::Words)
    } else {
        Shell::from_str(text, false).map(CompletionOutput::Script)
    }
}

/// Lets Git's own bash completion ask ours: it calls `_git_<verb>` for a verb that it does not know. Ours takes the
/// command's name for the first word, so what stands before the verb is taken away. After the verb names are completed, too.
const BASH: &str = r#"
_two_key_named() {
    _git__two__key "$@"
    if [[ COMP_CWORD -gt 1 && "${COMP_WORDS[COMP_CWORD]}" != -* ]]; then
        COMPREPLY+=($(compgen -W "$(git-two-key completions words 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
    fi
}
complete -F _two_key_named -o bashdefault -o default git-two-key
_git_two_key() {
    local -i first=1 at=$COMP_CWORD
    while [[ "${COMP_WORDS[first]}" != two-key && first -lt at ]]; do first+=1; done
    local -a COMP_WORDS=("${COMP_WORDS[@]:first}")
    local -i COMP_CWORD=at-first
    _two_key_named two-key "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
}
"#;

/// The same for fish, which asks for names after a verb.
const FISH: &str = r#"
complete -c git-two-key -n "test (count (commandline -opc)) -gt 1" -f -a "(git-two-key completions words 2>/dev/null)"
"#;

/// The same for zsh, in place of file names.
const ZSH: &str = r#"
_two_key_words() { compadd -- ${(f)"$(git-two-key completions words 2>/dev/null)"} }
"#;

/// Prints the script, or the words.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    match args.what {
        CompletionOutput::Script(shell) => terminal::say_raw(&script(shell)),
        CompletionOutput::Words => words(place)?.iter().for_each(|word| terminal::say(word)),
    }
    Ok(())
}

/// Open leases, their intents, targets and principals, of the ledger as it is here.
fn words(place: &Place) -> Result<BTreeSet<String>, Failure> {
    let session = Session::open(place, &Which::Local)?;
    let policy = session.state.policy().get();
    let mut words: BTreeSet<_> = policy.principals.keys().map(ToString::to_string).collect();
    words.extend(policy.targets.keys().map(ToString::to_string));
    for id in session.state.known_leases() {
        if session.state.lease(&id).is_some_and(|lease| lease.phase.ended()) {
            continue;
        }
        words.insert(id.to_string());
        words.extend(session.state.document(&id).and_then(|lease| lease.intent.as_ref()).map(ToString::to_string));
    }
    Ok(words)
}

/// A shell's script.
fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    // The name with a space in it, which help texts show, would split words in what is generated.
    generate(shell, &mut super::command().name("git-two-key"), "git-two-key", &mut script);
    let text = String::from_utf8_lossy(&script);
    let text = match shell {
        // The generator writes the program's hyphens in two ways, so that no flag of any verb would ever be completed.
        Shell::Bash => text.replace("git__subcmd__two__subcmd__key__", "git__two__key__") + BASH,
        Shell::Fish => text.into_owned() + FISH,
        Shell::Zsh => named_in_zsh(&text),
        _ => return script,
    };
    text.into_bytes()
}

/// Completes leases and targets by name, not by files.
fn named_in_zsh(text: &str) -> String {
    let is_name =
        |line: &str| [":lease --", ":named --", ":targets --", ":of --"].iter().any(|name| line.contains(name));
    let line =
        |line: &str| if is_name(line) { line.replace(":_default'", ":_two_key_words'") } else { line.to_owned() };
    let mut lines = text.lines();
    // The first line says which command it is for.
    let first = lines.next().unwrap_or_default();
    let rest: Vec<_> = lines.map(line).collect();
    format!("{first}\n{ZSH}{}\n", rest.join("\n"))
}
