//! Metrics of an applier, for Prometheus. Pure: numbers in, text out.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use jiff::Timestamp;

use crate::{
    follower::records::Doing,
    model::{Percent, Refusal, TargetId},
    reconciler::{ApplierReport, TargetReport},
};

/// What is counted from the start of the process on, and what the last tick found.
#[derive(Debug, Default)]
pub struct Metrics {
    ticks: u64,
    failed: u64,
    spent: Duration,
    last_tick: Option<Timestamp>,
    fetched: Option<Timestamp>,
    targets: BTreeMap<TargetId, TargetReport>,
    /// Whether the branch lacks stops that are obeyed.
    beside: bool,
    refusals: BTreeMap<&'static str, u64>,
    events: BTreeMap<String, u64>,
    unwritten: bool,
}

/// What a tick says beside its report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// When it was.
    pub now: Timestamp,
    /// When the remote was last fetched.
    pub fetched: Option<Timestamp>,
    /// How often what happened since the process began.
    pub events: BTreeMap<String, u64>,
    /// Whether something could not be written down, signed or fetched into the clone yet.
    pub unwritten: bool,
}

impl Metrics {
    /// Takes in what a tick came to, and how long it took.
    pub fn take(&mut self, outcome: &Result<ApplierReport, Refusal>, counters: Counters, took: Duration) {
        self.ticks += 1;
        self.spent += took;
        self.last_tick = Some(counters.now);
        self.fetched = counters.fetched;
        self.events = counters.events;
        self.unwritten = counters.unwritten;
        match outcome {
            Ok(report) => {
                self.targets.clone_from(&report.targets);
                self.beside = report.beside.is_some();
                let reasons = report.targets.values().filter_map(|target| target.reason.as_ref());
                for refusal in report.remarks.iter().chain(reasons) {
                    self.refuse(refusal);
                }
            }
            Err(refusal) => {
                self.failed += 1;
                self.refuse(refusal);
            }
        }
    }

    fn refuse(&mut self, refusal: &Refusal) {
        *self.refusals.entry(refusal.reason.code()).or_default() += 1;
    }

    /// The text that Prometheus reads (exposition format 0.0.4).
    pub fn text(&self) -> String {
        let mut page = MetricsPage::default();
        page.head("two_key_build_info", "gauge", "The version that runs.");
        page.line("two_key_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.head("two_key_ticks_total", "counter", "Looks at the ledger and the targets.");
        page.line("two_key_ticks_total", &[], self.ticks);
        page.head("two_key_ticks_failed_total", "counter", "Looks that came to nothing at all.");
        page.line("two_key_ticks_failed_total", &[], self.failed);
        page.head("two_key_tick_seconds_total", "counter", "Time that looks took.");
        page.line("two_key_tick_seconds_total", &[], self.spent.as_secs_f64());
        page.head("two_key_unwritten", "gauge", "1 while something cannot be written down or signed.");
        page.line("two_key_unwritten", &[], u8::from(self.unwritten));
        self.times(&mut page);
        self.weights(&mut page);
        page.head("two_key_stops_beside_branch", "gauge", "1 where the branch cannot have stops that are obeyed.");
        page.line("two_key_stops_beside_branch", &[], u8::from(self.beside));
        page.head("two_key_refusals_total", "counter", "Reasons for doing no more, each time that one was found.");
        for (reason, count) in &self.refusals {
            page.line("two_key_refusals_total", &[("reason", reason)], count);
        }
        page.head("two_key_events_total", "counter", "What happened, gates' verdicts among it.");
        for (event, count) in &self.events {
            page.line("two_key_events_total", &[("event", event)], count);
        }
        page.text
    }

    fn times(&self, page: &mut MetricsPage) {
        page.head("two_key_last_tick_timestamp_seconds", "gauge", "When the last look was.");
        if let Some(at) = self.last_tick {
            page.line("two_key_last_tick_timestamp_seconds", &[], at.as_second());
        }
        page.head("two_key_last_fetch_timestamp_seconds", "gauge", "When the remote was last fetched.");
        if let Some(at) = self.fetched {
            page.line("two_key_last_fetch_timestamp_seconds", &[], at.as_second());
        }
        page.head("two_key_fetch_age_seconds", "gauge", "How old the last fetch was at the last look.");
        if let (Some(now), Some(fetched)) = (self.last_tick, self.fetched) {
            page.line("two_key_fetch_age_seconds", &[], now.as_second().saturating_sub(fetched.as_second()));
        }
    }

    fn weights(&self, page: &mut MetricsPage) {
        let ratio = |weight: Percent| weight.number() / 100.0;
        page.head("two_key_desired_weight", "gauge", "The weight that the ledger wants, 0 to 1.");
        for (target, seen) in &self.targets {
            let lease = seen.lease.as_ref().map_or("", |lease| lease.as_str());
            let labels = [("target", target.as_str()), ("lease", lease)];
            page.line("two_key_desired_weight", &labels, ratio(seen.desired));
        }
        page.head("two_key_observed_weight", "gauge", "The weight that was observed, 0 to 1; absent if none could be.");
        for (target, seen) in &self.targets {
            let lease = seen.observed_lease.as_ref().map_or("", |lease| lease.as_str());
            if let Some(observed) = seen.observed {
                let labels = [("target", target.as_str()), ("lease", lease)];
                page.line("two_key_observed_weight", &labels, ratio(observed));
            }
        }
        page.head("two_key_stop_failed", "gauge", "1 where a stop could not be carried out yet.");
        for (target, seen) in &self.targets {
            let failed = u8::from(seen.doing == Doing::StopFailed.word());
            page.line("two_key_stop_failed", &[("target", target.as_str())], failed);
        }
        page.head("two_key_doing", "gauge", "What the applier is doing, and why no more.");
        for (target, seen) in &self.targets {
            let reason = seen.reason.as_ref().map_or("", |refusal| refusal.reason.code());
            let labels = [("target", target.as_str()), ("doing", seen.doing.as_str()), ("reason", reason)];
            page.line("two_key_doing", &labels, 1);
        }
        page.head("two_key_contradiction", "gauge", "A restart of what moves requests would bring another weight.");
        for target in self.targets.iter().filter(|(_, seen)| seen.contradiction.is_some()).map(|(target, _)| target) {
            page.line("two_key_contradiction", &[("target", target.as_str())], 1);
        }
    }
}

#[derive(Default)]
struct MetricsPage {
    text: String,
}

impl MetricsPage {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let label = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
        let labels: Vec<String> = labels.iter().map(label).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LeaseId, Oid, Reason};

    fn report(observed: Option<u32>) -> ApplierReport {
        let target = TargetReport {
            lease: LeaseId::parse("L-1"),
            desired: Percent::of(2_500),
            observed: observed.map(Percent::of),
            observed_lease: observed.and_then(|_| LeaseId::parse("L-1")),
            doing: "holding".to_owned(),
            reason: Some(Refusal::new(Reason::NoData, "no data")),
            stopped: None,
            contradiction: Some(Refusal::new(Reason::Drift, "a restart would bring another weight")),
        };
        let targets = BTreeMap::from([(TargetId::parse("shop").unwrap(), target)]);
        ApplierReport {
            ledger: Oid::Sha1([1; 20]),
            targets,
            remarks: vec![Refusal::new(Reason::Stale, "gone")],
            beside: None,
            clock: None,
            events: Vec::new(),
        }
    }

    fn counters() -> Counters {
        let at = |second| Timestamp::from_second(second).unwrap();
        Counters {
            now: at(1_100),
            fetched: Some(at(1_000)),
            events: BTreeMap::from([("APPLIED".to_owned(), 2)]),
            unwritten: true,
        }
    }

    #[test]
    fn weights_are_told_apart_and_an_unknown_one_is_not_told_at_all() {
        let mut metrics = Metrics::default();
        metrics.take(&Ok(report(Some(500))), counters(), Duration::from_millis(250));
        let text = metrics.text();
        for line in [
            "two_key_desired_weight{target=\"shop\",lease=\"L-1\"} 0.25",
            "two_key_observed_weight{target=\"shop\",lease=\"L-1\"} 0.05",
            "two_key_doing{target=\"shop\",doing=\"holding\",reason=\"no-data\"} 1",
            "two_key_contradiction{target=\"shop\"} 1",
            "two_key_stop_failed{target=\"shop\"} 0",
            "two_key_unwritten 1",
            "two_key_fetch_age_seconds 100",
            "two_key_tick_seconds_total 0.25",
            "two_key_events_total{event=\"APPLIED\"} 2",
            "two_key_refusals_total{reason=\"stale\"} 1",
            "two_key_refusals_total{reason=\"no-data\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        metrics.take(&Ok(report(None)), counters(), Duration::ZERO);
        assert!(!metrics.text().contains("two_key_observed_weight{"));
        assert!(metrics.text().contains("two_key_refusals_total{reason=\"stale\"} 2"));
    }

    #[test]
    fn a_tick_that_failed_keeps_what_was_found_before_and_counts() {
        let mut metrics = Metrics::default();
        metrics.take(&Ok(report(Some(500))), counters(), Duration::ZERO);
        metrics.take(&Err(Refusal::new(Reason::Internal, "no")), counters(), Duration::ZERO);
        let text = metrics.text();
        assert!(text.contains("two_key_ticks_total 2\n") && text.contains("two_key_ticks_failed_total 1\n"));
        assert!(text.contains("two_key_observed_weight{target=\"shop\",lease=\"L-1\"} 0.05\n"));
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
