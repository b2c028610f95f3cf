//! The action that others use and the templates for forges, run as their runners would: every command of theirs, on a
//! checkout of a real repository, with the variables that the forge documents.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::kit::{Ran, scene::Scene};

/// What a runner knows: expressions by their text, and variables.
struct Job<'a> {
    scene: &'a Scene,
    checkout: PathBuf,
    expressions: BTreeMap<&'a str, &'a str>,
    env: Vec<(&'a str, &'a str)>,
}

/// What the action asks the runner: the branch's tip, the tip that is judged, and how it is merged.
const BASE: &str =
    "inputs.base || github.event.merge_group.base_sha || github.base_ref && format('origin/{0}', github.base_ref)";
const HEAD: &str = "inputs.head || github.event.merge_group.head_sha || github.event.pull_request.head.sha";
const METHOD: &str = "github.event.merge_group && 'fast-forward' || inputs.method";

fn document(path: &str) -> Value {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A forge with a pull request (the local branch `topic`), and a checkout of it with the whole history.
fn forge(scene: &Scene) -> PathBuf {
    let world = &scene.world;
    let server = scene.server.to_str().unwrap();
    world.git(&["push", "--quiet", server, "+main:refs/heads/topic"]);
    let checkout = world.path().join("checkout");
    let _ = fs::remove_dir_all(&checkout);
    world.git(&["clone", "--quiet", server, checkout.to_str().unwrap()]);
    checkout
}

impl Job<'_> {
    /// A text with its expressions replaced; one that nobody expected is an error.
    fn text(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{") {
            let (expression, after) = after.split_once("}}").unwrap();
            let value = self.expressions.get(expression.trim());
            out += before;
            out += value.unwrap_or_else(|| panic!("no runner knows `{}`", expression.trim()));
            rest = after;
        }
        out + rest
    }

    /// Runs a script as a step.
    fn script(&self, script: &str, env: &[(String, String)]) -> Ran {
        assert!(!script.contains("${{"), "an expression in a script lets strangers write commands: {script}");
        let env: Vec<_> =
            env.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(self.env.clone()).collect();
        let args = ["--noprofile", "--norc", "-eo", "pipefail", "-c", script];
        self.scene.world.run_with(&self.checkout, "bash", &args, b"", &env)
    }

    /// Runs a composite action's steps with some inputs, up to the first that fails.
    fn action(&self, inputs: &Value) -> Ran {
        let action = document(".github/actions/verify/action.yml");
        for (name, input) in action["inputs"].as_object().unwrap() {
            let given = inputs.get(name).is_some();
            assert!(given || input.get("default").is_some() || input["required"] != true, "{name} is not given");
        }
        let known: Vec<_> = inputs.as_object().unwrap().keys().collect();
        assert!(known.iter().all(|name| action["inputs"].get(name.as_str()).is_some()), "{known:?}");
        let mut last = None;
        for step in action["runs"]["steps"].as_array().unwrap() {
            assert_eq!(step["shell"], "bash");
            let env = step["env"].as_object().into_iter().flatten();
            let env: Vec<_> = env.map(|(name, value)| (name.clone(), self.text(value.as_str().unwrap()))).collect();
            let ran = self.script(step["run"].as_str().unwrap(), &env);
            let failed = ran.code != 0;
            last = Some(ran);
            if failed {
                break;
            }
        }
        last.unwrap()
    }

    /// Runs a workflow's job: a checkout with the whole history, then our action.
    fn workflow(&self, path: &str) -> Ran {
        let steps = document(path)["jobs"]["two-key"]["steps"].clone();
        let [checkout, verify] = steps.as_array().unwrap().as_slice() else { panic!("{steps}") };
        assert_eq!(checkout["uses"], "actions/checkout@v4");
        assert_eq!(checkout["with"]["fetch-depth"], 0);
        assert!(verify["uses"].as_str().unwrap().ends_with("/git-two-key/.github/actions/verify@v0.1"));
        assert_eq!(self.text(verify["with"]["root"].as_str().unwrap()), self.scene.root);
        self.action(&verify["with"])
    }

    /// Runs a GitLab job's commands in one shell.
    fn gitlab(&self) -> Ran {
        let job = document("templates/ci/gitlab.yml")["two-key"].clone();
        let commands = |name: &str| job[name].as_array().unwrap().clone();
        let lines = [commands("before_script"), commands("script")].concat();
        let lines: Vec<_> = lines.iter().map(|line| line.as_str().unwrap()).collect();
        assert_eq!(job["variables"]["GIT_DEPTH"], "0");
        self.script(&lines.join("\n"), &[])
    }
}

/// A pull request that is honest, and one that is not, on each forge; then the branch itself.
fn on_actions(path: &str, markers: &[(&str, &str)]) {
    let scene = Scene::rolling();
    let world = &scene.world;
    let summary = world.path().join("summary.md");
    let mut env = markers.to_vec();
    let file = summary.display().to_string();
    env.extend([("GITHUB_STEP_SUMMARY", file.as_str()), ("GITHUB_ACTION_PATH", "/nowhere")]);
    let run = |head: &str, base: &str| {
        let expressions = BTreeMap::from([
            ("vars.TWO_KEY_ROOT", scene.root.as_str()),
            ("inputs.root", scene.root.as_str()),
            ("inputs.release", ""),
            ("inputs.sha256", ""),
            (METHOD, "merge"),
            (BASE, base),
            (HEAD, head),
        ]);
        Job { scene: &scene, checkout: forge(&scene), expressions, env: env.clone() }.workflow(path)
    };
    scene.promote("user1");
    run(&scene.promote("cp14"), "origin/main")
        .exits(0)
        .says("::notice title=two-key%3A effect::25 %25 for checkout-prod");
    let text = fs::read_to_string(&summary).unwrap();
    assert!(text.contains("merging this is admitted") && text.contains("Squash") | text.contains("squash"), "{text}");
    run(&scene.promote("stranger"), "origin/main").exits(1).says("title=two-key%3A unknown-key::");
    assert!(fs::read_to_string(&summary).unwrap().contains("merging this is refused"));
    // Without a pull request, the ledger.
    run("", "").exits(0).says("everything counts");
    scene.on_server(&["update-ref", "refs/heads/main", &world.head()]).exits(0);
    run("", "").exits(1).says("unknown-key");
}

#[test]
fn the_workflow_for_github_judges_pull_requests_and_verifies_the_branch() {
    on_actions("templates/ci/github.yml", &[("GITHUB_ACTIONS", "true")]);
}

#[test]
fn the_workflow_for_forgejo_judges_pull_requests_and_verifies_the_branch() {
    on_actions("templates/ci/forgejo.yml", &[("GITHUB_ACTIONS", "true"), ("FORGEJO_ACTIONS", "true")]);
}

#[test]
fn the_pipeline_for_gitlab_judges_merge_requests_and_verifies_the_branch() {
    let scene = Scene::rolling();
    let run = |more: &[(&'static str, String)]| {
        let mut env = vec![("GITLAB_CI", "true"), ("TWO_KEY_ROOT", scene.root.as_str())];
        env.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
        let checkout = forge(&scene);
        scene.world.run(&checkout, "git", &["checkout", "--quiet", "--detach"], b"").exits(0);
        scene.world.run(&checkout, "git", &["branch", "--quiet", "-D", "main"], b"").exits(0);
        let ran = Job { scene: &scene, checkout: checkout.clone(), expressions: BTreeMap::new(), env }.gitlab();
        let report = fs::read_to_string(checkout.join("gl-code-quality-report.json"));
        (ran, report.map(|text| serde_json::from_str::<Value>(&text).unwrap()).ok())
    };
    let request = |head: String| {
        let target = ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main".to_owned());
        [target, ("CI_MERGE_REQUEST_IID", "7".to_owned()), ("CI_COMMIT_SHA", head)]
    };
    scene.promote("user1");
    let (ran, report) = run(&request(scene.promote("cp14")));
    ran.exits(0).says("25 % for checkout-prod: both keys are there");
    // The report lists what may be regretted: squashing.
    assert_eq!(report.unwrap()[0]["check_name"], "two-key/merging");
    let (ran, report) = run(&request(scene.promote("stranger")));
    ran.exits(1).says("unknown-key");
    assert_eq!(report.unwrap()[0]["check_name"], "two-key/unknown-key");
    let (ran, report) = run(&[("CI_COMMIT_BRANCH", "main".to_owned())]);
    ran.exits(0).says("everything counts");
    assert_eq!(report, None);
}

#[test]
fn without_a_root_the_action_is_undecided_and_so_fails() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let head = scene.world.head();
    let expressions = BTreeMap::from([
        ("vars.TWO_KEY_ROOT", ""),
        ("inputs.root", ""),
        ("inputs.release", ""),
        ("inputs.sha256", ""),
        (METHOD, "merge"),
        (BASE, "origin/main"),
        (HEAD, head.as_str()),
    ]);
    let env = vec![("GITHUB_ACTIONS", "true")];
    let job = Job { scene: &scene, checkout: forge(&scene), expressions, env };
    job.action(&serde_json::json!({"root": ""})).exits(3).says("::error title=two-key%3A unpinned::");
}

#[test]
fn what_a_merge_queue_made_is_judged_as_it_will_be_pushed() {
    let scene = Scene::rolling();
    let world = &scene.world;
    assert!(document("templates/ci/github.yml")["on"].get("merge_group").is_some());
    let base = world.head();
    scene.promote("user1");
    let vote = scene.promote("cp14");
    let merged = |first: &str, second: &str| {
        let tree = format!("{vote}^{{tree}}");
        let made = world.git(&["commit-tree", "-p", first, "-p", second, "-m", "Merge pull request", &tree]);
        world.git(&["update-ref", "refs/heads/main", &made]);
        made
    };
    let judge = |head: &str| {
        let expressions = BTreeMap::from([
            ("inputs.root", scene.root.as_str()),
            ("inputs.release", ""),
            ("inputs.sha256", ""),
            (METHOD, "fast-forward"),
            (BASE, base.as_str()),
            (HEAD, head),
        ]);
        let env = vec![("GITHUB_ACTIONS", "true")];
        let job = Job { scene: &scene, checkout: forge(&scene), expressions, env };
        job.action(&serde_json::json!({"root": scene.root}))
    };
    judge(&merged(&base, &vote)).exits(0).says("25 %25 for checkout-prod");
    // With the base as its second parent it is a foxtrot.
    let aside = world.git(&["commit-tree", "-p", &scene.root, "-m", "Aside", &format!("{base}^{{tree}}")]);
    judge(&merged(&aside, &base)).exits(1).says("foxtrot");
}

#[test]
fn the_action_takes_a_release_whose_digest_was_given_and_no_other() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let install = document(".github/actions/verify/action.yml")["runs"]["steps"][0].clone();
    let folder = world.path().join("forge/OWNER/git-two-key/releases/download/v9");
    fs::create_dir_all(&folder).unwrap();
    let machine = world.run(world.path(), "uname", &["-m"], b"").exits(0).out.trim().to_owned();
    let file = folder.join(format!("git-two-key-{machine}-linux.tar.gz"));
    fs::write(world.path().join("git-two-key"), "#!/bin/sh\necho the release\n").unwrap();
    let packed = ["-czf", file.to_str().unwrap(), "git-two-key"];
    world.run(world.path(), "tar", &packed, b"").exits(0);
    let digest = world.run(world.path(), "sha256sum", &[file.to_str().unwrap()], b"").exits(0).out;
    let digest = digest.split(' ').next().unwrap().to_owned();
    // A machine without the program, whose cargo says that it was asked to build.
    let bin = world.path().join("bare");
    fs::create_dir_all(&bin).unwrap();
    for name in ["bash", "curl", "tar", "gzip", "sha256sum", "uname", "mkdir", "cat"] {
        let found =
            std::env::split_paths(&std::env::var("PATH").unwrap()).map(|at| at.join(name)).find(|at| at.exists());
        std::os::unix::fs::symlink(found.unwrap(), bin.join(name)).unwrap();
    }
    fs::write(bin.join("cargo"), "#!/bin/bash\necho built from source\n").unwrap();
    fs::set_permissions(bin.join("cargo"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let server = format!("file://{}", world.path().join("forge").display());
    let run = |release: &str, sha256: &str| {
        let (temp, paths) = (world.path().join("temp"), world.path().join("paths"));
        let _ = fs::remove_file(&paths);
        let env = [
            ("RELEASE", release),
            ("SHA256", sha256),
            ("GITHUB_SERVER_URL", &server),
            ("GITHUB_ACTION_REPOSITORY", "OWNER/git-two-key"),
            ("GITHUB_ACTION_PATH", "/nowhere"),
            ("RUNNER_TEMP", temp.to_str().unwrap()),
            ("GITHUB_PATH", paths.to_str().unwrap()),
            ("PATH", bin.to_str().unwrap()),
        ];
        let args = ["--noprofile", "--norc", "-eo", "pipefail", "-c", install["run"].as_str().unwrap()];
        let ran = world.run_with(world.path(), bin.join("bash").to_str().unwrap(), &args, b"", &env);
        (ran, fs::read_to_string(&paths).is_ok_and(|added| added.trim() == temp.join("git-two-key").to_str().unwrap()))
    };
    let (ran, added) = run("v9", &digest);
    ran.exits(0).never_says("built from source");
    assert!(added);
    let (ran, added) = run("v9", &"0".repeat(64));
    assert!(ran.code != 0 && !added && !ran.out.contains("built from source"), "{} {}", ran.out, ran.err);
    for (release, sha256) in [("", ""), ("v9", ""), ("v8", digest.as_str())] {
        let (ran, added) = run(release, sha256);
        ran.exits(0).says("built from source");
        assert!(!added);
    }
}
