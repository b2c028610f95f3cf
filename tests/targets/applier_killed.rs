//! The applier, killed (SIGKILL) around every write of its own and before every Git that moves a ref: the next run
//! converges, nothing is applied twice, no record is lost, and no weight ever exceeds what the ledger wants.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;

use crate::kit::stage::Stage;

/// More points than one tick has.
const TOO_MANY: u32 = 200;

/// A stage that can be set again as often as needed.
struct Scenario {
    stage: Stage,
    library: PathBuf,
}

/// How often the target may be told what it is told.
#[derive(PartialEq)]
enum Told {
    Once,
    /// Weight is taken off before that is written down, so whoever was killed in between takes it off once more.
    TwiceAtMost,
}

/// Where everything was brought to.
#[derive(Debug, PartialEq)]
struct End {
    weights: Value,
    events: Vec<String>,
    tags: Vec<String>,
    phase: Value,
    applied_step: Value,
}

impl Scenario {
    /// A stage as it is before the tick that is killed.
    fn of(stage: Stage) -> Self {
        let library = stage.path("kill_at.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kit/kill_at.c");
        let args = ["-shared", "-fPIC", "-o", library.to_str().unwrap(), source.to_str().unwrap()];
        stage.world.run(stage.world.path(), "cc", &args, b"").exits(0);
        let scenario = Self { stage, library };
        fs::create_dir(scenario.stage.path("kept")).unwrap();
        scenario.copy("", "kept/");
        scenario
    }

    /// Copies what a tick changes.
    fn copy(&self, from: &str, to: &str) {
        let path = |name: String| self.stage.path(&name).to_str().unwrap().to_owned();
        for name in ["server.git", "applier", "weights.json"] {
            let (from, to) = (path(format!("{from}{name}")), path(format!("{to}{name}")));
            self.stage.world.run(self.stage.world.path(), "rm", &["-rf", &to], b"").exits(0);
            if Path::new(&from).exists() {
                self.stage.world.run(self.stage.world.path(), "cp", &["-a", &from, &to], b"").exits(0);
            }
        }
    }

    /// One tick that is killed at a point; whether it came that far.
    fn is_killed_at(&self, point: u32) -> bool {
        let mut command = self.stage.world.command(self.stage.world.path(), env!("CARGO_BIN_EXE_git-two-key"));
        command.args(["apply", "--once", "--config", "applier.yaml"]).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.env("LD_PRELOAD", &self.library).env("KILL_AT", point.to_string()).status().unwrap();
        status.code().is_none()
    }

    fn weight(&self) -> u64 {
        let Ok(bytes) = fs::read(self.stage.path("weights.json")) else { return 0 };
        let weights: Value = serde_json::from_slice(&bytes).unwrap();
        weights["weight_bp"].as_u64().unwrap()
    }

    /// Ticks until nothing is left to do, which two more always are enough for.
    fn end(&self) -> End {
        self.stage.apply().exits(0);
        self.stage.apply().exits(0);
        let target = &self.stage.record()["targets"]["checkout-prod"];
        End {
            weights: self.stage.weights(),
            events: self.stage.events(),
            tags: self.stage.tags(),
            phase: target["phase"].clone(),
            applied_step: target["applied_step"].clone(),
        }
    }

    /// Kills the tick everywhere. `may_be` are the weights that may be found after that; each run ends as the one does
    /// that nobody killed.
    #[track_caller]
    fn survives(&self, may_be: &[u64], told: &Told) {
        let whole = self.end();
        let mut points = 0;
        for point in 1..TOO_MANY {
            self.copy("kept/", "");
            if !self.is_killed_at(point) {
                break;
            }
            points = point;
            let weight = self.weight();
            assert!(may_be.contains(&weight), "{weight} bp after it was killed at point {point}");
            let mut end = self.end();
            let (generation, first) = (&mut end.weights["generation"], &whole.weights["generation"]);
            if *told == Told::TwiceAtMost && generation.as_u64() == first.as_u64().map(|first| first + 1) {
                generation.clone_from(first);
            }
            assert_eq!(end, whole, "after it was killed at point {point}");
        }
        assert!((6..TOO_MANY - 1).contains(&points), "{points} points are not all that there are");
    }
}

#[test]
fn killed_anywhere_on_the_way_to_the_first_tier() {
    let stage = Stage::unhooked("1h");
    Scenario::of(stage).survives(&[0, 500], &Told::Once);
}

#[test]
fn killed_anywhere_on_the_way_to_the_next_tier() {
    let stage = Stage::unhooked("0s");
    stage.apply().exits(0);
    stage.promote();
    Scenario::of(stage).survives(&[500, 2500], &Told::Once);
}

#[test]
fn killed_anywhere_in_a_rollback() {
    let stage = Stage::unhooked("0s");
    stage.apply().exits(0);
    stage.turn("cp14", "rollback");
    Scenario::of(stage).survives(&[0, 500], &Told::Once);
}

#[test]
fn killed_anywhere_while_a_halt_is_carried_out_and_over() {
    let stage = Stage::unhooked("0s");
    stage.apply().exits(0);
    stage.stop_beside_main("user2", "halt");
    Scenario::of(stage).survives(&[0, 500], &Told::TwiceAtMost);
}
