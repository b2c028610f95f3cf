//! Freshness: reading and signing verbs look at the remote first, and say how old what they show is where that fails.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Failure, Place,
    governed::{POLICY_PATH, Which, unverified_branch},
    remotes::{followed, is_pushed_to, upstream},
    session::Session,
    terminal::remark,
    turn::now,
};
use crate::{
    git::{GitError, Repository, config},
    model::refs,
};

/// How long the look may take. Then the verb goes on.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a reading verb shows.
#[derive(Debug, clap::Args)]
pub struct ReadSource {
    /// Show what this remote has, whatever is here [default: the branch's upstream, else the only remote]
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    remote: Option<String>,
    /// Do not fetch first
    #[arg(long)]
    offline: bool,
}

impl ReadSource {
    /// The remote that was named.
    pub fn named(&self) -> Option<&str> {
        self.remote.as_deref().filter(|name| !name.is_empty())
    }

    /// Whether a live view keeps fetching.
    pub fn is_fetched(&self) -> bool {
        !self.offline
    }

    /// Looks at the remote, then says which tip is to be read.
    pub fn which(&self, place: &Place) -> Result<Which, Failure> {
        if !self.offline {
            look(&place.repository()?, self.named())?;
        }
        Ok(self.tip())
    }

    /// Which tip is to be read, as it was fetched last.
    pub fn tip(&self) -> Which {
        match &self.remote {
            Some(_) => Which::Remote(self.named().map(str::to_owned)),
            None => Which::Newest,
        }
    }

    /// Looks at the remote, then reads and folds.
    pub fn open(&self, place: &Place) -> Result<Session, Failure> {
        Session::open(place, &self.which(place)?)
    }

    /// The same without what is signed here and not pushed; where no remote is followed, what is here.
    pub fn open_delivered(&self, place: &Place) -> Result<Session, Failure> {
        let which = self.which(place)?;
        let (repo, branch) = (place.repository()?, unverified_branch(&place.repository()?));
        let follows = !is_pushed_to(&repo, &branch)? && upstream(&repo, &branch)?.is_some();
        let which = if follows && which == Which::Newest { Which::Remote(None) } else { which };
        Session::open(place, &which)
    }
}

/// Fetches what is governed, unless that is switched off or there is nowhere to fetch from. Says how old what is here is where
/// the remote could not be asked.
pub fn look(repo: &Repository, named: Option<&str>) -> Result<(), Failure> {
    if let Err(error) = fetched(repo, named)? {
        remark(&format!("warning: {error}; {}", age(repo, named)?));
    }
    Ok(())
}

/// The same; why the remote could not be asked is for the caller to say.
pub fn fetched(repo: &Repository, named: Option<&str>) -> Result<Result<(), GitError>, Failure> {
    if repo.is_off(config::FETCH)? {
        return Ok(Ok(()));
    }
    let Some(remote) = followed(repo, &unverified_branch(repo), named)? else { return Ok(Ok(())) };
    let repo = repo.clone().with_deadline(PATIENCE);
    let root = bring_root(&repo, &remote);
    // The root's policy names it.
    let fetched = repo.fetch(&remote, refs::short(&unverified_branch(&repo)));
    Ok(fetched.and(root))
}

/// Brings the pinned root with its policy, which a shallow or a partial clone lacks: a stop asks for no more.
fn bring_root(repo: &Repository, remote: &str) -> Result<(), GitError> {
    let Some(root) = repo.pinned_root().ok().flatten() else { return Ok(()) };
    match repo.objects()?.file_at(root, POLICY_PATH) {
        Ok(Some(_)) => Ok(()),
        _ => repo.fetch_file(remote, root, POLICY_PATH),
    }
}

/// How old what was fetched is, in words.
pub fn age(repo: &Repository, named: Option<&str>) -> Result<String, Failure> {
    let remote = followed(repo, &unverified_branch(repo), named)?.unwrap_or_default();
    let last = repo.fetched_at(&remote).and_then(|at| Timestamp::try_from(at).ok());
    Ok(match last {
        Some(last) => {
            format!("what is known of it is {} old", span(now().as_second().saturating_sub(last.as_second())))
        }
        None => "what is known of it is as old as this clone's last git fetch".to_owned(),
    })
}

/// A human-readable length of time.
fn span(seconds: i64) -> String {
    let (number, unit) = match seconds.max(0) {
        seconds @ ..120 => (seconds, "second"),
        seconds @ 120..7_200 => (seconds / 60, "minute"),
        seconds @ 7_200..172_800 => (seconds / 3_600, "hour"),
        seconds => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn ages_are_told_in_the_unit_that_people_would_use() {
        let cases = [(-5, "0 seconds"), (1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (7_200, "2 hours")];
        for (seconds, words) in cases.into_iter().chain([(172_800, "2 days"), (8_640_000, "100 days")]) {
            assert_eq!(span(seconds), words);
        }
    }
}
