//! What an auditor has to know to read the attacks: people vote in their own repository, push to a server that has
//! the hook, ask `ci` what it says of the same as a pull request, and, where an attack is one on what counts, land it
//! on a forge that has no hook, where `verify --all` and an applier meet it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

pub use crate::kit::{
    LEASE, REPOSITORY, Ran, World, lease, record_of,
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

/// How a pull request can be merged without losing its signatures.
const METHODS: [&str; 2] = ["merge", "fast-forward"];

/// The reason codes of problems or findings.
fn reasons(found: &Value) -> Vec<String> {
    found.as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap().to_owned()).collect()
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

    /// What is on main is refused as a push, and as a pull request however that is merged, for the same reason.
    #[track_caller]
    pub fn refuses_main(&self, reason: &str) -> Ran {
        let ran = self.refuses(&["main"], MAIN, reason);
        for method in METHODS {
            let view = self.ci(method).exits(1).json();
            let found = reasons(&view["refused"]);
            assert!(found.contains(&reason.to_owned()), "ci --method {method}: {found:?}");
        }
        ran
    }

    /// What is on main is admitted as a pull request, however that is merged, and as a push.
    #[track_caller]
    pub fn admits_main(&self) {
        for method in METHODS {
            self.ci(method).exits(0);
        }
        self.admits(&["main"]);
    }

    /// What `ci` says of main as a pull request to the server.
    fn ci(&self, method: &str) -> Ran {
        let base = self.server_ref(MAIN);
        self.world.two_key(&["ci", "--base", &base, "--head", "main", "--method", method, "--format", "json"])
    }

    /// Refuses what `attack` puts on main, then takes what `honest` puts there instead.
    #[track_caller]
    pub fn refuses_but_takes(&self, reason: &str, attack: impl Fn(&Self), honest: impl Fn(&Self)) {
        let tip = self.world.head();
        attack(self);
        self.refuses_main(reason);
        self.back_to(&tip);
        honest(self);
        self.admits_main();
    }

    /// The same, and where nobody refuses it, on a forge without a hook, what `attack` puts on main alters nothing,
    /// is found by the verifier for the same reason, moves no applier, and does not stand in the way of what `honest`
    /// puts there.
    #[track_caller]
    pub fn never_counts(&self, reason: &str, attack: impl Fn(&Self), honest: impl Fn(&Self)) {
        let tip = self.world.head();
        let forge = self.forge();
        self.land(&forge);
        let before = self.in_force(&forge);
        let applied = self.applied_there();
        attack(self);
        self.refuses_main(reason);
        self.land(&forge);
        assert_eq!(self.in_force(&forge), before, "the attack had an effect");
        let verdict = self.world.two_key_in(&forge, &["verify", "--all", "--format", "json"]).exits(1).json();
        let found = reasons(&verdict["findings"]);
        assert!(found.contains(&reason.to_owned()), "{found:?}");
        assert_eq!(self.applied_there(), applied, "the attack moved the applier");
        honest(self);
        self.land(&forge);
        let after = self.in_force(&forge);
        assert_ne!(after, before, "the honest votes after it had no effect");
        let list = self.world.two_key_in(&forge, &["list", "--all", "--format", "json"]).exits(0).json();
        let wanted = |lease: &Value| json!(lease["desired"].as_f64().unwrap());
        for target in self.applied_there() {
            let lease = list["leases"].as_array().unwrap().iter().find(|lease| lease["lease"] == target["lease"]);
            assert_eq!(target["desired"], lease.map_or(json!(0.0), wanted), "the attack bricked the applier");
        }
        self.back_to(&tip);
        honest(self);
        self.admits_main();
        self.land(&forge);
        assert_eq!(self.in_force(&forge), after, "it is not the same without the attack");
    }

    /// Main as it is lands on the forge, and the forge's applier looks at it.
    pub fn is_followed(&self) {
        self.land(&self.forge());
        self.applied_there();
    }

    /// What an applier of the forge wants and sees after a look, a value a target; its exit code is 0.
    fn applied_there(&self) -> Vec<Value> {
        let path = |name: &str| self.world.path().join(name);
        let clone = path("forge-applier");
        if !clone.exists() {
            self.world.git(&["clone", "--quiet", path("forge.git").to_str().unwrap(), clone.to_str().unwrap()]);
            let text = format!(
                "name: edge1\nkey: {}\nrepository: forge-applier\nremote: origin\nroot: {}\ntargets:\n  \
                 checkout-prod: {{file: forge-weights.json}}\n",
                self.world.key_file("edge1").display(),
                self.root
            );
            fs::write(path("forge-applier.yaml"), text).unwrap();
        }
        let args = ["apply", "--once", "--config", "forge-applier.yaml", "--format", "json"];
        let report = self.world.two_key_in(self.world.path(), &args).exits(0).json();
        let targets = report["targets"].as_object().unwrap().values();
        targets
            .map(|seen| json!({"lease": seen["lease"], "desired": seen["desired"], "observed": seen["observed"]}))
            .collect()
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

    fn land(&self, forge: &Path) {
        self.world.git(&["push", "--quiet", forge.to_str().unwrap(), "+main"]);
    }

    /// All that the ledger says, without what merely names commits and counts findings. A proposal that nobody
    /// turned a key for is in force nowhere.
    fn in_force(&self, forge: &Path) -> Value {
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
