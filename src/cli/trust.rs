//! `trust`: pin the root.

use clap::Args as ClapArgs;

use super::{Failure, Place, terminal::say, turn};
use crate::{
    git::{config, refspecs},
    model::Oid,
    report,
};

/// Pin the root of the ledger here
///
/// Everything that is in force follows from the policy of one commit, the root. Its id must come from somewhere that you
/// trust, not from the repository itself; it is pinned in this repository's own configuration. Shows whose keys the root
/// names.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key trust 5be0c1d2e3f405162738495a6b7c8d9e0f102132")]
pub struct Args {
    /// The root commit's full id
    root: String,
}

/// Pins the root.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let repo = place.repository()?;
    let root = Oid::parse(&args.root).filter(|id| repo.fits(*id)).ok_or_else(|| {
        let digits = repo.zero().to_string().len();
        Failure::Usage(format!("`{}` is no full commit id: that is {digits} lower-case hexadecimal digits", args.root))
    })?;
    let (state, _) = turn::begin(&repo, root)?;
    turn::warn_of_what_was_before(&repo, root)?;
    let before = repo.config(config::ROOT)?.filter(|before| *before != args.root);
    let keys = report::keys_text(&report::keys(&state, &[]));
    say(&format!("The root {root} of repository {} names these keys:\n\n{keys}", state.policy().get().repository));
    repo.forget_ledger();
    repo.set_config(config::ROOT, &root.to_string())?;
    match before {
        Some(before) => say(&format!("\nPinned here, in place of {before}.")),
        None => say("\nPinned here."),
    }
    for remote in repo.remotes()? {
        let key = format!("remote.{remote}.fetch");
        let already = repo.config_all(&key)?;
        let missing =
            refspecs(&remote).into_iter().filter(|(refspec, _)| !already.iter().any(|one| one.ends_with(refspec)));
        let lines: Vec<_> = missing.map(|(refspec, _)| format!("  git config --add {key} '+{refspec}'")).collect();
        if !lines.is_empty() {
            let lines = lines.join("\n");
            say(&format!("\nTo have `git fetch {remote}` bring votes by note, stops and what appliers saw:\n{lines}"));
        }
    }
    Ok(())
}
