//! A small world for the judge: keys from names, literal steps, real detached signatures.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha512};

use super::super::*;
use crate::{
    ledger::{self, Descent, Entry, Step, StepCommit, StepReport},
    model::{
        Digest, Fingerprint, Forward, ForwardKind, LeaseId, Nonce, Oid, PrincipalId, PublicKey, RepositoryId,
        Statement, Stop, StopKind, Subject,
    },
    signature::{Cosignature, Opened, RawTag, open_detached},
};

pub(super) const BRANCH: &str = "refs/heads/main";
pub(super) const REPOSITORY: &str = "6f1c0e2b9a4d4f70a1b2c3d4e5f60718";
/// In the lease's window.
pub(super) const NOON: &str = "2025-10-27T12:00:00Z";

pub(super) fn oid(number: u8) -> Oid {
    Oid::Sha1([number; 20])
}

pub(super) fn lease_id() -> LeaseId {
    LeaseId::parse("L-1").unwrap()
}

pub(super) fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn signing_key(name: &str) -> SigningKey {
    let mut seed = [7; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    SigningKey::from_bytes(&seed)
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

pub(super) fn public(name: &str) -> PublicKey {
    let key = signing_key(name).verifying_key();
    let blob = [string(b"ssh-ed25519"), string(key.as_bytes())].concat();
    PublicKey::from_ssh_blob(&blob).unwrap()
}

/// The blob of a signature in namespace `two-key`.
fn sshsig(name: &str, text: &str) -> Vec<u8> {
    let hash = Sha512::digest(text.as_bytes());
    let fields = [string(b"two-key"), string(b""), string(b"sha512")].concat();
    let signed = [&b"SSHSIG"[..], &fields, &string(&hash)].concat();
    let signature = signing_key(name).sign(&signed).to_bytes();
    let signature = [string(b"ssh-ed25519"), string(&signature)].concat();
    [&b"SSHSIG\0\0\0\x01"[..], &string(&public(name).blob()), &fields, &string(&signature)].concat()
}

/// A note's entry: the statement, then the armour.
pub(super) fn entry(name: &str, statement: &Statement) -> String {
    let body = STANDARD.encode(sshsig(name, &statement.text()));
    let lines: Vec<_> = body.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let armour = lines.join("\n");
    format!("{}-----BEGIN SSH SIGNATURE-----\n{armour}\n-----END SSH SIGNATURE-----\n", statement.text())
}

/// A verified signature.
pub(super) fn signed(name: &str, statement: &Statement) -> Cosignature {
    let base64 = STANDARD.encode(sshsig(name, &statement.text()));
    open_detached(statement, PrincipalId::parse(name).unwrap(), &public(name), &base64).unwrap()
}

pub(super) fn carrier(name: &str, statement: &Statement) -> Opened {
    Opened::Carrier {
        statement: statement.clone(),
        committed: 0,
        sealed: Vec::new(),
        own: Some(Ok(signed(name, statement)).into()),
    }
}

pub(super) fn policy() -> String {
    let key = |name: &str| public(name).line();
    format!(
        "two-key: 1\nrepository: {REPOSITORY}\nversion: 1\nprevious: null\nbranch: main\nprincipals:\n  \
         user1: {{role: human, keys: [\"{}\"]}}\n  cp14: {{role: agent, keys: [\"{}\"]}}\n  \
         cp18: {{role: agent, keys: [\"{}\"]}}\n  edge1: {{role: applier, keys: [\"{}\"]}}\n\
         rules:\n  promote: {{human: 1, agent: 1}}\ntargets:\n  prod: {{driver: file, applier: edge1}}\n",
        key("user1"),
        key("cp14"),
        key("cp18"),
        key("edge1")
    )
}

pub(super) fn lease() -> String {
    format!(
        "two-key: 1\nlease: L-1\nrepository: {REPOSITORY}\nartifacts: [{{name: a, digest: \"{}\"}}]\ntarget: prod\n\
         issued: 2025-10-27T02:19:13Z\nexpires: 2025-10-28T02:19:13Z\n",
        Digest::of(b"artifact")
    )
}

pub(super) fn statement(subject: Subject) -> Statement {
    Statement { repository: crate::model::RepositoryId::parse(REPOSITORY).unwrap(), subject }
}

pub(super) fn cosign() -> Statement {
    statement(Subject::Cosign { lease: lease_id(), digest: Digest::of(lease().as_bytes()) })
}

pub(super) fn forward(step: u32, kind: ForwardKind) -> Statement {
    let digest = Digest::of(lease().as_bytes());
    statement(Subject::Forward(Forward { lease: lease_id(), digest, step, kind }))
}

pub(super) fn start() -> Statement {
    forward(1, ForwardKind::Start { tier: 5 })
}

pub(super) fn promote() -> Statement {
    forward(2, ForwardKind::Promote { tier: 25 })
}

pub(super) fn stop(kind: StopKind, nonce: u8) -> Statement {
    statement(Subject::Stop(Stop { lease: lease_id(), kind, nonce: Nonce::from_bytes([nonce; 16]) }))
}

pub(super) fn freeze() -> Statement {
    statement(Subject::Freeze { nonce: Nonce::from_bytes([9; 16]) })
}

pub(super) fn revoke(key: &str) -> Statement {
    let key: Fingerprint = public(key).fingerprint();
    statement(Subject::Revoke { key })
}

/// A ledger that grows by literal steps; commit ids are counted.
#[derive(Clone)]
pub(super) struct PushStory {
    pub(super) state: State,
    next: u8,
    /// What the push brings.
    pub(super) push: Push,
}

impl PushStory {
    /// The root, the lease's proposal.
    pub(super) fn proposed() -> Self {
        Self::under(&policy())
    }

    /// The same, under another policy.
    pub(super) fn under(policy: &str) -> Self {
        Self::of(policy, &lease())
    }

    /// The same, with another lease.
    pub(super) fn of(policy: &str, lease: &str) -> Self {
        let mut root = step(1, None);
        root.policy = Some(Entry::Regular(policy.as_bytes().into()));
        root.leases = vec![("leases/L-1.yaml".to_owned(), Entry::Regular(lease.as_bytes().into()))];
        let (state, report) = ledger::begin(&root).unwrap();
        assert_eq!(report.findings, []);
        let push = Push {
            branch: BRANCH.to_owned(),
            root: oid(1),
            before: Some(state.clone()),
            after: Some(state.clone()),
            steps: Vec::new(),
            updates: Vec::new(),
            forced_revocation: false,
        };
        Self { state, next: 2, push }
    }

    /// Two keys turned for the lease.
    pub(super) fn authorized() -> Self {
        Self::proposed().past("user1", &cosign()).past("cp14", &cosign())
    }

    /// At 5 %.
    pub(super) fn rolling() -> Self {
        Self::authorized().past("user1", &start())
    }

    /// A step that is in the ledger already.
    pub(super) fn past(mut self, name: &str, statement: &Statement) -> Self {
        let report = self.fold(&step(self.next, Some(carrier(name, statement))));
        assert_eq!(report.findings, []);
        self.push.before = Some(self.state.clone());
        self.push.after = Some(self.state.clone());
        self
    }

    fn fold(&mut self, step: &Step) -> StepReport {
        let (state, report) = ledger::apply(self.state.clone(), step);
        self.state = state;
        self.next += 1;
        report
    }

    /// A step that the push brings.
    pub(super) fn brings(self, name: &str, statement: &Statement) -> Self {
        let dated = at(NOON).as_second();
        self.brings_dated(name, statement, dated)
    }

    /// The same, dated by hand.
    pub(super) fn brings_dated(self, name: &str, statement: &Statement, dated: i64) -> Self {
        let mut step = step(self.next, Some(carrier(name, statement)));
        step.claimed_time = dated;
        self.brings_step(&step)
    }

    pub(super) fn brings_step(mut self, step: &Step) -> Self {
        let report = self.fold(step);
        self.push.steps.push(NewStep::new(step, report));
        self.push.after = Some(self.state.clone());
        self.moves(BranchFacts::Continues)
    }

    /// The push moves the governed branch.
    pub(super) fn moves(self, facts: BranchFacts) -> Self {
        let (old, new) = (self.push.before.as_ref().map(State::tip), self.state.tip());
        let mut story = self;
        story.push.updates.retain(|update| update.name != BRANCH);
        story.with(BRANCH, old, Some(new), RefFacts::Branch(facts))
    }

    /// The push moves a ref.
    pub(super) fn with(mut self, name: &str, old: Option<Oid>, new: Option<Oid>, facts: RefFacts) -> Self {
        let facts = facts.into();
        self.push.updates.push(PushRef { name: name.to_owned(), old, new, standing: Standing::AsClaimed, facts });
        self
    }

    /// The push creates a tag of the lease, on a commit.
    pub(super) fn tags(self, suffix: &str, on: Oid) -> Self {
        let tag = RawTag { object: on, name: format!("rollout/L-1/{suffix}") };
        let name = format!("refs/tags/rollout/L-1/{suffix}");
        self.with(&name, None, Some(oid(200)), tag_facts(None, TagFacts::Annotated(Ok(tag))))
    }

    /// Another push came first for the last ref of this one.
    pub(super) fn outrun(mut self) -> Self {
        self.push.updates.last_mut().unwrap().standing = Standing::Outrun;
        self
    }

    /// The push creates a stop ref.
    pub(super) fn stops(self, target: &str, opened: Opened) -> Self {
        let name = format!("refs/two-key/stops/{target}/{}", oid(150));
        self.with(&name, None, Some(oid(150)), RefFacts::Stop(Some(opened)))
    }

    /// The push changes the notes of a principal.
    pub(super) fn notes(self, principal: &str, before: Option<&str>, after: Option<&str>) -> Self {
        let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let change = NoteChange { object: oid(99), before: bytes(before).into_iter().collect(), after: bytes(after) };
        let facts = NotesFacts { fast_forward: true, strays: Vec::new(), changes: vec![change] };
        let name = format!("refs/notes/two-key/{principal}");
        self.with(&name, Some(oid(120)), Some(oid(121)), RefFacts::Notes(facts))
    }

    /// The push moves an applier's ref by commits of these signers.
    pub(super) fn records(self, applier: &str, signers: &[Option<&str>]) -> Self {
        self.records_of(applier, &signers.iter().map(|name| (*name, Some(REPOSITORY))).collect::<Vec<_>>())
    }

    /// The push moves an applier's ref by commits of these signers, whose records are of these repositories.
    pub(super) fn records_of(self, applier: &str, records: &[(Option<&str>, Option<&str>)]) -> Self {
        let record = |(signer, repository): &(Option<&str>, Option<&str>)| RecordFacts {
            commit: oid(130),
            signer: signer.map(|name| public(name).raw()),
            repository: repository.and_then(RepositoryId::parse),
        };
        let facts = ApplierFacts { fast_forward: true, commits: records.iter().map(record).collect() };
        let name = format!("refs/two-key/appliers/{applier}");
        self.with(&name, Some(oid(129)), Some(oid(130)), RefFacts::Applier(facts))
    }

    pub(super) fn tip(&self) -> Oid {
        self.state.tip()
    }

    pub(super) fn judged_at(&self, time: &str) -> PushVerdict {
        judge(&self.push, at(time))
    }

    /// The reasons of all refusals.
    #[track_caller]
    pub(super) fn refused(&self, reasons: &[Reason]) -> PushVerdict {
        let verdict = self.judged_at(NOON);
        let found: Vec<_> = verdict.refused.iter().map(|refused| refused.refusal.reason).collect();
        assert_eq!(found, reasons, "{verdict:?}");
        verdict
    }

    #[track_caller]
    pub(super) fn admitted(&self) -> PushVerdict {
        self.refused(&[])
    }
}

pub(super) fn tag_facts(before: Option<TagFacts>, after: TagFacts) -> RefFacts {
    RefFacts::Tag { before, after }
}

pub(super) fn step(number: u8, opened: Option<Opened>) -> Step {
    let opened = opened.unwrap_or(Opened::Ordinary { signature: None });
    let own = StepCommit { id: oid(number), descent: Descent::Descends, parents: 1, opened };
    Step { commit: oid(number), claimed_time: 0, latest_time: 0, commits: vec![own], policy: None, leases: Vec::new() }
}
