//! Queries with their variables filled in.

use jiff::Timestamp;

use crate::model::policy::{LEASE_VARIABLES, QUERY_VARIABLES, Source};

use super::context::{MeasuredVersion, TierContext};

/// What `{{…}}` become in one question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variables<'a> {
    pub(super) context: &'a TierContext,
    /// What `{{candidate}}` becomes: the baseline is measured by the candidate's queries with another version.
    pub(super) candidate: &'a str,
    /// Whose pool `{{candidate-pool}}` becomes, for the same reason.
    pub(super) pool: MeasuredVersion,
    pub(super) from: Timestamp,
    pub(super) at: Timestamp,
}

impl Variables<'_> {
    fn value(&self, name: &str) -> Result<String, String> {
        let [candidate, stable, window, target, lease, tier, candidate_pool, stable_pool] = QUERY_VARIABLES;
        let seconds = self.at.as_second().saturating_sub(self.from.as_second()).max(1);
        let names = &self.context.names;
        let pools = || {
            names.pools.as_ref().ok_or_else(|| {
                format!("the query names `{name}`, and the target has no pools, or nobody here knows them")
            })
        };
        if let Some((family, named)) =
            LEASE_VARIABLES.iter().find_map(|family| Some((family, name.strip_prefix(family)?)))
        {
            let [label, _] = LEASE_VARIABLES;
            let of = if *family == label { &names.labels } else { &names.artifacts };
            return of
                .get(named)
                .cloned()
                .ok_or_else(|| format!("the query names `{name}`, which the lease does not have"));
        }
        Ok(match name {
            _ if name == candidate => self.candidate.to_owned(),
            _ if name == stable => self.context.stable().to_owned(),
            _ if name == window => format!("{seconds}s"),
            _ if name == target => self.context.target.to_string(),
            _ if name == lease => self.context.lease.to_string(),
            _ if name == tier => self.context.tier.to_string(),
            _ if name == candidate_pool && self.pool == MeasuredVersion::Candidate => pools()?.candidate.clone(),
            _ if name == candidate_pool || name == stable_pool => pools()?.stable.clone(),
            _ => return Err(format!("the query names the unknown variable `{name}`")),
        })
    }
}

/// Fills in a query's variables; an unknown one is an error, named.
pub(super) fn render(query: &str, source: Source, variables: &Variables<'_>) -> Result<String, String> {
    let mut parts = query.split("{{");
    let mut rendered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
        let name = name.trim();
        let value = variables.value(name)?;
        rendered.push_str(&escape(&value, source));
        rendered.push_str(rest);
    }
    Ok(rendered)
}

/// A value that cannot end the text in which it stands. Programs get the query as one JSON text, files compare it as a
/// whole; in PromQL values stand in quotes.
fn escape(value: &str, source: Source) -> String {
    match source {
        Source::File | Source::Exec => value.to_owned(),
        Source::Prometheus => {
            let mut escaped = String::new();
            for c in value.chars() {
                match c {
                    '\\' | '"' | '\'' | '`' => escaped.extend(['\\', c]),
                    '\n' => escaped.push_str("\\n"),
                    c if c.is_control() => escaped.push('\u{fffd}'),
                    c => escaped.push(c),
                }
            }
            escaped
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::gate::{
        context::{Names, Pools},
        testing::{context, time},
    };

    fn rendered(query: &str, source: Source, candidate: &str) -> Result<String, String> {
        let context = context();
        let pool = MeasuredVersion::Candidate;
        render(query, source, &Variables { context: &context, candidate, pool, from: time(60), at: time(360) })
    }

    #[test]
    fn pools_labels_and_artifacts_are_filled_in_and_what_is_not_there_is_an_error() {
        let pools = Pools { candidate: "green1|green2".to_owned(), stable: "blue".to_owned() };
        let one = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let names = Names { pools: Some(pools), labels: one("team", "shop"), artifacts: one("checkout", "sha256:11") };
        let known = TierContext { names, ..context() };
        let render = |context: &TierContext, query: &str, pool| {
            let variables = Variables { context, candidate: "v2", pool, from: time(0), at: time(60) };
            render(query, Source::Prometheus, &variables)
        };
        let query = "{{candidate-pool}} {{stable-pool}} {{label.team}} {{artifact.checkout}}";
        assert_eq!(render(&known, query, MeasuredVersion::Candidate).unwrap(), "green1|green2 blue shop sha256:11");
        // The baseline is measured by the candidate's queries.
        assert_eq!(render(&known, query, MeasuredVersion::Stable).unwrap(), "blue blue shop sha256:11");
        for query in ["{{label.owner}}", "{{artifact.other}}"] {
            assert!(render(&known, query, MeasuredVersion::Candidate).unwrap_err().contains("the lease does not have"));
        }
        assert!(render(&context(), "{{candidate-pool}}", MeasuredVersion::Candidate).unwrap_err().contains("no pools"));
    }

    #[test]
    fn every_variable_is_filled_in_and_an_unknown_one_is_an_error() {
        let query = "{{candidate}} {{ stable }} {{window}} {{target}} {{lease}} {{tier}} {x}";
        assert_eq!(rendered(query, Source::File, "v2").unwrap(), "v2 v1 300s shop L-1 5 {x}");
        assert_eq!(
            rendered("a {{other}} b", Source::File, "v2").unwrap_err(),
            "the query names the unknown variable `other`"
        );
    }

    #[test]
    fn values_cannot_end_the_text_that_they_stand_in() {
        let query = r#"sum(x{v="{{candidate}}"})"#;
        let value = "\"} or vector(0) #\\\n\u{7}";
        let promql = rendered(query, Source::Prometheus, value).unwrap();
        assert_eq!(promql, "sum(x{v=\"\\\"} or vector(0) #\\\\\\n\u{fffd}\"})");
        assert_eq!(rendered("a-{{candidate}}", Source::Exec, "\"").unwrap(), "a-\"");
    }

    #[test]
    fn a_value_is_never_taken_for_a_template() {
        assert_eq!(rendered("{{candidate}}", Source::File, "{{lease}}").unwrap(), "{{lease}}");
    }
}
