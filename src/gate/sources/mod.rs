//! Where measurements come from: the only part of this room that does I/O.

mod config;
mod file;

use std::collections::BTreeMap;

use crate::model::{GateId, Reason, Refusal, policy::Source};

use super::measure::{Answer, Measure, Metric, Question, Value};

pub use config::{Config, ExecConfig, FileConfig, PrometheusConfig};

/// The sources that a configuration names.
#[derive(Debug)]
pub struct Sources {
    file: Option<file::File>,
    thresholds: BTreeMap<GateId, Metric>,
}

impl Sources {
    /// Opens what a configuration names. What it does not name answers to nothing.
    pub fn open(config: &Config) -> Result<Self, Refusal> {
        Ok(Self { file: config.file.clone().map(file::File::new), thresholds: config.thresholds.clone() })
    }
}

impl Measure for Sources {
    fn ask(&self, question: &Question) -> Answer {
        if let Err(refusal) = self.has(question.source) {
            return Answer::of(Value::Failed(refusal.message));
        }
        match question.source {
            Source::File => self.file.as_ref().map(|file| file.ask(question)),
            Source::Prometheus | Source::Exec => None,
        }
        .unwrap_or_else(|| Answer::of(Value::Failed("the source is not there".to_owned())))
    }

    fn has(&self, source: Source) -> Result<(), Refusal> {
        let (there, word) = match source {
            Source::File => (self.file.is_some(), "file"),
            Source::Prometheus => (false, "prometheus"),
            Source::Exec => (false, "exec"),
        };
        if there {
            return Ok(());
        }
        let message = format!("no metrics source `{word}` is configured here");
        Err(Refusal::new(Reason::NoData, message).hint(format!("add it to the configuration: metrics: {{{word}: …}}")))
    }

    fn metric(&self, name: &GateId) -> Option<Metric> {
        self.thresholds.get(name).cloned()
    }
}
