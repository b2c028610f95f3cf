//! A printer for `apply --watch`: a thread of its own writes what ticks come to, so that a reader who does not read keeps no stop
//! from traffic.

use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::Duration,
};

use super::{
    Failure, Format,
    apply::{remark, say},
    apply_log::Log,
};
use crate::{
    model::{Reason, Refusal},
    reconciler::ApplierReport,
};

/// How many ticks wait to be printed. What comes while nobody reads is left out: what is so then is printed once somebody does,
/// and what happened is in the ledger.
const WAITING: usize = 64;
/// How long a service that ends waits until everything is printed.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The thread that prints, by what it takes and when it has ended.
pub(super) struct Printer {
    outcomes: SyncSender<PrinterMessage>,
    ended: Receiver<()>,
}

/// What is printed.
enum PrinterMessage {
    /// What a tick came to.
    Tick(Box<Result<ApplierReport, Refusal>>),
    /// That the service ends, as it was told to.
    End,
}

impl Printer {
    /// Begins to print: a log, or reports.
    pub(super) fn begin(log: Option<Format>, reports: Format) -> Result<Self, Failure> {
        let (outcomes, lines) = sync_channel(WAITING);
        let (end, ended) = sync_channel(1);
        let print = move || {
            match log {
                Some(format) => write_log(format, &lines),
                None => write_reports(reports, &lines),
            }
            let _ = end.send(());
        };
        let spawned = std::thread::Builder::new().name("printer".to_owned()).spawn(print);
        spawned.map_err(|error| Failure::undecided(Reason::Io, format!("no thread can be begun here: {error}")))?;
        Ok(Self { outcomes, ended })
    }

    /// Takes what a tick came to, without waiting until it is printed.
    pub(super) fn take(&self, outcome: Result<ApplierReport, Refusal>) {
        let _ = self.outcomes.try_send(PrinterMessage::Tick(Box::new(outcome)));
    }

    /// Prints the rest, if that does not take long.
    pub(super) fn end(self, ended: &Result<(), Refusal>) {
        if ended.is_ok() {
            let _ = self.outcomes.try_send(PrinterMessage::End);
        }
        drop(self.outcomes);
        let _ = self.ended.recv_timeout(LAST_WORDS);
    }
}

fn write_log(format: Format, lines: &Receiver<PrinterMessage>) {
    let mut log = Log::begin(format);
    for line in lines {
        match line {
            PrinterMessage::Tick(outcome) => log.take(*outcome),
            PrinterMessage::End => tracing::info!("the applier ends, as it was told to"),
        }
    }
}

/// What has been said already is not said again every few seconds.
fn write_reports(format: Format, lines: &Receiver<PrinterMessage>) {
    let mut last = None;
    for line in lines {
        let PrinterMessage::Tick(outcome) = line else { continue };
        if last.as_ref() == Some(&*outcome) {
            continue;
        }
        match &*outcome {
            Ok(report) => say(format, report),
            Err(refusal) => remark(refusal),
        }
        last = Some(*outcome);
    }
}
