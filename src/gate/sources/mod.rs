//! Where measurements come from: the only part of this room that does I/O.

mod config;
mod exec;
mod file;
mod prometheus;

use std::collections::BTreeMap;

use crate::model::{GateId, Reason, Refusal, document::Span, policy::Source};

use super::measure::{Answer, Measure, Metric, Question, Value};

pub(crate) use prometheus::certificates;

pub use config::{Config, ExecConfig, FileConfig, PrometheusConfig};

/// How long a source may take where the configuration does not say.
const TIMEOUT: Span = Span::seconds(10);

/// The sources that a configuration names.
#[derive(Debug)]
pub struct Sources {
    prometheus: Option<prometheus::Prometheus>,
    file: Option<file::File>,
    exec: Option<exec::Exec>,
    thresholds: BTreeMap<GateId, Metric>,
}

impl Sources {
    /// Opens what a configuration names. What it does not name answers to nothing.
    pub fn open(config: &Config) -> Result<Self, Refusal> {
        Ok(Self {
            prometheus: config.prometheus.clone().map(prometheus::Prometheus::open).transpose()?,
            file: config.file.clone().map(file::File::new),
            exec: config.exec.clone().map(exec::Exec::open).transpose()?,
            thresholds: config.thresholds.clone(),
        })
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

    fn metric(&self, name: &GateId) -> Option<Metric> {
        self.thresholds.get(name).cloned()
    }
}

fn unconfigured(source: Source) -> Refusal {
    let word = source.word();
    let message = format!("no metrics source `{word}` is configured here");
    Refusal::new(Reason::NoData, message).hint(format!("add it to the configuration: metrics: {{{word}: …}}"))
}
