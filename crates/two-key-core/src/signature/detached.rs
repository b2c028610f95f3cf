//! Detached signatures over statements: what sealed lines and notes hold.

use super::{BadVote, Carrier, Cosignature, Presence, minisign::Minisig, sshsig, sshsig::SshSig};
use crate::model::{PrincipalId, PublicKey, Reason, Refusal, Statement, Wrapping};

/// Verifies a detached signature over a statement.
///
/// `signature` is base64 on one line: the SSHSIG blob (namespace `two-key`), or the whole minisign file, as the key's
/// wrapping says. [`detached_base64`] makes it from the files that the programs write.
pub fn open_detached(
    statement: &Statement,
    claims: PrincipalId,
    key: &PublicKey,
    signature: &str,
) -> Result<Cosignature, BadVote> {
    match verify(statement, key, signature) {
        Ok((presence, signature)) => Ok(Cosignature {
            key: key.clone(),
            statement: statement.clone(),
            claims,
            carrier: Carrier::Detached,
            presence,
            signature,
            reason: None,
            evidence: None,
            claimed_time: None,
        }),
        Err(refusal) => Err(BadVote { claims: Some(claims), action: statement.action(), refusal }),
    }
}

fn verify(statement: &Statement, key: &PublicKey, signature: &str) -> Result<(Presence, String), Refusal> {
    let message = statement.text();
    if let Wrapping::Minisign { .. } = key.wrapping() {
        let minisig = Minisig::from_base64(signature)?;
        minisig.verify(key, message.as_bytes())?;
        return Ok((Presence::None, minisig.base64()));
    }
    let ssh = SshSig::from_base64(signature)?;
    if ssh.key() != key {
        return Err(Refusal::new(
            Reason::BadSignature,
            format!("the SSH signature was made by {}, not by {}", ssh.key().fingerprint(), key.fingerprint()),
        ));
    }
    Ok((ssh.verify(sshsig::TWO_KEY, message.as_bytes())?, ssh.base64()))
}

/// The base64 form of a signature file that ssh-keygen (armour) or minisign (four lines) wrote.
pub fn detached_base64(file: &str) -> Result<String, Refusal> {
    if file.starts_with("untrusted comment: ") {
        Minisig::parse(file).map(|minisig| minisig.base64())
    } else {
        SshSig::from_armour(file).map(|ssh| ssh.base64())
    }
}

impl Cosignature {
    /// The `Two-Key-Cosignature` line that seals this signature in a commit, without a line feed. A commit's own
    /// signature covers that commit and cannot be sealed in another.
    pub fn seal_line(&self) -> Option<String> {
        let kind = match (self.carrier, self.key.wrapping()) {
            (Carrier::Commit, _) => return None,
            (Carrier::Detached, Wrapping::Minisign { .. }) => "minisign",
            (Carrier::Detached, _) => "ssh",
        };
        let (action, key) = (self.statement.action(), self.key.bare());
        Some(format!("Two-Key-Cosignature: {} {action} {kind} {key} {}", self.claims, self.signature))
    }
}
