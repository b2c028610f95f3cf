//! People's repository, a bare server, and an applier whose target is moved by some driver.

use std::{cell::Cell, fs, path::PathBuf};

use serde_json::Value;

use crate::kit::{self, LEASE, Ran, World};

/// The second lease on the same target.
pub(crate) const NEXT: &str = "LEASE-20251028-090000";

/// The scene.
pub(crate) struct Rig {
    pub(crate) world: World,
    ticks: Cell<u32>,
}

impl Rig {
    /// A world whose target is moved by a driver; nothing is proposed yet.
    pub(crate) fn new(driver: &str) -> Self {
        Self::under(|policy| policy.replace("driver: file", &format!("driver: {driver}")))
    }

    /// A world with an edited policy; nothing is proposed yet.
    pub(crate) fn under(edit: impl FnOnce(String) -> String) -> Self {
        let world = World::empty();
        world.found(&edit(world.policy()));
        let rig = Self { world, ticks: Cell::new(0) };
        rig.in_all(&["init", "--quiet", "--bare", "--initial-branch=main", "server.git"]);
        rig.push();
        rig.in_all(&["clone", "--quiet", "server.git", "applier"]);
        rig
    }

    /// The applier's configuration for its one target.
    pub(crate) fn configure(&self, place: &str) {
        let root = self.world.git(&["config", "two-key.root"]);
        let key = self.world.key_file("edge1");
        let text = format!(
            "name: edge1\nkey: {}\nrepository: applier\nremote: origin\nroot: {root}\ntargets:\n  checkout-prod: {place}\n",
            key.display()
        );
        fs::write(self.path("applier.yaml"), text).unwrap();
    }

    /// Has a lease authorized and started; its tiers are not watched.
    pub(crate) fn start(&self, lease: &str) {
        self.start_with(lease, |text| text);
    }

    /// The same with an edited lease.
    pub(crate) fn start_with(&self, lease: &str, edit: impl FnOnce(String) -> String) {
        self.propose(lease, edit);
        for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("cp14", "start")] {
            self.world.turn(name, action, lease);
        }
        self.push();
    }

    /// Proposes a lease.
    pub(crate) fn propose(&self, lease: &str, edit: impl FnOnce(String) -> String) {
        let text = edit(kit::lease(lease).replace("15m", "0s"));
        self.world.commit_file(&format!("leases/{lease}.yaml"), &text, "Propose a lease");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.world.path().join(name)
    }

    /// Runs Git in the folder of everything.
    #[track_caller]
    pub(crate) fn in_all(&self, args: &[&str]) -> String {
        self.world.run(self.world.path(), "git", args, b"").exits(0).out.trim_end().to_owned()
    }

    /// Pushes what people have.
    #[track_caller]
    pub(crate) fn push(&self) {
        self.world.git(&["push", "--quiet", "../server.git", "main"]);
    }

    /// Turns a key, and pushes.
    #[track_caller]
    pub(crate) fn turn(&self, name: &str, action: &str, lease: &str) {
        self.world.turn(name, action, lease);
        self.push();
    }

    /// Both keys for the next tier.
    #[track_caller]
    pub(crate) fn promote(&self, lease: &str) {
        self.turn("user1", "promote", lease);
        self.turn("cp14", "promote", lease);
    }

    /// One tick of the applier.
    pub(crate) fn apply(&self) -> Ran {
        self.ticks.set(self.ticks.get() + 1);
        self.world.two_key_in(self.world.path(), &["apply", "--once", "--config", "applier.yaml"])
    }

    /// What the last record on the server says of the target.
    pub(crate) fn record(&self) -> Value {
        let text = self.in_all(&["--git-dir=server.git", "show", "refs/two-key/appliers/edge1:record.json"]);
        serde_json::from_str::<Value>(&text).unwrap()["targets"]["checkout-prod"].clone()
    }

    /// Asserts what the last record says was observed.
    #[track_caller]
    pub(crate) fn observed(&self, basis_points: u32) {
        let record = self.record();
        assert_eq!(record["observed_bp"], basis_points, "{record:#}");
    }

    /// The events of all records that the server has, oldest first.
    pub(crate) fn events(&self) -> Vec<String> {
        let log = self.in_all(&["--git-dir=server.git", "rev-list", "--reverse", "refs/two-key/appliers/edge1"]);
        let mut events = Vec::new();
        for commit in log.lines() {
            let text = self.in_all(&["--git-dir=server.git", "show", &format!("{commit}:record.json")]);
            let record: Value = serde_json::from_str(&text).unwrap();
            events.extend(record["events"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap().to_owned()));
        }
        events
    }

    /// A lease's pack on the server.
    pub(crate) fn pack(&self, lease: &str) -> Value {
        let object = format!("refs/two-key/appliers/edge1:packs/{lease}.json");
        serde_json::from_str(&self.in_all(&["--git-dir=server.git", "show", &object])).unwrap()
    }

    /// What the applier keeps beside its journal.
    pub(crate) fn kept(&self) -> PathBuf {
        self.path("applier/.git/two-key/applier/edge1")
    }
}

/// The first lease.
pub(crate) const FIRST: &str = LEASE;
