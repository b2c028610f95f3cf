//! `init`: the policy, the root commit, the pin.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args as ClapArgs;

use super::{
    Failure, Place,
    governed::POLICY_PATH,
    terminal::{remark, say},
    turn,
};
use crate::{
    git::{Layout, NewCommit, RefUpdate, Repository, SignWith},
    ledger::rules,
    model::{
        PrincipalId, Reason, Refusal, RepositoryId, TargetId, lease,
        policy::{
            self, AllAtOnce, Deliberate, DriftBelow, DriverKind, Hardware, Policy, Principal, RiskPolicy, Role, Rule,
            Rules, SeparateProposer, Target, TargetRules, USUAL_FALSE_ALARMS, USUAL_KEEP,
        },
        refs,
    },
    report,
    signature::ObjectFormat,
};

/// Where Git is told which files it may not convert.
const ATTRIBUTES_PATH: &str = ".gitattributes";
/// Governed files are signed byte by byte, so no clone's core.autocrlf may change their line ends.
const ATTRIBUTES: &str = "/.two-key/** -text\n/leases/** -text\n";

/// Found a governance repository: its policy and root commit
///
/// Writes .two-key/policy.yaml with the keys that you name, commits it, pins that commit as the root here, and prints its
/// id. The root is all that anybody needs to verify everything that follows: give it to the others over a channel that
/// they trust. An empty folder becomes a repository first. PUBKEY is a .pub file, or the key itself.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key init --human user1=$HOME/.ssh/id_ed25519.pub \\\n    \
    --agent cp14=cp14.pub\n  \
    git two-key init --human user1=user1.pub --human user2=user2.pub \\\n    \
    --agent cp14=cp14.pub --applier edge1=edge1.pub \\\n    \
    --target checkout-prod=haproxy:edge1")]
pub struct Args {
    /// A person and their public key; again for more people or more keys
    #[arg(long, value_name = "NAME=PUBKEY")]
    human: Vec<String>,
    /// An agent and its public key; again for more
    #[arg(long, value_name = "NAME=PUBKEY")]
    agent: Vec<String>,
    /// An applier and its public key; it can stop its own targets and authorizes nothing
    #[arg(long, value_name = "NAME=PUBKEY")]
    applier: Vec<String>,
    /// Something that can be rolled out to, its driver (file, exec, haproxy, nginx or git) and its applier
    #[arg(long, value_name = "NAME[=DRIVER[:APPLIER]]")]
    target: Vec<String>,
    /// Require of people a security key with touch, a signature made for this step, and somebody else's proposal
    #[arg(long)]
    strict: bool,
    /// The governed branch; by default the one that is checked out, in a new repository main
    #[arg(long)]
    branch: Option<String>,
}

/// Founds the ledger.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    if args.human.is_empty() && args.agent.is_empty() {
        return Err(Failure::Usage(
            "init needs to know whose keys count: at least one --human NAME=PUBKEY and one --agent NAME=PUBKEY".into(),
        ));
    }
    let mut policy = policy_of(args, place)?;
    let existing = existing(place)?;
    policy.branch = branch(args, existing.as_ref())?;
    let text = checked(&policy)?;
    let repo = match existing {
        Some(repo) => repo,
        None => Repository::init(&place.folder, Layout::Worktree, ObjectFormat::Sha1, &policy.branch)?,
    };
    let root = found(&repo, &policy, &text)?;
    let (state, _) = turn::begin(&repo, root)?;
    say(&format!(
        "Founded the ledger of repository {} on {}.\n\n{}",
        policy.repository,
        policy.branch,
        report::keys_text(&report::keys(&state, &[]))
    ));
    say(&format!("\nroot {root}"));
    say(&format!(
        "\nIt is pinned here. In every other clone, after comparing it over a channel that you trust:\n  \
         git two-key trust {root}\nThen propose a rollout:\n  git two-key new"
    ));
    warn(&policy);
    Ok(())
}

/// The repository that is here already; an empty folder is none, wherever it lies.
fn existing(place: &Place) -> Result<Option<Repository>, Failure> {
    let is_empty = std::fs::read_dir(&place.folder).is_ok_and(|mut entries| entries.next().is_none());
    if is_empty {
        return Ok(None);
    }
    let repo = place.repository().map_err(|failure| match failure {
        Failure::Undecided(refusal) => {
            Failure::Undecided(refusal.hint("run it in an empty folder, or make a repository first: git init"))
        }
        other => other,
    })?;
    if let Some(root) = repo.pinned_root()? {
        return Err(there_already(&format!("the root {root} is pinned here")));
    }
    Ok(Some(repo))
}

fn there_already(what: &str) -> Failure {
    let refusal = Refusal::new(Reason::WrongState, format!("a ledger is here already: {what}"));
    Failure::refused("init", refusal.hint("see what it says with: git two-key list"))
}

fn branch(args: &Args, existing: Option<&Repository>) -> Result<String, Failure> {
    if let Some(branch) = &args.branch {
        return Ok(branch.clone());
    }
    let head = existing.map(Repository::head).transpose()?.flatten();
    Ok(head.and_then(|head| head.strip_prefix(refs::HEADS).map(str::to_owned)).unwrap_or_else(|| "main".to_owned()))
}

/// The file's text, if it is above the floors.
fn checked(policy: &Policy) -> Result<String, Failure> {
    let text = policy::write(policy);
    policy::read(text.as_bytes()).map_err(|error| Failure::refused(POLICY_PATH, error.into()))?;
    if !rules::can_change_policy(policy, |_| false) {
        let message = "under this policy nobody could ever change it: it takes a human and an agent, or two humans, \
                       with keys that its rule counts (--strict counts people by sk- keys only)";
        let hint = "name more keys with --human NAME=PUBKEY and --agent NAME=PUBKEY";
        return Err(Failure::refused(POLICY_PATH, Refusal::new(Reason::PolicyFloor, message).hint(hint)));
    }
    Ok(text)
}

/// Commits the policy and the schemas that its first lines name, and pins the commit.
fn found(repo: &Repository, policy: &Policy, text: &str) -> Result<crate::model::Oid, Failure> {
    let branch = policy.branch_ref();
    let tip = repo.resolve(&branch)?;
    let mut objects = repo.objects()?;
    let mut tree = None;
    if let Some(tip) = tip {
        if objects.file_at(tip, POLICY_PATH)?.is_some() {
            return Err(there_already(&format!("{} has a {POLICY_PATH}", policy.branch)));
        }
        tree = Some(objects.links(tip)?.tree);
    }
    if repo.worktree().is_some_and(|top| top.join(POLICY_PATH).exists()) {
        return Err(there_already(&format!("there is a {POLICY_PATH}, not committed")));
    }
    let schema = |schema: &schemars::Schema| serde_json::to_string_pretty(schema.as_value()).unwrap_or_default() + "\n";
    let (policies, leases) = (schema(&policy::schema()), schema(&lease::schema()));
    let mut files = vec![
        (POLICY_PATH, Some(text.as_bytes())),
        (".two-key/policy.schema.json", Some(policies.as_bytes())),
        (".two-key/lease.schema.json", Some(leases.as_bytes())),
    ];
    let attributes_there = match tip {
        Some(tip) => objects.file_at(tip, ATTRIBUTES_PATH)?.is_some(),
        None => repo.worktree().is_some_and(|top| top.join(ATTRIBUTES_PATH).exists()),
    };
    if attributes_there {
        remark(&format!("warning: there is a {ATTRIBUTES_PATH} already; add to it:\n{ATTRIBUTES}"));
    } else {
        files.push((ATTRIBUTES_PATH, Some(ATTRIBUTES.as_bytes())));
    }
    let tree = repo.with_files(tree, &files)?;
    let who = policy.principals.keys().next().map_or("two-key", PrincipalId::as_str);
    let message = format!("Found the two-key ledger of {}\n", policy.repository);
    let root =
        repo.commit_tree(&NewCommit { tree, parents: tip.as_slice(), message: &message, sign: SignWith::Nobody, who })?;
    turn::begin(repo, root)?;
    turn::advance(repo, &RefUpdate { name: branch, old: tip, new: root }, "two-key: init")?;
    repo.set_config(crate::git::config::ROOT, &root.to_string())?;
    Ok(root)
}

/// The policy that the flags describe.
fn policy_of(args: &Args, place: &Place) -> Result<Policy, Failure> {
    let mut principals: BTreeMap<PrincipalId, Principal> = BTreeMap::new();
    for (role, entries) in [(Role::Human, &args.human), (Role::Agent, &args.agent), (Role::Applier, &args.applier)] {
        for entry in entries {
            let (name, key) = pair(role, entry)?;
            let key = turn::keys::public_key(place, key)?;
            let principal = principals.entry(name.clone()).or_insert_with(|| Principal {
                role,
                keys: Vec::new(),
                until: None,
                last_days: BTreeMap::new(),
            });
            if principal.role != role {
                let message = format!("{name} is given two roles; a principal has one");
                return Err(Failure::refused(POLICY_PATH, Refusal::new(Reason::PolicyFloor, message)));
            }
            principal.keys.push(key);
        }
    }
    let rule = Rule {
        human: 1,
        agent: 1,
        humans: None,
        agents: None,
        from: Vec::new(),
        hardware: if args.strict { Hardware::Presence } else { Hardware::NotRequired },
        deliberate: if args.strict { Deliberate::Required } else { Deliberate::NotRequired },
        separate_proposer: if args.strict { SeparateProposer::Required } else { SeparateProposer::NotRequired },
    };
    Ok(Policy {
        repository: RepositoryId::from_bytes(rand::random()),
        version: 1,
        previous: None,
        branch: String::new(),
        principals,
        groups: BTreeMap::new(),
        rules: Rules { cosign: rule.clone(), promote: rule.clone(), policy: rule },
        start_up_to: 10,
        delegable_up_to: 0,
        windows: Vec::new(),
        keep: USUAL_KEEP,
        targets: args.target.iter().map(|text| target(text)).collect::<Result<_, _>>()?,
        false_alarms: USUAL_FALSE_ALARMS,
        gates: BTreeMap::new(),
        thresholds: BTreeMap::new(),
        risk: RiskPolicy::default(),
        labels: BTreeMap::new(),
    })
}

fn pair(role: Role, entry: &str) -> Result<(PrincipalId, &str), Failure> {
    let wrong = |why: &str| Failure::Usage(format!("--{} {entry}: {why}", role.word()));
    let (name, key) = entry.split_once('=').ok_or_else(|| wrong("it is written NAME=PUBKEY"))?;
    let name = PrincipalId::parse(name)
        .ok_or_else(|| wrong("a name is a letter or digit, then letters, digits, `.`, `_` or `-`"))?;
    Ok((name, key))
}

/// Reads `NAME[=DRIVER[:APPLIER]]`.
fn target(text: &str) -> Result<(TargetId, Target), Failure> {
    let wrong = |why: String| Failure::Usage(format!("--target {text}: {why}"));
    let (name, rest) = text.split_once('=').unwrap_or((text, "file"));
    let (driver, applier) = rest.split_once(':').map_or((rest, None), |(driver, applier)| (driver, Some(applier)));
    let id = TargetId::parse(name).ok_or_else(|| wrong(format!("`{name}` is no name for a target")))?;
    let kind = DriverKind::ALL.into_iter().find(|kind| kind.word() == driver);
    let driver = kind.ok_or_else(|| {
        let all = report::all_of(&DriverKind::ALL.map(DriverKind::word));
        wrong(format!("`{driver}` is no driver; there are {all}"))
    })?;
    let applier = match applier {
        Some(name) => Some(PrincipalId::parse(name).ok_or_else(|| wrong(format!("`{name}` is no applier's name")))?),
        None => None,
    };
    let target = Target {
        driver,
        applier,
        gates: Vec::new(),
        rules: TargetRules::default(),
        thresholds: BTreeMap::new(),
        windows: Vec::new(),
        all_at_once: AllAtOnce::default(),
        drift_below: DriftBelow::default(),
    };
    Ok((id, target))
}

/// Says what is thin about it.
fn warn(policy: &Policy) {
    for role in [Role::Human, Role::Agent] {
        let of_role = || policy.principals.values().filter(|principal| principal.role == role);
        let keys: BTreeSet<_> =
            of_role().flat_map(|principal| &principal.keys).map(crate::model::PublicKey::raw).collect();
        if role == Role::Human && of_role().count() < 2 {
            remark(
                "warning: only one human: if that one is away, nobody can go forward; add another: git two-key key add",
            );
        }
        if keys.is_empty() {
            remark(&format!("warning: no {}: nothing can ever be cosigned; add one: git two-key key add", role.word()));
        } else if keys.len() < 2 {
            let role = role.word();
            remark(&format!(
                "warning: only one {role} key: if it is lost, the repository may need a new root; add another"
            ));
        }
    }
}
