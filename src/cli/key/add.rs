//! `key add`: propose a policy with one more key.

use clap::Args as ClapArgs;

use super::{
    super::{
        Failure, Place,
        session::Session,
        turn::{self, To},
    },
    propose::{Signed, propose},
};
use crate::model::{
    PrincipalId,
    policy::{Amendment, Role},
};

/// Propose a policy in which a principal has one more key
///
/// Writes and commits the next policy version as a proposal, and says what it changes. It is in force once the policy
/// rule's keys have been turned for it: git two-key sign policy.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key key add user1 ~/.ssh/id_ed25519_sk.pub\n  \
    git two-key key add cp20 cp20.pub --role agent")]
pub struct Args {
    /// Whose key it is
    name: String,
    /// A .pub file, or the key itself
    pubkey: String,
    /// The role of a principal that is new
    #[arg(long, value_parser = ["human", "agent", "applier"])]
    role: Option<String>,
    /// Sign the proposal with this key; needed where the policy rule must know who proposes
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    #[command(flatten)]
    to: To,
}

/// Proposes the policy.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let session = turn::pinned(place)?;
    let signed = Signed { key: args.key.as_deref(), to: &args.to };
    let name = super::principal(&args.name)?;
    let role = role(args, &session, &name)?;
    let key = turn::keys::public_key(place, &args.pubkey)?;
    let what = format!("{name} gets the key {}", key.fingerprint());
    propose(place, session, &signed, &what, &Amendment::AddKey { name, role, key })
}

fn role(args: &Args, session: &Session, name: &PrincipalId) -> Result<Role, Failure> {
    let known = session.state.policy().get().principals.get(name).map(|principal| principal.role);
    match (args.role.as_deref(), known) {
        (Some("human"), _) => Ok(Role::Human),
        (Some("agent"), _) => Ok(Role::Agent),
        (Some(_), _) => Ok(Role::Applier),
        (None, Some(role)) => Ok(role),
        (None, None) => Err(Failure::Usage(format!("{name} is new: say with --role whether human, agent or applier"))),
    }
}
