//! Checks by programs, protocol `two-key.check/1`: one JSON request on standard input, one JSON answer on standard
//! output.
//!
//! A program that ends with another status than 0, answers something else, too much, or not in time has said nothing,
//! and what is not said is not known.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    agent::config::ExecCheck,
    model::{
        Digest, Reason, Refusal,
        lease::{Change, Lease},
        text::is_hidden,
    },
    process::Exec,
};

use super::{ChangeClone, CheckResult, CheckVerdict};

/// The protocol's name and version.
pub(super) const PROTOCOL: &str = "two-key.check/1";
/// The longest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;
/// The longest reason that is kept.
const MAX_REASON: usize = 300;

#[derive(Serialize)]
struct CheckRequest<'a> {
    protocol: &'a str,
    check: &'a str,
    lease: &'a str,
    digest: Digest,
    target: &'a str,
    change: Option<CheckedChange<'a>>,
    artifacts: Vec<ArtifactView<'a>>,
}

#[derive(Serialize)]
struct CheckedChange<'a> {
    repository: &'a str,
    from: String,
    to: String,
    /// Where a clone of it is.
    clone: String,
}

#[derive(Serialize)]
struct ArtifactView<'a> {
    name: &'a str,
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckAnswer {
    protocol: String,
    verdict: AnsweredVerdict,
    #[serde(default)]
    reasons: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum AnsweredVerdict {
    Pass,
    Fail,
    Unknown,
}

/// Runs a check.
pub fn run(
    name: &str,
    check: &ExecCheck,
    lease: &Lease,
    digest: Digest,
    clone: Option<&Result<ChangeClone, Refusal>>,
) -> CheckResult {
    let change = match (&lease.change, clone) {
        (Some(change), Some(Ok(clone))) => Some((change, clone)),
        (Some(_), Some(Err(refusal))) => return CheckResult::open(name, refusal),
        _ => None,
    };
    match ask(name, check, lease, digest, change) {
        Ok(answer) => check_result(name, &answer),
        Err(why) => CheckResult::new(name, CheckVerdict::Open, Reason::NoData, why),
    }
}

fn ask(
    name: &str,
    check: &ExecCheck,
    lease: &Lease,
    digest: Digest,
    change: Option<(&Change, &ChangeClone)>,
) -> Result<CheckAnswer, String> {
    let change = change.map(|(change, clone)| CheckedChange {
        repository: &change.repository,
        from: change.from.to_string(),
        to: change.to.to_string(),
        clone: clone.path.to_string_lossy().into_owned(),
    });
    let artifacts = lease.artifacts.iter().map(|one| ArtifactView { name: &one.name, digest: one.digest }).collect();
    let request = CheckRequest {
        protocol: PROTOCOL,
        check: name,
        lease: lease.id.as_str(),
        digest,
        target: lease.target.as_str(),
        change,
        artifacts,
    };
    let input = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
    let exec = Exec {
        program: &check.program,
        args: &check.args,
        env: &variables(check, &request),
        input,
        limit: Duration::from_secs(check.deadline.as_secs()),
        most: MAX_ANSWER,
    };
    let output = exec.run().map_err(|why| format!("{}: {why}", check.program.display()))?;
    let answer: CheckAnswer =
        serde_json::from_slice(&output).map_err(|error| format!("its answer cannot be parsed: {error}"))?;
    if answer.protocol == PROTOCOL { Ok(answer) } else { Err(format!("it answers by protocol {}", answer.protocol)) }
}

/// The whole environment: what is configured, and what names the change, so that a shell script needs no JSON.
fn variables(check: &ExecCheck, request: &CheckRequest<'_>) -> BTreeMap<String, String> {
    let mut variables = check.env.clone();
    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    set("TWO_KEY_LEASE", request.lease);
    set("TWO_KEY_TARGET", request.target);
    if let Some(change) = &request.change {
        set("TWO_KEY_CLONE", &change.clone);
        set("TWO_KEY_FROM", &change.from);
        set("TWO_KEY_TO", &change.to);
    }
    variables
}

fn check_result(name: &str, answer: &CheckAnswer) -> CheckResult {
    let words: Vec<_> = answer.reasons.iter().map(|reason| one_line(reason)).collect();
    let words = if words.is_empty() { "it gives no reason".to_owned() } else { words.join("; ") };
    match answer.verdict {
        AnsweredVerdict::Pass if answer.reasons.is_empty() => CheckResult::pass(name, "it passes"),
        AnsweredVerdict::Pass => CheckResult::pass(name, words),
        AnsweredVerdict::Fail => CheckResult::new(name, CheckVerdict::Fail, Reason::GateFailed, words),
        AnsweredVerdict::Unknown => CheckResult::new(name, CheckVerdict::Open, Reason::NoData, words),
    }
}

/// A program's words as one line of moderate length, without characters that are not seen.
fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|letter| !is_hidden(*letter)).take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{document::Span, lease};

    const LEASE: &str = "two-key: 1\nlease: L-1\nrepository: 6f1c0e2b9a4d4f70a1b2c3d4e5f60718\n\
        artifacts: [{name: a, digest: \"sha256:1111111111111111111111111111111111111111111111111111111111111111\"}]\n\
        target: shop\nissued: 2025-10-27T02:19:13Z\nexpires: 2025-10-28T02:19:13Z\n\
        tiers: [{weight: 5, bake: 15m}, {weight: 100, bake: 15m}]\non-expiry: rollback\n";

    fn verdict(script: &str) -> (CheckVerdict, String) {
        let check = ExecCheck {
            program: "/bin/sh".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: BTreeMap::from([("WORD".to_owned(), "w".to_owned())]),
            deadline: Span::seconds(1),
        };
        let proposed = lease::read(LEASE.as_bytes()).unwrap();
        let result = run("ci", &check, proposed.get(), proposed.digest(), None);
        (result.verdict, result.message)
    }

    fn answer(verdict: &str) -> String {
        format!("cat >/dev/null; echo '{{\"protocol\":\"{PROTOCOL}\",\"verdict\":\"{verdict}\",\"reasons\":[\"so\"]}}'")
    }

    #[test]
    fn a_program_passes_fails_or_does_not_know() {
        assert_eq!(verdict(&answer("pass")), (CheckVerdict::Pass, "so".to_owned()));
        assert_eq!(verdict(&answer("fail")), (CheckVerdict::Fail, "so".to_owned()));
        assert_eq!(verdict(&answer("unknown")).0, CheckVerdict::Open);
    }

    #[test]
    fn its_words_are_one_line_in_which_nothing_is_hidden() {
        assert_eq!(one_line("a \n b\u{1b}[2J\u{202e}c\u{200b}"), "a b[2Jc");
    }

    #[test]
    fn whatever_else_a_program_does_is_not_known() {
        let pass = answer("pass");
        for script in [
            "true".to_owned(),
            "echo yes".to_owned(),
            format!("{pass}; exit 1"),
            format!("{pass}; {pass}"),
            pass.replace("check/1", "check/2"),
            pass.replace("\"so\"", "7"),
            answer("perhaps"),
            format!("sleep 5; {pass}"),
            format!("exec >&- 2>&-; sleep 5; {pass}"),
            "yes".to_owned(),
            "kill -9 $$".to_owned(),
        ] {
            assert_eq!(verdict(&script).0, CheckVerdict::Open, "{script}");
        }
    }

    #[test]
    fn a_program_sees_the_request_and_nothing_of_our_environment() {
        let script =
            format!("grep -q '\"lease\":\"L-1\"' && test \"$TWO_KEY_LEASE$WORD$HOME\" = L-1w && {}", answer("pass"));
        assert_eq!(verdict(&script).0, CheckVerdict::Pass, "{:?}", verdict(&script));
    }
}
