//! Stories: policies, leases and votes written down in a line each, folded step by step.
//!
//! A [`Story`] checks at every step what must hold at every step: the state reads back from JSON as it was, a vote that is
//! refused alters nothing, and what a vote will do can be said beforehand with few leases at hand.

use ed25519_dalek::SigningKey;

use crate::{
    ledger::{
        Descent, Entry, Event, EventKind, Hypothesis, Phase, State, Step, StepCommit, StepReport, apply, begin,
        forecast, hypothetical, stops_something,
    },
    model::{
        Digest, Fingerprint, Forward, ForwardKind, LeaseId, Nonce, Oid, PrincipalId, PublicKey, Refusal, RepositoryId,
        Statement, Stop, StopKind, Subject, TargetId, key::put_ssh_string,
    },
    signature::{Carrier, Cosignature, Opened, Presence, literal::signed_commit},
};

pub(super) const REPOSITORY: &str = "6f1c0e2b9a4d4f70a1b2c3d4e5f60718";
pub(super) const NONE: [&str; 0] = [];

/// A software key from a number: the numbers are the secrets.
pub(super) fn ssh(seed: u8) -> PublicKey {
    wrapped("ssh-ed25519", seed, None)
}

/// The same raw key as [`ssh`]'s, as an authenticator would wrap it.
pub(super) fn sk(seed: u8) -> PublicKey {
    wrapped("sk-ssh-ed25519@openssh.com", seed, Some("ssh:"))
}

pub(super) fn sk_for(seed: u8, application: &str) -> PublicKey {
    wrapped("sk-ssh-ed25519@openssh.com", seed, Some(application))
}

fn wrapped(kind: &str, seed: u8, application: Option<&str>) -> PublicKey {
    let mut blob = Vec::new();
    put_ssh_string(&mut blob, kind.as_bytes());
    put_ssh_string(&mut blob, &point(seed));
    if let Some(application) = application {
        put_ssh_string(&mut blob, application.as_bytes());
    }
    PublicKey::from_ssh_blob(&blob).unwrap()
}

fn point(seed: u8) -> [u8; 32] {
    SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes()
}

/// The negative of [`ssh`]'s point, for which the same secret signs.
pub(super) fn negative(seed: u8) -> PublicKey {
    let mut point = point(seed);
    point[31] ^= 0x80;
    let mut blob = Vec::new();
    put_ssh_string(&mut blob, b"ssh-ed25519");
    put_ssh_string(&mut blob, &point);
    PublicKey::from_ssh_blob(&blob).unwrap()
}

/// The same raw key again, in minisign's wrapping.
pub(super) fn minisign(seed: u8) -> PublicKey {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut bytes = b"Ed\x01\x02\x03\x04\x05\x06\x07\x08".to_vec();
    bytes.extend_from_slice(&point(seed));
    PublicKey::from_bare_minisign(&STANDARD.encode(bytes)).unwrap()
}

/// Somebody who turns a key: whose it is said to be, the key, and how the signature came.
#[derive(Clone)]
pub(super) struct Voter {
    pub(super) claims: String,
    pub(super) key: PublicKey,
    pub(super) carrier: Carrier,
    pub(super) presence: Presence,
}

impl Voter {
    pub(super) fn key(mut self, key: PublicKey) -> Self {
        self.key = key;
        self
    }
    pub(super) fn claiming(mut self, name: &str) -> Self {
        name.clone_into(&mut self.claims);
        self
    }
    pub(super) fn touched(mut self) -> Self {
        self.presence = Presence::Touched;
        self
    }
    pub(super) fn verified(mut self) -> Self {
        self.presence = Presence::Verified;
        self
    }
    pub(super) fn untouched(mut self) -> Self {
        self.presence = Presence::NotShown;
        self
    }
    pub(super) fn by_commit(mut self) -> Self {
        self.carrier = Carrier::Commit;
        self
    }
}

/// Everybody's first key. Second keys are the same number plus 100.
pub(super) fn seed(name: &str) -> u8 {
    let names = ["user1", "user2", "user3", "cp14", "cp15", "cp20", "edge1", "edge2", "mallory"];
    u8::try_from(names.iter().position(|known| *known == name).unwrap()).unwrap() + 1
}

impl From<&str> for Voter {
    fn from(name: &str) -> Self {
        Self { claims: name.to_owned(), key: ssh(seed(name)), carrier: Carrier::Detached, presence: Presence::None }
    }
}

pub(super) fn who(name: &str) -> Voter {
    name.into()
}

/// A policy to write down: three humans, two agents that count and one that is listed for nothing but `start`
/// (rules that list agents leave cp20 out), and two appliers.
#[derive(Clone)]
pub(super) struct Rulebook {
    pub(super) version: u32,
    pub(super) previous: Option<Digest>,
    pub(super) principals: Vec<(String, &'static str, Vec<PublicKey>)>,
    pub(super) rest: String,
}

pub(super) const TARGETS: &str =
    "targets:\n  web: {driver: file, applier: edge1}\n  db: {driver: exec, applier: edge2}\n";

pub(super) fn rulebook() -> Rulebook {
    let roles = [
        ("user1", "human"),
        ("user2", "human"),
        ("user3", "human"),
        ("cp14", "agent"),
        ("cp15", "agent"),
        ("cp20", "agent"),
        ("edge1", "applier"),
        ("edge2", "applier"),
    ];
    let keys = |name: &str| vec![ssh(seed(name)), ssh(seed(name) + 100)];
    let principals = roles.iter().map(|(name, role)| ((*name).to_owned(), *role, keys(name))).collect();
    Rulebook { version: 1, previous: None, principals, rest: TARGETS.to_owned() }
}

impl Rulebook {
    /// Adds lines.
    pub(super) fn with(mut self, lines: &str) -> Self {
        self.rest.push_str(lines);
        self.rest.push('\n');
        self
    }
    /// Takes other lines for all that is not principals.
    pub(super) fn only(mut self, lines: &str) -> Self {
        self.rest = format!("{lines}\n");
        self
    }
    pub(super) fn without(mut self, name: &str) -> Self {
        self.principals.retain(|(id, _, _)| id != name);
        self
    }
    /// Gives somebody other keys.
    pub(super) fn keys(mut self, name: &str, keys: &[PublicKey]) -> Self {
        for principal in self.principals.iter_mut().filter(|(id, _, _)| id == name) {
            principal.2 = keys.to_vec();
        }
        self
    }
    /// The same as the version after another.
    pub(super) fn after(mut self, before: &Self) -> Self {
        self.version = before.version + 1;
        self.previous = Some(before.digest());
        self
    }
    pub(super) fn yaml(&self) -> String {
        use std::fmt::Write as _;
        let previous = self.previous.map_or_else(|| "null".to_owned(), |digest| digest.to_string());
        let mut text = format!(
            "two-key: 1\nrepository: {REPOSITORY}\nversion: {}\nprevious: {previous}\nprincipals:\n",
            self.version
        );
        for (name, role, keys) in &self.principals {
            let keys: Vec<_> = keys.iter().map(|key| format!("\"{}\"", key.line())).collect();
            writeln!(text, "  {name}: {{role: {role}, keys: [{}]}}", keys.join(", ")).unwrap();
        }
        text + &self.rest
    }
    pub(super) fn digest(&self) -> Digest {
        Digest::of(self.yaml().as_bytes())
    }
}

/// A lease to write down.
#[derive(Clone)]
pub(super) struct Paper {
    pub(super) id: &'static str,
    pub(super) target: &'static str,
    pub(super) repository: &'static str,
    pub(super) artifacts: &'static [&'static str],
    pub(super) rest: String,
}

pub(super) fn lease(id: &'static str) -> Paper {
    Paper { id, target: "web", repository: REPOSITORY, artifacts: &["a"], rest: String::new() }
}

impl Paper {
    pub(super) fn on(mut self, target: &'static str) -> Self {
        self.target = target;
        self
    }
    pub(super) fn with(mut self, lines: &str) -> Self {
        self.rest.push_str(lines);
        self.rest.push('\n');
        self
    }
    /// Rolls out other artifacts, each with the digest of its name.
    pub(super) fn of(mut self, artifacts: &'static [&'static str]) -> Self {
        self.artifacts = artifacts;
        self
    }
    pub(super) fn yaml(&self) -> String {
        let artifact = |name: &&str| format!("{{name: {name}, digest: \"{}\"}}", Digest::of(name.as_bytes()));
        format!(
            "two-key: 1\nlease: {}\nrepository: {}\nartifacts: [{}]\ntarget: {}\n\
             issued: 2026-11-23T00:00:00Z\nexpires: 2026-11-24T00:00:00Z\n{}",
            self.id,
            self.repository,
            self.artifacts.iter().map(artifact).collect::<Vec<_>>().join(", "),
            self.target,
            self.rest
        )
    }
    pub(super) fn digest(&self) -> Digest {
        Digest::of(self.yaml().as_bytes())
    }
    pub(super) fn path(&self) -> String {
        format!("leases/{}.yaml", self.id)
    }
    pub(super) fn lease_id(&self) -> LeaseId {
        LeaseId::parse(self.id).unwrap()
    }
    fn forward(&self, step: u32, kind: ForwardKind) -> Subject {
        Subject::Forward(Forward { lease: self.lease_id(), digest: self.digest(), step, kind })
    }
    pub(super) fn cosign(&self) -> Subject {
        Subject::Cosign { lease: self.lease_id(), digest: self.digest() }
    }
    pub(super) fn start(&self, tier: u8) -> Subject {
        self.forward(1, ForwardKind::Start { tier })
    }
    pub(super) fn start_as(&self, step: u32, tier: u8) -> Subject {
        self.forward(step, ForwardKind::Start { tier })
    }
    pub(super) fn promote(&self, step: u32, tier: u8) -> Subject {
        self.forward(step, ForwardKind::Promote { tier })
    }
    pub(super) fn resume(&self, step: u32) -> Subject {
        self.forward(step, ForwardKind::Resume)
    }
    pub(super) fn complete(&self, step: u32) -> Subject {
        self.forward(step, ForwardKind::Complete)
    }
    pub(super) fn stop(&self, kind: StopKind, number: u8) -> Subject {
        Subject::Stop(Stop { lease: self.lease_id(), kind, nonce: nonce(number) })
    }
}

pub(super) fn nonce(number: u8) -> Nonce {
    Nonce::from_bytes([number; 16])
}

pub(super) fn freeze(number: u8) -> Subject {
    Subject::Freeze { nonce: nonce(number) }
}

pub(super) fn thaw(step: u32) -> Subject {
    Subject::Thaw { step }
}

pub(super) fn revoke(key: &PublicKey) -> Subject {
    Subject::Revoke { key: key.fingerprint() }
}

pub(super) fn revoke_print(key: &Fingerprint) -> Subject {
    Subject::Revoke { key: key.clone() }
}

pub(super) fn enact(policy: &Rulebook) -> Subject {
    Subject::Policy { digest: policy.digest() }
}

pub(super) fn statement(subject: Subject) -> Statement {
    Statement { repository: RepositoryId::parse(REPOSITORY).unwrap(), subject }
}

/// One step being written down.
pub(super) struct StepDraft(Step);

impl StepDraft {
    pub(super) fn new(number: u32) -> Self {
        Self(Step {
            commit: oid(number, 0),
            claimed_time: i64::from(number),
            latest_time: i64::from(number),
            commits: Vec::new(),
            policy: None,
            leases: Vec::new(),
        })
    }
    pub(super) fn file(mut self, path: &str, entry: Entry) -> Self {
        self.0.leases.push((path.to_owned(), entry));
        self
    }
    pub(super) fn lease(self, paper: &Paper) -> Self {
        self.file(&paper.path(), bytes(&paper.yaml()))
    }
    pub(super) fn policy(self, policy: &Rulebook) -> Self {
        self.policy_entry(bytes(&policy.yaml()))
    }
    pub(super) fn policy_entry(mut self, entry: Entry) -> Self {
        self.0.policy = Some(entry);
        self
    }
    /// A carrier commit that is brought in.
    pub(super) fn vote(self, who: impl Into<Voter>, subject: Subject) -> Self {
        self.carrier(who, statement(subject), Descent::Descends)
    }
    pub(super) fn carrier(self, who: impl Into<Voter>, statement: Statement, descent: Descent) -> Self {
        let who = who.into();
        let claims = PrincipalId::parse(&who.claims).unwrap();
        let vote = Cosignature::literal(who.key, statement.clone(), claims, who.carrier, who.presence);
        self.commit(
            Opened::Carrier { statement, committed: 0, sealed: Vec::new(), own: Some(Ok(vote).into()) },
            descent,
        )
    }
    pub(super) fn commit(mut self, opened: Opened, descent: Descent) -> Self {
        let number = u8::try_from(self.0.commits.len() + 1).unwrap();
        let mut id = self.0.commit.as_bytes().to_vec();
        id[4] = number;
        self.0.commits.push(StepCommit { id: Oid::from_bytes(&id).unwrap(), descent, parents: 1, opened });
        self
    }
    /// Brings in an ordinary commit.
    pub(super) fn ordinary(self, signer: Option<u8>) -> Self {
        self.commit(ordinary(signer), Descent::Descends)
    }
    /// The step's own commit, ordinary, signed by somebody or not.
    pub(super) fn finish(mut self, signer: Option<u8>) -> Step {
        let own = StepCommit {
            id: self.0.commit,
            descent: Descent::Descends,
            parents: 1 + usize::from(!self.0.commits.is_empty()),
            opened: ordinary(signer),
        };
        self.0.commits.push(own);
        self.0
    }
}

/// An ordinary commit, signed by somebody or not.
pub(super) fn ordinary(signer: Option<u8>) -> Opened {
    signer.map_or(Opened::Ordinary { signature: None }, signed_commit)
}

pub(super) fn bytes(text: &str) -> Entry {
    Entry::Regular(text.as_bytes().into())
}

fn oid(number: u32, within: u8) -> Oid {
    let mut id = [0xab; 20];
    id[..4].copy_from_slice(&number.to_be_bytes());
    id[4] = within;
    Oid::from_bytes(&id).unwrap()
}

/// A ledger being told.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) state: State,
    pub(super) last: StepReport,
    number: u32,
}

impl Story {
    pub(super) fn new(policy: &Rulebook) -> Self {
        let (state, last) = begin(&StepDraft::new(0).policy(policy).finish(None)).unwrap();
        assert_eq!(last.findings, [], "a root without findings");
        Self { state, last, number: 0 }
    }

    /// Folds a step and gives the codes of its findings.
    pub(super) fn step(&mut self, write: impl FnOnce(StepDraft) -> StepDraft) -> Vec<&'static str> {
        self.signed_step(None, write)
    }

    /// The same, with the step's own commit signed.
    pub(super) fn signed_step(
        &mut self,
        signer: Option<u8>,
        write: impl FnOnce(StepDraft) -> StepDraft,
    ) -> Vec<&'static str> {
        self.number += 1;
        let step = write(StepDraft::new(self.number)).finish(signer);
        self.foresees(&step);
        let (state, report) = apply(self.state.clone(), &step);
        let json = serde_json::to_string(&state).unwrap();
        assert!(serde_json::from_str::<State>(&json).unwrap() == state, "the state reads back: {json}");
        (self.state, self.last) = (state, report);
        self.codes()
    }

    /// What the leases alone that a vote concerns say of it is what everything says of it.
    fn foresees(&self, step: &Step) {
        for vote in step.commits.iter().flat_map(|commit| commit.opened.verified()) {
            let whole = hypothetical(&self.state, Hypothesis::Signed(std::slice::from_ref(vote))).1;
            assert_eq!(forecast(&self.state, vote), whole, "{vote:?}");
            if vote.statement().action().stops() {
                assert_eq!(stops_something(&self.state, vote), result_of(&whole), "{vote:?}");
            }
        }
    }

    /// One vote in a step of its own.
    pub(super) fn go(&mut self, who: impl Into<Voter>, subject: Subject) -> Vec<&'static str> {
        self.step(|draft| draft.vote(who, subject))
    }

    /// A vote that must be without findings.
    #[track_caller]
    pub(super) fn does(&mut self, who: impl Into<Voter>, subject: Subject) -> &mut Self {
        let codes = self.go(who, subject);
        assert_eq!(codes, NONE, "{:?}", self.last.findings);
        self
    }

    /// A vote that must get exactly this code, and alter nothing.
    #[track_caller]
    pub(super) fn refuses(&mut self, who: impl Into<Voter>, subject: Subject, code: &str) -> &mut Self {
        let mut before = self.state.clone();
        let codes = self.go(who, subject);
        assert_eq!(codes, [code], "{:?}", self.last);
        assert_eq!(self.last.events, [], "a refused vote has no event");
        (before.tip, before.length) = (self.state.tip, self.state.length);
        assert!(before == self.state, "a refused vote alters nothing: {:?}", self.last.findings);
        self
    }

    /// Puts a lease into the tree.
    #[track_caller]
    pub(super) fn proposes(&mut self, paper: &Paper) -> &mut Self {
        let codes = self.step(|draft| draft.lease(paper));
        assert_eq!(codes, NONE, "{:?}", self.last.findings);
        self
    }

    /// Proposes and authorizes.
    #[track_caller]
    pub(super) fn authorizes(&mut self, paper: &Paper) -> &mut Self {
        self.proposes(paper).does("user1", paper.cosign()).does("cp14", paper.cosign());
        assert_eq!(self.phase(paper.id), Phase::Authorized);
        self
    }

    /// Proposes, authorizes and starts at 5 %.
    #[track_caller]
    pub(super) fn rolls(&mut self, paper: &Paper) -> &mut Self {
        self.authorizes(paper).does("cp14", paper.start(5));
        assert_eq!(self.phase(paper.id), Phase::Rolling { tier: 0 });
        self
    }

    /// Rolls up to 100 %.
    #[track_caller]
    pub(super) fn rolls_out(&mut self, paper: &Paper) -> &mut Self {
        self.rolls(paper);
        for (step, tier) in [(2, 25), (3, 100)] {
            self.does("user1", paper.promote(step, tier)).does("cp14", paper.promote(step, tier));
        }
        assert_eq!(self.phase(paper.id), Phase::Rolling { tier: 2 });
        self
    }

    /// Proposes and enacts a policy.
    #[track_caller]
    pub(super) fn enacts(&mut self, policy: &Rulebook) -> &mut Self {
        let codes = self.step(|draft| draft.policy(policy));
        assert_eq!(codes, NONE, "{:?}", self.last.findings);
        self.does("user1", enact(policy)).does("user2", enact(policy));
        assert_eq!(self.state.policy().digest(), policy.digest());
        self
    }

    pub(super) fn codes(&self) -> Vec<&'static str> {
        self.last.findings.iter().map(|finding| finding.refusal.reason.code()).collect()
    }

    pub(super) fn events(&self) -> Vec<EventKind> {
        self.last.events.iter().map(|Event { event, .. }| *event).collect()
    }

    pub(super) fn phase(&self, id: &str) -> Phase {
        self.state.lease(&LeaseId::parse(id).unwrap()).map_or(Phase::Proposed, |lease| lease.phase)
    }

    pub(super) fn weight(&self, id: &str) -> u8 {
        self.state.lease(&LeaseId::parse(id).unwrap()).map_or(0, crate::ledger::LeaseState::weight)
    }

    pub(super) fn newest_on(&self, target: &str) -> Option<&str> {
        self.state.newest_on(&TargetId::parse(target).unwrap()).map(|lease| lease.id.as_str())
    }
}

/// Whether the report of one stop says that it stopped something, or why it did not count.
pub(super) fn result_of(report: &StepReport) -> Result<bool, Refusal> {
    match report.findings.first() {
        Some(finding) => Err(finding.refusal.clone()),
        None => Ok(report.stopped_something()),
    }
}
