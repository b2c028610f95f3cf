//! Ledgers of any length, in which everything counts.
//!
//! Eight targets each have one rollout after the other. Most go all the way in nine signed commits; some are sealed
//! into their start, paused and resumed, rolled back, withdrawn, proposed through a merge, or get both keys of a step in
//! a merge. Of every twenty leases one has a note: another human's cosignature in the inbox. Every so often the policy
//! changes or the repository is frozen and thawed. Leases lie a hundred in a folder,
//! and folders of leases that ended long ago are deleted, as people do. All of it follows from the commit's number, so
//! that every run makes the same ids.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use git_two_key::{
    model::{Digest, Forward, ForwardKind, LeaseId, Nonce, Oid, RepositoryId, Statement, Stop, StopKind, Subject},
    signature::{ObjectFormat, statement_message},
};

use super::{
    key::Key,
    pack::{Kind, Pack},
    run,
};

const REPOSITORY: &str = "6f1c0e2b9a4d4f70a1b2c3d4e5f60718";
/// Rollouts under way at once, each on its own target.
const TARGETS: usize = 8;
/// Leases in a folder.
const FOLDER: usize = 100;
/// Folders that are kept.
const FOLDERS: usize = 100;
/// Commits between two policies, and between two freezes.
const POLICY_EVERY: usize = 1_000;
const FREEZE_EVERY: usize = 5_000;
/// 2023-01-01T00:00:00Z, and the seconds between two commits.
const EPOCH: usize = 1_672_531_200;
const PACE: usize = 30;

/// Whose keys turn.
struct Keys {
    human: Key,
    agent: Key,
    other: Key,
}

#[derive(Clone, Copy)]
enum Who {
    Human,
    Agent,
    Other,
}

impl Keys {
    fn of(&self, who: Who) -> &Key {
        match who {
            Who::Human => &self.human,
            Who::Agent => &self.agent,
            Who::Other => &self.other,
        }
    }
}

/// A rollout under way.
struct Rollout {
    id: LeaseId,
    digest: Digest,
    kind: usize,
    /// How far its script has come, and the number of its next step.
    at: usize,
    step: u32,
}

/// A ledger being written.
pub struct Corpus {
    format: ObjectFormat,
    keys: Keys,
    pack: Option<Pack>,
    /// Commits so far, and how many of them are signed.
    pub commits: usize,
    pub signed: usize,
    /// Leases so far, and the transitions in force.
    pub leases: usize,
    pub tags: Vec<(String, Oid)>,
    pub root: Option<Oid>,
    pub tip: Option<Oid>,
    tree: Option<Oid>,
    policy: (u32, Digest, Oid),
    /// The last folders: name, entries, id of the tree.
    folders: VecDeque<(String, Vec<u8>, Oid)>,
    rollouts: Vec<Option<Rollout>>,
    freezes: u32,
    /// Notes on leases' files so far, and the last commit that holds some.
    notes: Vec<(Oid, Oid)>,
    noted: Option<Oid>,
}

impl Corpus {
    /// Founds a ledger.
    pub fn new(format: ObjectFormat, pack: &Path) -> io::Result<Self> {
        let keys = Keys { human: Key::of("user1"), agent: Key::of("cp14"), other: Key::of("user2") };
        let nowhere = Oid::Sha1([0; 20]);
        let mut corpus = Self {
            format,
            keys,
            pack: Some(Pack::create(pack, format)?),
            commits: 0,
            signed: 0,
            leases: 0,
            tags: Vec::new(),
            root: None,
            tip: None,
            tree: None,
            policy: (0, Digest::of(b""), nowhere),
            folders: VecDeque::new(),
            rollouts: (0..TARGETS).map(|_| None).collect(),
            freezes: 0,
            notes: Vec::new(),
            noted: None,
        };
        corpus.next_policy()?;
        corpus.root = Some(corpus.commit(&[], None, "Found the ledger\n")?);
        Ok(corpus)
    }

    /// Writes on until there are so many commits.
    pub fn grow(&mut self, commits: usize) -> io::Result<()> {
        while self.commits < commits {
            let before = self.commits;
            self.turn(before % TARGETS)?;
            if before / POLICY_EVERY != self.commits / POLICY_EVERY {
                self.change_policy()?;
            }
            if before / FREEZE_EVERY != self.commits / FREEZE_EVERY {
                self.freeze()?;
            }
        }
        Ok(())
    }

    /// Hands what was written over to a repository, and goes on in another pack.
    pub fn deliver(&mut self, repository: &Path, next: &Path) -> io::Result<()> {
        let noted = self.commit_notes()?;
        let tagged: Vec<_> = std::mem::take(&mut self.tags);
        let mut refs: Vec<(String, Oid, Oid)> = Vec::new();
        for (name, commit) in tagged {
            let text = format!(
                "object {commit}\ntype commit\ntag {name}\ntagger A Person <a@example> {EPOCH} +0000\n\nIn force\n"
            );
            refs.push((name, self.write(Kind::Tag, text.as_bytes())?, commit));
        }
        refs.sort();
        let pack = self.pack.replace(Pack::create(next, self.format)?);
        pack.expect("a corpus always has a pack").into_repository(repository)?;
        let mut packed = String::from("# pack-refs with: peeled fully-peeled sorted \n");
        for (name, tag, commit) in refs {
            let _ = writeln!(packed, "{tag} refs/tags/{name}\n^{commit}");
        }
        fs::write(repository.join("packed-refs"), packed)?;
        if let Some(noted) = noted {
            let name = format!("refs/notes/two-key/{}", self.keys.other.principal);
            run::said(run::git(repository).args(["update-ref", &name, &noted.to_string()]));
        }
        let tip = self.tip.expect("a founded ledger").to_string();
        run::said(run::git(repository).args(["update-ref", "refs/heads/main", &tip]));
        let root = self.root.expect("a founded ledger").to_string();
        run::said(run::git(repository).args(["config", "two-key.root", &root]));
        Ok(())
    }

    fn write(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<Oid> {
        self.pack.as_mut().expect("a corpus always has a pack").add(kind, bytes)
    }

    /// Notes another human's cosignature.
    fn note(&mut self, about: Oid, subject: Subject) -> io::Result<()> {
        let text = statement(subject).text();
        let text = format!("{text}\n{}", self.keys.other.armour("two-key", text.as_bytes()));
        let note = self.write(Kind::Blob, text.as_bytes())?;
        self.notes.push((about, note));
        Ok(())
    }

    /// Writes a commit with all notes, in folders by the first two digits of what they are about.
    fn commit_notes(&mut self) -> io::Result<Option<Oid>> {
        let mut folders: BTreeMap<String, BTreeMap<String, Oid>> = BTreeMap::new();
        for (about, note) in &self.notes {
            let digits = about.to_string();
            let (folder, name) = digits.split_at(2);
            folders.entry(folder.to_owned()).or_default().insert(name.to_owned(), *note);
        }
        if folders.is_empty() {
            return Ok(None);
        }
        let mut root = Vec::new();
        for (name, notes) in folders {
            let folder: Vec<u8> = notes.iter().flat_map(|(name, note)| entry("100644", name, *note)).collect();
            let folder = self.write(Kind::Tree, &folder)?;
            root.extend(entry("40000", &name, folder));
        }
        let tree = self.write(Kind::Tree, &root)?;
        let parent = self.noted.map(|parent| format!("parent {parent}\n")).unwrap_or_default();
        let who = format!("A Person <a@example> {} +0000", EPOCH + PACE * self.commits);
        let raw = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\nNotes added by 'git notes append'\n");
        self.noted = Some(self.write(Kind::Commit, raw.as_bytes())?);
        Ok(self.noted)
    }

    /// Writes a commit and makes it the tip.
    fn commit(&mut self, parents: &[Oid], signer: Option<Who>, message: &str) -> io::Result<Oid> {
        let tree = self.tree.expect("files come first");
        let mut head = format!("tree {tree}\n");
        for parent in parents {
            let _ = writeln!(head, "parent {parent}");
        }
        let who = format!("A Person <a@example> {} +0000", EPOCH + PACE * self.commits);
        let _ = write!(head, "author {who}\ncommitter {who}\n");
        let raw = match signer {
            None => format!("{head}\n{message}"),
            Some(signer) => {
                self.signed += 1;
                let signature = self.keys.of(signer).header(format!("{head}\n{message}").as_bytes());
                format!("{head}{} {signature}\n{message}", self.format.signature_header())
            }
        };
        self.commits += 1;
        let id = self.write(Kind::Commit, raw.as_bytes())?;
        self.tip = Some(id);
        Ok(id)
    }

    fn on_tip(&mut self, signer: Who, message: &str) -> io::Result<Oid> {
        let tip = self.tip.expect("a founded ledger");
        self.commit(&[tip], Some(signer), message)
    }

    /// A carrier of one vote on the tip.
    fn carry(&mut self, signer: Who, subject: Subject, sealed: &[String]) -> io::Result<Oid> {
        let statement = statement(subject);
        let principal = self.keys.of(signer).principal.clone();
        let message = statement_message(&statement, "Turn a key", Some(&principal), None, None, sealed);
        self.on_tip(signer, &message.expect("a message in the strict form"))
    }

    /// Writes the next policy's file into the tree.
    fn next_policy(&mut self) -> io::Result<()> {
        let (version, previous, _) = self.policy;
        let previous = if version == 0 { "null".to_owned() } else { format!("\"{previous}\"") };
        let line = |key: &Key| key.public.line();
        let Keys { human, agent, other } = &self.keys;
        let mut text = format!(
            "two-key: 1\nrepository: {REPOSITORY}\nversion: {}\nprevious: {previous}\nbranch: main\nprincipals:\n  \
             user1: {{role: human, keys: [\"{}\"]}}\n  user2: {{role: human, keys: [\"{}\"]}}\n  \
             cp14: {{role: agent, keys: [\"{}\"]}}\n  edge1: {{role: applier, keys: [\"{}\"]}}\nrules:\n  \
             cosign: {{human: 1, agent: 1}}\n  promote: {{human: 1, agent: 1}}\n  policy: {{human: 1, agent: 1}}\n\
             start-up-to: 10\ntargets:\n",
            version + 1,
            line(human),
            line(other),
            line(agent),
            line(&Key::of("edge1")),
        );
        for target in 0..TARGETS {
            let _ = writeln!(text, "  target-{target}: {{driver: file, applier: edge1}}");
        }
        let blob = self.write(Kind::Blob, text.as_bytes())?;
        let folder = self.write(Kind::Tree, &entry("100644", "policy.yaml", blob))?;
        self.policy = (version + 1, Digest::of(text.as_bytes()), folder);
        self.write_root()
    }

    fn write_root(&mut self) -> io::Result<()> {
        let mut leases = Vec::new();
        for (name, _, folder) in &self.folders {
            leases.extend(entry("40000", name, *folder));
        }
        let mut root = entry("40000", ".two-key", self.policy.2);
        if !leases.is_empty() {
            let leases = self.write(Kind::Tree, &leases)?;
            root.extend(entry("40000", "leases", leases));
        }
        self.tree = Some(self.write(Kind::Tree, &root)?);
        Ok(())
    }

    fn change_policy(&mut self) -> io::Result<()> {
        self.next_policy()?;
        self.on_tip(Who::Other, "Propose a policy\n")?;
        let digest = self.policy.1;
        self.carry(Who::Human, Subject::Policy { digest }, &[])?;
        self.carry(Who::Agent, Subject::Policy { digest }, &[]).map(drop)
    }

    fn freeze(&mut self) -> io::Result<()> {
        let nonce = self.nonce();
        self.carry(Who::Agent, Subject::Freeze { nonce }, &[])?;
        self.freezes += 1;
        let step = self.freezes;
        self.carry(Who::Human, Subject::Thaw { step }, &[])?;
        self.carry(Who::Agent, Subject::Thaw { step }, &[]).map(drop)
    }

    fn nonce(&self) -> Nonce {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(self.commits as u64).to_be_bytes());
        Nonce::from_bytes(bytes)
    }

    /// Writes a new lease's file into the tree.
    fn next_lease(&mut self, target: usize) -> io::Result<Rollout> {
        let number = self.leases;
        self.leases += 1;
        let name = format!("LEASE-20230101-{number:06}");
        let text = format!(
            "two-key: 1\nlease: {name}\nrepository: {REPOSITORY}\nintent: INT-{number:07}\nactor: cp20\n\
             summary: Roll out checkout 1.{number}.0\nartifacts: [{{name: checkout, digest: \"{}\"}}]\n\
             target: target-{target}\nissued: 2023-01-01T00:00:00Z\nexpires: 2099-01-01T00:00:00Z\n\
             tiers: [{{weight: 5, bake: 15m}}, {{weight: 25, bake: 15m}}, {{weight: 100, bake: 15m}}]\non-expiry: rollback\n",
            Digest::of(name.as_bytes())
        );
        let blob = self.write(Kind::Blob, text.as_bytes())?;
        if number.is_multiple_of(FOLDER) {
            self.folders.push_back((format!("f{:06}", number / FOLDER), Vec::new(), blob));
            if self.folders.len() > FOLDERS {
                self.folders.pop_front();
            }
        }
        let last = self.folders.back_mut().expect("a folder was just made");
        last.1.extend(entry("100644", &format!("{name}.yaml"), blob));
        let entries = last.1.clone();
        let folder = self.write(Kind::Tree, &entries)?;
        if let Some(last) = self.folders.back_mut() {
            last.2 = folder;
        }
        self.write_root()?;
        let id = LeaseId::parse(&name).expect("an id");
        let digest = Digest::of(text.as_bytes());
        let kind = number % 20;
        if kind == 19 {
            self.note(blob, Subject::Cosign { lease: id.clone(), digest })?;
        }
        Ok(Rollout { id, digest, kind, at: 0, step: 1 })
    }

    /// The next thing that happens to a target's rollout.
    fn turn(&mut self, target: usize) -> io::Result<()> {
        let Some(mut rollout) = self.rollouts[target].take() else { return self.propose(target) };
        let script = script(rollout.kind);
        script[rollout.at].play(self, &mut rollout)?;
        rollout.at += 1;
        if rollout.at < script.len() {
            self.rollouts[target] = Some(rollout);
        }
        Ok(())
    }

    fn propose(&mut self, target: usize) -> io::Result<()> {
        let tip = self.tip.expect("a founded ledger");
        let rollout = self.next_lease(target)?;
        let side = self.on_tip(Who::Other, "Propose a rollout\n")?;
        if rollout.kind == 11 {
            self.commit(&[tip, side], Some(Who::Human), "Merge a proposal\n")?;
        }
        self.rollouts[target] = Some(rollout);
        Ok(())
    }
}

/// What can happen to a rollout.
#[derive(Clone, Copy)]
enum Act {
    Cosign(Who),
    /// Both cosignatures in one merge.
    CosignApart,
    /// A start that seals both cosignatures.
    SealedStart,
    /// The first of two keys for a move.
    First(Who, ForwardKind),
    /// The key that puts a move in force.
    Move(Who, ForwardKind),
    Stop(StopKind),
}

const START: ForwardKind = ForwardKind::Start { tier: 5 };
const TO_25: ForwardKind = ForwardKind::Promote { tier: 25 };
const TO_100: ForwardKind = ForwardKind::Promote { tier: 100 };

/// What happens to the rollouts of a kind after they were proposed.
fn script(kind: usize) -> &'static [Act] {
    use Act::{Cosign, CosignApart, First, Move, SealedStart, Stop};
    use ForwardKind::{Complete, Resume};
    use Who::{Agent, Human};
    match kind {
        3 => &[SealedStart, First(Human, TO_25), Move(Agent, TO_25), Stop(StopKind::Rollback)],
        7 => &[
            Cosign(Human),
            Cosign(Agent),
            Move(Human, START),
            First(Human, TO_25),
            Move(Agent, TO_25),
            Stop(StopKind::Pause),
            First(Human, Resume),
            Move(Agent, Resume),
            First(Agent, TO_100),
            Move(Human, TO_100),
            Move(Agent, Complete),
        ],
        13 => &[
            CosignApart,
            Move(Human, START),
            First(Human, TO_25),
            Move(Agent, TO_25),
            Stop(StopKind::Halt),
            Stop(StopKind::Rollback),
        ],
        17 => &[Cosign(Human), Stop(StopKind::Withdraw)],
        _ => &[
            Cosign(Human),
            Cosign(Agent),
            Move(Human, START),
            First(Human, TO_25),
            Move(Agent, TO_25),
            First(Human, TO_100),
            Move(Agent, TO_100),
            Move(Agent, Complete),
        ],
    }
}

impl Act {
    fn play(self, corpus: &mut Corpus, rollout: &mut Rollout) -> io::Result<()> {
        let (lease, digest, step) = (rollout.id.clone(), rollout.digest, rollout.step);
        let forward = |kind| Subject::Forward(Forward { lease: lease.clone(), digest, step, kind });
        let cosign = || Subject::Cosign { lease: lease.clone(), digest };
        // What puts a transition in force, and what its tag's name says of it.
        let (commit, kind) = match self {
            Self::Cosign(who) => return corpus.carry(who, cosign(), &[]).map(drop),
            Self::First(who, kind) => return corpus.carry(who, forward(kind), &[]).map(drop),
            Self::CosignApart => {
                let base = corpus.tip;
                let first = corpus.carry(Who::Human, cosign(), &[])?;
                corpus.tip = base;
                let second = corpus.carry(Who::Agent, cosign(), &[])?;
                return corpus.commit(&[first, second], None, "Merge\n").map(drop);
            }
            Self::SealedStart => {
                let seals = [&corpus.keys.human, &corpus.keys.agent].map(|key| seal(key, &cosign()));
                (corpus.carry(Who::Human, forward(START), &seals)?, START)
            }
            Self::Move(who, kind) => (corpus.carry(who, forward(kind), &[])?, kind),
            Self::Stop(kind) => {
                let stop = Stop { lease: lease.clone(), kind, nonce: corpus.nonce() };
                let commit = corpus.carry(Who::Agent, Subject::Stop(stop), &[])?;
                rollout.step += 1;
                corpus.tags.push((format!("rollout/{lease}/{step}-{}", kind.action()), commit));
                return Ok(());
            }
        };
        rollout.step += 1;
        let name = match kind {
            ForwardKind::Start { tier } | ForwardKind::Promote { tier } => format!("{}-{tier}", kind.action()),
            ForwardKind::Resume | ForwardKind::Complete => kind.action().to_string(),
        };
        corpus.tags.push((format!("rollout/{lease}/{step}-{name}"), commit));
        Ok(())
    }
}

/// A sealed line over a statement.
fn seal(key: &Key, subject: &Subject) -> String {
    let statement = statement(subject.clone());
    let signature = key.sign("two-key", statement.text().as_bytes());
    format!("Two-Key-Cosignature: {} {} ssh {} {signature}", key.principal, statement.action(), key.public.bare())
}

fn statement(subject: Subject) -> Statement {
    Statement { repository: RepositoryId::parse(REPOSITORY).expect("an id"), subject }
}

/// One entry of a tree.
fn entry(mode: &str, name: &str, id: Oid) -> Vec<u8> {
    [format!("{mode} {name}\0").as_bytes(), id.as_bytes()].concat()
}

/// A server with a ledger of so many commits, and a client whose `main` is so many commits further.
pub struct Ground {
    pub server: PathBuf,
    pub client: PathBuf,
    /// The ledger's tip on the server, and the tips of clients' pushes by their commits.
    pub tip: Oid,
    pub pushes: Vec<(usize, Oid)>,
    /// The ledger's commits, how many of them are signed, and its leases.
    pub commits: usize,
    pub signed: usize,
    pub leases: usize,
}

impl Ground {
    /// Puts the server's branch back to where the ledger ends.
    pub fn rewind(&self) {
        run::said(run::git(&self.server).args(["update-ref", "refs/heads/main", &self.tip.to_string()]));
    }

    /// Makes both below a folder.
    pub fn make(folder: &Path, commits: usize, format: ObjectFormat, pushes: &[usize]) -> io::Result<Self> {
        let [server, client] = ["server.git", "client.git"].map(|name| folder.join(name));
        let name = match format {
            ObjectFormat::Sha1 => "sha1",
            ObjectFormat::Sha256 => "sha256",
        };
        for path in [&server, &client] {
            let path = path.to_string_lossy().into_owned();
            let format = format!("--object-format={name}");
            run::said(run::git(folder).args([
                "init",
                "-q",
                "--bare",
                "-b",
                "main",
                "--ref-format=files",
                &format,
                &path,
            ]));
        }
        let mut corpus = Corpus::new(format, &folder.join("one.pack"))?;
        corpus.grow(commits)?;
        corpus.deliver(&server, &folder.join("two.pack"))?;
        let tip = corpus.tip.expect("a founded ledger");
        let (commits, signed, leases) = (corpus.commits, corpus.signed, corpus.leases);
        fs::write(client.join("objects/info/alternates"), format!("{}\n", server.join("objects").display()))?;
        let mut tips = Vec::new();
        for more in pushes {
            corpus.grow(commits + more)?;
            tips.push((corpus.commits - commits, corpus.tip.expect("a founded ledger")));
        }
        corpus.deliver(&client, &folder.join("three.pack"))?;
        for key in [&corpus.keys.human, &corpus.keys.agent, &corpus.keys.other] {
            let file = folder.join(key.principal.as_str());
            fs::write(&file, key.private_file())?;
            fs::write(file.with_extension("pub"), key.public.line() + "\n")?;
        }
        Ok(Self { server, client, tip, pushes: tips, commits, signed, leases })
    }
}
