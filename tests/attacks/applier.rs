//! An applier beside the scene: its own clone of the server, and one file as its target.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::dsl::*;

/// The usual lease without waiting.
pub fn quick() -> String {
    lease(OTHER).replace("15m", "0s")
}

/// The fields of a statement about it.
pub fn quickly(action: &str, step: u32, tier: u8) -> String {
    about(OTHER, action, step, tier).replace(&digest_of(&lease(OTHER)), &digest_of(&quick()))
}

/// A stop of it.
pub fn stop_it(action: &str, nonce: u8) -> String {
    stop(action, nonce).replace(LEASE, OTHER)
}

/// The applier's verbs.
impl Scene {
    /// With an applier, and the quick lease at 5 %, applied.
    pub fn applied() -> Self {
        let scene = Self::new();
        scene.propose(&quick(), OTHER);
        scene.turn("user1", &quickly("cosign", 0, 0));
        scene.turn("cp14", &quickly("cosign", 0, 0));
        scene.turn("user1", &quickly("start", 1, 5));
        scene.admits(&["main"]);
        let path = |name: &str| scene.world.path().join(name);
        let clone = path("applier");
        scene.world.git(&["clone", "--quiet", scene.server.to_str().unwrap(), clone.to_str().unwrap()]);
        let text = format!(
            "name: edge1\nkey: {}\nrepository: applier\nremote: origin\nroot: {}\ntargets:\n  \
             checkout-prod: {{file: weights.json}}\n",
            scene.world.key_file("edge1").display(),
            scene.root
        );
        fs::write(path("applier.yaml"), text).unwrap();
        scene.apply().exits(0);
        scene.weighs(500);
        scene
    }

    /// Both keys for 25 % of the quick lease.
    pub fn to_25(&self) {
        self.turn("user1", &quickly("promote", 2, 25));
        self.turn("cp14", &quickly("promote", 2, 25));
        self.admits(&["main"]);
    }

    /// One run of the applier.
    pub fn apply(&self) -> Ran {
        self.world.two_key_in(self.world.path(), &["apply", "--once", "--config", "applier.yaml"])
    }

    /// What the target is at, in basis points.
    #[track_caller]
    pub fn weighs(&self, basis_points: u32) {
        let file = fs::read(self.world.path().join("weights.json")).unwrap();
        let weights: Value = serde_json::from_slice(&file).unwrap();
        assert_eq!(weights["weight_bp"], basis_points);
    }

    /// The applier's clone.
    pub fn clone_path(&self) -> PathBuf {
        self.world.path().join("applier")
    }
}
