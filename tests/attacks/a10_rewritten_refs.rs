//! Governed refs rewound, deleted or made again
//!
//! Governed refs only grow, under any name that could be theirs.

use crate::dsl::*;

/// The branch forced back or deleted.
#[test]
fn the_branch() {
    let scene = Scene::rolling();
    scene.refuses(&["+main~1:main"], MAIN, "ref-rewound");
    scene.refuses(&[":main"], MAIN, "ref-deleted");
    scene.promote("user1");
    scene.admits(&["main"]);
}

/// The branch replaced by an equal history.
#[test]
fn the_branch_written_anew() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    scene.world.git(&["commit", "--quiet", "--amend", "--allow-empty", "--no-edit", "--author=B <b@example.org>"]);
    scene.refuses(&["+main"], MAIN, "ref-rewound");
    scene.back_to(&tip);
    scene.promote("user1");
    scene.admits(&["main"]);
}

/// A tag deleted, then made again.
#[test]
fn a_tag() {
    let scene = Scene::rolling();
    let tag = scene.tag("1-start-5", "main");
    let name = format!("refs/tags/{tag}");
    scene.admits(&[&tag]);
    scene.refuses(&[&format!(":{name}")], &name, "ref-deleted");
    scene.tag("1-start-5", "main~1");
    scene.refuses(&[&format!("+{name}:{name}")], &name, "tag-moved");
}

/// A note erased behind a second one on the same object, in two pushes.
#[test]
fn a_note_behind_another() {
    let scene = Scene::new();
    let blob = scene.world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
    let entry = |action: &str, step: u32, tier: u8| scene.entry("user1", &about(LEASE, action, step, tier));
    let [one, two, three] = [entry("cosign", 0, 0), entry("start", 1, 5), entry("promote", 2, 25)];
    scene.note("user1", &blob, &one);
    let notes = scene.note("user1", &blob, &two);
    scene.admits(&[&notes]);
    let made = |args: &[&str], text: &str| {
        scene.world.run(scene.world.repo(), "git", args, text.as_bytes()).exits(0).out.trim().to_owned()
    };
    let file = |text: &str| made(&["hash-object", "-w", "--stdin"], text);
    let first = scene.world.git(&["rev-parse", &format!("{notes}:{blob}")]);
    let tree = |flat: Option<&str>, text: &str, spelled: &str| {
        let (folder, rest) = spelled.split_at(2);
        let folder =
            format!("040000 tree {}\t{folder}\n", made(&["mktree"], &format!("100644 blob {}\t{rest}\n", file(text))));
        let flat = flat.map(|flat| format!("100644 blob {flat}\t{blob}\n")).unwrap_or_default();
        made(&["mktree"], &format!("{flat}{folder}"))
    };
    let onto = |tree: &str| made(&["commit-tree", "-p", &scene.server_ref(&notes), "-m", "Notes", tree], "");
    let pushed = |tree: &str| format!("{}:{notes}", onto(tree));
    // Nothing, under a name that nobody reads, and what the first one says.
    scene.refuses(&[&pushed(&tree(Some(&first), "\n", &blob))], &notes, "malformed");
    scene.refuses(&[&pushed(&tree(None, &format!("{one}\n{two}"), &blob.to_uppercase()))], &notes, "malformed");
    scene.admits(&[&pushed(&tree(Some(&first), &one, &blob))]);
    // It does not say all that the first one says.
    scene.refuses(&[&pushed(&tree(None, &format!("{one}\n{three}"), &blob))], &notes, "ref-rewound");
    scene.admits(&[&pushed(&tree(None, &format!("{one}\n{two}\n{three}"), &blob))]);
}

/// Notes rewound, emptied, deleted.
#[test]
fn notes() {
    let scene = two_leases();
    let blob = |id: &str| scene.world.git(&["rev-parse", &format!("main:leases/{id}.yaml")]);
    // Nothing in somebody's name: who has votes in a clone could never push them.
    let nothing = scene.world.run(scene.world.repo(), "git", &["mktree"], b"").exits(0).out;
    let nothing = scene.world.git(&["commit-tree", "-m", "Notes", nothing.trim()]);
    scene.refuses(&[&format!("{nothing}:refs/notes/two-key/user1")], "refs/notes/two-key/user1", "unsigned");
    let notes = scene.note("user1", &blob(LEASE), &scene.entry("user1", &about(LEASE, "cosign", 0, 0)));
    scene.note("user1", &blob(OTHER), &scene.entry("user1", &about(OTHER, "cosign", 0, 0)));
    scene.admits(&[&notes]);
    scene.refuses(&[&format!("+{notes}~1:{notes}")], &notes, "ref-rewound");
    scene.refuses(&[&format!(":{notes}")], &notes, "ref-deleted");
    let tip = scene.world.git(&["rev-parse", &notes]);
    scene.world.git(&["notes", "--ref", &notes, "remove", &blob(LEASE)]);
    scene.refuses(&[&notes], &notes, "ref-rewound");
    scene.world.git(&["update-ref", &notes, &tip]);
    scene.turn("cp14", &about(LEASE, "cosign", 0, 0));
    scene.note("user1", &blob(LEASE), &scene.entry("user1", &about(LEASE, "start", 1, 5)));
    scene.admits(&["main", &notes]);
}

/// A stop ref deleted or moved.
#[test]
fn a_stop() {
    let scene = Scene::rolling();
    let halt = scene.halt("cp14", "main", 1);
    let name = format!("refs/two-key/stops/{LEASE}/{halt}");
    scene.admits(&[&format!("{halt}:{name}")]);
    scene.refuses(&[&format!(":{name}")], &name, "ref-deleted");
    scene.refuses(&[&format!("+main:{name}")], &name, "ref-rewound");
}

/// An applier's record rewound or deleted.
#[test]
fn an_appliers_record() {
    let scene = Scene::rolling();
    let name = "refs/two-key/appliers/edge1";
    let record = |parent: &str| scene.world.sign_record("edge1", parent, &record_of(REPOSITORY));
    // What the ledger has is no record of the applier's: on it the applier could never write.
    scene.refuses(&[&format!("main:{name}")], name, "wrong-principal");
    scene.refuses(&[&format!("{}:{name}", scene.root)], name, "unsigned");
    let one = record("main");
    let two = record(&one);
    scene.admits(&[&format!("{two}:{name}")]);
    scene.refuses(&[&format!("+{one}:{name}")], name, "ref-rewound");
    scene.refuses(&[&format!(":{name}")], name, "ref-deleted");
    scene.admits(&[&format!("{}:{name}", record(&two))]);
}

/// An applier's record from another repository, or wrongly signed.
#[test]
fn an_appliers_record_of_another_repository() {
    let scene = Scene::rolling();
    let name = "refs/two-key/appliers/edge1";
    let other = scene.world.sign_record("edge1", "main", &record_of(&"0".repeat(32)));
    scene.refuses(&[&format!("{other}:{name}")], name, "wrong-repository");
    let none = scene.world.sign_commit("edge1", "main", "Observe\n");
    scene.refuses(&[&format!("{none}:{name}")], name, "wrong-repository");
    scene.admits(&[&format!("{}:{name}", scene.world.sign_record("edge1", "main", &record_of(REPOSITORY)))]);
}

/// The branch's name in other case, or with ignored characters.
#[test]
fn the_branch_by_another_spelling() {
    let scene = Scene::rolling();
    for name in ["refs/heads/MAIN", "refs/heads/Main", "refs/Heads/main"] {
        scene.refuses(&[&format!("main~1:{name}")], name, "foreign-ref");
    }
    // What cannot be seen is spelled out.
    scene.refuses(&["main~1:refs/heads/ma\u{200d}in"], r"refs/heads/ma\u{200d}in", "foreign-ref");
    scene.admits(&["main~1:refs/heads/MAIN-2"]);
}

/// A ref that Git takes for the branch, a note, a tag or a record, by its rules for short names.
#[test]
fn a_ref_that_git_takes_for_another() {
    let scene = Scene::rolling();
    let tag = format!("refs/tags/rollout/{LEASE}/2-promote-25");
    for name in [MAIN, "refs/notes/two-key/user1", &tag, "refs/two-key/appliers/edge1"] {
        for space in ["refs/", "refs/tags/", "refs/heads/", "refs/remotes/"] {
            let taken = format!("{space}{name}");
            scene.refuses(&[&format!("main~1:{taken}")], &taken, "foreign-ref");
        }
    }
    for name in ["refs/tags/main", "refs/tags/HEAD"] {
        scene.refuses(&[&format!("main~1:{name}")], name, "foreign-ref");
    }
    // One that was there before may go.
    scene.on_server(&["update-ref", "refs/tags/main", "main~1"]).exits(0);
    scene.admits(&[":refs/tags/main", "main~1:refs/tags/main-1", "main~1:refs/heads/refs/heads/topic"]);
}

/// A ref below the branch's name before there is a ledger.
#[test]
fn the_branchs_place_before_it_is_founded() {
    let scene = Scene::rolling();
    // As the server's owner, past its hooks.
    scene.on_server(&["-c", "core.hooksPath=/dev/null", "update-ref", "-d", MAIN]).exits(0);
    let below = "refs/heads/main/x";
    scene.refuses(&[&format!("main~1:{below}")], below, "foreign-ref");
    scene.admits(&["main~1:refs/heads/main2/x"]);
    scene.admits(&["main"]);
}
