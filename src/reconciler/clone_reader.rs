//! Clone reader: a thread of its own, to which what follows the repository is lent. Until it comes back the
//! coordinator uses what was known before, so a hanging disk or Git delays no stop that is known.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use crate::{
    follower::{
        Mode,
        fetching::Remote,
        follow::{Followed, Follower},
        mirror::MirrorState,
        state::FollowerState,
        writer::Writer,
    },
    git::GitError,
    model::{Reason, Refusal},
};

use super::worker_pool::now;

/// After what time it is said that the clone has not been read yet.
const LATE: Duration = Duration::from_secs(10);

/// What follows the repository: here, or lent.
pub(super) struct CloneReader {
    here: Option<Box<Follower>>,
    since: Option<Instant>,
    orders: Sender<CloneOrder>,
    back: Receiver<thread::Result<Back>>,
    /// What was known when it was here last.
    known: MirrorState,
    writer: Writer,
    waits: bool,
    fetches: bool,
    late: bool,
}

/// For what it is lent.
pub(super) enum CloneTask {
    /// A tick begins: the clone is looked at.
    Begin,
    /// Something came from the remote, or it has answered.
    Follow(Option<Result<(), GitError>>),
}

struct CloneOrder {
    follower: Box<Follower>,
    state: FollowerState,
    mode: Mode,
    task: CloneTask,
}

/// What it came back with.
struct Back {
    follower: Box<Follower>,
    news: CloneNews,
}

/// What was found in the clone.
pub(super) struct CloneNews {
    /// What is remembered of the repository from now on.
    pub(super) state: FollowerState,
    /// How many stops it was lent with.
    pub(super) handed_over: usize,
    pub(super) found: CloneAnswer,
}

/// What an errand came to.
pub(super) enum CloneAnswer {
    /// A tick began, if the clone could be read.
    Begun(Result<(), Refusal>),
    /// What following came to; what the remote answered, if it has; and what speaks against writing.
    Followed { followed: Followed, answer: Option<Result<(), GitError>>, own: Vec<Refusal> },
}

impl CloneReader {
    /// Somebody who follows, here.
    pub(super) fn new(follower: Follower) -> Result<Self, Refusal> {
        let (orders, ordered) = channel::<CloneOrder>();
        let (hand_back, back) = channel();
        let read = move || {
            for order in ordered {
                let carried_out = catch_unwind(AssertUnwindSafe(|| order.carry_out()));
                // Nobody takes it back any more only where the program ends.
                let _ = hand_back.send(carried_out);
            }
        };
        let spawned = thread::Builder::new().name("reader".to_owned()).spawn(read);
        spawned.map_err(|error| Refusal::new(Reason::Io, format!("no thread can be begun here: {error}")))?;
        let (known, writer) = (follower.mirror.known(), follower.writer.clone());
        let here = Some(Box::new(follower));
        Ok(Self { here, since: None, orders, back, known, writer, waits: false, fetches: false, late: false })
    }

    /// What is known of the repository, at the latest since it was here last.
    pub(super) const fn known(&self) -> &MirrorState {
        &self.known
    }

    /// Who writes, as far as is known.
    pub(super) const fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Whether it is lent.
    pub(super) const fn is_away(&self) -> bool {
        self.here.is_none()
    }

    /// That it is, for long.
    pub(super) fn late(&self) -> Option<Refusal> {
        let since = self.since.filter(|since| since.elapsed() >= LATE)?;
        let message =
            format!("the clone has not been read for {} s, and is being waited for", since.elapsed().as_secs());
        Some(Refusal::new(Reason::Io, message).hint("see whether its disk answers, and what its Git waits for"))
    }

    /// Whether the remote has been asked and has not answered.
    pub(super) fn is_waiting(&self) -> bool {
        self.here.as_ref().map_or(self.waits, |here| here.mirror.is_waiting())
    }

    /// Whether something is being fetched that takes long.
    pub(super) fn is_fetching(&self) -> bool {
        self.here.as_ref().map_or(self.fetches, |here| here.mirror.is_fetching())
    }

    /// Whether the remote has not answered for longer than it is waited for.
    pub(super) fn is_late(&self) -> bool {
        self.here.as_ref().map_or(self.late, |here| here.mirror.is_late())
    }

    /// Asks the remote, or takes what it has answered; never waits. What there is to be followed, if anything.
    pub(super) fn poll(&mut self) -> Option<CloneTask> {
        let here = self.here.as_mut()?;
        let before = here.mirror.edition();
        match here.mirror.poll() {
            Ok(Remote::Asked) if here.mirror.edition() == before => None,
            // A stop that came counts, whatever is still to come.
            Ok(Remote::Asked) => Some(CloneTask::Follow(None)),
            Ok(Remote::Answered) => Some(CloneTask::Follow(Some(Ok(())))),
            Err(error) => Some(CloneTask::Follow(Some(Err(error)))),
        }
    }

    /// Lends it, where it is here.
    pub(super) fn lend(&mut self, task: CloneTask, state: &FollowerState, mode: Mode) {
        let Some(follower) = self.here.take() else { return };
        (self.waits, self.fetches, self.late) =
            (follower.mirror.is_waiting(), follower.mirror.is_fetching(), follower.mirror.is_late());
        self.since = Some(now());
        let _ = self.orders.send(CloneOrder { follower, state: state.clone(), mode, task });
    }

    /// Takes it back, once it has come.
    pub(super) fn take_back(&mut self) -> Option<CloneNews> {
        match self.back.try_recv().ok()? {
            Ok(Back { follower, news }) => {
                self.since = None;
                (self.known, self.writer) = (follower.mirror.known(), follower.writer.clone());
                self.here = Some(follower);
                Some(news)
            }
            // It failed inside, and so does whoever waits for it.
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Changes something where it is here.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Follower) -> T) -> Option<T> {
        let here = self.here.as_mut()?;
        let changed = change(here);
        (self.known, self.writer) = (here.mirror.known(), here.writer.clone());
        Some(changed)
    }
}

impl CloneOrder {
    fn carry_out(self) -> Back {
        let Self { mut follower, mut state, mode, task } = self;
        let handed_over = state.stops.len();
        let found = match task {
            CloneTask::Begin => {
                let begun = follower.begin(&state);
                CloneAnswer::Begun(begun.and_then(|()| follower.read_last_record()))
            }
            CloneTask::Follow(answer) => {
                let followed = follower.follow(&mut state, mode);
                let mut own: Vec<_> = follower.own_key().err().into_iter().collect();
                if mode == Mode::Act {
                    own.extend(follower.take_in_own_ref().err());
                }
                CloneAnswer::Followed { followed, answer, own }
            }
        };
        Back { follower, news: CloneNews { state, handed_over, found } }
    }
}
