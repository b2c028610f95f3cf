//! Targets are worked on side by side: a slow one delays no other, and one that hangs is left behind. Nobody works on a
//! target twice at a time.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::model::{Reason, Refusal, TargetId};

/// How many targets are worked on at a time. Those that hang do not count.
const SIDE_BY_SIDE: usize = 16;

/// What there is to do for one target.
pub(super) type Task<T> = Box<dyn FnOnce() -> T + Send>;
type Queue<T> = Arc<Mutex<VecDeque<(TargetId, Task<T>)>>>;

/// What a worker says.
enum News<T> {
    Began(TargetId),
    Ended(TargetId, Result<T, Refusal>),
}

/// Those who work on targets.
pub(super) struct Crew<T> {
    said: Sender<News<T>>,
    heard: Receiver<News<T>>,
    away: BTreeSet<TargetId>,
}

impl<T: Send + 'static> Crew<T> {
    pub(super) fn new() -> Self {
        let (said, heard) = channel();
        Self { said, heard, away: BTreeSet::new() }
    }

    /// The targets that are still being worked on.
    pub(super) fn away(&self) -> &BTreeSet<TargetId> {
        &self.away
    }

    /// Has all tasks begun, in their order, and waits until each has ended, or has taken longer than `patience`; without
    /// one, for as long as it takes. What ended since the last call is among what comes back.
    pub(super) fn run(
        &mut self,
        tasks: Vec<(TargetId, Task<T>)>,
        patience: Option<Duration>,
    ) -> Vec<(TargetId, Result<T, Refusal>)> {
        self.away.extend(tasks.iter().map(|(target, _)| target.clone()));
        let mut waiting = tasks.len();
        let queue: Queue<T> = Arc::new(Mutex::new(tasks.into()));
        let mut hired = 0;
        // Those that were left behind have had their time.
        let mut running: BTreeMap<TargetId, Instant> = BTreeMap::new();
        let mut ended = Vec::new();
        loop {
            while waiting > 0 && hired < SIDE_BY_SIDE.min(running.len() + waiting) {
                self.hire(&queue);
                hired += 1;
            }
            let next = if waiting == 0 && running.is_empty() {
                self.heard.try_recv().map_err(|_| None)
            } else {
                match running.values().min().zip(patience).map(|(began, patience)| *began + patience) {
                    Some(until) => self.heard.recv_timeout(until.saturating_duration_since(now())).map_err(Some),
                    None => self.heard.recv().map_err(|_| Some(RecvTimeoutError::Disconnected)),
                }
            };
            match next {
                Ok(News::Began(target)) => {
                    waiting = waiting.saturating_sub(1);
                    running.insert(target, now());
                }
                Ok(News::Ended(target, outcome)) => {
                    self.away.remove(&target);
                    running.remove(&target);
                    ended.push((target, outcome));
                }
                Err(Some(RecvTimeoutError::Timeout)) => {
                    // Whoever waits for a target that hangs is none of the crew until it comes back.
                    let before = running.len();
                    let now = now();
                    running.retain(|_, began| patience.is_none_or(|patience| now < *began + patience));
                    hired = hired.saturating_sub(before - running.len());
                }
                Err(_) => return ended,
            }
        }
    }

    /// Sets one more to work, until there is nothing more to do.
    fn hire(&self, queue: &Queue<T>) {
        let (theirs, said) = (Arc::clone(queue), self.said.clone());
        let hired = thread::Builder::new().name("target".to_owned()).spawn(move || work(&theirs, &said));
        if hired.is_err() {
            // No threads left here: then one after the other.
            work(queue, &self.said);
        }
    }
}

fn work<T>(queue: &Queue<T>, said: &Sender<News<T>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((target, task)) = next else { return };
        // Nobody listens any more only where the program ends.
        let _ = said.send(News::Began(target.clone()));
        let outcome = catch_unwind(AssertUnwindSafe(task)).map_err(|_| {
            Refusal::new(Reason::Internal, format!("the work on target {target} failed inside; it is held"))
        });
        let _ = said.send(News::Ended(target, outcome));
    }
}

#[allow(clippy::disallowed_methods, reason = "how long others are waited for decides nothing about a target")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> TargetId {
        TargetId::parse(name).unwrap()
    }

    fn task(work: impl FnOnce() -> u32 + Send + 'static) -> Task<u32> {
        Box::new(work)
    }

    fn said(outcomes: &[(TargetId, Result<u32, Refusal>)]) -> BTreeMap<String, u32> {
        outcomes.iter().map(|(target, outcome)| (target.to_string(), *outcome.as_ref().unwrap())).collect()
    }

    #[test]
    fn more_targets_than_workers_are_all_worked_on() {
        let mut crew = Crew::new();
        let tasks = (0..100).map(|number| (target(&format!("t{number}")), task(move || number))).collect();
        let outcomes = crew.run(tasks, None);
        assert_eq!(said(&outcomes).values().sum::<u32>(), 4950);
        assert!(crew.away().is_empty());
    }

    #[test]
    fn however_many_hang_the_others_are_worked_on_and_the_hanging_ones_come_back_later() {
        let mut crew = Crew::new();
        let (go, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let mut tasks = Vec::new();
        for number in 0..20 {
            let gate = Arc::clone(&gate);
            let hang = move || gate.lock().unwrap().recv().map_or(0, |()| number);
            tasks.push((target(&format!("hangs{number}")), task(hang)));
        }
        tasks.push((target("answers"), task(|| 7)));
        let patience = Some(Duration::from_millis(50));
        let outcomes = crew.run(tasks, patience);
        assert_eq!(said(&outcomes), BTreeMap::from([("answers".to_owned(), 7)]));
        assert_eq!(crew.away().len(), 20);
        for _ in 0..20 {
            go.send(()).unwrap();
        }
        let mut back = 0;
        while !crew.away().is_empty() {
            back += crew.run(Vec::new(), patience).len();
            thread::yield_now();
        }
        assert_eq!(back, 20);
    }

    #[test]
    fn a_panic_holds_one_target_and_no_other() {
        let mut crew = Crew::new();
        let tasks = vec![(target("bad"), task(|| panic!("on purpose"))), (target("good"), task(|| 1))];
        let outcomes: BTreeMap<_, _> = crew.run(tasks, None).into_iter().collect();
        assert_eq!(outcomes[&target("bad")].as_ref().unwrap_err().reason, Reason::Internal);
        assert_eq!(outcomes[&target("good")], Ok(1));
    }
}
