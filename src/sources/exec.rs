//! The `exec` source: a program that answers one question, version `two-key.metrics/1`.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    gate::{Answer, Question, Shape, Value, answers},
    model::{Reason, Refusal},
    process,
};

use super::{ExecSourceConfig, TIMEOUT};

/// The name and version of what is spoken.
const PROTOCOL: &str = "two-key.metrics/1";
/// The most that a program may answer.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What a program gets at its standard input: one JSON object.
#[derive(Serialize)]
struct QueryRequest<'a> {
    protocol: &'static str,
    query: &'a str,
    shape: Shape,
    from: Timestamp,
    at: Timestamp,
    /// Seconds until it is killed.
    deadline: u64,
}

/// A program.
#[derive(Debug)]
pub(super) struct ExecSource {
    config: ExecSourceConfig,
    timeout: Duration,
}

impl ExecSource {
    pub(super) fn open(config: ExecSourceConfig) -> Result<Self, Refusal> {
        if !config.program.is_absolute() {
            let message = format!("metrics: exec: `{}` is no absolute path", config.program.display());
            return Err(Refusal::new(Reason::Malformed, message));
        }
        let timeout = Duration::from_secs(config.timeout.unwrap_or(TIMEOUT).as_secs().max(1));
        Ok(Self { config, timeout })
    }

    /// Asks.
    pub(super) fn ask(&self, question: &Question) -> Answer {
        match self.output_for(question) {
            Ok(output) => Answer { value: answers::program(question, &output), raw: Some(output) },
            Err(why) => Answer::of(Value::Failed(why)),
        }
    }

    fn output_for(&self, question: &Question) -> Result<String, String> {
        let Question { query, shape, from, at, .. } = question;
        let deadline = self.timeout.as_secs();
        let request = QueryRequest { protocol: PROTOCOL, query, shape: *shape, from: *from, at: *at, deadline };
        let mut input = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
        input.push(b'\n');
        let program = process::Exec {
            program: &self.config.program,
            args: &self.config.args,
            env: &self.config.env,
            input,
            limit: self.timeout,
            most: MAX_BYTES,
        };
        let output = program.run().map_err(|error| error.to_string())?;
        String::from_utf8(output).map_err(|_| "the program's answer is not UTF-8".to_owned())
    }
}
