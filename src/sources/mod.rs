//! Sources of measurements: the only part of this room that does I/O.

mod config;
mod exec;
mod file;
mod prometheus;
pub(crate) mod yaml;

use std::collections::BTreeMap;

use crate::model::{GateId, Reason, Refusal, document::Span, policy::Source};

use crate::gate::{Answer, Measure, Metric, Question, Value};

pub(crate) use prometheus::certificates;

pub use config::{ExecSourceConfig, FileSourceConfig, PrometheusConfig, SourcesConfig};

/// How long a source may take where the configuration does not say.
const TIMEOUT: Span = Span::seconds(10);
/// How long after a moment a Prometheus server knows of it where the configuration does not say: a scrape takes some seconds.
const PROMETHEUS_LAG: Span = Span::seconds(5);
/// The same of other sources.
const LAG: Span = Span::seconds(1);

/// The sources that a configuration names.
#[derive(Debug)]
pub struct Sources {
    prometheus: Option<prometheus::Prometheus>,
    file: Option<file::FileSource>,
    exec: Option<exec::ExecSource>,
    thresholds: BTreeMap<GateId, Metric>,
    lags: BTreeMap<Source, Span>,
}

impl Sources {
    /// Opens what a configuration names. What it does not name answers to nothing.
    pub fn open(config: &SourcesConfig) -> Result<Self, Refusal> {
        Ok(Self {
            prometheus: config.prometheus.clone().map(prometheus::Prometheus::open).transpose()?,
            file: config.file.clone().map(file::FileSource::new),
            exec: config.exec.clone().map(exec::ExecSource::open).transpose()?,
            thresholds: config.thresholds.clone(),
            lags: [
                (Source::Prometheus, config.prometheus.as_ref().map(|own| own.lag.unwrap_or(PROMETHEUS_LAG))),
                (Source::File, config.file.as_ref().map(|own| own.lag.unwrap_or(LAG))),
                (Source::Exec, config.exec.as_ref().map(|own| own.lag.unwrap_or(LAG))),
            ]
            .into_iter()
            .filter_map(|(source, lag)| Some((source, lag?)))
            .collect(),
        })
    }

    /// The same for a time that is long past: all that there will be is there.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.lags.clear();
        self
    }
}

impl Measure for Sources {
    fn ask(&self, question: &Question) -> Answer {
        let answer = match question.source {
            Source::Prometheus => self.prometheus.as_ref().map(|prometheus| prometheus.ask(question)),
            Source::File => self.file.as_ref().map(|file| file.ask(question)),
            Source::Exec => self.exec.as_ref().map(|exec| exec.ask(question)),
        };
        answer.unwrap_or_else(|| Answer::of(Value::Failed(unconfigured(question.source).message)))
    }

    fn has(&self, source: Source) -> Result<(), Refusal> {
        let there = match source {
            Source::Prometheus => self.prometheus.is_some(),
            Source::File => self.file.is_some(),
            Source::Exec => self.exec.is_some(),
        };
        if there { Ok(()) } else { Err(unconfigured(source)) }
    }

    fn lag(&self, source: Source) -> Span {
        self.lags.get(&source).copied().unwrap_or_default()
    }

    fn metric(&self, name: &GateId) -> Option<Metric> {
        self.thresholds.get(name).cloned()
    }
}

fn unconfigured(source: Source) -> Refusal {
    let word = source.word();
    let message = format!("no metrics source `{word}` is configured here");
    Refusal::new(Reason::NoData, message).hint(format!("add it to the configuration: metrics: {{{word}: …}}"))
}
