//! A server, people's repository, and an applier with a clone and a file of its own.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::{LEASE, Ran, World, lease};

/// People's repository, a bare server, and an applier with a clone of its own.
pub struct Stage {
    /// People's repository, their keys and their clock.
    pub world: World,
}

impl Stage {
    /// A lease whose tiers bake for so long, authorized and started.
    /// The server's hook judges whatever comes.
    pub fn rolling(bake: &str) -> Self {
        let stage = Self::with(World::founded(), bake);
        let root = stage.world.git(&["config", "two-key.root"]);
        stage.world.two_key_in(&stage.path("server.git"), &["hook", "install", "--root", &root]).exits(0);
        stage
    }

    /// The same on a server without a hook.
    pub fn unhooked(bake: &str) -> Self {
        Self::with(World::founded(), bake)
    }

    /// The same in some world, without a hook.
    pub fn with(world: World, bake: &str) -> Self {
        Self::with_lease(world, &lease(LEASE).replace("15m", bake))
    }

    /// The same with some lease.
    pub fn with_lease(world: World, lease: &str) -> Self {
        world.commit_file(&format!("leases/{LEASE}.yaml"), lease, "Propose a lease");
        let stage = Self { world };
        for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("cp14", "start")] {
            stage.world.turn(name, action, LEASE);
        }
        stage.in_all(&["init", "--quiet", "--bare", "--initial-branch=main", "server.git"]);
        stage.push();
        stage.in_all(&["clone", "--quiet", "server.git", "applier"]);
        stage.configure("applier.yaml", "applier", "weights.json");
        stage
    }

    /// Writes an applier's configuration.
    pub fn configure(&self, file: &str, clone: &str, weights: &str) {
        let root = self.world.git(&["config", "two-key.root"]);
        let key = self.world.key_file("edge1");
        let text = format!(
            "name: edge1\nkey: {}\nrepository: {clone}\nremote: origin\nroot: {root}\ntargets:\n  checkout-prod: {{file: {weights}}}\n",
            key.display()
        );
        fs::write(self.path(file), text).unwrap();
    }

    /// A path in the folder of everything.
    pub fn path(&self, name: &str) -> PathBuf {
        self.world.path().join(name)
    }

    /// Runs Git in the folder of everything, past the hooks of what is there.
    #[track_caller]
    pub fn in_all(&self, args: &[&str]) -> String {
        let args = [&["-c", "core.hooksPath=/dev/null"], args].concat();
        self.world.run(self.world.path(), "git", &args, b"").exits(0).out.trim_end().to_owned()
    }

    /// Pushes the governed branch.
    #[track_caller]
    pub fn push(&self) {
        self.world.git(&["push", "--quiet", "../server.git", "main"]);
    }

    /// Turns a key, and pushes.
    #[track_caller]
    pub fn turn(&self, name: &str, action: &str) {
        self.world.turn(name, action, LEASE);
        self.push();
    }

    /// Both keys for the next tier.
    #[track_caller]
    pub fn promote(&self) {
        self.turn("user1", "promote");
        self.turn("cp14", "promote");
    }

    /// One tick.
    pub fn apply(&self) -> Ran {
        self.world.two_key_in(self.world.path(), &["apply", "--once", "--config", "applier.yaml"])
    }

    /// One tick with some configuration.
    pub fn apply_as(&self, config: &str) -> Ran {
        self.world.two_key_in(self.world.path(), &["apply", "--once", "--config", config])
    }

    /// What the target's file says.
    pub fn weights(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("weights.json")).unwrap()).unwrap()
    }

    /// Asserts the target's weight.
    #[track_caller]
    pub fn weighs(&self, basis_points: u32) {
        assert_eq!(self.weights()["weight_bp"], basis_points);
    }

    /// The last record that the server has.
    pub fn record(&self) -> Value {
        let text = self.in_all(&["--git-dir=server.git", "show", "refs/two-key/appliers/edge1:record.json"]);
        serde_json::from_str(&text).unwrap()
    }

    /// The events of all records that the server has, oldest first.
    pub fn events(&self) -> Vec<String> {
        let log = self.in_all(&["--git-dir=server.git", "rev-list", "--reverse", "refs/two-key/appliers/edge1"]);
        let mut events = Vec::new();
        for commit in log.lines() {
            let text = self.in_all(&["--git-dir=server.git", "show", &format!("{commit}:record.json")]);
            let record: Value = serde_json::from_str(&text).unwrap();
            events.extend(record["events"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap().to_owned()));
        }
        events
    }

    /// Whether the next change's risk has the factor that this target could not be restored.
    pub fn counts_as_unrestorable(&self) -> bool {
        self.world.git(&[
            "fetch",
            "--quiet",
            self.path("server.git").to_str().unwrap(),
            "+refs/two-key/*:refs/two-key/*",
        ]);
        let root = self.world.git(&["config", "two-key.root"]);
        let change = ["--repository", ".", "--from", root.as_str(), "--to", "main", "--target", "checkout-prod"];
        let ran = self.world.two_key(&[&["risk", "--format", "json"], &change[..]].concat()).exits(0).json();
        ran["factors"].as_array().unwrap().iter().any(|factor| factor["name"] == "unrestorable-pack")
    }

    /// The rollout tags that the server has.
    pub fn tags(&self) -> Vec<String> {
        let text = self.in_all(&["--git-dir=server.git", "for-each-ref", "--format=%(refname:lstrip=4)", "refs/tags"]);
        text.lines().map(str::to_owned).collect()
    }

    /// What the applier remembers.
    pub fn journal_path(&self) -> PathBuf {
        self.path("applier/.git/two-key/applier/edge1/journal.json")
    }

    /// Edits what the applier remembers of its target.
    pub fn edit_journal(&self, edit: impl FnOnce(&mut Value)) {
        let mut journal: Value = serde_json::from_slice(&fs::read(self.journal_path()).unwrap()).unwrap();
        edit(&mut journal["targets"]["checkout-prod"]);
        fs::write(self.journal_path(), serde_json::to_vec(&journal).unwrap()).unwrap();
    }

    /// A signed stop, that only a ref under `refs/two-key/stops/` of the server holds.
    #[track_caller]
    pub fn stop_beside_main(&self, name: &str, action: &str) -> String {
        let args = ["statement", "--message", "--principal", name, action, LEASE];
        let message = self.world.two_key(&args).exits(0).out;
        let commit = self.world.sign_commit(name, "main", &message);
        let to = format!("{commit}:refs/two-key/stops/{LEASE}/{commit}");
        self.world.git(&["push", "--quiet", "../server.git", &to]);
        commit
    }

    /// Takes every trace of the applier's own ref away.
    pub fn forget_packs(&self) {
        self.in_all(&["--git-dir=server.git", "update-ref", "-d", "refs/two-key/appliers/edge1"]);
        for name in ["refs/two-key/appliers/edge1", "refs/two-key-remote/origin/two-key/appliers/edge1"] {
            self.in_all(&["-C", "applier", "update-ref", "-d", name]);
        }
    }
}
