//! An applier that cannot write where it writes: nothing goes forward, every stop reaches traffic, also one that is pushed
//! afterwards; and what could not be written and signed is, once there is room.

use std::fs;

use serde_json::Value;

use crate::kit::{Ran, stage::Stage};

/// A stage at 5 %, with both keys turned for 25 %. The target's file is in a folder of its own.
fn promoted() -> Stage {
    let stage = Stage::unhooked("0s");
    fs::create_dir(stage.path("target")).unwrap();
    stage.configure("applier.yaml", "applier", "target/weights.json");
    stage.apply().exits(0);
    assert_eq!(weight(&stage), 500);
    stage.promote();
    stage
}

fn weight(stage: &Stage) -> u64 {
    let weights: Value = serde_json::from_slice(&fs::read(stage.path("target/weights.json")).unwrap()).unwrap();
    weights["weight_bp"].as_u64().unwrap()
}

/// What keeps the applier from writing.
enum Trouble {
    /// Below a folder the disk is full.
    Full(&'static str),
    /// A folder may only be read.
    ReadOnly(&'static str),
    /// The key's file is gone.
    NoKey,
}

/// One tick in trouble.
fn apply_in(stage: &Stage, trouble: &Trouble) -> Ran {
    let apply = ["apply", "--once", "--config", "applier.yaml"];
    match trouble {
        Trouble::Full(folder) => {
            let library = stage.world.no_room();
            let folder = stage.path(folder).canonicalize().unwrap();
            let env = [("LD_PRELOAD", library.to_str().unwrap()), ("NO_ROOM", folder.to_str().unwrap())];
            stage.world.run_with(stage.world.path(), env!("CARGO_BIN_EXE_git-two-key"), &apply, b"", &env)
        }
        Trouble::ReadOnly(folder) => {
            let program = env!("CARGO_BIN_EXE_git-two-key");
            stage.world.as_nobody(&stage.path(folder), stage.world.path(), program, &apply)
        }
        Trouble::NoKey => {
            let (key, elsewhere) = (stage.world.key_file("edge1"), stage.path("elsewhere"));
            fs::rename(&key, &elsewhere).unwrap();
            let ran = stage.apply();
            fs::rename(elsewhere, key).unwrap();
            ran
        }
    }
}

/// Two ticks without trouble, and everything is where it belongs: the record says what was done, and the clone has it all.
fn is_made_up_for(stage: &Stage, applied_step: u64) {
    stage.apply().exits(0);
    stage.apply().exits(0);
    let target = &stage.record()["targets"]["checkout-prod"];
    assert_eq!((&target["observed_bp"], &target["applied_step"]), (&0.into(), &applied_step.into()));
    let tip = stage.in_all(&["--git-dir=server.git", "rev-parse", "main"]);
    for name in ["refs/remotes/origin/main", "refs/two-key-state/edge1/accepted"] {
        assert_eq!(stage.in_all(&["-C", "applier", "rev-parse", name]), tip, "{name}");
    }
    stage.in_all(&["-C", "applier", "fsck", "--connectivity-only"]);
}

/// Nothing goes forward in some trouble, by what was pushed before; a stop that is pushed after it began is carried out.
#[track_caller]
fn stops_and_does_not_go_forward(trouble: &Trouble) {
    let said = if matches!(trouble, Trouble::NoKey) { "no-key: " } else { "io: " };
    let stage = promoted();
    apply_in(&stage, trouble).exits(3).says(said);
    assert_eq!(weight(&stage), 500);
    stage.turn("cp14", "halt");
    apply_in(&stage, trouble).exits(3).says(said);
    assert_eq!(weight(&stage), 0);
    // And stays so, by a process that remembers nothing of it.
    apply_in(&stage, trouble).exits(3);
    assert_eq!(weight(&stage), 0);
    is_made_up_for(&stage, 3);
}

#[test]
fn where_the_key_is_gone_a_stop_is_carried_out_and_signed_for_once_it_is_back() {
    stops_and_does_not_go_forward(&Trouble::NoKey);
}

#[test]
fn an_applier_that_never_had_its_key_does_not_begin() {
    let stage = Stage::unhooked("0s");
    fs::remove_file(stage.world.key_file("edge1")).unwrap();
    stage.apply().exits(3).says("no-key: ");
}

#[test]
fn on_a_full_disk_a_stop_that_is_pushed_afterwards_is_carried_out_and_written_down_later() {
    stops_and_does_not_go_forward(&Trouble::Full("applier"));
}

#[test]
fn where_the_clone_is_read_only_a_stop_that_is_pushed_afterwards_is_carried_out() {
    stops_and_does_not_go_forward(&Trouble::ReadOnly("applier/.git"));
}

#[test]
fn where_only_objects_cannot_be_written_nothing_that_lasts_names_what_is_kept_aside() {
    stops_and_does_not_go_forward(&Trouble::ReadOnly("applier/.git/objects"));
}

#[test]
fn where_the_state_folder_is_read_only_a_stop_is_carried_out_and_pushed() {
    stops_and_does_not_go_forward(&Trouble::ReadOnly("applier/.git/two-key"));
}

#[test]
fn the_same_programs_go_forward_where_the_trouble_is_elsewhere() {
    for trouble in [Trouble::Full("home"), Trouble::ReadOnly("home")] {
        let stage = promoted();
        apply_in(&stage, &trouble).exits(0);
        assert_eq!(weight(&stage), 2500);
    }
}

#[test]
fn a_lock_that_a_killed_git_left_behind_keeps_no_stop_away() {
    let locks = ["packed-refs.lock", "refs/remotes/origin/main.lock", "refs/two-key-state/edge1/accepted.lock"];
    let stage = promoted();
    for lock in locks {
        fs::write(stage.path("applier/.git").join(lock), "").unwrap();
    }
    stage.apply().exits(3);
    assert_eq!(weight(&stage), 500);
    stage.turn("cp14", "halt");
    stage.apply().exits(3);
    assert_eq!(weight(&stage), 0);
    for lock in locks {
        fs::remove_file(stage.path("applier/.git").join(lock)).unwrap();
    }
    is_made_up_for(&stage, 3);
}

#[test]
fn a_journal_that_cannot_be_read_keeps_no_stop_away_and_is_not_written_over() {
    for content in ["", "{\"version\": 1, \"ro", "[]"] {
        let stage = promoted();
        let journal = stage.path("applier/.git/two-key/applier/edge1/journal.json");
        let whole = fs::read(&journal).unwrap();
        fs::write(&journal, content).unwrap();
        stage.apply().exits(3).says("io: ").says("journal.json").says("move it away");
        assert_eq!(weight(&stage), 500);
        stage.turn("cp14", "halt");
        stage.apply().exits(3).says("journal.json");
        assert_eq!((weight(&stage), fs::read_to_string(&journal).unwrap().as_str()), (0, content));
        fs::write(&journal, &whole).unwrap();
        is_made_up_for(&stage, 3);
    }
}
