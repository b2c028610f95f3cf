//! Arbitrary histories: bytes become files, and votes that are really signed.

use std::{cell::RefCell, collections::HashMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha512};
use two_key_core::{
    ledger::{Descent, Entry, LeaseState, State, Step, StepCommit, apply, begin},
    model::{
        Digest, Forward, ForwardKind, LeaseId, Nonce, Oid, PrincipalId, PublicKey, RepositoryId, Statement, Stop,
        StopKind, Subject, policy::Role,
    },
    signature::{Cosignature, Opened, open_detached},
};

const REPOSITORY: &str = "6f1c0e2b9a4d4f70a1b2c3d4e5f60718";
const NAMES: [(&str, &str); 6] = [
    ("user1", "human"),
    ("user2", "human"),
    ("cp14", "agent"),
    ("cp15", "agent"),
    ("edge1", "applier"),
    ("mallory", "nobody"),
];
const TIERS: [u8; 4] = [5, 25, 100, 50];
/// The longest history that is made of one input, in instructions.
const LONGEST: usize = 400;

thread_local! {
    static SIGNED: RefCell<HashMap<(usize, String), Cosignature>> = RefCell::new(HashMap::new());
}

fn string(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(part);
}

fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        string(&mut out, part);
    }
    out
}

fn secret(who: usize) -> SigningKey {
    SigningKey::from_bytes(&[u8::try_from(who).unwrap_or(0) + 1; 32])
}

fn public(who: usize) -> Vec<u8> {
    strings(&[b"ssh-ed25519", secret(who).verifying_key().as_bytes()])
}

/// Somebody's signature over a statement: there is no way to a cosignature but through one.
fn sign(who: usize, statement: &Statement) -> Option<Cosignature> {
    let text = statement.text();
    let key = (who, text.clone());
    if let Some(known) = SIGNED.with_borrow(|signed| signed.get(&key).cloned()) {
        return Some(known);
    }
    let parts = strings(&[b"two-key", b"", b"sha512", &Sha512::digest(text.as_bytes())]);
    let signature = secret(who).sign(&[b"SSHSIG", &parts[..]].concat()).to_bytes();
    let inner = strings(&[b"ssh-ed25519", &signature]);
    let blob = [b"SSHSIG\0\0\0\x01", &strings(&[&public(who), b"two-key", b"", b"sha512", &inner])[..]].concat();
    let claims = PrincipalId::parse(NAMES[who].0)?;
    let key_line = PublicKey::from_ssh_blob(&public(who)).ok()?;
    let made = open_detached(statement, claims, &key_line, &STANDARD.encode(blob)).ok()?;
    SIGNED.with_borrow_mut(|signed| {
        if signed.len() > 50_000 {
            signed.clear();
        }
        signed.insert(key, made.clone());
    });
    Some(made)
}

fn policy_text(version: u32, previous: Option<Digest>, variant: u8) -> String {
    let previous = previous.map_or_else(|| "null".to_owned(), |digest| digest.to_string());
    let mut text =
        format!("two-key: 1\nrepository: {REPOSITORY}\nversion: {version}\nprevious: {previous}\nprincipals:\n");
    for (who, (name, role)) in NAMES.iter().enumerate() {
        let role = match (variant % 4, *name) {
            (1, "mallory") => "agent",
            (2, "user2") | (_, "mallory") => continue,
            _ => role,
        };
        let key = STANDARD.encode(public(who));
        text += ["  ", name, ": {role: ", role, ", keys: [\"ssh-ed25519 ", &key, "\"]}\n"].concat().as_str();
    }
    text += "targets: {web: {driver: file, applier: edge1}}\n";
    text + if variant & 4 == 0 { "" } else { "start-up-to: 0\nrules: {promote: {human: 2, agent: 1}}\n" }
}

fn lease_text(lease: u8, variant: u8) -> String {
    format!(
        "two-key: 1\nlease: L{}\nrepository: {REPOSITORY}\nartifacts: [{{name: a, digest: \"{}\"}}]\ntarget: web\n\
         issued: 2026-11-23T00:00:00Z\nexpires: 2026-11-24T00:00:00Z\nsummary: variant {}\n",
        lease % 2,
        Digest::of(b"a"),
        variant % 3
    )
}

/// A history being made.
struct History {
    policy: (u32, Digest),
    in_tree: (u32, Digest),
    files: [u8; 2],
    step: Step,
    number: u32,
}

impl History {
    fn fresh(number: u32) -> Step {
        let mut id = [0xab; 20];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let commit = Oid::from_bytes(&id).unwrap_or_else(|| unreachable!("twenty bytes"));
        Step {
            commit,
            claimed_time: i64::from(number),
            latest_time: 0,
            commits: Vec::new(),
            policy: None,
            leases: Vec::new(),
        }
    }

    fn subject(&self, [action, about]: [u8; 2]) -> Option<Subject> {
        let which = usize::from(action / 16 % 2);
        let lease = LeaseId::parse(&format!("L{which}"))?;
        let digest = Digest::of(lease_text(u8::try_from(which).ok()?, self.files[which]).as_bytes());
        let (step, tier) = (u32::from(about & 15), TIERS[usize::from(about >> 4 & 3)]);
        let nonce = Nonce::from_bytes([about; 16]);
        let forward = |kind| Subject::Forward(Forward { lease: lease.clone(), digest, step, kind });
        let stop = |kind| Subject::Stop(Stop { lease: lease.clone(), kind, nonce: nonce.clone() });
        let key = |who: u8| PublicKey::from_ssh_blob(&public(usize::from(who) % NAMES.len())).ok();
        Some(match action % 16 {
            0 | 1 => Subject::Cosign { lease, digest },
            2 => forward(ForwardKind::Start { tier }),
            3 | 4 => forward(ForwardKind::Promote { tier }),
            5 => forward(ForwardKind::Resume),
            6 => forward(ForwardKind::Complete),
            7 => stop(StopKind::Pause),
            8 => stop(StopKind::Halt),
            9 => stop(StopKind::Rollback),
            10 => stop(StopKind::Withdraw),
            11 => Subject::Freeze { nonce },
            12 => Subject::Thaw { step },
            13 => Subject::Revoke { key: key(about)?.fingerprint() },
            _ => Subject::Policy { digest: self.in_tree.1 },
        })
    }

    fn vote(&mut self, who: u8, subject: [u8; 2], descent: Descent) {
        let Some(repository) = RepositoryId::parse(REPOSITORY) else { return };
        let Some(subject) = self.subject(subject) else { return };
        let statement = Statement { repository, subject };
        if let Some(vote) = sign(usize::from(who) % NAMES.len(), &statement) {
            self.commit(
                Opened::Carrier { statement, committed: 0, sealed: Vec::new(), own: Some(Ok(vote).into()) },
                descent,
            );
        }
    }

    fn commit(&mut self, opened: Opened, descent: Descent) {
        let mut id = self.step.commit.as_bytes().to_vec();
        id[4..8].copy_from_slice(&u32::try_from(self.step.commits.len() + 1).unwrap_or(0).to_be_bytes());
        if let Some(id) = Oid::from_bytes(&id) {
            self.step.commits.push(StepCommit { id, descent, parents: 1, opened });
        }
    }

    fn propose(&mut self, variant: u8) {
        let text = policy_text(self.policy.0 + 1, Some(self.policy.1), variant);
        self.in_tree = (self.policy.0 + 1, Digest::of(text.as_bytes()));
        self.step.policy = Some(Entry::Regular(text.into_bytes().into()));
    }

    fn file(&mut self, path: String, entry: Entry) {
        self.step.leases.retain(|(known, _)| *known != path);
        self.step.leases.push((path, entry));
        self.step.leases.sort_by(|one, other| one.0.cmp(&other.0));
    }

    /// Ends the step.
    fn end(&mut self) -> Step {
        let id = self.step.commit;
        let opened = Opened::Ordinary { signature: None };
        self.step.commits.push(StepCommit { id, descent: Descent::Descends, parents: 1, opened });
        self.number += 1;
        std::mem::replace(&mut self.step, Self::fresh(self.number))
    }
}

/// Whose keys have been turned for anything in a step.
fn roles(step: &Step, state: &State) -> [bool; 2] {
    let mut roles = [false; 2];
    for commit in &step.commits {
        for vote in commit.opened.verified() {
            match state.policy().get().owner(vote.key().raw()) {
                Some((_, principal)) if principal.role == Role::Human => roles[0] = true,
                Some((_, principal)) if principal.role == Role::Agent => roles[1] = true,
                _ => {}
            }
        }
    }
    roles
}

fn only_stops(step: &Step) -> bool {
    step.commits.iter().all(|commit| match &commit.opened {
        Opened::Carrier { statement, .. } => matches!(statement.subject, Subject::Stop(_) | Subject::Freeze { .. }),
        _ => true,
    })
}

fn weights(state: &State) -> [u8; 2] {
    ["L0", "L1"].map(|id| LeaseId::parse(id).and_then(|id| state.lease(&id).map(LeaseState::weight)).unwrap_or(0))
}

/// Four bytes are an instruction: a vote, a file, the end of a step.
pub fn fold(data: &[u8]) {
    let text = policy_text(1, None, 0);
    let first = (1, Digest::of(text.as_bytes()));
    let mut history = History { policy: first, in_tree: first, files: [0; 2], step: History::fresh(0), number: 0 };
    history.step.policy = Some(Entry::Regular(text.into_bytes().into()));
    for lease in [0, 1] {
        history.file(format!("leases/L{lease}.yaml"), Entry::Regular(lease_text(lease, 0).into_bytes().into()));
    }
    let root = history.end();
    let Ok((mut state, _)) = begin(&root) else { unreachable!("the root is fixed") };
    let (mut seen, mut told, mut rest) = ([false; 2], Vec::new(), data);
    for _ in 0..LONGEST {
        let Some(([op, a, b, c], after)) = rest.split_first_chunk::<4>() else { break };
        rest = after;
        match op % 16 {
            0..=6 => history.vote(*a, [*b, *c], Descent::Descends),
            7 => history.vote(*a, [*b, *c], Descent::Foreign),
            8 => {
                let which = usize::from(a % 2);
                history.files[which] = *b;
                let text = lease_text(*a, *b);
                history.file(format!("leases/L{which}.yaml"), Entry::Regular(text.into_bytes().into()));
            }
            9 => {
                let bytes = rest.get(..usize::from(*c)).unwrap_or(rest);
                rest = &rest[bytes.len()..];
                let path = ["leases/L0.yaml", "leases/L2.yaml", "leases/x/L1.yaml", "leases/l0.yaml"];
                let entry = [Entry::Absent, Entry::NotAFile, Entry::TooLarge, Entry::Regular(bytes.into())];
                history.file(path[usize::from(a % 4)].to_owned(), entry[usize::from(b % 4)].clone());
            }
            10 => history.propose(*a),
            11 => {
                let bytes = rest.get(..usize::from(*c)).unwrap_or(rest);
                rest = &rest[bytes.len()..];
                history.step.policy = Some(Entry::Regular(bytes.into()));
            }
            _ => {
                let step = history.end();
                let (before, by) = (weights(&state), state.clone());
                let (next, report) = apply(state, &step);
                // What somebody signed is verified by the fold, where it counts.
                let voted = roles(&step, &by);
                seen = [seen[0] || voted[0], seen[1] || voted[1]];
                let after = weights(&next);
                assert!(seen == [true; 2] || after == [0; 2], "a weight, and no two keys");
                let raised = before.iter().zip(after).any(|(before, after)| after > *before);
                assert!(!raised || !only_stops(&step), "a stop raised a weight");
                assert!(!raised || !report.events.is_empty(), "a weight rose without an event");
                assert_eq!(next.tip(), step.commit);
                let digest = next.policy().digest();
                if digest != history.policy.1 {
                    assert!(voted != [false; 2], "a policy by nobody");
                    history.policy = (next.policy().get().version, digest);
                }
                told.push(step);
                state = next;
            }
        }
    }
    twice(&root, &told, &state);
}

/// Folding in two parts, with the state written down between them, is folding at once.
fn twice(root: &Step, told: &[Step], whole: &State) {
    let Ok((mut state, _)) = begin(root) else { return };
    for (at, step) in told.iter().enumerate() {
        if at == told.len() / 2 {
            let json = serde_json::to_vec(&state).unwrap_or_default();
            state =
                serde_json::from_slice(&json).unwrap_or_else(|error| panic!("the state does not read back: {error}"));
        }
        state = apply(state, step).0;
    }
    assert!(state == *whole, "folding in two parts is another fold");
}

/// An honest rollout in instructions: the seed from which a fuzzer learns the way.
pub fn honest() -> Vec<u8> {
    let vote = |who: u8, action: u8, step: u8, tier: u8| [0, who, action, tier << 4 | step];
    let end = [12, 0, 0, 0];
    let both = |action, step, tier| [vote(0, action, step, tier), vote(2, action, step, tier), end];
    let rollout = [both(0, 0, 0), both(2, 1, 0), both(3, 2, 1), both(3, 3, 2)].concat();
    let policy = [[10, 4, 0, 0], end, vote(0, 14, 0, 0), vote(2, 14, 0, 0), end];
    let stops = [vote(2, 9, 1, 0), vote(0, 11, 2, 0), end, vote(0, 12, 1, 0), vote(2, 12, 1, 0), end];
    [&rollout[..], &policy, &stops].concat().concat()
}
