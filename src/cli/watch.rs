//! Watch loop: reads again when a ref has moved, and draws again when what is to be seen has changed.

use std::{
    io,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{Failure, Place, fresh::ReadSource, governed, remotes, terminal, turn};

use crate::git::{Repository, config};
use crate::model::refs;

/// How often refs are looked at. What that costs is one process.
const EVERY: Duration = Duration::from_secs(1);
/// How often a remote is asked.
const FETCH_EVERY: Duration = Duration::from_secs(5);

/// The refs that anything shown comes from.
const SEEN: [&str; 6] =
    ["refs/heads", "refs/remotes", "refs/tags/rollout", "refs/notes/two-key", "refs/two-key", "refs/two-key-remote"];

/// Watches until nobody reads any more. `look` reads and gives what draws itself: at a time on a terminal, where it is drawn
/// anew every second; without a time elsewhere, where it is printed only when it is other than before.
pub fn run<D>(place: &Place, source: &ReadSource, mut look: impl FnMut() -> Result<D, Failure>) -> Result<(), Failure>
where
    D: Fn(Option<Timestamp>) -> String,
{
    let repo = place.repository()?;
    let mut screen = terminal::Screen::new();
    let mut fetched = None;
    let mut seen = None;
    let mut drawing = None;
    loop {
        if source.is_fetched() && due(fetched) {
            fetch(&repo, source)?;
            fetched = Some(terminal::moment());
        }
        let refs = repo.refs(&SEEN)?;
        if seen.as_ref() != Some(&refs) {
            drawing = Some(look()?);
            seen = Some(refs);
        }
        if let Some(drawing) = &drawing {
            let now = screen.is_terminal().then(turn::now);
            if is_gone(screen.show(&drawing(now))) {
                return Ok(());
            }
        }
        if is_gone(terminal::wait(EVERY)) {
            return Ok(());
        }
    }
}

/// Looks every second, whether refs moved or not, until nobody reads any more.
pub fn steadily(mut look: impl FnMut() -> Result<String, Failure>) -> Result<(), Failure> {
    let mut screen = terminal::Screen::new();
    while !is_gone(screen.show(&terminal::by_lines(&look()?)).and_then(|()| terminal::wait(EVERY))) {}
    Ok(())
}

/// Whether nobody reads any more.
fn is_gone(shown: io::Result<()>) -> bool {
    shown.is_err_and(|error| error.kind() != io::ErrorKind::Interrupted)
}

fn due(fetched: Option<Instant>) -> bool {
    fetched.is_none_or(|fetched| fetched.elapsed() >= FETCH_EVERY)
}

/// Fetches what is governed. A remote that cannot be reached is said, and looked at again later.
fn fetch(repo: &Repository, source: &ReadSource) -> Result<(), Failure> {
    let branch = governed::unverified_branch(repo);
    let Some(remote) = remotes::followed(repo, &branch, source.named())? else { return Ok(()) };
    if repo.is_off(config::FETCH)? {
        return Ok(());
    }
    let branch = refs::short(&branch);
    let fetched = repo.fetch(&remote, branch);
    if fetched.is_ok() {
        turn::stops::deliver(repo, &remote, &format!("refs/heads/{branch}"))?;
    }
    if let Err(error) = fetched {
        let refusal = error.refusal();
        terminal::remark(&format!("two-key: {remote} could not be fetched: {refusal}"));
    }
    Ok(())
}
