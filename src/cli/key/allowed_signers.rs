//! `key allowed-signers`.

use clap::Args as ClapArgs;

use crate::{
    cli::{Failure, Place, fresh::ReadSource, terminal},
    report,
};

/// Print every key that ever was in force in the form of Git's `allowed_signers` file
///
/// With this file Git's own `git verify-commit` and `git log --show-signature` agree with the ledger about whose
/// signature is whose, of old commits too: a key that came later or was rotated or revoked is valid for the time that it was
/// in force, as commits claim it. Minisign keys are left out: Git knows nothing of them.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key key allowed-signers > .git/allowed_signers\n  \
    git config gpg.ssh.allowedSignersFile .git/allowed_signers")]
pub struct Args {
    #[command(flatten)]
    source: ReadSource,
}

/// Prints the file.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let session = args.source.open(place)?;
    session.sound()?;
    for remark in &session.remarks {
        terminal::remark(remark);
    }
    terminal::say(&report::allowed_signers(&session.state, &session.past.all()));
    Ok(())
}
