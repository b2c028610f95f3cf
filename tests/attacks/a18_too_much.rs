//! Pushes that are too much
//!
//! Work is bounded before it begins, for all refs of a push together.

use std::{fmt::Write as _, fs};

use crate::{applier::stop_it, dsl::*};

/// Ten thousand refs, atomic or not.
#[test]
fn ten_thousand_refs() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    let many = (0..10_000).fold(String::new(), |mut lines, at| {
        writeln!(lines, "create refs/heads/many/{at} {tip}").unwrap();
        lines
    });
    scene.world.run(scene.world.repo(), "git", &["update-ref", "--stdin"], many.as_bytes()).exits(0);
    scene.promote("stranger");
    scene.refuses(&["main", "refs/heads/many/*"], MAIN, "unknown-key");
    scene.back_to(&tip);
    scene.promote("user1");
    scene.admits(&["--atomic", "main", "refs/heads/many/*"]);
    scene.promote("cp14");
    scene.admits(&["main", "refs/heads/many/99*:refs/heads/some/x*"]);
}

/// A million files below `leases/`.
#[test]
fn a_million_leases() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    let blob = scene.world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
    let make = |lines: &str| {
        scene.world.run(scene.world.repo(), "git", &["mktree"], lines.as_bytes()).exits(0).out.trim().to_owned()
    };
    let folder = (0..1_000_000).fold(String::new(), |mut lines, at| {
        writeln!(lines, "100644 blob {blob}\tL{at:07}.yaml").unwrap();
        lines
    });
    let policy = scene.world.git(&["rev-parse", "main:.two-key"]);
    let tree = make(&format!("040000 tree {policy}\t.two-key\n040000 tree {}\tleases\n", make(&folder)));
    let bad = scene.world.git(&["commit-tree", "-p", "main", "-m", "Many", &tree]);
    scene.refuses(&[&format!("{bad}:main")], MAIN, "too-large");
    assert_eq!(scene.world.head(), tip);
    scene.promote("user1");
    scene.admits(&["main"]);
}

/// A carrier above 256 KiB.
#[test]
fn a_large_statement() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let text = message("cp14", &about(LEASE, "promote", 2, 25));
    let large = text.replacen("Turn a key\n", &format!("Turn a key\n\n{}\n", "x".repeat(300 << 10)), 1);
    let attack = |scene: &Scene| drop(scene.world.carry("cp14", &large));
    scene.never_counts("too-large", attack, |scene| drop(scene.promote("cp14")));
}

/// Long histories behind two stop refs.
#[test]
fn long_histories_behind_stops() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    let stop_behind = |name: &str, commits: usize| {
        let history = history(name, &tip, commits);
        scene.world.run(scene.world.repo(), "git", &["fast-import", "--quiet"], &history).exits(0);
        let halt = scene.halt("user1", name, 1);
        format!("{halt}:refs/two-key/stops/{LEASE}/{halt}")
    };
    let (one, other) = (stop_behind("one", 50_001), stop_behind("other", 50_000));
    let named = other.split_once(':').unwrap().1;
    scene.refuses(&[&one, &other], named, "too-large");
    scene.admits(&[&other]);
}

/// Alternating trees that spell ten thousand names in few bytes.
#[test]
fn wide_trees_in_turn() {
    let scene = Scene::rolling();
    let wide = |scene: &Scene| {
        let make = |lines: &str| {
            scene.world.run(scene.world.repo(), "git", &["mktree"], lines.as_bytes()).exits(0).out.trim().to_owned()
        };
        let policy = scene.world.git(&["rev-parse", "main:.two-key"]);
        let leases = scene.world.git(&["ls-tree", "main:leases"]);
        let blob = scene.world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
        let hundred = |mode: &str, id: &str, name: &dyn Fn(usize) -> String| {
            (0..100).map(|at| [mode, " ", id, "\t", &name(at), "\n"].concat()).collect::<Vec<_>>().concat()
        };
        let top = |letter: char| {
            let shared = make(&hundred("100644 blob", &blob, &|at| format!("{letter}{at}.yaml")));
            let folders = hundred("040000 tree", &shared, &|at| at.to_string());
            let below = make(&format!("{leases}\n{folders}"));
            make(&format!("040000 tree {policy}\t.two-key\n040000 tree {below}\tleases\n"))
        };
        let trees = [top('A'), top('B')];
        for at in 0..20 {
            let commit = scene.world.git(&["commit-tree", "-p", "main", "-m", "Wide", &trees[at % 2]]);
            scene.world.git(&["update-ref", MAIN, &commit]);
        }
    };
    scene.never_counts("too-large", wide, Scene::both_promote);
}

/// Invalid sealed signatures: only the first is checked.
#[test]
fn sealed_signatures_that_do_not_verify() {
    let scene = Scene::rolling();
    let fields = about(LEASE, "promote", 2, 25);
    let both = ["user1", "cp14"].map(|name| scene.sealed(name, "promote", &fields)).concat();
    let bad = scene.sealed("user2", "promote", &about(LEASE, "promote", 3, 100));
    let seal = |lines: String| {
        let fields = fields.clone();
        move |scene: &Scene| drop(scene.unsigned(&fields, &lines))
    };
    scene.never_counts("bad-signature", seal(format!("{bad}{both}")), seal(both));
}

/// One note copied onto thousands of objects: read once.
#[test]
fn one_note_copied_thousands_of_times() {
    let scene = Scene::new();
    let blob = scene.world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
    let note = scene.entry("user1", &about(LEASE, "cosign", 0, 0));
    let name = "refs/notes/two-key/user1";
    let mut stream = format!("blob\nmark :1\ndata {}\n{note}\n", note.len());
    write!(stream, "commit {name}\ncommitter A <a@example.com> 1761530400 +0000\ndata 1\nx\nM 100644 :1 {blob}\n")
        .unwrap();
    for at in 0..3000 {
        writeln!(stream, "M 100644 :1 {at:040x}").unwrap();
    }
    scene.world.run(scene.world.repo(), "git", &["fast-import", "--quiet"], stream.as_bytes()).exits(0);
    scene.admits(&[name]);
    let other = scene.note("cp14", &blob, &scene.entry("cp14", &about(LEASE, "cosign", 0, 0)));
    scene.admits(&[&other]);
    scene.world.two_key(&["verify", LEASE]).exits(1).says("by note: cp14, user1");
    scene.turn("cp18", &stop("withdraw", 1));
    scene.admits(&["main"]);
    assert_eq!(scene.shown(LEASE)["state"], "withdrawn");
}

/// A note filled up with what its owner once signed: the next vote goes on another object.
#[test]
fn a_note_filled_until_nobody_reads_it() {
    let scene = Scene::new();
    let blob = scene.world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
    let key = scene.world.key_file("user1");
    let [old, last] = [1, 2].map(|step| scene.entry("user1", &about(LEASE, "start", step, 5)));
    for (size, admitted) in [((1 << 20) + 1, false), (1 << 20, true)] {
        let note = format!("{old}{}{last}", "\n".repeat(size - old.len() - last.len()));
        let args = ["hash-object", "-w", "--stdin"];
        let file = scene.world.run(scene.world.repo(), "git", &args, note.as_bytes()).exits(0).out;
        let line = format!("100644 blob {}\t{blob}\n", file.trim());
        let tree = scene.world.run(scene.world.repo(), "git", &["mktree"], line.as_bytes()).exits(0).out;
        let name = "refs/notes/two-key/user1";
        let pushed = format!("{}:{name}", scene.world.git(&["commit-tree", "-m", "Notes", tree.trim()]));
        if admitted {
            scene.admits(&[&pushed]);
        } else {
            scene.refuses(&[&pushed], name, "too-large");
        }
    }
    scene.world.git(&["remote", "add", "origin", scene.server.to_str().unwrap()]);
    let sign = ["sign", LEASE, "--as", "note", "--push", "--key", key.to_str().unwrap()];
    scene.world.two_key(&sign).exits(0).says("pushed to origin");
    // It is there for all, and what filled the note as well.
    let name = "refs/notes/two-key/user1";
    assert_eq!(scene.on_server(&["ls-tree", "-r", "--name-only", name]).out.lines().count(), 2);
    scene.world.git(&["fetch", "--quiet", "origin", &format!("+{name}:{name}")]);
    scene.world.two_key(&["verify", LEASE]).exits(1).says("by note: user1");
}

/// Notes full of invalid signatures: few are checked, the last vote counts.
#[test]
fn notes_full_of_signatures_that_do_not_verify() {
    let scene = Scene::new();
    let blob = scene.world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
    let cosign = statement(&about(LEASE, "cosign", 0, 0));
    let junk: String = (1..=10)
        .map(|nonce| cosign.clone() + &scene.world.detached("user1", &statement(&stop("halt", nonce))) + "\n")
        .collect::<Vec<_>>()
        .concat();
    let name = scene.note("user1", &blob, &junk);
    scene.refuses(&[&name], &name, "bad-signature");
    scene.world.two_key(&["verify", LEASE]).exits(1).never_says("by note");
    scene.note("user1", &blob, &scene.entry("user1", &about(LEASE, "cosign", 0, 0)));
    scene.world.two_key(&["verify", LEASE]).exits(1).says("by note: user1");
    // Alone it goes in.
    scene.world.git(&["update-ref", "-d", &name]);
    scene.note("user1", &blob, &scene.entry("user1", &about(LEASE, "cosign", 0, 0)));
    scene.admits(&[&name]);
}

/// A thousand stops by one key: other leases go on.
#[test]
fn a_thousand_stops_by_one_key() {
    let scene = Scene::applied();
    let folder = scene.world.path().join("stops");
    fs::create_dir(&folder).unwrap();
    let texts: Vec<String> = (0..1000_u32)
        .map(|at| statement(&format!("Two-Key-Action: halt\nTwo-Key-Lease: {LEASE}\nTwo-Key-Nonce: {at:032x}\n")))
        .collect();
    let files: Vec<String> =
        (0..texts.len()).map(|at| folder.join(at.to_string()).to_str().unwrap().to_owned()).collect();
    let key = scene.world.key_file("cp18");
    for (file, text) in files.iter().zip(&texts) {
        fs::write(file, text).unwrap();
    }
    let args = ["-q", "-Y", "sign", "-n", "two-key", "-f", key.to_str().unwrap()].map(str::to_owned);
    let args: Vec<&str> = args.iter().chain(&files).map(String::as_str).collect();
    scene.world.run(&folder, "ssh-keygen", &args, b"").exits(0);
    let public = scene.world.public_key("cp18");
    let public = public.split(' ').nth(1).unwrap();
    let tip = scene.world.head();
    let mut stream = String::new();
    for (at, (file, text)) in files.iter().zip(&texts).enumerate() {
        let armour = fs::read_to_string(format!("{file}.sig")).unwrap();
        let blob: String = armour.lines().filter(|line| !line.starts_with("-----")).collect();
        let message = format!("Stop\n\n{text}Two-Key-Cosignature: cp18 halt ssh {public} {blob}\n");
        let who = "committer A <a@example.com> 1761530400 +0000";
        writeln!(stream, "commit refs/made/{at}\n{who}\ndata {}\n{message}\nfrom {tip}", message.len()).unwrap();
    }
    scene.world.run(scene.world.repo(), "git", &["fast-import", "--quiet"], stream.as_bytes()).exits(0);
    let made =
        scene.world.git(&["for-each-ref", "--format=create refs/many/%(objectname) %(objectname)", "refs/made/"]);
    scene.world.run(scene.world.repo(), "git", &["update-ref", "--stdin"], format!("{made}\n").as_bytes()).exits(0);
    scene.admits(&["--atomic", &format!("refs/many/*:refs/two-key/stops/{LEASE}/*")]);
    scene.to_25();
    scene.apply().exits(0);
    scene.weighs(2500);
    let halt = scene.world.sign_commit("user1", "main", &message("user1", &stop_it("halt", 1)));
    scene.admits(&[&format!("{halt}:refs/two-key/stops/{OTHER}/{halt}")]);
    scene.apply().exits(0);
    scene.weighs(0);
}

/// A branch of so many commits without a change, as `git fast-import` reads it.
fn history(name: &str, from: &str, commits: usize) -> Vec<u8> {
    let mut stream = String::new();
    for number in 0..commits {
        let from = if number == 0 { format!("from {from}\n") } else { String::new() };
        let (who, words) = ("committer A <a@example.com> 1761530400 +0000", format!("{name} {number}"));
        writeln!(stream, "commit refs/heads/{name}\n{who}\ndata {}\n{words}\n{from}", words.len()).unwrap();
    }
    stream.into_bytes()
}
