//! The worker pool: targets are worked on side by side, and nobody waits for a worker. A slow target delays no other, one
//! that hangs is left behind, and nobody works on a target twice at a time.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
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
    Left,
}

/// Those who work on targets.
pub(super) struct WorkerPool<T> {
    said: Sender<News<T>>,
    heard: Receiver<News<T>>,
    queue: Queue<T>,
    workers: usize,
    /// When each target was handed over that has not come back.
    away: BTreeMap<TargetId, Instant>,
    /// When the work on each of those began.
    running: BTreeMap<TargetId, Instant>,
    /// Who takes longer hangs.
    patience: Duration,
}

impl<T: Send + 'static> WorkerPool<T> {
    pub(super) fn new(patience: Duration) -> Self {
        let (said, heard) = channel();
        let (queue, away, running) = (Queue::default(), BTreeMap::new(), BTreeMap::new());
        Self { said, heard, queue, workers: 0, away, running, patience }
    }

    /// Whether a target is still being worked on.
    pub(super) fn has(&self, target: &TargetId) -> bool {
        self.away.contains_key(target)
    }

    /// Whether a target is being worked on, and not for too long.
    pub(super) fn expects(&self, target: &TargetId) -> bool {
        self.away.get(target).is_some_and(|since| since.elapsed() < self.patience)
    }

    /// The targets that are still being worked on.
    pub(super) fn away(&self) -> impl Iterator<Item = &TargetId> {
        self.away.keys()
    }

    /// Hands a target over.
    pub(super) fn begin(&mut self, target: TargetId, task: Task<T>) {
        self.away.insert(target.clone(), now());
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back((target, task));
        self.hire();
    }

    /// What has ended since the last call.
    pub(super) fn ended(&mut self) -> Vec<(TargetId, Result<T, Refusal>)> {
        let mut ended = Vec::new();
        while let Ok(news) = self.heard.try_recv() {
            match news {
                News::Began(target) => drop(self.running.insert(target, now())),
                News::Ended(target, outcome) => {
                    self.away.remove(&target);
                    self.running.remove(&target);
                    ended.push((target, outcome));
                }
                News::Left => self.workers = self.workers.saturating_sub(1),
            }
        }
        self.hire();
        ended
    }

    /// Sets more to work while there is something to do.
    fn hire(&mut self) {
        let hangs = |since: &&Instant| since.elapsed() >= self.patience;
        // Whoever waits for a target that hangs is none of the pool until it comes back.
        let hanging = self.running.values().filter(hangs).count();
        let waiting = self.queue.lock().unwrap_or_else(PoisonError::into_inner).len();
        let wanted = SIDE_BY_SIDE.min(self.running.len().saturating_sub(hanging) + waiting);
        for _ in self.workers.saturating_sub(hanging)..wanted {
            let (theirs, said) = (Arc::clone(&self.queue), self.said.clone());
            let hired = thread::Builder::new().name("target".to_owned()).spawn(move || work(&theirs, &said));
            // Without a thread it waits until there is one.
            self.workers += usize::from(hired.is_ok());
        }
    }
}

fn work<T>(queue: &Queue<T>, said: &Sender<News<T>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        // Nobody listens any more only where the program ends.
        let Some((target, task)) = next else { return drop(said.send(News::Left)) };
        let _ = said.send(News::Began(target.clone()));
        let outcome = catch_unwind(AssertUnwindSafe(task)).map_err(|_| {
            Refusal::new(Reason::Internal, format!("the work on target {target} failed inside; it is held"))
        });
        let _ = said.send(News::Ended(target, outcome));
    }
}

#[allow(clippy::disallowed_methods, reason = "how long others are waited for decides nothing about a target")]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> TargetId {
        TargetId::parse(name).unwrap()
    }

    /// All that ends, until so many have.
    fn until<T: Send + 'static>(pool: &mut WorkerPool<T>, count: usize) -> BTreeMap<String, Result<T, Refusal>> {
        let mut ended = BTreeMap::new();
        while ended.len() < count {
            ended.extend(pool.ended().into_iter().map(|(target, outcome)| (target.to_string(), outcome)));
            thread::yield_now();
        }
        ended
    }

    #[test]
    fn more_targets_than_workers_are_all_worked_on() {
        let mut pool = WorkerPool::new(Duration::from_secs(60));
        for number in 0..100_u32 {
            pool.begin(target(&format!("t{number}")), Box::new(move || number));
        }
        let ended = until(&mut pool, 100);
        assert_eq!(ended.values().map(|outcome| *outcome.as_ref().unwrap()).sum::<u32>(), 4950);
        assert_eq!(pool.away().count(), 0);
    }

    #[test]
    fn however_many_hang_the_others_are_worked_on_and_the_hanging_ones_come_back_later() {
        let mut pool = WorkerPool::new(Duration::from_millis(50));
        let (go, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for number in 0..40 {
            let gate = Arc::clone(&gate);
            let hang = move || gate.lock().unwrap().recv().map_or(0, |()| number);
            pool.begin(target(&format!("hangs{number}")), Box::new(hang));
        }
        pool.begin(target("answers"), Box::new(|| 7));
        let ended = until(&mut pool, 1);
        assert_eq!(ended, BTreeMap::from([("answers".to_owned(), Ok(7))]));
        assert!(pool.has(&target("hangs0")) && !pool.expects(&target("hangs0")) && !pool.has(&target("answers")));
        for _ in 0..40 {
            go.send(()).unwrap();
        }
        assert_eq!(until(&mut pool, 40).len(), 40);
    }

    #[test]
    fn a_panic_holds_one_target_and_no_other() {
        let mut pool = WorkerPool::new(Duration::from_secs(60));
        pool.begin(target("bad"), Box::new(|| panic!("on purpose")));
        pool.begin(target("good"), Box::new(|| 1));
        let ended = until(&mut pool, 2);
        assert_eq!(ended["bad"].as_ref().unwrap_err().reason, Reason::Internal);
        assert_eq!(ended["good"], Ok(1));
    }
}
