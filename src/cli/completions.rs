//! `completions`: what lets a shell complete verbs and flags.

use clap::Args as ClapArgs;
use clap_complete::{Shell, generate};

use super::{Failure, Place, terminal};

/// Print completions for a shell
///
/// The script completes `git-two-key`, and in bash and zsh `git two-key` as well, through Git's own completion.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key completions bash > ~/.local/share/bash-completion/completions/git-two-key\n  \
    git two-key completions zsh > ~/.zfunc/_git-two-key\n  \
    git two-key completions fish > ~/.config/fish/completions/git-two-key.fish")]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Lets Git's own bash completion ask ours: it calls `_git_<verb>` for a verb that it does not know. Ours takes the
/// command's name for the first word, so what stands before the verb is taken away.
const THROUGH_GIT: &str = r#"
_git_two_key() {
    local -i first=1 at=$COMP_CWORD
    while [[ "${COMP_WORDS[first]}" != two-key && first -lt at ]]; do first+=1; done
    local -a COMP_WORDS=("${COMP_WORDS[@]:first}")
    local -i COMP_CWORD=at-first
    _git__two__key two-key "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
}
"#;

/// Prints the script.
#[expect(clippy::unnecessary_wraps, reason = "verbs run alike")]
pub fn run(args: &Args, _: &Place) -> Result<(), Failure> {
    terminal::say_raw(&script(args.shell));
    Ok(())
}

/// A shell's script.
fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    // The name with a space in it, which help texts show, would split words in what is generated.
    generate(shell, &mut super::command().name("git-two-key"), "git-two-key", &mut script);
    if shell != Shell::Bash {
        return script;
    }
    // The generator writes the program's hyphens in two ways, so that no flag of any verb would ever be completed.
    let script = String::from_utf8_lossy(&script).replace("git__subcmd__two__subcmd__key__", "git__two__key__");
    (script + THROUGH_GIT).into_bytes()
}
