//! The worker pool: targets are worked on side by side, and nobody waits for a worker. A slow target delays no other, one
//! that hangs is left behind, and nobody works on a target twice at a time.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::model::{Reason, Refusal, TargetId};

/// How many targets are worked on at a time. Those that hang do not count.
const SIDE_BY_SIDE: usize = 16;
/// How many workers there are at most where stops need more than those.
const MOST: usize = 256;

/// What there is to do for one target.
pub(super) type Task<T> = Box<dyn FnOnce() -> T + Send>;
type Queue<T> = Arc<Mutex<VecDeque<(TargetId, Task<T>)>>>;

/// What a worker says.
enum WorkerEvent<T> {
    Began(TargetId),
    Ended(TargetId, Result<T, Refusal>),
    Left,
}

/// Worker pool: one job a target.
pub(super) struct WorkerPool<T> {
    events: Sender<WorkerEvent<T>>,
    heard: Receiver<WorkerEvent<T>>,
    queue: Queue<T>,
    workers: usize,
    /// When each target was handed over that has not come back.
    away: BTreeMap<TargetId, Instant>,
    /// When the work on each of those began.
    running: BTreeMap<TargetId, Instant>,
    /// How long the last work on each target took, the waiting for it included.
    took: BTreeMap<TargetId, Duration>,
    /// Who takes longer hangs.
    patience: Duration,
}

impl<T: Send + 'static> WorkerPool<T> {
    pub(super) fn new(patience: Duration) -> Self {
        let (events, heard) = channel();
        let (queue, away, running) = (Queue::default(), BTreeMap::new(), BTreeMap::new());
        Self { events, heard, queue, workers: 0, away, running, took: BTreeMap::new(), patience }
    }

    /// Whether a target is still being worked on.
    pub(super) fn has(&self, target: &TargetId) -> bool {
        self.away.contains_key(target)
    }

    /// Whether a target is being worked on, and not for too long.
    pub(super) fn expects(&self, target: &TargetId) -> bool {
        self.away.get(target).is_some_and(|since| since.elapsed() < self.patience)
    }

    /// Whether a target is not expected any more, and takes much longer than it took last: one that is always slow answers.
    pub(super) fn hangs(&self, target: &TargetId) -> bool {
        let usual = self.took.get(target).map_or(Duration::ZERO, |took| took.saturating_mul(2));
        self.away.get(target).is_some_and(|since| since.elapsed() >= self.patience.max(usual))
    }

    /// The targets that are still being worked on.
    pub(super) fn away(&self) -> impl Iterator<Item = &TargetId> {
        self.away.keys()
    }

    /// For how long a target has been worked on, or has waited for that.
    pub(super) fn away_for(&self, target: &TargetId) -> Option<Duration> {
        self.away.get(target).map(Instant::elapsed)
    }

    /// Hands a target over.
    pub(super) fn begin(&mut self, target: TargetId, task: Task<T>) {
        self.away.insert(target.clone(), now());
        self.queue().push_back((target, task));
        self.hire();
    }

    /// Hands a target over that waits behind no other: there is one more worker for it.
    pub(super) fn begin_at_once(&mut self, target: TargetId, task: Task<T>) {
        self.away.insert(target.clone(), now());
        self.queue().push_front((target, task));
        if self.workers < MOST {
            self.hire_one();
        } else {
            self.hire();
        }
    }

    /// Takes back a target that nobody has begun to work on; whether there was one.
    pub(super) fn take_back(&mut self, target: &TargetId) -> bool {
        let mut queue = self.queue();
        let Some(at) = queue.iter().position(|(waiting, _)| waiting == target) else { return false };
        queue.remove(at);
        drop(queue);
        self.away.remove(target);
        true
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<(TargetId, Task<T>)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has ended since the last call.
    pub(super) fn ended(&mut self) -> Vec<(TargetId, Result<T, Refusal>)> {
        let mut ended = Vec::new();
        while let Ok(news) = self.heard.try_recv() {
            match news {
                WorkerEvent::Began(target) => drop(self.running.insert(target, now())),
                WorkerEvent::Ended(target, outcome) => {
                    let since = self.away.remove(&target);
                    self.took.extend(since.map(|since| (target.clone(), since.elapsed())));
                    self.running.remove(&target);
                    ended.push((target, outcome));
                }
                WorkerEvent::Left => self.workers = self.workers.saturating_sub(1),
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
        let waiting = self.queue().len();
        let wanted = SIDE_BY_SIDE.min(self.running.len().saturating_sub(hanging) + waiting);
        for _ in self.workers.saturating_sub(hanging)..wanted {
            self.hire_one();
        }
    }

    fn hire_one(&mut self) {
        let (theirs, events) = (Arc::clone(&self.queue), self.events.clone());
        let hired = thread::Builder::new().name("target".to_owned()).spawn(move || work(&theirs, &events));
        // Without a thread it waits until there is one.
        self.workers += usize::from(hired.is_ok());
    }
}

fn work<T>(queue: &Queue<T>, events: &Sender<WorkerEvent<T>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        // Nobody listens any more only where the program ends.
        let Some((target, task)) = next else { return drop(events.send(WorkerEvent::Left)) };
        let _ = events.send(WorkerEvent::Began(target.clone()));
        let outcome = catch_unwind(AssertUnwindSafe(task)).map_err(|_| {
            Refusal::new(Reason::Internal, format!("the work on target {target} failed inside; it is held"))
        });
        let _ = events.send(WorkerEvent::Ended(target, outcome));
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
    fn a_stop_waits_behind_nobody_and_one_that_waited_in_line_is_taken_out_of_it() {
        let mut pool = WorkerPool::new(Duration::from_secs(600));
        let (go, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for number in 0..40 {
            let gate = Arc::clone(&gate);
            let hang = move || gate.lock().unwrap().recv().map_or(0, |()| number);
            pool.begin(target(&format!("t{number}")), Box::new(hang));
        }
        pool.begin(target("late"), Box::new(|| 1));
        assert!(pool.ended().is_empty() && pool.take_back(&target("late")) && !pool.has(&target("late")));
        pool.begin_at_once(target("late"), Box::new(|| 2));
        assert_eq!(until(&mut pool, 1), BTreeMap::from([("late".to_owned(), Ok(2))]));
        assert!(!pool.take_back(&target("late")));
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
