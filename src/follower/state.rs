//! The follower state: what is remembered of a repository from look to look. Whoever follows remembers more beside it, in
//! one file, the journal.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::model::{Oid, PublicKey, Reason, Refusal};

use super::{
    clock::{Clock, ClockReading, Trust},
    state_folder::StateFolder,
    stops::SeenStop,
};

/// What is remembered of a repository. What other versions of the program wrote beside it is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FollowerState {
    /// The form of the file.
    pub version: u32,
    /// The root that all of it rests on.
    pub root: Oid,
    /// The last accepted tip of the governed branch.
    pub accepted: Option<Oid>,
    /// When the remote was last fetched.
    pub fetched: Option<ClockReading>,
    /// The last look at the clocks that was believed.
    pub clock: Option<ClockReading>,
    /// Stops that the ledger has not folded yet.
    pub stops: Vec<SeenStop>,
    /// Tips below which every commit has been searched for stops.
    pub searched: Vec<Oid>,
    /// The key that an applier has: by it one begins whose key file is gone, and stops what is to be stopped.
    #[serde(default)]
    pub public: Option<PublicKey>,
}

impl FollowerState {
    /// Of somebody who has not followed anything yet.
    pub fn new(root: Oid) -> Self {
        let (stops, searched) = (Vec::new(), Vec::new());
        Self { version: 1, root, accepted: None, fetched: None, clock: None, stops, searched, public: None }
    }

    /// Looks at the clocks, and remembers a look that is believed.
    pub(crate) fn read_clocks(&mut self, clock: &Clock) -> (ClockReading, Trust) {
        let (reading, trust) = clock().believed_after(self.clock.as_ref());
        if trust == Trust::Believed {
            self.clock = Some(reading.clone());
        }
        (reading, trust)
    }

    /// Whether it says nothing that an earlier one did not: the times of looking aside.
    pub fn says_the_same_as(&self, earlier: &Self) -> bool {
        let timeless = |state: &Self| Self { fetched: None, clock: None, ..state.clone() };
        timeless(self) == timeless(earlier)
    }
}

/// Reads the journal in a state folder, which must rest on the pinned root; that of a beginner if there is none.
pub fn load<T: DeserializeOwned + AsRef<FollowerState>>(folder: &StateFolder, beginner: T) -> Result<T, Refusal> {
    let Some(found) = folder.read::<T>()? else { return Ok(beginner) };
    let (here, root) = (found.as_ref(), beginner.as_ref().root);
    if here.version != 1 {
        let message = format!("the journal in {} is of another version than 1", folder.path().display());
        return Err(Refusal::new(Reason::Malformed, message).hint("move it away to begin anew"));
    }
    if here.root != root {
        let message = format!("the journal here belongs to root {}, the pinned one is {root}", here.root);
        return Err(Refusal::new(Reason::Unpinned, message).hint("move the journal away to begin anew"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PrincipalId, policy::Role};

    impl AsRef<FollowerState> for FollowerState {
        fn as_ref(&self) -> &Self {
            self
        }
    }

    #[test]
    fn what_was_written_down_is_read_again_under_its_own_root_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(folder.path(), Role::Agent, &PrincipalId::parse("cp14").unwrap()).unwrap();
        let [root, other] = [1, 2].map(|byte| FollowerState::new(Oid::Sha1([byte; 20])));
        assert_eq!(load(&folder, root.clone()).unwrap(), root, "nothing has been written yet");
        let written = FollowerState { accepted: Some(Oid::Sha1([3; 20])), ..root.clone() };
        folder.write(&written).unwrap();
        assert_eq!(load(&folder, root.clone()).unwrap(), written);
        assert_eq!(load(&folder, other).unwrap_err().reason, Reason::Unpinned);
        folder.write(&FollowerState { version: 2, ..written }).unwrap();
        assert_eq!(load(&folder, root).unwrap_err().reason, Reason::Malformed);
    }
}
