//! Journal writer: a thread of its own, so that a slow or hanging disk delays only what must not go on before it is
//! written down.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    follower::state_folder::StateFolder,
    model::{Reason, Refusal},
};

use super::{state::ApplierState, worker_pool::now};

/// After what time it is said that something is not written down yet.
const LATE: Duration = Duration::from_secs(10);

/// Says when something is written down, or why it is not.
pub(super) type Receipt = Receiver<Result<(), Refusal>>;
type Tell = Sender<Result<(), Refusal>>;

/// The journal.
pub(super) struct Journal {
    orders: Sender<Arc<ApplierState>>,
    written: Receiver<Result<(), Refusal>>,
    /// What is to be in it, if that did not fail.
    last: Option<Arc<ApplierState>>,
    /// Whom to tell what becomes of the state that is on its way, and since when it is.
    under_way: Option<(Vec<Tell>, Instant)>,
    /// Whom to tell of the newest one, which is sent on its way after that.
    waiting: Option<Vec<Tell>>,
    /// Why it could not be written last.
    failed: Option<Refusal>,
}

impl Journal {
    /// The journal in a folder.
    pub(super) fn new(folder: Arc<StateFolder>) -> Result<Self, Refusal> {
        let (orders, ordered) = channel::<Arc<ApplierState>>();
        let (say, written) = channel();
        let write = move || {
            for state in ordered {
                // Nobody takes it up any more only where the program ends.
                let _ = say.send(folder.write(&*state));
            }
        };
        let spawned = thread::Builder::new().name("journal".to_owned()).spawn(write);
        spawned.map_err(|error| Refusal::new(Reason::Io, format!("no thread can be begun here: {error}")))?;
        Ok(Self { orders, written, last: None, under_way: None, waiting: None, failed: None })
    }

    /// Has a state written down.
    pub(super) fn write(&mut self, state: &ApplierState) {
        self.last = Some(Arc::new(state.clone()));
        self.waiting.get_or_insert_default();
        self.send();
    }

    /// The same, and says when it is.
    pub(super) fn write_and_tell(&mut self, state: &ApplierState) -> Receipt {
        let (say, receipt) = channel();
        self.waiting.get_or_insert_default().push(say);
        self.write(state);
        receipt
    }

    /// One state at a time is on its way: where the disk hangs no others queue up behind it.
    fn send(&mut self) {
        if self.under_way.is_none()
            && let Some((state, tell)) = self.last.clone().zip(self.waiting.take())
            && self.orders.send(state).is_ok()
        {
            self.under_way = Some((tell, now()));
        }
    }

    /// Takes what became of what was to be written.
    pub(super) fn take_up(&mut self) {
        while let Ok(outcome) = self.written.try_recv() {
            for tell in self.under_way.take().into_iter().flat_map(|(tell, _)| tell) {
                // Whoever does not wait any more does not hear it.
                let _ = tell.send(outcome.clone());
            }
            self.failed = outcome.err();
            if self.waiting.is_some() {
                self.send();
            } else if self.failed.is_some() {
                self.last = None;
            }
        }
    }

    /// What is in it, or will be.
    pub(super) fn last(&self) -> Option<&ApplierState> {
        self.last.as_deref()
    }

    /// Whether something is still to be written.
    pub(super) const fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Why something is not written down: it could not be, or takes long.
    pub(super) fn unwritten(&self) -> Option<Refusal> {
        let late = || {
            let message = "what is remembered has not been written down yet, and is being waited for";
            let (_, since) = self.under_way.as_ref()?;
            (since.elapsed() >= LATE).then(|| Refusal::new(Reason::Io, message))
        };
        self.failed.clone().or_else(late)
    }
}
