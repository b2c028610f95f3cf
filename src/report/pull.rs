//! Pull request report: what would be refused, what merging would put in force, what must not be lost.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    admission::{PushVerdict, RefusedRef},
    ledger::{Proposer, State},
    model::{LeaseId, Oid, Subject, policy::SeparateProposer, refs},
    push::Push,
};

use super::{
    PolicyView,
    effects::effects,
    words::{and_more, escaped, listed},
};

/// A pull request, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PullView {
    /// Whether merging it is admitted.
    pub ok: bool,
    /// The first refusal's reason code.
    pub reason: Option<String>,
    /// The pinned root.
    pub root: String,
    /// The governed branch.
    pub branch: String,
    /// Its tip that the pull request was judged against.
    pub base: String,
    /// The pull request's tip.
    pub head: String,
    /// How it was taken to be merged: `merge` (a merge commit) or `fast-forward`.
    pub method: String,
    /// The policy in force before it.
    pub policy: Option<PolicyView>,
    /// What refuses it: the first thousand, as of all lists here.
    pub refused: Vec<ProblemView>,
    /// How many more do.
    pub more_refused: usize,
    /// What would, did it not bring a stop.
    pub waived: Vec<ProblemView>,
    /// How many more would.
    pub more_waived: usize,
    /// What merging it would put in force or propose, where nobody refuses it.
    pub effects: Vec<EffectView>,
    /// How many more effects there are.
    pub more_effects: usize,
    /// Signatures that squash or rebase merging would drop.
    pub signatures: Vec<SignatureView>,
    /// How many more there are.
    pub more_signatures: usize,
    /// What should be known before it is merged.
    pub warnings: Vec<String>,
}

/// Something that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProblemView {
    /// The ref that it would come to.
    #[serde(rename = "ref")]
    pub name: String,
    /// The reason's code.
    pub reason: String,
    /// What happened, to what, and why.
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
    /// The file that shows it best: what it is about, or its lease.
    pub path: Option<String>,
    /// The commit that carried it.
    pub carrier: Option<String>,
    /// The lease, if that is known.
    pub lease: Option<String>,
    /// What it asked for, if that is known.
    pub action: Option<String>,
    /// Who it claims to be from; nobody checked that where the reason says otherwise.
    pub claims: Option<String>,
}

/// Something that merging puts in force or proposes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EffectView {
    /// The lease, if it is about one.
    pub lease: Option<String>,
    /// The target, if it is about one.
    pub target: Option<String>,
    /// What, in words.
    pub text: String,
}

/// A commit that carries signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SignatureView {
    /// The commit.
    pub commit: String,
    /// What was signed: the action, its lease and tier.
    pub statement: String,
}

/// What is judged, beside the push that stands for it.
#[derive(Debug, Clone, Copy)]
pub struct PullRequest<'a> {
    /// The governed branch's tip.
    pub base: Oid,
    /// The pull request's tip.
    pub head: Oid,
    /// How it is merged.
    pub method: MergeMethod,
    /// The push that merging is.
    pub push: &'a Push,
    /// The verdict on that push.
    pub verdict: &'a PushVerdict,
}

/// How a pull request is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeMethod {
    /// By a merge commit, whose first parent is the governed branch's tip.
    Merge,
    /// By moving the branch to the pull request's tip.
    FastForward,
}

impl MergeMethod {
    /// The word in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::FastForward => "fast-forward",
        }
    }
}

/// The verdict on a pull request, with what it would do.
pub fn pull_view(pull: &PullRequest<'_>) -> PullView {
    let PullRequest { push, verdict, .. } = pull;
    let after = push.after.as_ref();
    let problem = |refused: &RefusedRef| problem_view(refused, after);
    let (signatures, more_signatures) = signatures(push);
    let (refused, more_refused) = listed(verdict.refused.iter().map(problem));
    let (waived, more_waived) = listed(verdict.waived.iter().map(problem));
    let (effects, more_effects) = match (&push.before, after) {
        (Some(before), Some(after)) => listed(effects(before, after).into_iter()),
        _ => (Vec::new(), 0),
    };
    let mut warnings = Vec::new();
    if !signatures.is_empty() {
        let many = if signatures.len() == 1 { "a signature" } else { "signatures" };
        warnings.push(format!(
            "squash or rebase merging makes the commits again and would drop {many}: merge with a merge commit, or push \
             the commits themselves"
        ));
    }
    warnings.extend(after.and_then(|after| hidden_proposer(push, after)));
    PullView {
        ok: verdict.admits(),
        reason: verdict.refused.first().map(|refused| refused.refusal.reason.code().to_owned()),
        root: push.root.to_string(),
        branch: push.branch.clone(),
        base: pull.base.to_string(),
        head: pull.head.to_string(),
        method: pull.method.word().to_owned(),
        policy: push.before.as_ref().map(PolicyView::of),
        refused,
        more_refused: more_refused + verdict.more_refused,
        waived,
        more_waived: more_waived + verdict.more_waived,
        effects,
        more_effects,
        signatures,
        more_signatures,
        warnings,
    }
}

fn problem_view(refused: &RefusedRef, after: Option<&State>) -> ProblemView {
    let RefusedRef { name, refusal, finding } = refused;
    let finding = finding.as_ref();
    let lease = finding.and_then(|finding| finding.lease.as_ref());
    let file = |id: &LeaseId| after.and_then(|after| after.proposals(id).next().map(|(path, _)| path.to_owned()));
    ProblemView {
        name: name.clone(),
        reason: refusal.reason.code().to_owned(),
        message: refusal.message.clone(),
        hint: refusal.hint.clone(),
        path: finding.and_then(|finding| finding.path.clone()).or_else(|| lease.and_then(file)),
        carrier: finding.map(|finding| finding.carrier.to_string()),
        lease: lease.map(ToString::to_string),
        action: finding.and_then(|finding| finding.action).map(|action| action.word().to_owned()),
        claims: finding.and_then(|finding| finding.claims.as_ref()).map(ToString::to_string),
    }
}

/// The verified votes that the pull request brings, and how many more of them there are.
fn signatures(push: &Push) -> (Vec<SignatureView>, usize) {
    let votes = push.steps.iter().flat_map(|step| &step.votes);
    listed(votes.map(|vote| {
        let fields = vote.statement.fields();
        let mut words = vec![fields.action.word().to_owned()];
        words.extend(vote.statement.lease().map(ToString::to_string));
        words.extend(fields.tier.map(|tier| format!("to {tier} %")));
        if let Subject::Revoke { key } = &vote.statement.subject {
            words.push(key.to_string());
        }
        SignatureView { commit: vote.carrier.to_string(), statement: words.join(" ") }
    }))
}

/// Where a rule wants the proposer to be another: a merge commit that nobody of ours signed hides who proposed.
fn hidden_proposer(push: &Push, after: &State) -> Option<String> {
    let policy = after.policy().get();
    let separate = |id: &LeaseId| {
        let target = after.document(id).map(|lease| &lease.target);
        let rules = target.map(|target| [policy.cosign_rule(target), policy.promote_rule(target)]);
        rules.is_some_and(|rules| rules.iter().any(|rule| rule.separate_proposer == SeparateProposer::Required))
    };
    let known = |id: &LeaseId| push.before.as_ref().is_some_and(|before| before.proposals(id).next().is_some());
    let hidden = |id: &LeaseId| after.document(id).is_some() && after.document_proposer(id) == Proposer::Unknown;
    let new: Vec<_> = after.known_leases().into_iter().filter(|id| !known(id) && separate(id) && hidden(id)).collect();
    let names: Vec<_> = new.iter().map(LeaseId::as_str).collect();
    (!names.is_empty()).then(|| {
        format!(
            "nobody could ever turn a key for {}: the rule wants to know who proposed, and this way that is hidden; \
             push the proposal itself, in a commit that its proposer signed",
            names.join(", ")
        )
    })
}

/// The same as Markdown, for a pull request's page.
pub fn pull_markdown(view: &PullView) -> String {
    let mut text = String::from("### two-key: ");
    text.push_str(match &view.reason {
        None => "merging this is admitted\n\n",
        Some(_) => "merging this is refused\n\n",
    });
    for problem in &view.refused {
        let _ = writeln!(text, "- **{}**: {}", problem.reason, safe(&problem.message));
        if let Some(hint) = &problem.hint {
            let _ = writeln!(text, "  <br>hint: {}", safe(hint));
        }
    }
    list_more(&mut text, view.more_refused, "refusal");
    if !view.refused.is_empty() {
        text.push('\n');
    }
    text.push_str(match (view.effects.is_empty(), view.refused.is_empty()) {
        (true, _) => "Merging it puts nothing in force and proposes nothing.\n",
        (false, true) => "Merging it would mean:\n\n",
        (false, false) => "What does not count has no effect. What is left would mean:\n\n",
    });
    for effect in &view.effects {
        let _ = writeln!(text, "- {}", safe(&effect.text));
    }
    list_more(&mut text, view.more_effects, "effect");
    for problem in &view.waived {
        let _ = writeln!(
            text,
            "- not refused, because a stop came with it: {}: {}",
            problem.reason,
            safe(&problem.message)
        );
    }
    list_more(&mut text, view.more_waived, "finding");
    for warning in &view.warnings {
        let _ = writeln!(text, "\n**Warning:** {}", safe(warning));
    }
    if !view.signatures.is_empty() {
        text.push_str("\n| commit | carries a signature for |\n|---|---|\n");
        for signature in &view.signatures {
            let _ = writeln!(text, "| `{}` | {} |", short(&signature.commit), safe(&signature.statement));
        }
        if let Some(more) = and_more(view.more_signatures, "signature") {
            let _ = writeln!(text, "| … | {more} |");
        }
    }
    let version = view.policy.as_ref().map(|policy| format!(", policy version {}", policy.version));
    let _ = writeln!(
        text,
        "\n`{}` onto `{}` at `{}` ({}), from root `{}`{}",
        short(&view.head),
        refs::short(&view.branch),
        short(&view.base),
        view.method,
        short(&view.root),
        version.unwrap_or_default()
    );
    text
}

fn list_more(text: &mut String, more: usize, what: &str) {
    if let Some(more) = and_more(more, what) {
        let _ = writeln!(text, "- {more}");
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Text that strangers may have written, as Markdown that says just that: no markup, no links, no mentions.
pub(super) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in escaped(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn what_strangers_wrote_is_never_markup() {
        assert_eq!(safe("25 % for checkout-prod"), "25 % for checkout-prod");
        assert_eq!(
            safe("![x](http://e) <b>|`@all`\n\u{202e}"),
            "\\!\\[x\\](http://e) &lt;b&gt;\\|\\`&#64;all\\`\\\\u{a}\\\\u{202e}"
        );
    }
}
