//! Fetching, beside the loop: neither a remote that does not answer nor one ref that takes long holds anything else up.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use crate::git::{GitError, Mirrored, Missed, Repository, Wanted};

/// How long a look is waited for. It goes on behind the back of those who do not wait any more.
const WAIT: Duration = Duration::from_secs(10);

/// How long one of its questions to the remote may take.
const QUICK: Duration = Duration::from_secs(30);

/// How long a ref may take that did not come so quickly. After an outage there may be much to fetch.
const SLOW: Duration = Duration::from_secs(10 * 60);

/// How long a ref that took all that time is left alone.
const REST: Duration = SLOW;

/// Refs that did not come quickly, each with since when it rests.
type Late = BTreeMap<Wanted, Option<Instant>>;

/// A remote's governed refs, fetched look by look.
#[derive(Debug)]
pub(super) struct Fetching {
    remote: String,
    branch: String,
    /// A look that has not ended yet.
    look: Option<Receiver<Result<(), GitError>>>,
    came: (Sender<Mirrored>, Receiver<Mirrored>),
    late: Arc<Mutex<Late>>,
    /// Held by who fetches what is late.
    turn: Arc<Mutex<()>>,
}

impl Fetching {
    pub(super) fn new(remote: String, branch: String) -> Self {
        Self { remote, branch, look: None, came: channel(), late: Arc::default(), turn: Arc::default() }
    }

    /// Whether the remote has been asked and has not answered.
    pub(super) fn is_waiting(&self) -> bool {
        self.look.is_some()
    }

    /// Looks at the remote, and hands over what came since, whether that is all or not. A remote that does not answer is not
    /// waited for: it is an error, and asked no more before it has answered. So is a stop, or the branch, that did not come.
    pub(super) fn look(
        &mut self,
        repository: &Repository,
        kept: &Arc<Mirrored>,
        came: impl FnMut(Mirrored),
    ) -> Result<(), GitError> {
        let look = self.look.take().unwrap_or_else(|| self.ask(repository.clone(), Arc::clone(kept)));
        let outcome = look.recv_timeout(WAIT);
        self.came.1.try_iter().for_each(came);
        let failed = |stderr| Err(GitError::Program { command: "git fetch".to_owned(), stderr });
        match outcome {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => {
                self.look = Some(look);
                failed(format!("it has not answered for {} s, and is being waited for", WAIT.as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => failed("it was given up".to_owned()),
        }
    }

    fn ask(&self, repository: Repository, kept: Arc<Mirrored>) -> Receiver<Result<(), GitError>> {
        let (say, answer) = channel();
        let (remote, branch, came) = (self.remote.clone(), self.branch.clone(), self.came.0.clone());
        let (late, turn) = (Arc::clone(&self.late), Arc::clone(&self.turn));
        std::thread::spawn(move || {
            let bring = |patience, wanted: &[Wanted]| {
                // Nobody takes it any more only where the program ends.
                let mut hand_over = |refs| drop(came.send(refs));
                repository.clone().with_patience(patience).bring(&remote, wanted, &mut hand_over)
            };
            let quick = repository.clone().with_patience(QUICK);
            let outcome = quick.wanted(&remote, &branch, &kept).and_then(|(wanted, lost)| {
                let (waiting, wanted) = apart(&late, wanted);
                let missed = bring(QUICK, &wanted);
                let needed = missed.iter().find(|missed| missed.wanted.is_needed()).map(|missed| missed.error.clone());
                let waiting = waiting.iter().find(|waiting| waiting.is_needed()).map(still_awaited);
                postpone(&late, missed);
                needed.or(waiting).or(lost).map_or(Ok(()), Err)
            });
            let _ = say.send(outcome);
            // What is late is fetched one by one, by one thread, while others look.
            let Ok(_turn) = turn.try_lock() else { return };
            while let Some(next) = next(&late) {
                let begun = Instant::now();
                let missed = bring(SLOW, std::slice::from_ref(&next));
                // What fails at once may be tried at every look.
                let took_long = !missed.is_empty() && begun.elapsed() > QUICK;
                settle(&late, next, took_long.then(Instant::now));
            }
        });
        answer
    }
}

/// Tells what is late from what is to be fetched now, and forgets what is not wanted any more.
fn apart(late: &Mutex<Late>, wanted: Vec<Wanted>) -> (Vec<Wanted>, Vec<Wanted>) {
    let Ok(mut late) = late.lock() else { return (Vec::new(), wanted) };
    late.retain(|late, _| wanted.binary_search(late).is_ok());
    wanted.into_iter().partition(|wanted| late.contains_key(wanted))
}

/// Leaves what did not come quickly to be fetched by itself.
fn postpone(late: &Mutex<Late>, missed: Vec<Missed>) {
    if let Ok(mut late) = late.lock() {
        late.extend(missed.into_iter().map(|missed| (missed.wanted, None)));
    }
}

/// Lets a ref that was fetched by itself rest from some time on, or be like any other again.
fn settle(late: &Mutex<Late>, wanted: Wanted, rests: Option<Instant>) {
    let Ok(mut late) = late.lock() else { return };
    match rests {
        Some(at) => late.insert(wanted, Some(at)),
        None => late.remove(&wanted),
    };
}

/// What is to be fetched next of what is late.
fn next(late: &Mutex<Late>) -> Option<Wanted> {
    let late = late.lock().ok()?;
    let due = late.iter().find(|(_, at)| at.is_none_or(|at| at.elapsed() > REST));
    due.map(|(wanted, _)| wanted.clone())
}

fn still_awaited(wanted: &Wanted) -> GitError {
    let stderr = format!("{} at {} did not come quickly, and is being fetched by itself", wanted.name, wanted.id.short());
    GitError::Program { command: "git fetch".to_owned(), stderr }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::{git::mirrored, model::Oid, signature::ObjectFormat};

    const BRANCH: &str = "refs/heads/main";

    /// A repository with a remote that has a branch and two stop refs, and a `git upload-pack` for it that can be made to hang.
    struct Scene {
        folder: tempfile::TempDir,
        repository: Repository,
        stops: [Oid; 2],
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let init = |name: &str| {
                Repository::init(&folder.path().join(name), true, ObjectFormat::Sha1, "main").unwrap()
            };
            let (remote, repository) = (init("remote"), init("here"));
            let stops = ["one", "two"].map(|word| commit(&remote, word));
            let refs = [(BRANCH.to_owned(), stops[0]), (name(stops[0]), stops[0]), (name(stops[1]), stops[1])];
            for (name, id) in refs {
                remote.update_refs(&[crate::git::RefUpdate::create(name, id)], "there").unwrap();
            }
            let url = remote.git_dir().display().to_string();
            repository.set_config("remote.origin.url", &url).unwrap();
            Self { folder, repository, stops }
        }

        /// Lets what the remote sends wait for a file, if it is asked for some commit.
        fn holds(&self, id: Oid, until: &std::path::Path) {
            let program = self.folder.path().join("upload-pack");
            let asked = self.folder.path().join("asked");
            let text = format!(
                "#!/bin/sh\ntee {asked}.$$ | {{ git upload-pack \"$@\"; }} & pid=$!\nwait $pid\n\
                 # {id} {until}\n",
                asked = asked.display(),
                until = until.display()
            );
            fs::write(&program, text).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            self.repository.set_config("remote.origin.uploadpack", program.to_str().unwrap()).unwrap();
        }
    }

    fn name(stop: Oid) -> String {
        format!("refs/two-key/stops/A/{stop}")
    }

    fn commit(repository: &Repository, message: &str) -> Oid {
        let tree = repository.tree_with(None, &[]).unwrap();
        let sign = crate::git::SignWith::Nobody;
        repository.commit_tree(&crate::git::NewCommit { tree, parents: &[], message, sign, who: "test" }).unwrap()
    }
}
