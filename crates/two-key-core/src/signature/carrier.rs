//! Carriers: commits whose message holds a statement, its remarks and its sealed signatures.
//!
//! The run is the contiguous block of `Two-Key-` lines in the message's last paragraph: the statement's fields, then
//! the remarks. Other people's trailers before or after it in that paragraph are ignored.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use memchr::memmem;

use super::{
    BadVote, Carrier, Cosignature, ObjectFormat, Opened,
    commit::{RawCommit, parse_strict},
    detached::open_detached,
    inner::PendingClaim,
    sshsig,
    sshsig::SshSig,
};
use crate::model::{
    Action, Digest, Fields, PrincipalId, PublicKey, RawKey, Reason, Refusal, Statement, text::is_deceiving,
};

/// What every line of ours begins with.
pub(super) const PREFIX: &str = "Two-Key-";
/// The line that makes a commit more than ordinary.
pub(super) const STATEMENT: &[u8] = b"Two-Key-Statement:";
/// The largest commit that is read as a carrier, in bytes.
pub const MAX_CARRIER: usize = 256 * 1024;
/// The most sealed signatures that one commit may hold.
pub const MAX_SEALED: usize = 64;
/// The longest `Two-Key-Reason`, in bytes.
pub const MAX_REASON: usize = 1024;

type Checked = Result<Cosignature, BadVote>;

/// Whether any line begins as a statement does, wherever it is and however lines end: there must be no reader who
/// sees a statement where we see none.
pub(super) fn has_statement_line(raw: &[u8]) -> bool {
    statement_lines(raw).next().is_some()
}

/// Where lines begin that begin as a statement does.
fn statement_lines(raw: &[u8]) -> impl Iterator<Item = usize> {
    let begins = |at: &usize| at.checked_sub(1).is_none_or(|before| raw.get(before).copied().is_some_and(ends_line));
    memmem::find_iter(raw, STATEMENT).filter(begins)
}

/// Whether somebody could take what follows a byte for a new line.
pub(super) fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | 0)
}

/// Says that a commit with a statement is larger than any may be.
pub(super) fn too_large() -> Refusal {
    Refusal::new(Reason::TooLarge, "a commit with a statement is larger than 256 KiB")
}

/// Reads a commit that has a statement line, or says why the whole is not in the strict form.
pub(super) fn read(raw: &[u8], format: ObjectFormat) -> Result<Opened, Refusal> {
    if raw.len() > MAX_CARRIER {
        return Err(too_large());
    }
    let commit = parse_strict(raw, format)?;
    if commit.parents.len() != 1 {
        return Err(malformed("a commit with a statement has exactly one parent"));
    }
    if commit.author != commit.committer {
        return Err(malformed(
            "author and committer differ, as after rebase, cherry-pick or amend, or with author.name or GIT_AUTHOR_* set",
        )
        .hint("git two-key sync, or sign the statement in a fresh commit"));
    }
    if statement_lines(raw).count() != 1 {
        return Err(malformed("more than one line begins `Two-Key-Statement:`"));
    }
    let (fields, remarks) = read_run(&find_run(commit.message)?)?;
    let statement = fields.statement().map_err(malformed)?;
    if commit.signature.is_none() && remarks.principal.is_some() {
        return Err(malformed("it names a `Two-Key-Principal` but is not signed"));
    }
    let sealed: Vec<Sealed> = remarks.sealed.iter().map(|line| line.read(&fields, statement.action())).collect();
    let own = commit.signature.as_ref().map(|signature| OwnVote::read(&statement, &commit, signature, remarks));
    // A second one would say nothing new, and would cost as much to verify.
    let mut keys = HashSet::new();
    if !sealed.iter().filter_map(Sealed::says).chain(own.as_ref().and_then(OwnVote::says)).all(|says| keys.insert(says))
    {
        return Err(malformed("it holds two signatures of one key for one action"));
    }
    let unsigned = || {
        let refusal = Refusal::new(Reason::Unsigned, format!("nobody signed this {}", statement.action()));
        OwnVote::from(Err(BadVote { claims: None, action: statement.action(), refusal }))
    };
    let own = own.or_else(|| sealed.is_empty().then(unsigned));
    Ok(Opened::Carrier { statement, committed: commit.committer_time, sealed, own })
}

/// The run's lines. There is one run, and no line of ours beside it in its paragraph.
fn find_run(message: &[u8]) -> Result<Vec<&str>, Refusal> {
    let lines: Vec<&[u8]> = message.split(|byte| *byte == b'\n').collect();
    let ours = |line: &&[u8]| line.starts_with(PREFIX.as_bytes());
    let paragraph = lines.rsplit(|line| line.is_empty()).find(|paragraph| !paragraph.is_empty()).unwrap_or_default();
    let start = paragraph.iter().position(&ours).unwrap_or(paragraph.len());
    let (_, rest) = paragraph.split_at(start);
    let (run, after) = rest.split_at(rest.iter().position(|line| !ours(line)).unwrap_or(rest.len()));
    if run.is_empty() {
        return Err(malformed("its statement is not in the last paragraph of the message").hint(
            "a commit hook or another tool added a paragraph, as Co-authored-by; sign with git two-key, which runs neither",
        ));
    }
    if after.iter().any(&ours) {
        return Err(malformed("its `Two-Key-` lines are not in one run"));
    }
    if after.first().is_some_and(|line| line.starts_with(b" ") || line.starts_with(b"\t")) {
        return Err(malformed("the last `Two-Key-` line is continued on the next"));
    }
    run.iter().map(|line| run_line(line)).collect()
}

fn run_line(line: &[u8]) -> Result<&str, Refusal> {
    let text = std::str::from_utf8(line).map_err(|_| malformed("a `Two-Key-` line is not UTF-8"))?;
    if is_deceiving(text) {
        return Err(malformed("a `Two-Key-` line has control or bidi characters"));
    }
    Ok(text)
}

/// What may follow the statement in its run.
#[derive(Default)]
struct Remarks<'a> {
    principal: Option<PrincipalId>,
    reason: Option<String>,
    evidence: Option<Digest>,
    sealed: Vec<SealedLine<'a>>,
}

fn read_run<'a>(run: &[&'a str]) -> Result<(Fields, Remarks<'a>), Refusal> {
    let split = run.iter().position(|line| !Fields::owns(line)).unwrap_or(run.len());
    let (statement, rest) = run.split_at(split);
    let fields = Fields::parse(statement.iter().copied()).map_err(malformed)?;
    let mut remarks = Remarks::default();
    for line in rest {
        let (name, value) = line
            .strip_prefix(PREFIX)
            .and_then(|line| line.split_once(": "))
            .ok_or_else(|| malformed("a remark is not `Two-Key-<Name>: <value>`"))?;
        match name {
            "Principal" => once(&mut remarks.principal, PrincipalId::parse(value), name)?,
            "Reason" => once(&mut remarks.reason, Some(value.to_owned()).filter(|v| is_reason(v)), name)?,
            "Evidence" => once(&mut remarks.evidence, Digest::parse(value), name)?,
            "Cosignature" if remarks.sealed.len() == MAX_SEALED => {
                return Err(Refusal::new(Reason::TooLarge, "it holds more than 64 sealed signatures"));
            }
            "Cosignature" => remarks.sealed.push(SealedLine::parse(value)?),
            _ => return Err(malformed(format!("`Two-Key-{name}` is no remark, or stands after one"))),
        }
    }
    Ok((fields, remarks))
}

fn once<T>(slot: &mut Option<T>, value: Option<T>, name: &str) -> Result<(), Refusal> {
    let value = value.ok_or_else(|| malformed(format!("`Two-Key-{name}` has a value that is not one")))?;
    if slot.replace(value).is_some() {
        return Err(malformed(format!("`Two-Key-{name}` is there twice")));
    }
    Ok(())
}

/// Whether a text can be a `Two-Key-Reason`: one line of visible text, at most 1 KiB.
pub(super) fn is_reason(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= MAX_REASON && !is_deceiving(text)
}

/// A `Two-Key-Cosignature` line's words.
struct SealedLine<'a> {
    principal: PrincipalId,
    action: Action,
    minisign: bool,
    key: &'a str,
    signature: &'a str,
}

impl<'a> SealedLine<'a> {
    fn parse(value: &'a str) -> Result<Self, Refusal> {
        let words: Vec<&str> = value.split(' ').collect();
        let [principal, action, kind, key, signature] = words[..] else {
            return Err(malformed(
                "`Two-Key-Cosignature` is not a principal, an action, a kind, a key and a signature",
            ));
        };
        let principal = PrincipalId::parse(principal);
        let action = Action::from_word(action);
        let minisign = match kind {
            "ssh" => Some(false),
            "minisign" => Some(true),
            _ => None,
        };
        match (principal, action, minisign) {
            (Some(principal), Some(action), Some(minisign)) => Ok(Self { principal, action, minisign, key, signature }),
            _ => Err(malformed("`Two-Key-Cosignature` has a principal, an action or a kind that is none")),
        }
    }

    /// Reads the line as a signature over the statement that the commit's fields give for the line's own action, which is
    /// the commit's, or to cosign.
    fn read(&self, fields: &Fields, of_commit: Action) -> Sealed {
        let bad = |refusal| BadVote { claims: Some(self.principal.clone()), action: self.action, refusal };
        let statement = if self.action == of_commit || self.action == Action::Cosign {
            fields.statement_for(self.action).map_err(|error| bad(malformed(error)))
        } else {
            Err(bad(malformed(format!("a {} seals no {}", of_commit, self.action))))
        };
        let key =
            if self.minisign { PublicKey::from_bare_minisign(self.key) } else { PublicKey::from_bare_ssh(self.key) };
        let key = key.map_err(|error| bad(malformed(error)));
        let read = statement.and_then(|statement| {
            let signature = self.signature.to_owned();
            Ok(UncheckedVote { statement, claims: self.principal.clone(), key: key?, signature })
        });
        Sealed { read, checked: Arc::default() }
    }
}

/// A sealed signature, which is checked when somebody takes it whose policy lists its key, and once.
#[derive(Debug, Clone)]
pub struct Sealed {
    read: Result<UncheckedVote, BadVote>,
    checked: Arc<OnceLock<Checked>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UncheckedVote {
    statement: Statement,
    claims: PrincipalId,
    key: PublicKey,
    signature: String,
}

impl Sealed {
    /// Whose signature it claims to be, and for what.
    fn says(&self) -> Option<(RawKey, Action)> {
        let read = self.read.as_ref().ok()?;
        Some((read.key.raw(), read.statement.action()))
    }

    /// The vote, unless its key could not count, or one before it did not verify.
    fn vote(&self, standing: impl Fn(RawKey) -> Result<(), Refusal>, before: EarlierSeals) -> (Checked, EarlierSeals) {
        let UncheckedVote { statement, claims, key, signature } = match &self.read {
            Ok(read) => read,
            Err(bad) => return (Err(bad.clone()), before),
        };
        let bad = |refusal| Err(BadVote { claims: Some(claims.clone()), action: statement.action(), refusal });
        match (standing(key.raw()), before) {
            (Err(refusal), before) => (bad(refusal), before),
            (Ok(()), EarlierSeals::OneIsBad) => {
                let message = "a sealed signature before it does not verify, so this one is not looked at";
                (bad(Refusal::new(Reason::BadSignature, message)), before)
            }
            (Ok(()), EarlierSeals::AllVerify) => {
                let open = || open_detached(statement, claims.clone(), key, signature);
                let checked = self.checked.get_or_init(open).clone();
                let before = if checked.is_ok() { EarlierSeals::AllVerify } else { EarlierSeals::OneIsBad };
                (checked, before)
            }
        }
    }

    /// What became of it, if somebody has taken it.
    pub(super) fn checked(&self) -> Option<&Checked> {
        self.checked.get()
    }

    /// How many bytes of memory it takes up, about.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.read.as_ref().map_or(0, |read| size_of::<UncheckedVote>() + 2 * read.signature.len())
    }
}

/// What became of the sealed signatures before one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EarlierSeals {
    AllVerify,
    OneIsBad,
}

/// The votes of a carrier's sealed signatures. Whoever writes a carrier has seen that they verify; one that does not is an
/// attempt, and costs its writer nothing. So no more than one in a carrier costs its readers anything.
pub(super) fn sealed_votes(
    all: &[Sealed],
    standing: impl Fn(RawKey) -> Result<(), Refusal>,
) -> impl Iterator<Item = Checked> {
    all.iter().scan(EarlierSeals::AllVerify, move |before, sealed| {
        let (vote, after) = sealed.vote(&standing, *before);
        *before = after;
        Some(vote)
    })
}

impl PartialEq for Sealed {
    fn eq(&self, other: &Self) -> bool {
        self.read == other.read
    }
}

impl Eq for Sealed {}

/// The commit's own signature, which is checked when somebody takes it whose policy lists its key, and once.
#[derive(Debug, Clone)]
pub struct OwnVote {
    says: Arc<OwnSays>,
    taken: Arc<OnceLock<Checked>>,
}

/// What is known of a commit's own signature before somebody takes it.
#[derive(Debug, PartialEq, Eq)]
enum OwnSays {
    /// All that there is to know.
    Known(Box<Checked>),
    Claimed(Box<UncheckedOwn>),
}

#[derive(Debug, PartialEq, Eq)]
struct UncheckedOwn {
    statement: Statement,
    ssh: SshSig,
    /// What it claims, or why it is none over this commit.
    claim: Result<PendingClaim, Refusal>,
    principal: Option<PrincipalId>,
    reason: Option<String>,
    evidence: Option<Digest>,
    claimed_time: i64,
}

impl From<Checked> for OwnVote {
    fn from(known: Checked) -> Self {
        Self::of(OwnSays::Known(Box::new(known)))
    }
}

impl OwnVote {
    fn of(says: OwnSays) -> Self {
        Self { says: Arc::new(says), taken: Arc::default() }
    }

    fn read(statement: &Statement, commit: &RawCommit<'_>, signature: &[u8], remarks: Remarks<'_>) -> Self {
        let Remarks { principal, reason, evidence, .. } = remarks;
        let ssh = match read_own(signature) {
            Ok(ssh) => ssh,
            Err(refusal) => return Self::from(Err(BadVote { claims: principal, action: statement.action(), refusal })),
        };
        let claim = ssh.claim(sshsig::GIT, &commit.payload).map(PendingClaim::from);
        let (statement, claimed_time) = (statement.clone(), commit.committer_time);
        let own = UncheckedOwn { statement, ssh, claim, principal, reason, evidence, claimed_time };
        Self::of(OwnSays::Claimed(Box::new(own)))
    }

    /// Whose signature it claims to be, and for what.
    fn says(&self) -> Option<(RawKey, Action)> {
        match &*self.says {
            OwnSays::Claimed(own) => Some((own.ssh.key().raw(), own.statement.action())),
            OwnSays::Known(_) => None,
        }
    }

    /// What it claims, if that is not known.
    pub(super) fn claim(&self) -> Option<&PendingClaim> {
        match &*self.says {
            OwnSays::Claimed(own) => own.claim.as_ref().ok(),
            OwnSays::Known(_) => None,
        }
    }

    /// The vote, unless its key could not count.
    pub fn vote(&self, standing: impl Fn(RawKey) -> Result<(), Refusal>) -> Result<Cosignature, BadVote> {
        match &*self.says {
            OwnSays::Claimed(own) => {
                standing(own.ssh.key().raw()).map_err(|refusal| own.bad(refusal))?;
                self.taken.get_or_init(|| own.vote()).clone()
            }
            OwnSays::Known(known) => self.taken.get_or_init(|| Checked::clone(known)).clone(),
        }
    }

    /// What became of it, if somebody has taken it.
    pub(super) fn checked(&self) -> Option<&Checked> {
        self.taken.get()
    }

    /// How many bytes of memory it takes up, about.
    pub fn weight(&self) -> usize {
        let claimed = |own: &UncheckedOwn| size_of::<UncheckedOwn>() + 2 * own.ssh.weight();
        size_of::<Self>() + if let OwnSays::Claimed(own) = &*self.says { claimed(own) } else { 0 }
    }
}

impl UncheckedOwn {
    fn bad(&self, refusal: Refusal) -> BadVote {
        BadVote { claims: self.principal.clone(), action: self.statement.action(), refusal }
    }

    fn vote(&self) -> Checked {
        let proof = self.claim.as_ref().map_err(Refusal::clone).and_then(PendingClaim::check);
        let proof = proof.map_err(|refusal| self.bad(refusal))?;
        let claims = self.principal.clone().ok_or_else(|| {
            let refusal =
                Refusal::new(Reason::WrongPrincipal, "a signed commit names its signer, and this one does not").hint(
                    "add the line `Two-Key-Principal: <your name in the policy>` after the statement and sign again",
                );
            self.bad(refusal)
        })?;
        Ok(Cosignature {
            key: self.ssh.key().clone(),
            statement: self.statement.clone(),
            claims,
            carrier: Carrier::Commit,
            presence: proof.presence(),
            signature: self.ssh.base64(),
            reason: self.reason.clone(),
            evidence: self.evidence,
            claimed_time: Some(self.claimed_time),
        })
    }
}

impl PartialEq for OwnVote {
    fn eq(&self, other: &Self) -> bool {
        self.says == other.says
    }
}

impl Eq for OwnVote {}

fn read_own(signature: &[u8]) -> Result<SshSig, Refusal> {
    let armour = std::str::from_utf8(signature).ok().filter(|text| text.starts_with("-----BEGIN SSH SIGNATURE-----"));
    let Some(armour) = armour else {
        return Err(Refusal::new(Reason::BadSignature, "the commit's signature is not an SSH signature")
            .hint("sign with: git -c gpg.format=ssh -c user.signingkey=<public key file> …"));
    };
    SshSig::from_armour(armour)
}

fn malformed(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Malformed, format!("the statement commit is malformed: {what}"))
}
