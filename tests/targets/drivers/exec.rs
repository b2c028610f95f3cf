//! The exec driver, with the program that the templates have, and with worse ones.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    broken::begin,
    rig::{FIRST, NEXT, Rig},
};
use crate::kit::web::until;

/// The example in the templates.
pub(crate) fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/drivers/example.sh")
}

/// Writes a program that does as told for some verbs, and else what the example does.
pub(crate) fn program(folder: &Path, name: &str, cases: &str) -> PathBuf {
    let path = folder.join(name);
    let text = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\nrequest=$(cat)\nhonest() {{ printf '%s' \"$request\" | {} \"$@\"; }}\n\
         verb=$(printf '%s' \"$request\" | sed -n 's/.*\"verb\":\"\\([a-z]*\\)\".*/\\1/p')\ncase $verb in\n{cases}\n\
         *) honest \"$@\" ;;\nesac\n",
        example().display()
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A rig with a program that a lease allows.
pub(crate) struct Edge {
    pub(crate) rig: Rig,
    pub(crate) program: PathBuf,
}

impl Edge {
    pub(crate) fn new(cases: &str) -> Self {
        let rig = Rig::new("exec");
        let program = program(rig.world.path(), "driver", cases);
        let edge = Self { rig, program };
        let state = edge.state();
        edge.rig.configure(&format!(
            "{{exec: {{program: {}, args: [{}], timeout: 5s}}}}",
            edge.program.display(),
            state.display()
        ));
        edge
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.rig.path("weight")
    }

    pub(crate) fn start(&self) {
        let scope = format!("scope: {{commands: [{}], env: [LC_ALL]}}\n", self.program.display());
        self.rig.start_with(FIRST, |text| text + &scope);
    }

    pub(crate) fn weight(&self) -> u64 {
        let state: serde_json::Value = serde_json::from_slice(&fs::read(self.state()).unwrap()).unwrap();
        state["weight_bp"].as_u64().unwrap()
    }
}

#[test]
fn a_program_moves_the_target_and_restores_what_was_there() {
    let edge = Edge::new("");
    edge.start();
    edge.rig.apply().exits(0);
    assert_eq!(edge.weight(), 500);
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    assert_eq!(edge.weight(), 2_500);
    edge.rig.turn("user2", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    assert_eq!(edge.weight(), 0);
    assert_eq!(edge.rig.events(), ["PACKED", "APPLIED", "APPLIED", "APPLIED", "ROLLBACK_VERIFIED"]);
}

#[test]
fn a_program_that_the_lease_does_not_name_is_never_run() {
    let edge = Edge::new("*) touch \"$1.ran\"; honest \"$@\" ;;");
    edge.rig.start_with(FIRST, |text| text + "scope: {commands: [/usr/bin/true]}\n");
    edge.rig.apply().exits(0).says("does not let its driver run");
    assert!(!edge.rig.path("weight.ran").exists());
}

#[test]
fn a_program_sees_the_variables_that_the_lease_names_and_no_other() {
    let edge = Edge::new("*) env > \"$1.env\"; honest \"$@\" ;;");
    edge.start();
    edge.rig.apply().exits(0);
    let seen = fs::read_to_string(edge.rig.path("weight.env")).unwrap();
    assert!(seen.contains("LC_ALL=C.UTF-8"), "{seen}");
    assert!(!seen.contains("HOME=") && !seen.contains("GIT_"), "{seen}");
}

#[test]
fn a_program_that_lies_about_success_gets_the_target_no_further() {
    let edge = Edge::new("apply) echo '{\"status\": \"ok\", \"observed\": {\"weight_bp\": 500}}' ;;");
    edge.start();
    edge.rig.apply().exits(0).says("drift");
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0).says("drift");
    edge.rig.observed(0);
    assert!(!edge.rig.events().contains(&"APPLIED".to_owned()));
}

#[test]
fn a_program_that_ends_badly_or_says_nonsense_or_too_much_or_nothing_in_time_has_told_nothing() {
    let edge = Edge::new("");
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    fs::write(edge.rig.path("applier.yaml"), text.replace("timeout: 5s", "timeout: 1s")).unwrap();
    edge.start();
    for (cases, said) in [
        ("observe) exit 3 ;;", "exit status: 3"),
        ("observe) echo weights are fine ;;", "its answer cannot be parsed"),
        ("observe) honest \"$@\"; echo '{}' ;;", "its answer cannot be parsed"),
        ("observe) echo '{\"status\": \"ok\"}' ;;", "not what it observed"),
        ("observe) echo '{\"status\": \"retry\", \"retry_after_s\": 7}' ;;", "asked again in 7 s"),
        ("observe) head -c 2000000 /dev/zero ;;", "more than"),
        ("observe) sleep 60 ;;", "longer than"),
    ] {
        program(edge.rig.world.path(), "driver", cases);
        edge.rig.apply().exits(0).says("no-data").says(said);
        assert!(!edge.state().exists(), "{cases}");
    }
    // The same program, mended.
    program(edge.rig.world.path(), "driver", "");
    fs::write(edge.rig.path("applier.yaml"), text).unwrap();
    edge.rig.apply().exits(0);
    assert_eq!(edge.weight(), 500);
}

#[test]
fn a_program_that_was_moved_still_takes_the_weight_away_and_goes_no_further() {
    let edge = Edge::new("");
    edge.start();
    edge.rig.apply().exits(0);
    let moved = edge.rig.path("moved");
    fs::rename(&edge.program, &moved).unwrap();
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    let text = text.replace(&edge.program.display().to_string(), &moved.display().to_string());
    fs::write(edge.rig.path("applier.yaml"), text).unwrap();
    edge.rig.promote(FIRST);
    edge.rig.apply().says("holding (no-pack");
    assert_eq!(edge.weight(), 500);
    edge.rig.turn("cp18", "halt", FIRST);
    edge.rig.apply().exits(0);
    assert_eq!(edge.weight(), 0);
    edge.rig.observed(0);
}

#[test]
fn a_stop_at_a_program_that_hangs_is_told_as_not_carried_out_and_is_carried_out_once_it_goes_on() {
    let edge = Edge::new("apply) while [ -e \"$1.hangs\" ]; do /bin/sleep 0.1; done; honest \"$@\" ;;");
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    let text = text.replace("timeout: 5s", "timeout: 10m").replace("targets:", "interval: 1s\ntargets:");
    fs::write(edge.rig.path("applier.yaml"), text).unwrap();
    edge.start();
    edge.rig.apply().exits(0);
    assert_eq!(edge.weight(), 500);
    fs::write(edge.rig.path("weight.hangs"), "").unwrap();
    edge.rig.turn("cp18", "halt", FIRST);
    let applier = begin(&edge.rig, &["--watch"]);
    let tail = || edge.rig.events().into_iter().skip(2).collect::<Vec<_>>();
    until("it is told", || tail() == ["STOP_FAILED"]);
    assert_eq!((edge.rig.record()["phase"].as_str(), edge.weight()), (Some("stop-failed"), 500));
    fs::remove_file(edge.rig.path("weight.hangs")).unwrap();
    until("it is carried out", || tail() == ["STOP_FAILED", "APPLIED"]);
    assert_eq!(edge.weight(), 0);
    drop(applier);
}

#[test]
fn what_cannot_be_written_down_keeps_no_weight_from_being_taken_away() {
    let edge = Edge::new("");
    edge.start();
    edge.rig.apply().exits(0);
    let shown = edge.rig.kept().join("targets/checkout-prod.json");
    fs::remove_file(&shown).unwrap();
    fs::create_dir_all(shown.join("in the way")).unwrap();
    edge.rig.promote(FIRST);
    edge.rig.apply();
    assert_eq!(edge.weight(), 500, "nothing goes forward that cannot be written down");
    edge.rig.turn("cp18", "halt", FIRST);
    edge.rig.apply();
    assert_eq!(edge.weight(), 0);
}

#[test]
fn a_change_that_is_made_once_takes_both_keys_and_is_made_once() {
    let target = "driver: file, applier: edge1";
    let rig = Rig::under(|policy| policy.replace(target, "driver: exec, applier: edge1, all-at-once: true"));
    let once = example().with_file_name("once.sh");
    let (made, log, migrate) = (rig.path("made"), rig.path("log"), rig.path("migrate"));
    fs::create_dir(&made).unwrap();
    let migrates = |and: &str| {
        fs::write(&migrate, format!("#!/bin/sh\necho \"$1\" >>'{}'\n{and}\n", log.display())).unwrap();
        fs::set_permissions(&migrate, fs::Permissions::from_mode(0o755)).unwrap();
    };
    migrates("");
    let (program, args) = (once.display(), format!("{}, {}, orders", made.display(), migrate.display()));
    rig.configure(&format!("{{exec: {{program: {program}, args: [{args}], timeout: 5s}}}}"));
    let log = || fs::read_to_string(&log).unwrap_or_default();
    let proposes = |lease: &str| {
        let tiers = "{weight: 5, bake: 0s}, {weight: 25, bake: 0s}, ";
        rig.propose(lease, |text| text.replace(tiers, "") + &format!("scope: {{commands: [{program}]}}\n"));
        for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("cp14", "start")] {
            rig.turn(name, action, lease);
        }
        // One key makes nothing.
        let before = log();
        rig.apply().exits(0);
        assert_eq!(log(), before);
        rig.turn("user1", "start", lease);
    };
    proposes(FIRST);
    for _ in 0..3 {
        rig.apply().exits(0);
        rig.observed(10_000);
    }
    assert_eq!((log().as_str(), rig.events()), ("orders\n", vec!["PACKED".to_owned(), "APPLIED".to_owned()]));
    rig.turn("cp14", "complete", FIRST);
    rig.apply().exits(0);
    // The next one is made once, too.
    proposes(NEXT);
    rig.apply().exits(0);
    rig.observed(10_000);
    assert_eq!(log(), "orders\norders\n");
    rig.turn("cp14", "complete", NEXT);
    // What fails on the way is not begun a second time.
    migrates("exit 1");
    proposes("LEASE-20251029-090000");
    for _ in 0..3 {
        rig.apply().says("it was begun and has not ended well");
        rig.observed(0);
    }
    assert_eq!(log(), "orders\norders\norders\n");
    rig.world.two_key(&["verify", "--all"]).exits(0).says("everything counts");
}
