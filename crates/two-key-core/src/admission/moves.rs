//! Moves of refs, at the last moment: Git holds the locks, and asks whether it may.
//!
//! A push was judged before, without locks. So a governed ref moves only from where and to where an admitted push asked for
//! ([`Admitted`]), whoever moves it, and what was judged by a ledger comes only where the branch holds that ledger: a tag
//! never comes without its transition. Nobody else's move is judged here; it is refused.

use crate::model::{Reason, Refusal};

use super::{Admitted, Destination, Move, RefMeaning, only_stop_refs, place};

/// Whether Git may make a move.
pub fn judge_move(movement: &Move, branch: &str) -> Result<(), Refusal> {
    let Move { name, from, to, admitted } = movement;
    let object = to.object();
    let governed = place(name, branch) != RefMeaning::Other;
    let stays = object.is_some() && *from == object;
    // Whoever reads a stop verifies it, and a stop that is refused by mistake does more harm than junk.
    if !governed || stays || only_stop_refs([(name.as_str(), *from, object)]) || *admitted == Admitted::Yes {
        return Ok(());
    }
    let hint = "push it, and let the hook judge it; who must go past the hook, as the server's owner: git -c core.hooksPath=/dev/null …";
    if *to == Destination::Nothing {
        return Err(Refusal::new(Reason::RefDeleted, "governed refs are never deleted").hint(hint));
    }
    let message = match admitted {
        Admitted::WithoutItsLedger => format!("{branch} does not hold what this was judged by"),
        Admitted::No | Admitted::Yes => "no push was admitted that moves it from where it is to there".to_owned(),
    };
    Err(Refusal::new(Reason::Unjudged, message).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Oid;

    const BRANCH: &str = "refs/heads/main";

    fn oid(number: u8) -> Oid {
        Oid::Sha1([number; 20])
    }

    fn moves(name: &str, from: Option<u8>, to: Destination, admitted: Admitted) -> Result<(), Reason> {
        let movement = Move { name: name.to_owned(), from: from.map(oid), to, admitted };
        judge_move(&movement, BRANCH).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn a_governed_ref_moves_only_as_a_push_was_admitted() {
        let to = Destination::Object(oid(2));
        let governed =
            [BRANCH, "refs/tags/rollout/L-1/1-start-5", "refs/notes/two-key/user1", "refs/two-key/appliers/e"];
        for name in governed {
            assert_eq!(moves(name, Some(1), to, Admitted::Yes), Ok(()), "{name}");
            assert_eq!(moves(name, Some(1), to, Admitted::No), Err(Reason::Unjudged), "{name}");
            assert_eq!(moves(name, Some(1), to, Admitted::WithoutItsLedger), Err(Reason::Unjudged), "{name}");
            assert_eq!(moves(name, Some(1), Destination::AnotherRef, Admitted::No), Err(Reason::Unjudged), "{name}");
            assert_eq!(moves(name, Some(1), Destination::Nothing, Admitted::No), Err(Reason::RefDeleted), "{name}");
            // Packing refs moves none.
            assert_eq!(moves(name, Some(2), to, Admitted::No), Ok(()), "{name}");
        }
        assert_eq!(moves("refs/heads/MAIN", None, to, Admitted::No), Err(Reason::Unjudged));
        assert_eq!(moves("refs/replace/x", None, to, Admitted::No), Err(Reason::Unjudged));
        assert_eq!(moves("refs/heads/topic", Some(1), to, Admitted::No), Ok(()));
        assert_eq!(moves("refs/heads/topic", Some(1), Destination::Nothing, Admitted::No), Ok(()));
        assert_eq!(moves("HEAD", None, Destination::AnotherRef, Admitted::No), Ok(()));
    }

    #[test]
    fn a_stop_ref_under_its_commits_name_needs_no_verdict() {
        let name = format!("refs/two-key/stops/L-1/{}", oid(2));
        assert_eq!(moves(&name, None, Destination::Object(oid(2)), Admitted::No), Ok(()));
        assert_eq!(moves(&name, None, Destination::Object(oid(3)), Admitted::No), Err(Reason::Unjudged));
        assert_eq!(moves(&name, Some(3), Destination::Object(oid(2)), Admitted::No), Err(Reason::Unjudged));
        assert_eq!(moves(&name, Some(2), Destination::Nothing, Admitted::No), Err(Reason::RefDeleted));
    }
}
