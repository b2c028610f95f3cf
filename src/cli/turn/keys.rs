//! Keys as people name them on the command line.

use std::path::PathBuf;

use super::super::{Failure, Place};
use crate::ledger::State;
use crate::{
    git::{Repository, Signer, SigningKey},
    ledger::rules,
    model::{
        PrincipalId, PublicKey, RawKey, Reason, Refusal,
        policy::{Policy, Role},
    },
};

impl Place {
    /// A path as typed here: relative to the folder that the program runs as if started in.
    pub fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }
}

/// Reads a public key: an `ssh-ed25519 AAAA…`, `minisign RWQ…` or like text, or the path of a `.pub` file of either kind.
pub fn public_key(place: &Place, text: &str) -> Result<PublicKey, Failure> {
    let bad = |what: &str, why: &dyn std::fmt::Display| {
        let refusal = Refusal::new(Reason::Malformed, format!("{what} is no public key that can be used: {why}"));
        Failure::refused(what, refusal.hint("make one with: ssh-keygen -t ed25519, or: minisign -G"))
    };
    if text.contains(' ') && !place.path(text).exists() {
        return PublicKey::parse(text).map_err(|error| bad(text, &error));
    }
    let path = place.path(text);
    let file = std::fs::read_to_string(&path).map_err(|error| {
        let message = format!("`{text}` is no public key, and no file that can be read: {error}");
        let hint = "name a .pub file, or the key itself; see which keys the policy has with: git two-key key list";
        Failure::Undecided(Refusal::new(Reason::NotFound, message).hint(hint))
    })?;
    if file.starts_with("-----BEGIN") || file.starts_with("untrusted comment: minisign encrypted") {
        return Err(bad(text, &"it is a private key; name its .pub file, and keep this one to yourself"));
    }
    let lines = || file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parsed = match lines().find(|line| line.starts_with("RW")) {
        Some(line) => PublicKey::from_bare_minisign(line),
        None => PublicKey::parse(lines().next().unwrap_or_default()),
    };
    parsed.map_err(|error| bad(text, &error))
}

impl Signer {
    /// The key named by `--key`, else the one that is configured, and its owner by the ledger.
    pub fn find(place: &Place, repo: &Repository, state: &State, key: Option<&str>) -> Result<Self, Failure> {
        Self::owned(place, repo, key, |raw| rules::owner(state, raw))
    }

    /// The same by a policy that nothing vouches for: only stops are signed by its word.
    pub fn by_policy(place: &Place, repo: &Repository, policy: &Policy, key: Option<&str>) -> Result<Self, Failure> {
        Self::owned(place, repo, key, |raw| match policy.owner(raw) {
            Some((id, principal)) => Ok((id.clone(), principal.role)),
            None => Err(Refusal::new(Reason::UnknownKey, "the policy in the tree does not list the key")),
        })
    }

    fn owned(
        place: &Place,
        repo: &Repository,
        key: Option<&str>,
        owner: impl Fn(RawKey) -> Result<(PrincipalId, Role), Refusal>,
    ) -> Result<Self, Failure> {
        let key = signing_key(place, repo, key)?;
        let public = key.public_key()?;
        let (principal, role) =
            owner(public.raw()).map_err(|refusal| Failure::refused(public.fingerprint().as_str(), refusal))?;
        Ok(Self { key, public, principal, role })
    }
}

/// The key named by `--key`, else the one that is configured.
pub fn signing_key(place: &Place, repo: &Repository, key: Option<&str>) -> Result<SigningKey, Failure> {
    if let Some(text) = key {
        let path = place.path(text);
        return Ok(if path.exists() { SigningKey::file(path) } else { SigningKey::parse(text) }?);
    }
    repo.default_key()?.ok_or_else(|| {
        let refusal = Refusal::new(Reason::NoKey, "there is no key to sign with: none is named and none is configured");
        Failure::Undecided(refusal.hint("name one with --key FILE, or: git config two-key.key FILE"))
    })
}
