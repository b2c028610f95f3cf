//! `key revoke`: revoke a key, at once and permanently.

use clap::Args as ClapArgs;

use super::super::{
    Failure, Place,
    session::Session,
    turn::{self, Ask, Flags},
};
use crate::{
    model::{Action, Fingerprint, PrincipalId, Reason, Refusal},
    push::FORCE_REVOKE,
};

/// Revoke a key, at once and permanently
///
/// A key revokes itself; a human revokes an agent's or applier's key; for everything else change the policy. Votes of the
/// key for what is not in force yet go with it. There is no way back: a new key is a new key.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key key revoke cp14 --reason 'runner was broken into' --push\n  \
    git two-key key revoke SHA256:9hDD26bt7/J/kgC0o+MnWaisANmGPYBtebOwLfoTnlM")]
pub struct Args {
    /// The key's fingerprint, or the name of a principal that has one key
    #[arg(value_name = "FINGERPRINT|NAME")]
    which: String,
    /// Revoke it even if nobody could change the policy afterwards
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pub(super) flags: Flags,
}

/// Revokes the key.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let session = turn::pinned(place, &args.flags)?;
    let key = fingerprint(&session, &args.which)?;
    let policy = session.state.policy().get();
    let raw = policy.keys().find(|(_, _, listed)| listed.fingerprint() == key).map(|(_, _, listed)| listed.raw());
    let strands = raw.is_some_and(|raw| session.state.revocation_strands(raw));
    if strands && !args.force {
        let message = format!("without {key} nobody could ever change the policy again");
        let hint = "enrol another key first (git two-key key add), or say --force";
        return Err(Failure::refused(key.as_str(), Refusal::new(Reason::PolicyFloor, message).hint(hint)));
    }
    let options = if strands { vec![FORCE_REVOKE.to_owned()] } else { Vec::new() };
    turn::turn(place, session, &args.flags, Action::Revoke, &Ask { revoked: Some(key), options, ..Ask::default() })
}

fn fingerprint(session: &Session, which: &str) -> Result<Fingerprint, Failure> {
    if let Some(fingerprint) = Fingerprint::parse(which) {
        return Ok(fingerprint);
    }
    let policy = session.state.policy().get();
    let principal = PrincipalId::parse(which).and_then(|id| policy.principals.get(&id));
    let keys = principal.map(|principal| principal.keys.as_slice()).unwrap_or_default();
    match keys {
        [one] => Ok(one.fingerprint()),
        [] => {
            let refusal =
                Refusal::new(Reason::UnknownKey, "that is no fingerprint, and no principal of the policy in force");
            Err(Failure::refused(which, refusal.hint("see which keys there are with: git two-key key list")))
        }
        many => {
            let many: Vec<_> = many.iter().map(|key| key.fingerprint().to_string()).collect();
            let message = format!("{which} has {} keys: {}", many.len(), many.join(", "));
            Err(Failure::refused(which, Refusal::new(Reason::Ambiguous, message).hint("name one by its fingerprint")))
        }
    }
}
