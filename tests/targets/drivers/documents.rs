//! What docs and templates show is what the drivers, `haproxy` and `nginx` take.

use std::{fs, path::Path, process::Command};

use git_two_key::reconciler::ApplierConfig;
use serde_json::Value;

use super::{
    deploy, nginx,
    rig::{FIRST, Rig},
};

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The blocks of a document in a language.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let text = text(document);
    let mut pieces = text.split("\n```");
    let mut found = Vec::new();
    pieces.next();
    while let (Some(block), _) = (pieces.next(), pieces.next()) {
        let (first, rest) = block.split_once('\n').unwrap();
        if first == language {
            found.push(format!("{rest}\n"));
        }
    }
    found
}

#[test]
fn every_configuration_in_docs_and_templates_is_one() {
    let target = |settings: &String| {
        let settings = settings.trim_end().replace('\n', "\n    ");
        format!("name: edge1\nkey: /etc/two-key/edge1\ntargets:\n  checkout-prod:\n    {settings}\n")
    };
    let mut all = blocks("docs/drivers.md", "yaml").iter().map(target).collect::<Vec<_>>();
    assert_eq!(all.len(), 6);
    all.push(text("templates/clusters/applier.yaml"));
    for configuration in all {
        ApplierConfig::parse(&configuration, Path::new("/etc/two-key"))
            .unwrap_or_else(|refusal| panic!("{refusal}\n{configuration}"));
    }
}

#[test]
fn haproxy_and_nginx_take_the_configurations_in_the_docs() {
    let rig = Rig::new("file");
    let block = blocks("docs/drivers.md", "haproxy").concat();
    fs::write(rig.path("haproxy.cfg"), block.replace("/run/haproxy/", &format!("{}/", rig.world.path().display())))
        .unwrap();
    let mut haproxy = Command::new("haproxy");
    assert!(haproxy.args(["-c", "-q", "-f"]).arg(rig.path("haproxy.cfg")).status().unwrap().success());
    let include = rig.path("split.conf");
    fs::write(&include, blocks("docs/drivers.md", "nginx-split").concat()).unwrap();
    let site = blocks("docs/drivers.md", "nginx").concat();
    let site = site.replace("/etc/nginx/two-key/checkout-prod.conf", include.to_str().unwrap());
    let folder = rig.world.path().display();
    let whole = format!(
        "pid {folder}/pid;\nerror_log {folder}/log;\nevents {{}}\nhttp {{\naccess_log off;\n{}{site}}}\n",
        nginx::temporary(rig.world.path())
    );
    fs::write(rig.path("nginx.conf"), whole).unwrap();
    let tested = Command::new(nginx::program()).arg("-t").arg("-c").arg(rig.path("nginx.conf")).output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
}

/// What the projects' API references say of the fields that the templates use: kind, API version, fields that have to be
/// there, and those that may.
const KINDS: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "HTTPRoute",
        "gateway.networking.k8s.io/v1",
        &["spec.parentRefs[].name", "spec.rules[].backendRefs[].name"],
        &["spec.rules[].backendRefs[].port", "spec.rules[].backendRefs[].weight"],
    ),
    (
        "Rollout",
        "argoproj.io/v1alpha1",
        &[
            "spec.selector.matchLabels.app",
            "spec.template.spec.containers[].name",
            "spec.template.spec.containers[].image",
        ],
        &[
            "spec.replicas",
            "spec.strategy.canary.steps[].setWeight",
            "spec.strategy.canary.steps[].pause",
            "spec.template.metadata.labels.app",
        ],
    ),
    ("Kustomization", "kustomize.config.k8s.io/v1beta1", &["resources[]"], &[]),
    (
        "GitRepository",
        "source.toolkit.fluxcd.io/v1",
        &["spec.interval", "spec.url"],
        &["spec.ref.branch", "spec.secretRef.name"],
    ),
    (
        "Kustomization",
        "kustomize.toolkit.fluxcd.io/v1",
        &["spec.interval", "spec.prune", "spec.sourceRef.kind", "spec.sourceRef.name"],
        &["spec.path", "spec.wait"],
    ),
    (
        "Application",
        "argoproj.io/v1alpha1",
        &["spec.project", "spec.destination.namespace", "spec.destination.server", "spec.source.repoURL"],
        &[
            "spec.source.targetRevision",
            "spec.source.path",
            "spec.syncPolicy.automated.prune",
            "spec.syncPolicy.automated.selfHeal",
        ],
    ),
];

/// The paths of all that a document says, lists as one.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                paths(value, &inner, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, &format!("{path}[]"), found)),
        _ => found.push(path.to_owned()),
    }
}

/// What is wrong with a manifest.
fn wrongs(manifest: &Value) -> Vec<String> {
    let (kind, version) = (&manifest["kind"], &manifest["apiVersion"]);
    let Some((_, _, required, others)) = KINDS.iter().find(|(known, of, ..)| kind == known && version == of) else {
        return vec![format!("no known kind: {kind} of {version}")];
    };
    let mut found = Vec::new();
    paths(manifest, "", &mut found);
    let said = |path: &str| found.iter().any(|one| one == path);
    let mut wrongs: Vec<_> =
        required.iter().filter(|path| !said(path)).map(|path| format!("{kind} lacks {path}")).collect();
    if *kind != "Kustomization" || version == "kustomize.toolkit.fluxcd.io/v1" {
        wrongs.extend((!said("metadata.name")).then(|| format!("{kind} has no name")));
    }
    let known = |path: &&String| {
        required.contains(&path.as_str())
            || others.contains(&path.as_str())
            || ["apiVersion", "kind", "metadata.name", "metadata.namespace"].contains(&path.as_str())
    };
    wrongs.extend(found.iter().filter(|path| !known(path)).map(|path| format!("{kind} has an unknown {path}")));
    wrongs
}

#[test]
fn the_manifests_for_clusters_have_the_fields_that_the_projects_want_and_no_others() {
    let files = ["route.yaml", "rollout.yaml", "kustomization.yaml", "flux.yaml", "argocd.yaml"];
    let mut kinds = 0;
    for file in files {
        for document in text(&format!("templates/clusters/{file}")).split("\n---\n") {
            let manifest: Value = serde_yaml::from_str(document).unwrap();
            assert_eq!(wrongs(&manifest), Vec::<String>::new(), "{file}");
            kinds += 1;
            let mut misspelt = manifest.clone();
            misspelt["spec"]["intervall"] = "1m".into();
            assert_eq!(wrongs(&misspelt).len(), 1, "{file}");
        }
    }
    assert_eq!(kinds, KINDS.len());
}

#[test]
fn the_route_and_the_rollout_for_clusters_are_moved_by_the_driver() {
    let configuration = ApplierConfig::parse(&text("templates/clusters/applier.yaml"), Path::new("/")).unwrap();
    assert_eq!(configuration.targets.len(), 1);
    let route = text("templates/clusters/route.yaml");
    let paths = "stable: \"spec.rules[0].backendRefs[name=checkout-blue].weight\", \
                 candidate: \"spec.rules[0].backendRefs[name=checkout-green].weight\"";
    let edge = deploy::Edge::with("apps/checkout/route.yaml", &route, paths);
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    assert_eq!(edge.there(), route.replace("weight: 100 ", "weight: 95 ").replace("weight: 0 ", "weight: 5 "));
    let rollout = text("templates/clusters/rollout.yaml");
    let paths = "candidate: \"spec.strategy.canary.steps[0].setWeight\", \
                 version: \"spec.template.spec.containers[0].image\"";
    let edge = deploy::Edge::with("apps/checkout/rollout.yaml", &rollout, paths);
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    assert_eq!(edge.there(), rollout.replace("setWeight: 0 ", "setWeight: 5 "));
}
