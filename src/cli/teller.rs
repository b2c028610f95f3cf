//! Tells what ticks of `apply --watch` come to, by a thread of its own: a reader who does not read keeps no stop from traffic.

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
    reconciler::Report,
};

/// How many ticks wait to be told of. What comes while nobody reads is left out: what is so then is told once somebody does,
/// and what happened is in the ledger.
const WAITING: usize = 64;
/// How long a service that ends waits until everything is told.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Somebody who tells what ticks come to.
pub(super) struct Teller {
    outcomes: SyncSender<Told>,
    told: Receiver<()>,
}

/// What is told.
enum Told {
    /// What a tick came to.
    Tick(Box<Result<Report, Refusal>>),
    /// That the service ends, as it was told to.
    End,
}

impl Teller {
    /// Begins to tell: as a log, or by reports.
    pub(super) fn begin(log: Option<Format>, reports: Format) -> Result<Self, Failure> {
        let (outcomes, heard) = sync_channel(WAITING);
        let (say, told) = sync_channel(1);
        let tell = move || {
            match log {
                Some(format) => write_log(format, &heard),
                None => write_reports(reports, &heard),
            }
            let _ = say.send(());
        };
        let spawned = std::thread::Builder::new().name("teller".to_owned()).spawn(tell);
        spawned.map_err(|error| Failure::undecided(Reason::Io, format!("no thread can be begun here: {error}")))?;
        Ok(Self { outcomes, told })
    }

    /// Takes what a tick came to; nobody waits for its being told.
    pub(super) fn take(&self, outcome: Result<Report, Refusal>) {
        let _ = self.outcomes.try_send(Told::Tick(Box::new(outcome)));
    }

    /// Tells the rest, if that does not take long.
    pub(super) fn end(self, ended: &Result<(), Refusal>) {
        if ended.is_ok() {
            let _ = self.outcomes.try_send(Told::End);
        }
        drop(self.outcomes);
        let _ = self.told.recv_timeout(LAST_WORDS);
    }
}

fn write_log(format: Format, heard: &Receiver<Told>) {
    let mut log = Log::begin(format);
    for told in heard {
        match told {
            Told::Tick(outcome) => log.take(*outcome),
            Told::End => tracing::info!("the applier ends, as it was told to"),
        }
    }
}

/// What has been said already is not said again every few seconds.
fn write_reports(format: Format, heard: &Receiver<Told>) {
    let mut last = None;
    for told in heard {
        let Told::Tick(outcome) = told else { continue };
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
