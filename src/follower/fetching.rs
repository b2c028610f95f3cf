//! Fetching, beside the loop: neither a remote that does not answer nor one ref that takes long holds anything else up.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel},
    },
    time::{Duration, Instant},
};

use crate::git::{GitError, Mirrored, Missed, Repository, Wanted};

/// How long what may take.
#[derive(Debug, Clone, Copy)]
struct FetchLimits {
    /// A look is waited for. It goes on behind the back of those who do not wait any more.
    wait: Duration,
    /// One of its questions to the remote.
    quick: Duration,
    /// The last attempt at a ref that did not come so quickly, by itself; and its rest if it took all that time. After an outage
    /// there may be much to fetch.
    slow: Duration,
    /// Where a look has been fetching for so long, stops are looked for beside it, and so often.
    beside: Duration,
}

impl FetchLimits {
    /// How long the next attempt at a ref may take that did not come in so many: anybody may bring refs that take long, and
    /// what comes quickly by itself must not wait until each of them was given all its time.
    fn attempt(&self, before: u32) -> Duration {
        (self.quick / 4).saturating_mul(2_u32.saturating_pow(before)).min(self.slow)
    }
}

const LIMITS: FetchLimits = FetchLimits {
    wait: Duration::from_secs(10),
    quick: Duration::from_secs(10),
    slow: Duration::from_secs(10 * 60),
    beside: Duration::from_millis(500),
};

/// Whether a look at the remote has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remote {
    /// It has been asked, and has not answered yet.
    Asked,
    /// It has answered.
    Answered,
}

/// Refs that did not come quickly.
type Late = BTreeMap<Wanted, Attempts>;

/// The attempts at a ref by itself.
#[derive(Debug, Clone, Copy, Default)]
struct Attempts {
    failed: u32,
    /// Since when it rests, if it took all the time that there is.
    rests: Option<Instant>,
}

/// A remote's governed refs, fetched look by look.
#[derive(Debug)]
pub(super) struct Fetching {
    remote: String,
    branch: String,
    limits: FetchLimits,
    /// A look that has not ended yet.
    look: Option<(Receiver<Result<(), GitError>>, Instant)>,
    came: (Sender<Mirrored>, Receiver<Mirrored>),
    late: Arc<Mutex<Late>>,
    /// Held by who fetches what is late.
    turn: Arc<Mutex<()>>,
    /// What a look was told there is, and fetches.
    under_way: UnderWay,
    /// A look for stops beside that, and when it began.
    glance: Option<(Receiver<()>, Instant)>,
}

type UnderWay = Arc<Mutex<Vec<Wanted>>>;

impl Fetching {
    pub(super) fn new(remote: String, branch: String) -> Self {
        Self {
            remote,
            branch,
            limits: LIMITS,
            look: None,
            came: channel(),
            late: Arc::default(),
            turn: Arc::default(),
            under_way: Arc::default(),
            glance: None,
        }
    }

    /// Whether the remote has been asked and has not answered.
    pub(super) fn is_waiting(&self) -> bool {
        self.look.is_some()
    }

    /// Whether it has not for longer than it is waited for.
    pub(super) fn is_late(&self) -> bool {
        self.look.as_ref().is_some_and(|(_, since)| since.elapsed() >= self.limits.wait)
    }

    /// Whether something is being fetched: by a look, or by itself because it takes long. A remote that has not said what
    /// there is gives nothing to fetch.
    pub(super) fn is_fetching(&self) -> bool {
        self.look_fetches() || next(&self.late, self.limits).is_some()
    }

    fn look_fetches(&self) -> bool {
        self.under_way.lock().is_ok_and(|wanted| !wanted.is_empty())
    }

    /// Looks at the remote, waits for a while, and hands over what came since, whether that is all or not. A remote that does
    /// not answer within the limit is an error, and asked no more before it has answered. So is a stop, or the branch, that
    /// did not come.
    pub(super) fn look(
        &mut self,
        repository: &Repository,
        kept: &Arc<Mirrored>,
        wait: Option<Duration>,
        came: impl FnMut(Mirrored),
    ) -> Result<Remote, GitError> {
        let asked = self.look.take();
        let (look, since) = asked.unwrap_or_else(|| (self.ask(repository.clone(), Arc::clone(kept)), now()));
        let outcome = look.recv_timeout(wait.unwrap_or(self.limits.wait));
        self.came.1.try_iter().for_each(came);
        let failed = |stderr| Err(GitError::Program { command: "git fetch".to_owned(), stderr });
        match outcome {
            Ok(outcome) => outcome.map(|()| Remote::Answered),
            Err(RecvTimeoutError::Timeout) => {
                self.look = Some((look, since));
                if self.look_fetches() && since.elapsed() >= self.limits.beside {
                    self.glance(repository.clone(), Arc::clone(kept));
                }
                if wait.is_some() && since.elapsed() < self.limits.wait {
                    return Ok(Remote::Asked);
                }
                failed(format!("it has not answered for {} s, and is being waited for", self.limits.wait.as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => failed("it timed out".to_owned()),
        }
    }

    fn ask(&self, repository: Repository, kept: Arc<Mirrored>) -> Receiver<Result<(), GitError>> {
        let (say, answer) = channel();
        let (remote, branch, came) = (self.remote.clone(), self.branch.clone(), self.came.0.clone());
        let limits = self.limits;
        let (late, turn, under_way) = (Arc::clone(&self.late), Arc::clone(&self.turn), Arc::clone(&self.under_way));
        std::thread::spawn(move || {
            let bring = |patience, wanted: &[Wanted]| {
                // Nobody takes it any more only where the program ends.
                let mut hand_over = |refs| drop(came.send(refs));
                repository.clone().with_patience(patience).bring(&remote, wanted, &mut hand_over)
            };
            let hasty = repository.clone().with_patience(limits.quick);
            let outcome = hasty.wanted(&remote, &branch, &kept).and_then(|(wanted, lost)| {
                let (waiting, wanted) = apart(&late, wanted);
                is_under_way(&under_way, &wanted);
                let missed = bring(limits.quick, &wanted);
                let needed = missed.iter().find(|missed| missed.wanted.is_needed()).map(|missed| missed.error.clone());
                let waiting = waiting.iter().find(|waiting| waiting.is_needed()).map(still_awaited);
                postpone(&late, missed);
                is_under_way(&under_way, &[]);
                needed.or(waiting).or(lost).or(repository.unwritten()).map_or(Ok(()), Err)
            });
            let _ = say.send(outcome);
            // What is late is fetched one by one, by one thread, while others look.
            let Ok(_turn) = turn.try_lock() else { return };
            while let Some((next, patience)) = next(&late, limits) {
                let missed = bring(patience, std::slice::from_ref(&next));
                let came_to = match missed.iter().any(took_long) {
                    false => CameTo::AnEnd,
                    true if patience < limits.slow => CameTo::Nothing,
                    true => CameTo::NothingForLong,
                };
                settle(&late, next, came_to);
            }
        });
        answer
    }

    /// Looks for stops alone, beside a look that fetches something large: no stop waits for that.
    fn glance(&mut self, repository: Repository, kept: Arc<Mirrored>) {
        let goes_on = |(ended, since): &(Receiver<()>, Instant)| {
            since.elapsed() < self.limits.beside || ended.try_recv() == Err(TryRecvError::Empty)
        };
        if self.glance.as_ref().is_some_and(goes_on) {
            return;
        }
        let (ends, ended) = channel::<()>();
        let (remote, branch, came) = (self.remote.clone(), self.branch.clone(), self.came.0.clone());
        let (late, under_way) = (Arc::clone(&self.late), Arc::clone(&self.under_way));
        let hasty = repository.with_patience(self.limits.quick);
        std::thread::spawn(move || {
            let _ends = ends;
            let Ok((wanted, _)) = hasty.wanted(&remote, &branch, &kept) else { return };
            let (_, wanted) = apart(&late, wanted);
            let fetched = under_way.lock().map(|wanted| wanted.clone()).unwrap_or_default();
            let stops: Vec<_> = wanted.into_iter().filter(|one| one.is_stop() && !fetched.contains(one)).collect();
            postpone(&late, hasty.bring(&remote, &stops, &mut |refs| drop(came.send(refs))));
        });
        self.glance = Some((ended, now()));
    }
}

fn is_under_way(under_way: &UnderWay, wanted: &[Wanted]) {
    if let Ok(mut under_way) = under_way.lock() {
        *under_way = wanted.to_vec();
    }
}

/// Tells what is late from what is to be fetched now, and forgets what is not wanted any more.
fn apart(late: &Mutex<Late>, wanted: Vec<Wanted>) -> (Vec<Wanted>, Vec<Wanted>) {
    let Ok(mut late) = late.lock() else { return (Vec::new(), wanted) };
    late.retain(|late, _| wanted.binary_search(late).is_ok());
    wanted.into_iter().partition(|wanted| late.contains_key(wanted))
}

/// Leaves what took too long to be fetched by itself. What failed at once may be tried at every look.
fn postpone(late: &Mutex<Late>, missed: Vec<Missed>) {
    if let Ok(mut late) = late.lock() {
        late.extend(missed.into_iter().filter(took_long).map(|missed| (missed.wanted, Attempts::default())));
    }
}

fn took_long(missed: &Missed) -> bool {
    matches!(missed.error, GitError::TimedOut { .. })
}

/// What an attempt at a ref came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CameTo {
    /// It is here, or failed at once: it is like any other again.
    AnEnd,
    /// It took longer than this attempt might.
    Nothing,
    /// It took all the time that there is for one.
    NothingForLong,
}

/// Takes note of what an attempt at a ref came to.
fn settle(late: &Mutex<Late>, wanted: Wanted, came_to: CameTo) {
    let Ok(mut late) = late.lock() else { return };
    if came_to == CameTo::AnEnd {
        late.remove(&wanted);
        return;
    }
    let attempts = late.entry(wanted).or_default();
    attempts.failed = attempts.failed.saturating_add(1);
    attempts.rests = (came_to == CameTo::NothingForLong).then(now);
}

/// What is to be fetched next of what is late, and how long that may take: what was attempted least goes first.
fn next(late: &Mutex<Late>, limits: FetchLimits) -> Option<(Wanted, Duration)> {
    let late = late.lock().ok()?;
    let due = late.iter().filter(|(_, attempts)| attempts.rests.is_none_or(|at| at.elapsed() > limits.slow));
    let (wanted, attempts) = due.min_by_key(|(_, attempts)| attempts.failed)?;
    Some((wanted.clone(), limits.attempt(attempts.failed)))
}

#[allow(clippy::disallowed_methods, reason = "how long a ref rests decides nothing about a target")]
fn now() -> Instant {
    Instant::now()
}

fn still_awaited(wanted: &Wanted) -> GitError {
    let stderr =
        format!("{} at {} did not come quickly, and is being fetched by itself", wanted.name, wanted.id.short());
    GitError::Program { command: "git fetch".to_owned(), stderr }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

    use super::*;
    use crate::{
        git::{Layout, NewCommit, RefUpdate, SignWith, mirrored},
        model::Oid,
        signature::ObjectFormat,
    };

    const BRANCH: &str = "refs/heads/main";

    /// A repository, and a remote that holds back whatever a large commit is part of.
    struct SlowRemote {
        folder: tempfile::TempDir,
        repository: Repository,
        remote: Repository,
        fetching: Fetching,
        kept: Arc<Mirrored>,
    }

    impl SlowRemote {
        fn new(large: &[&str]) -> (Self, Vec<Oid>) {
            let folder = tempfile::tempdir().unwrap();
            let init = |name: &str| {
                Repository::init(&folder.path().join(name), Layout::Bare, ObjectFormat::Sha1, "main").unwrap()
            };
            let (remote, repository) = (init("remote"), init("here"));
            repository.set_config("remote.origin.url", remote.git_dir().to_str().unwrap()).unwrap();
            let mut fetching = Fetching::new("origin".to_owned(), BRANCH.to_owned());
            fetching.limits = FetchLimits {
                wait: Duration::from_secs(30),
                quick: Duration::from_secs(2),
                slow: Duration::from_secs(60),
                ..LIMITS
            };
            let scene = Self { folder, repository, remote, fetching, kept: Arc::default() };
            let large: Vec<Oid> = large.iter().map(|message| scene.commit(message)).collect();
            let ids: Vec<_> = large.iter().map(|id| format!("*{id}*")).collect();
            let hook = scene.program(
                "hook",
                &format!(
                    "asked=$(cat)\ncase \"$asked\" in {}) until [ -e '{}' ] || [ ! -e \"$0\" ]; do sleep 0.05; done;; esac\n\
                     printf '%s\\n' \"$asked\" | \"$@\"",
                    ids.join("|"),
                    scene.gate().display()
                ),
            );
            let pack = format!("exec git -c uploadpack.packObjectsHook='{}' upload-pack \"$@\"", hook.display());
            let pack = scene.program("upload-pack", &pack);
            scene.repository.set_config("remote.origin.uploadpack", pack.to_str().unwrap()).unwrap();
            (scene, large)
        }

        /// The file for which the remote waits.
        fn gate(&self) -> PathBuf {
            self.folder.path().join("gate")
        }

        fn program(&self, name: &str, text: &str) -> PathBuf {
            let path = self.folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        }

        fn commit(&self, message: &str) -> Oid {
            let tree = self.remote.with_files(None, &[("file", Some(message.as_bytes()))]).unwrap();
            let (sign, who) = (SignWith::Nobody, "somebody");
            self.remote.commit_tree(&NewCommit { tree, parents: &[], message, sign, who }).unwrap()
        }

        fn put(&self, name: &str, id: Oid) {
            self.remote.update_refs(&[RefUpdate::create(name, id)], "there").unwrap();
        }

        fn look(&mut self) -> Result<(), GitError> {
            let kept = Arc::clone(&self.kept);
            let came = |came| Arc::make_mut(&mut self.kept).extend(came);
            self.fetching.look(&self.repository, &kept, None, came).map(drop)
        }

        fn has(&self, name: &str) -> bool {
            self.kept.contains_key(&mirrored("origin", name))
        }
    }

    fn stop(id: Oid) -> String {
        format!("refs/two-key/stops/A/{id}")
    }

    #[test]
    fn a_stop_that_takes_long_holds_up_no_other_and_comes_in_the_end() {
        let (mut scene, large) = SlowRemote::new(&["large", "larger"]);
        let [first, second, third] = ["first", "second", "third"].map(|message| scene.commit(message));
        scene.put(BRANCH, first);
        scene.look().unwrap();
        assert!(scene.has(BRANCH));
        for id in &large {
            scene.put(&stop(*id), *id);
        }
        scene.put(&stop(second), second);
        assert!(!scene.fetching.is_fetching());
        let error = scene.look().unwrap_err();
        assert!(scene.has(&stop(second)) && !scene.has(&stop(large[0])), "{error}");
        assert!(scene.fetching.is_fetching());
        // Those that look after that are not held up, and told that something is not here.
        scene.put(&stop(third), third);
        let begun = now();
        let error = scene.look().unwrap_err().to_string();
        assert!(error.contains("is being fetched by itself"), "{error}");
        assert!(scene.has(&stop(third)) && begun.elapsed() < Duration::from_secs(30));
        fs::write(scene.gate(), "").unwrap();
        let patience = now();
        while scene.look().is_err() {
            assert!(patience.elapsed() < Duration::from_secs(120), "{:?}", scene.kept);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(large.iter().all(|id| scene.has(&stop(*id))));
        assert!(!scene.fetching.is_fetching());
    }

    #[test]
    fn stops_that_take_for_ever_hold_up_no_other_however_many_they_are() {
        let large: Vec<String> = (0..14).map(|number| format!("large {number}")).collect();
        let (mut scene, large) = SlowRemote::new(&large.iter().map(String::as_str).collect::<Vec<_>>());
        scene.fetching.limits = FetchLimits {
            wait: Duration::from_secs(60),
            quick: Duration::from_secs(1),
            slow: Duration::from_secs(3600),
            ..LIMITS
        };
        let branch = scene.commit("branch");
        scene.put(BRANCH, branch);
        for id in &large {
            scene.put(&stop(*id), *id);
        }
        // One that is asked for after all of them.
        let last = large.iter().max().unwrap();
        let honest = (0..1000).map(|number| scene.commit(&format!("honest {number}"))).find(|id| id > last).unwrap();
        scene.put(&stop(honest), honest);
        let patience = now();
        while !scene.has(&stop(honest)) {
            assert!(patience.elapsed() < Duration::from_secs(300), "{:?}", scene.kept);
            scene.look().unwrap_err();
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(large.iter().all(|id| !scene.has(&stop(*id))));
        fs::write(scene.gate(), "").unwrap();
    }

    #[test]
    fn what_was_attempted_least_goes_first_and_gets_twice_the_time_at_each_attempt() {
        let limits = FetchLimits {
            wait: Duration::ZERO,
            quick: Duration::from_secs(10),
            slow: Duration::from_secs(600),
            ..LIMITS
        };
        let seconds = |before| limits.attempt(before).as_millis();
        assert_eq!([0, 1, 2, 7, 8, 90].map(seconds), [2500, 5000, 10_000, 320_000, 600_000, 600_000]);
    }

    #[test]
    fn a_remote_that_does_not_say_what_there_is_gives_nothing_to_fetch() {
        let (mut scene, _) = SlowRemote::new(&[]);
        let first = scene.commit("first");
        scene.put(BRANCH, first);
        let mute =
            format!("until [ -e '{}' ]; do sleep 0.05; done\nexec git upload-pack \"$@\"", scene.gate().display());
        let mute = scene.program("mute", &mute);
        scene.repository.set_config("remote.origin.uploadpack", mute.to_str().unwrap()).unwrap();
        scene.fetching.limits.wait = Duration::from_millis(500);
        scene.look().unwrap_err();
        assert!(scene.fetching.is_waiting() && !scene.fetching.is_fetching());
        fs::write(scene.gate(), "").unwrap();
        scene.fetching.limits.wait = Duration::from_secs(30);
        scene.look().unwrap();
        assert!(scene.has(BRANCH) && !scene.fetching.is_fetching());
    }

    #[test]
    fn a_stop_waits_for_nothing_that_a_look_fetches() {
        let (mut scene, large) = SlowRemote::new(&["large"]);
        (scene.fetching.limits.wait, scene.fetching.limits.quick) =
            (Duration::from_secs(120), Duration::from_secs(120));
        scene.put(BRANCH, large[0]);
        let mut poll = |until: &mut dyn FnMut(&SlowRemote) -> bool| {
            let patience = now();
            while !until(&scene) {
                let kept = Arc::clone(&scene.kept);
                let came = |came| Arc::make_mut(&mut scene.kept).extend(came);
                scene.fetching.look(&scene.repository, &kept, Some(Duration::ZERO), came).unwrap();
                assert!(patience.elapsed() < Duration::from_secs(60), "{:?}", scene.kept);
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        poll(&mut |scene| scene.fetching.is_fetching());
        let mut name = None;
        poll(&mut |scene| {
            let name = name.get_or_insert_with(|| {
                let id = scene.commit("a stop");
                scene.put(&stop(id), id);
                stop(id)
            });
            scene.has(name)
        });
        poll(&mut |scene| {
            assert!(scene.gate().exists() || !scene.has(BRANCH));
            fs::write(scene.gate(), "").unwrap();
            scene.has(BRANCH)
        });
    }

    #[test]
    fn what_is_no_stop_and_takes_long_is_not_waited_for() {
        let (mut scene, large) = SlowRemote::new(&["large"]);
        let first = scene.commit("first");
        scene.put(BRANCH, first);
        scene.put("refs/notes/two-key/user1", large[0]);
        // The branch comes, and nothing forward has to wait.
        scene.look().unwrap();
        assert!(scene.has(BRANCH) && !scene.has("refs/notes/two-key/user1"));
        scene.look().unwrap();
        fs::write(scene.gate(), "").unwrap();
    }
}
