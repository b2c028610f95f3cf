//! `key add`: propose a policy with one more key.

use std::{fs::File, io::Read as _};

use clap::Args as ClapArgs;

use super::{
    super::{
        Failure, Place,
        session::Session,
        terminal::say,
        turn::{self, To},
        words::one_of,
    },
    propose::{ProposalSigner, propose},
};
use crate::{
    model::{
        PrincipalId, PublicKey, Reason, Refusal,
        policy::{Amendment, Role},
    },
    signature::attestation::{self, Attestation, AttestationRoot, Attested, Issuer},
};

/// What is said of a key whose type says that an authenticator holds it, and nothing else does.
const UNATTESTED: &str = "No attestation was given: that an authenticator holds this key's secret is its owner's word. \
    Its type and the\nflags in its signatures do not show it; software can make both. See --attestation.\n";

/// Propose a policy in which a principal has one more key
///
/// Writes and commits the next policy version as a proposal, and says what it changes. It is in force once the policy
/// rule's keys have been turned for it: git two-key sign policy.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key key add user1 ~/.ssh/id_ed25519_sk.pub\n  \
    git two-key key add user1 id_user1.pub --attestation attestation \\\n    \
    --challenge challenge --attestation-root vendor.pem\n  \
    git two-key key add cp20 cp20.pub --role agent")]
pub struct Args {
    /// Whose key it is
    name: String,
    /// A .pub file, or the key itself
    pubkey: String,
    /// The role of a principal that is new
    #[arg(long, value_parser = one_of(&Role::ALL, Role::word))]
    role: Option<Role>,
    /// Sign the proposal with this key; needed where the policy rule must know who proposes
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    /// What ssh-keygen wrote about the key when it was made (-O write-attestation=FILE)
    #[arg(long, value_name = "FILE", requires = "challenge")]
    attestation: Option<String>,
    /// What ssh-keygen was given then (-O challenge=FILE); made by you, not by the key's owner
    #[arg(long, value_name = "FILE", requires = "attestation")]
    challenge: Option<String>,
    /// The certificate, PEM, that must have issued the attestation's: its vendor's
    #[arg(long, value_name = "FILE", requires = "attestation")]
    attestation_root: Option<String>,
    #[command(flatten)]
    pub(super) to: To,
}

/// Proposes the policy.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let session = turn::proposing(place, &args.to, turn::Local::Moved)?;
    let signed = ProposalSigner { key: args.key.as_deref(), to: &args.to };
    let name = super::principal(&args.name)?;
    let role = role(args, &session, &name)?;
    let key = turn::keys::public_key(place, &args.pubkey)?;
    let mut what = format!("{name} gets the key {}", key.fingerprint());
    match attested(args, place, &key)? {
        Some(attested) => {
            what = format!("{what} ({})", attested.label());
            say(&attested.to_string());
        }
        None if key.is_hardware() => say(UNATTESTED),
        None => {}
    }
    propose(place, session, &signed, &what, &Amendment::AddKey { name, role, key })
}

/// Checks the attestation that was named, if one was. Nothing has been written yet.
fn attested(args: &Args, place: &Place, key: &PublicKey) -> Result<Option<Attested>, Failure> {
    let (Some(attestation), Some(challenge)) = (&args.attestation, &args.challenge) else { return Ok(None) };
    let root = match &args.attestation_root {
        Some(file) => {
            let read = AttestationRoot::from_pem(&bounded(place, file)?);
            Some(read.map_err(|refusal| Failure::refused(file.as_str(), refusal))?)
        }
        None => None,
    };
    let now = u64::try_from(turn::now().as_second()).unwrap_or_default();
    let issuer = root.as_ref().map_or(Issuer::Anybody, |root| Issuer::Root(root, now));
    let (bytes, challenge) = (bounded(place, attestation)?, bounded(place, challenge)?);
    let checked = Attestation::read(&bytes).and_then(|read| read.check(key, &challenge, issuer));
    checked.map(Some).map_err(|refusal| Failure::refused(attestation.as_str(), refusal))
}

/// The bytes of a file, and no more of them than show that it is too long.
fn bounded(place: &Place, file: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let most = attestation::MAX_BYTES as u64 + 1;
    let read = File::open(place.path(file)).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| {
        let refusal = Refusal::new(Reason::Io, format!("`{file}` cannot be read: {error}"));
        Failure::Undecided(
            refusal.hint("name the file that ssh-keygen wrote or was given, and look at its permissions"),
        )
    })
}

fn role(args: &Args, session: &Session, name: &PrincipalId) -> Result<Role, Failure> {
    let known = session.state.policy().get().principals.get(name).map(|principal| principal.role);
    args.role
        .or(known)
        .ok_or_else(|| Failure::Usage(format!("{name} is new: say with --role whether human, agent or applier")))
}
