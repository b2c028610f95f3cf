//! Remarks in the forms that forges show beside a change.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    pull::PullView,
    words::{and_more, escaped},
};
use crate::model::{Reason, Refusal};

/// The file that a remark stands at if it is about none: the rules that it is judged by.
const ANYWHERE: &str = ".two-key/policy.yaml";

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationForm {
    /// Workflow commands, a line each, as runners of GitHub, Forgejo and Gitea read them from a job's output.
    Workflow,
    /// A Code Quality report, as GitLab reads it from a job's artifact.
    CodeQuality,
    /// SARIF 2.1.0, as code scanners and many forges read it.
    Sarif,
}

/// How much a remark weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemarkLevel {
    /// It refuses.
    Error,
    /// Somebody may regret it.
    Warning,
    /// It is as it should be.
    Notice,
}

/// Something to be shown beside a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// How much it weighs.
    pub level: RemarkLevel,
    /// A reason code, or one word on what it is about.
    pub title: String,
    /// What is to be said.
    pub text: String,
    /// The file that shows it best.
    pub path: Option<String>,
}

impl Remark {
    fn new(level: RemarkLevel, title: &str, text: &str, path: Option<String>) -> Self {
        Self { level, title: title.to_owned(), text: text.to_owned(), path }
    }
}

/// What there is to say of a pull request, refusals first.
pub fn pull_remarks(view: &PullView) -> Vec<Remark> {
    let with_hint = |message: &str, hint: &Option<String>| match hint {
        Some(hint) => format!("{}\nhint: {}", escaped(message), escaped(hint)),
        None => escaped(message),
    };
    let refused = view.refused.iter().map(|problem| {
        Remark::new(
            RemarkLevel::Error,
            &problem.reason,
            &with_hint(&problem.message, &problem.hint),
            problem.path.clone(),
        )
    });
    let waived = view.waived.iter().map(|problem| {
        let text = format!("not refused, because a stop came with it: {}", problem.message);
        Remark::new(RemarkLevel::Warning, &problem.reason, &text, problem.path.clone())
    });
    let warnings = view.warnings.iter().map(|warning| Remark::new(RemarkLevel::Warning, "merging", warning, None));
    let effects = view.effects.iter().map(|effect| Remark::new(RemarkLevel::Notice, "effect", &effect.text, None));
    let more = [
        (RemarkLevel::Error, "refused", view.more_refused, "refusal"),
        (RemarkLevel::Warning, "waived", view.more_waived, "finding"),
        (RemarkLevel::Notice, "effect", view.more_effects, "effect"),
    ];
    let more = more.into_iter().filter_map(|(level, title, more, what)| {
        and_more(more, what).map(|text| Remark::new(level, title, &text, None))
    });
    refused.chain(waived).chain(warnings).chain(effects).chain(more).collect()
}

/// What there is to say where nothing could be decided.
pub fn undecided_remark(refusal: &Refusal) -> Remark {
    let hint = refusal.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    let text = format!("undecided: {}{hint}", refusal.message);
    Remark::new(RemarkLevel::Error, refusal.reason.code(), &text, None)
}

/// The remarks in a form.
pub fn annotations(form: AnnotationForm, remarks: &[Remark]) -> String {
    match form {
        AnnotationForm::Workflow => remarks.iter().fold(String::new(), |mut lines, remark| {
            let _ = writeln!(lines, "{}", command(remark));
            lines
        }),
        AnnotationForm::CodeQuality => {
            pretty(&Value::Array(remarks.iter().filter(|remark| shown(remark)).map(quality).collect()))
        }
        AnnotationForm::Sarif => pretty(&sarif(remarks)),
    }
}

/// Documents list what is wrong; what is as it should be is no entry of theirs.
fn shown(remark: &Remark) -> bool {
    remark.level != RemarkLevel::Notice
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// `::error file=…,title=…::…`. Runners act on such lines, so nothing that strangers wrote may be one of its own: neither
/// at a line's beginning nor, in the older form `##[error]`, anywhere in it.
fn command(remark: &Remark) -> String {
    let data = |text: &str| text.replace("##[", "# #[").replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(&escaped(text)).replace(':', "%3A").replace(',', "%2C");
    let word = match remark.level {
        RemarkLevel::Error => "error",
        RemarkLevel::Warning => "warning",
        RemarkLevel::Notice => "notice",
    };
    let file = remark.path.as_ref().map(|path| format!("file={},line=1,", property(path))).unwrap_or_default();
    format!("::{word} {file}title={}::{}", property(&format!("two-key: {}", remark.title)), data(&text(remark)))
}

/// What is to be said, line by line, with strangers' control and bidirectional characters spelled out.
fn text(remark: &Remark) -> String {
    remark.text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

fn path(remark: &Remark) -> String {
    escaped(remark.path.as_deref().unwrap_or(ANYWHERE))
}

/// What a remark is recognized by from run to run.
fn fingerprint(remark: &Remark) -> String {
    let digest = Sha256::digest(format!("{}\0{}\0{}", remark.title, path(remark), remark.text).as_bytes());
    digest.iter().take(16).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn quality(remark: &Remark) -> Value {
    json!({
        "description": text(remark),
        "check_name": format!("two-key/{}", remark.title),
        "fingerprint": fingerprint(remark),
        "severity": if remark.level == RemarkLevel::Error { "blocker" } else { "minor" },
        "location": {"path": path(remark), "lines": {"begin": 1}},
    })
}

fn sarif(remarks: &[Remark]) -> Value {
    let mut rules: Vec<&str> =
        remarks.iter().filter(|remark| shown(remark)).map(|remark| remark.title.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    let rule = |id: &&str| {
        let what = if Reason::from_code(id).is_some() { "is the reason for which this is refused" } else { "matters" };
        json!({"id": id, "shortDescription": {"text": format!("git two-key: {id} {what}")}})
    };
    let result = |remark: &Remark| {
        json!({
            "ruleId": remark.title,
            "level": if remark.level == RemarkLevel::Error { "error" } else { "warning" },
            "message": {"text": text(remark)},
            "locations": [{
                "physicalLocation": {"artifactLocation": {"uri": uri(remark.path.as_deref().unwrap_or(ANYWHERE))}, "region": {"startLine": 1}}
            }],
            "partialFingerprints": {"twoKey/v1": fingerprint(remark)},
        })
    };
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "git two-key",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(rule).collect::<Vec<_>>(),
            }},
            "results": remarks.iter().filter(|remark| shown(remark)).map(result).collect::<Vec<_>>(),
        }],
    })
}

/// A path as a relative URI reference.
fn uri(path: &str) -> String {
    path.bytes().fold(String::new(), |mut uri, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
        uri
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remark(text: &str, path: Option<&str>) -> Remark {
        Remark::new(RemarkLevel::Error, "malformed", text, path.map(str::to_owned))
    }

    #[test]
    fn a_workflow_command_is_one_line_whatever_strangers_wrote() {
        let text = annotations(
            AnnotationForm::Workflow,
            &[remark("100 %: ##[add-mask]a\nhint: b\r\u{1b}[2J\u{202e}", Some("leases/a,b:c\n::set-env name=x::y"))],
        );
        assert_eq!(
            text,
            "::error file=leases/a%2Cb%3Ac\\u{a}%3A%3Aset-env name=x%3A%3Ay,line=1,title=two-key%3A malformed::\
             100 %25: # #[add-mask]a%0Ahint: b\\u{d}\\u{1b}[2J\\u{202e}\n"
        );
    }

    #[test]
    fn documents_are_json_and_name_a_file_for_each_problem() {
        let remarks = [
            remark("a", Some("leases/ä b.yaml")),
            remark("b", None),
            Remark::new(RemarkLevel::Notice, "effect", "c", None),
        ];
        let quality: Value = serde_json::from_str(&annotations(AnnotationForm::CodeQuality, &remarks)).unwrap();
        assert_eq!(quality.as_array().unwrap().len(), 2);
        assert_eq!(quality[1]["location"]["path"], ".two-key/policy.yaml");
        assert_ne!(quality[0]["fingerprint"], quality[1]["fingerprint"]);
        let sarif: Value = serde_json::from_str(&annotations(AnnotationForm::Sarif, &remarks)).unwrap();
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        let place = &results[0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "leases/%C3%A4%20b.yaml");
        assert_eq!(sarif["runs"][0]["tool"]["driver"]["rules"][0]["id"], "malformed");
    }

    #[test]
    fn documents_carry_nothing_that_turns_text_around_or_moves_a_cursor() {
        let hazards = "a\u{1b}[2J\u{9b}2J\u{85}\u{202e}\u{2066}\u{61c}\u{feff}\u{2028}\u{200b}\u{e0041}b";
        for form in [AnnotationForm::CodeQuality, AnnotationForm::Sarif, AnnotationForm::Workflow] {
            let remarks = [remark(&format!("{hazards}\nhint: {hazards}"), Some(hazards)), remark("a", None)];
            let document = annotations(form, &remarks);
            let clean =
                |text: &str| text.chars().all(|c| c == '\n' || !(c.is_control() || escaped(&c.to_string()).len() > 4));
            assert!(clean(&document), "{document}");
            if let Ok(value) = serde_json::from_str::<Value>(&document) {
                // Nor once it has been read.
                let mut open = vec![&value];
                while let Some(value) = open.pop() {
                    assert!(value.as_str().is_none_or(clean), "{value}");
                    open.extend(value.as_array().into_iter().flatten());
                    open.extend(value.as_object().into_iter().flatten().map(|(_, value)| value));
                }
            }
        }
    }

    #[test]
    fn without_problems_the_documents_are_empty_and_valid() {
        assert_eq!(annotations(AnnotationForm::CodeQuality, &[]), "[]\n");
        let sarif: Value = serde_json::from_str(&annotations(AnnotationForm::Sarif, &[])).unwrap();
        assert_eq!(sarif["runs"][0]["results"], json!([]));
    }
}
