//! `key remove`: propose a policy with one key, or one principal, less.

use clap::Args as ClapArgs;

use super::{
    super::{
        Failure, Place,
        turn::{self, To},
    },
    propose::{ProposalSigner, propose},
};
use crate::model::{Fingerprint, PublicKey, Reason, Refusal, policy::Amendment};

/// Propose a policy in which a principal has one key less, or is gone
///
/// Writes and commits the next policy version as a proposal, and says what it changes. Until it is in force the key
/// counts; a key that is lost or stolen is better revoked at once: git two-key key revoke.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key key remove cp14\n  \
    git two-key key remove user1 SHA256:9hDD26bt7/J/kgC0o+MnWaisANmGPYBtebOwLfoTnlM")]
pub struct Args {
    /// Whose key it is
    name: String,
    /// The key: its fingerprint, a .pub file, or the key itself; without it the principal goes
    #[arg(value_name = "PUBKEY|FINGERPRINT")]
    which: Option<String>,
    /// Sign the proposal with this key; needed where the policy rule must know who proposes
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    #[command(flatten)]
    pub(super) to: To,
}

/// Proposes the policy.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let session = turn::proposing(place, &args.to, turn::Local::Moved)?;
    let signed = ProposalSigner { key: args.key.as_deref(), to: &args.to };
    let name = super::principal(&args.name)?;
    let Some(which) = &args.which else {
        let what = format!("removes {name}");
        return propose(place, session, &signed, &what, &Amendment::RemovePrincipal { name });
    };
    let key = match Fingerprint::parse(which) {
        Some(fingerprint) => {
            let principal = session.state.policy().get().principals.get(&name);
            let keys: &[PublicKey] = principal.map(|principal| principal.keys.as_slice()).unwrap_or_default();
            let own = keys.iter().find(|key| key.fingerprint() == fingerprint);
            own.cloned().ok_or_else(|| {
                let refusal = Refusal::new(Reason::UnknownKey, format!("{name} has no key {fingerprint}"));
                Failure::refused(which.as_str(), refusal.hint("see who has which with: git two-key key list"))
            })?
        }
        None => turn::keys::public_key(place, which)?,
    };
    let what = format!("{name} loses the key {}", key.fingerprint());
    propose(place, session, &signed, &what, &Amendment::RemoveKey { name, key })
}
