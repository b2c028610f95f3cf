//! The places that a rule's `from` keeps for groups of people. One person fills one place, whatever groups they are in.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{GroupId, PrincipalId};

/// Groups by name, each a set of humans.
pub type Groups = BTreeMap<GroupId, BTreeSet<PrincipalId>>;

/// So many of a rule's humans are from a group, whose members are those that the rule's own policy lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromGroup {
    /// The group.
    pub group: GroupId,
    /// How many, at least one.
    pub count: u8,
    /// Who is in it.
    pub members: BTreeSet<PrincipalId>,
}

/// Places that nobody fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfilled<'a> {
    /// Whose: somebody of any of these would do, as who sits for one of them can sit for another.
    pub groups: Vec<&'a FromGroup>,
    /// How many.
    pub places: usize,
}

/// The places that stay open when as many people as possible fill one each. Empty where all are filled.
pub fn unfilled<'a>(from: &'a [FromGroup], people: impl IntoIterator<Item = &'a PrincipalId>) -> Vec<Unfilled<'a>> {
    let mut seats = Seats { from, taken: vec![Vec::new(); from.len()], closed: vec![false; from.len()] };
    for person in people {
        if seats.full() {
            return Vec::new();
        }
        let mut tried = vec![false; from.len()];
        if !seats.seat(person, &mut tried) {
            // No way to a free place leads through these any more.
            seats.closed.iter_mut().zip(tried).for_each(|(closed, tried)| *closed |= tried);
        }
    }
    seats.unfilled()
}

/// Who sits where: a matching, made larger person by person along augmenting paths.
struct Seats<'a> {
    from: &'a [FromGroup],
    taken: Vec<Vec<&'a PrincipalId>>,
    closed: Vec<bool>,
}

impl<'a> Seats<'a> {
    fn full(&self) -> bool {
        self.from.iter().zip(&self.taken).all(|(from, taken)| taken.len() >= usize::from(from.count))
    }

    /// The open places, those together for which the same people would do.
    fn unfilled(&self) -> Vec<Unfilled<'a>> {
        let open = |at: usize| usize::from(self.from[at].count).saturating_sub(self.taken[at].len());
        let mut visited = vec![false; self.from.len()];
        let mut unfilled = Vec::new();
        for first in (0..self.from.len()).filter(|at| open(*at) > 0) {
            if visited[first] {
                continue;
            }
            let mut together = vec![first];
            visited[first] = true;
            let mut next = 0;
            while let Some(at) = together.get(next).copied() {
                next += 1;
                let moves = |person: &&PrincipalId| self.from[at].members.contains(*person);
                let movable =
                    |(other, visited): &(usize, &mut bool)| !**visited && self.taken[*other].iter().any(moves);
                for (other, visited) in visited.iter_mut().enumerate().filter(movable) {
                    *visited = true;
                    together.push(other);
                }
            }
            together.sort_unstable();
            let places = together.iter().map(|at| open(*at)).sum();
            unfilled.push(Unfilled { groups: together.into_iter().map(|at| &self.from[at]).collect(), places });
        }
        unfilled
    }

    /// Finds a place for somebody, by moving others if need be.
    fn seat(&mut self, person: &'a PrincipalId, tried: &mut [bool]) -> bool {
        for (at, from) in self.from.iter().enumerate() {
            if self.closed[at] || tried[at] || !from.members.contains(person) {
                continue;
            }
            tried[at] = true;
            if self.taken[at].len() < usize::from(from.count) {
                self.taken[at].push(person);
                return true;
            }
            for sitting in 0..self.taken[at].len() {
                let other = self.taken[at][sitting];
                if self.seat(other, tried) {
                    self.taken[at][sitting] = person;
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn person(number: usize) -> PrincipalId {
        PrincipalId::parse(&format!("p{number}")).unwrap()
    }

    fn from(groups: &[(u8, &[usize])]) -> Vec<FromGroup> {
        let group = |(at, (count, members)): (usize, &(u8, &[usize]))| FromGroup {
            group: GroupId::parse(&format!("g{at}")).unwrap(),
            count: *count,
            members: members.iter().copied().map(person).collect(),
        };
        groups.iter().enumerate().map(group).collect()
    }

    /// `1 of g0 or g1`.
    fn unfilled_words(from: &[FromGroup], people: &[PrincipalId]) -> Vec<String> {
        let groups = |open: &Unfilled<'_>| {
            open.groups.iter().map(|from| from.group.to_string()).collect::<Vec<_>>().join(" or ")
        };
        unfilled(from, people).iter().map(|open| format!("{} of {}", open.places, groups(open))).collect()
    }

    #[test]
    fn who_is_in_two_groups_fills_one_place_in_whatever_order() {
        let both = from(&[(1, &[0, 1]), (1, &[0])]);
        for order in [[0, 1], [1, 0]] {
            assert_eq!(unfilled_words(&both, &order.map(person)), [""; 0], "{order:?}");
        }
        assert_eq!(unfilled_words(&both, &[person(1), person(2)]), ["1 of g1"], "only 0 is of the second group");
        assert_eq!(unfilled_words(&both, &[]), ["1 of g0", "1 of g1"]);
    }

    #[test]
    fn what_is_open_is_said_of_all_groups_that_somebody_of_would_do() {
        let both = from(&[(1, &[0, 1]), (1, &[0, 2]), (2, &[3])]);
        assert_eq!(unfilled_words(&both, &[person(0)]), ["1 of g0 or g1", "2 of g2"], "1 or 2 would do");
        assert_eq!(
            unfilled_words(&both, &[person(0), person(1), person(3)]),
            ["1 of g2"],
            "0 sits for the second, as 1 cannot"
        );
    }

    /// Every way to seat people, tried one after the other.
    fn most(from: &[FromGroup], people: &[PrincipalId], free: &mut [u8]) -> usize {
        let Some((first, rest)) = people.split_first() else { return 0 };
        let mut best = most(from, rest, free);
        for at in 0..from.len() {
            if free[at] > 0 && from[at].members.contains(first) {
                free[at] -= 1;
                best = best.max(1 + most(from, rest, free));
                free[at] += 1;
            }
        }
        best
    }

    proptest! {
        #[test]
        fn as_many_places_are_filled_as_there_is_any_way_to_fill(
            groups in prop::collection::vec((1..3_u8, prop::collection::btree_set(0..6_usize, 0..5)), 0..4),
            people in Just([0, 1, 2, 3, 4, 5]).prop_shuffle(),
            voted in 0..6_usize,
        ) {
            let groups: Vec<(u8, Vec<usize>)> = groups.into_iter().map(|(n, m)| (n, m.into_iter().collect())).collect();
            let groups: Vec<(u8, &[usize])> = groups.iter().map(|(n, m)| (*n, m.as_slice())).collect();
            let (from, people) = (from(&groups), people.map(person));
            let all: usize = from.iter().map(|from| usize::from(from.count)).sum();
            let free: Vec<u8> = from.iter().map(|from| from.count).collect();
            for people in [&people[..voted], &people[..]] {
                let open: usize = unfilled(&from, people).iter().map(|open| open.places).sum();
                prop_assert_eq!(all - open, most(&from, people, &mut free.clone()));
                // Whoever would fill one more place is of the groups that are named, and nobody else is.
                let rest = (0..6).map(person).filter(|one| !people.contains(one));
                for one in rest {
                    let more = [people, std::slice::from_ref(&one)].concat();
                    let helps = most(&from, &more, &mut free.clone()) > all - open;
                    let named = unfilled(&from, people).iter().any(|open| open.groups.iter().any(|g| g.members.contains(&one)));
                    prop_assert_eq!(helps, named, "{}", one);
                }
            }
        }
    }
}
