//! What an auditor has to know to read the attacks: people vote in their own repository, push to a server that has
//! the hook, and, where an attack is one on what counts, land it on a forge that has none.

use std::path::PathBuf;

use serde_json::{Value, json};

pub use crate::kit::{
    LEASE, Ran, World, lease,
    scene::{MAIN, Scene, digest_of, message, statement, stop},
};

/// A second lease.
pub const OTHER: &str = "LEASE-20251028-000000";

/// The fields of a statement about some lease, step and tier left out where they are 0.
pub fn about(id: &str, action: &str, step: u32, tier: u8) -> String {
    let number =
        |name: &str, number: u32| if number == 0 { String::new() } else { format!("Two-Key-{name}: {number}\n") };
    let digest = digest_of(&lease(id));
    let (step, tier) = (number("Step", step), number("Tier", tier.into()));
    format!("Two-Key-Action: {action}\nTwo-Key-Lease: {id}\nTwo-Key-Digest: {digest}\n{step}{tier}")
}

/// The fields of a vote for a policy.
pub fn for_policy(text: &str) -> String {
    format!("Two-Key-Action: policy\nTwo-Key-Digest: {}\n", digest_of(text))
}

/// A policy made the next after another one.
pub fn next(before: &str, version: u32) -> String {
    let line = |name: &str| before.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    before
        .replace(&line("version:"), &format!("version: {version}"))
        .replace(&line("previous:"), &format!("previous: {}", digest_of(before)))
}

/// A scene with a second lease proposed.
pub fn two_leases() -> Scene {
    let scene = Scene::new();
    scene.propose(&lease(OTHER), OTHER);
    scene.push(&["main"]).exits(0);
    scene
}

/// The header with the signature in a raw commit.
pub fn signature_of(raw: &str) -> String {
    let from = raw.find("gpgsig ").unwrap();
    let to = from + raw[from..].find("-----END SSH SIGNATURE-----\n").unwrap() + "-----END SSH SIGNATURE-----\n".len();
    raw[from..to].to_owned()
}

/// A raw commit with more headers after its committer.
pub fn with_headers(raw: &str, headers: &str) -> String {
    let at = raw.find("\n\n").unwrap() + 1;
    format!("{}{headers}{}", &raw[..at], &raw[at..])
}

/// The attackers' verbs.
impl Scene {
    /// Commits a lease's file.
    pub fn propose(&self, text: &str, id: &str) -> String {
        self.world.commit_file(&format!("leases/{id}.yaml"), text, "Propose a lease")
    }

    /// Commits a policy's file.
    pub fn propose_policy(&self, text: &str) -> String {
        self.world.commit_file(".two-key/policy.yaml", text, "Propose a policy")
    }

    /// Commits a policy and two keys for it.
    pub fn enact(&self, text: &str) {
        self.propose_policy(text);
        self.turn("user1", &for_policy(text));
        self.turn("cp14", &for_policy(text));
    }

    /// One key for 25 % from each side.
    pub fn both_promote(&self) {
        self.promote("user1");
        self.promote("cp14");
    }

    /// A key taken out of force by a human.
    pub fn revoke(&self, by: &str, whose: &str) -> String {
        let fingerprint = self.world.fingerprint(whose);
        self.turn(by, &format!("Two-Key-Action: revoke\nTwo-Key-Key: {fingerprint}\n"))
    }

    /// A signed commit with main's tree, on no branch.
    pub fn aside(&self, name: &str, parent: &str, fields: &str) -> String {
        self.world.sign_commit(name, parent, &message(name, fields))
    }

    /// Merges a commit into main without its files, as `git merge -s ours`; main stays the first parent.
    pub fn merge(&self, commit: &str) -> String {
        let merge = self.world.git(&["commit-tree", "-p", "main", "-p", commit, "-m", "Merge", "main^{tree}"]);
        self.world.git(&["update-ref", MAIN, &merge]);
        merge
    }

    /// A line that seals a person's detached signature over a statement of these fields.
    pub fn sealed(&self, name: &str, action: &str, fields: &str) -> String {
        let armour = self.world.detached(name, &statement(fields));
        let blob: String = armour.lines().filter(|line| !line.starts_with("-----")).collect();
        let key = self.world.public_key(name);
        let key = key.split(' ').nth(1).unwrap();
        format!("Two-Key-Cosignature: {name} {action} ssh {key} {blob}\n")
    }

    /// An unsigned commit on main of these fields, and lines after them.
    pub fn unsigned(&self, fields: &str, lines: &str) -> String {
        let text = format!("Turn a key\n\n{}{lines}", statement(fields));
        let args = ["commit-tree", "-p", "main", "-F", "-", "main^{tree}"];
        let commit = self.world.run(self.world.repo(), "git", &args, text.as_bytes()).exits(0).out.trim().to_owned();
        self.world.git(&["update-ref", MAIN, &commit]);
        commit
    }

    /// The bytes of a commit.
    pub fn raw(&self, commit: &str) -> String {
        self.world.run(self.world.repo(), "git", &["cat-file", "commit", commit], b"").exits(0).out
    }

    /// Writes a commit of any bytes, and moves main there.
    pub fn forge_commit(&self, raw: &[u8]) -> String {
        let args = ["hash-object", "-t", "commit", "-w", "--literally", "--stdin"];
        let commit = self.world.run(self.world.repo(), "git", &args, raw).exits(0).out.trim().to_owned();
        self.world.git(&["update-ref", MAIN, &commit]);
        commit
    }

    /// Appends an entry to somebody's note on a blob; the notes' ref.
    pub fn note(&self, name: &str, blob: &str, entry: &str) -> String {
        let args = ["notes", "--ref", &format!("two-key/{name}"), "append", "-F", "-", blob];
        self.world.run(self.world.repo(), "git", &args, entry.as_bytes()).exits(0);
        format!("refs/notes/two-key/{name}")
    }

    /// A statement and somebody's detached signature over it.
    pub fn entry(&self, name: &str, fields: &str) -> String {
        let text = statement(fields);
        format!("{text}{}", self.world.detached(name, &text))
    }

    /// A lease as `show --format json` has it in people's repository.
    pub fn shown(&self, id: &str) -> Value {
        self.world.two_key(&["show", id, "--format", "json"]).exits(0).json()
    }

    /// A push that is admitted.
    #[track_caller]
    pub fn admits(&self, refspecs: &[&str]) -> Ran {
        self.push(refspecs).exits(0)
    }

    /// Takes people's main back to a commit.
    pub fn back_to(&self, commit: &str) {
        self.world.git(&["reset", "--quiet", "--hard", commit]);
    }

    /// Refuses what `attack` puts on main, then takes what `honest` puts there instead.
    #[track_caller]
    pub fn refuses_but_takes(&self, reason: &str, attack: impl Fn(&Self), honest: impl Fn(&Self)) {
        let tip = self.world.head();
        attack(self);
        self.refuses(&["main"], MAIN, reason);
        self.back_to(&tip);
        honest(self);
        self.admits(&["main"]);
    }

    /// The same, and where nobody refuses it, on a forge without a hook, what `attack` puts on main alters nothing,
    /// is found by the verifier for the same reason, and does not stand in the way of what `honest` puts there.
    #[track_caller]
    pub fn never_counts(&self, reason: &str, attack: impl Fn(&Self), honest: impl Fn(&Self)) {
        let tip = self.world.head();
        let forge = self.forge();
        self.land(&forge);
        let before = self.in_force(&forge);
        attack(self);
        self.refuses(&["main"], MAIN, reason);
        self.land(&forge);
        assert_eq!(self.in_force(&forge), before, "the attack had an effect");
        let verdict = self.world.two_key_in(&forge, &["verify", "--all", "--format", "json"]).exits(1).json();
        let found: Vec<_> = verdict["findings"].as_array().unwrap().iter().map(|one| &one["reason"]).collect();
        assert!(found.contains(&&json!(reason)), "{found:?}");
        honest(self);
        self.land(&forge);
        let after = self.in_force(&forge);
        assert_ne!(after, before, "the honest votes after it had no effect");
        self.back_to(&tip);
        honest(self);
        self.admits(&["main"]);
        self.land(&forge);
        assert_eq!(self.in_force(&forge), after, "it is not the same without the attack");
    }

    /// A bare repository without a hook.
    fn forge(&self) -> PathBuf {
        let forge = self.world.path().join("forge.git");
        if !forge.exists() {
            let path = forge.to_str().unwrap();
            self.world.git(&["init", "--quiet", "--bare", "--initial-branch=main", path]);
            self.world.run(&forge, "git", &["config", "two-key.root", &self.root], b"").exits(0);
        }
        forge
    }

    fn land(&self, forge: &std::path::Path) {
        self.world.git(&["push", "--quiet", forge.to_str().unwrap(), "+main"]);
    }

    /// All that the ledger says, without what merely names commits and counts findings. A proposal that nobody
    /// turned a key for is in force nowhere.
    fn in_force(&self, forge: &std::path::Path) -> Value {
        let ask = |args: &[&str]| self.world.two_key_in(forge, &[args, &["--format", "json"]].concat()).exits(0).json();
        let list = ask(&["list"]);
        let leases: Vec<_> = list["leases"].as_array().unwrap().iter().collect();
        let leases: Vec<_> = leases
            .into_iter()
            .filter(|one| one["state"] != "proposed" || one["cosigners_have"] != 0)
            .map(|one| {
                json!([one["lease"], one["state"], one["tier"], one["desired"], one["cosigners_have"], one["awaits"]])
            })
            .collect();
        let keys = ask(&["key", "list"]);
        let keys = keys.as_array().unwrap_or_else(|| panic!("{keys}")).iter();
        let keys: Vec<_> = keys.map(|key| json!([key["principal"], key["fingerprint"], key["in_force"]])).collect();
        json!([leases, keys, list["policy"]["digest"], list["frozen"].is_null()])
    }
}
