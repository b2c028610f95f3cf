//! Ranges: the stretches of a main line that a change is compared with, each of about as many commits.

use std::collections::{HashMap, HashSet};

use crate::model::Oid;

/// How many ranges a change is compared with. Part of what the model's name pins.
pub const RANGES: usize = 200;
/// How many commits before a change are walked for them. Part of what the model's name pins.
pub const WALKED: usize = 20_000;

/// A stretch of the main line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Its newer end.
    pub to: Oid,
    /// Its older end; none where nothing was before.
    pub from: Option<Oid>,
}

/// Cuts the main line (the chain of first parents) before a change into ranges, back to back, newest first, at most `last`.
///
/// Each brings in as many commits as the change, merges not counted; it stops short where a merge would bring in more than that,
/// and is never less than one step. What is left at the end of the history, with fewer commits, is no range.
///
/// `walked` is each commit with its parents, the one before the change first; what is not in it counts as not there.
pub fn ranges(walked: &[Vec<Oid>], commits: usize, last: usize) -> Vec<Range> {
    let line = MainLine::of(walked);
    let mut ranges = Vec::new();
    let mut rest = line.steps.as_slice();
    while ranges.len() < last
        && let Some((first, _)) = rest.split_first()
    {
        let mut sum = first.brings;
        let more = rest.iter().skip(1).take_while(|step| {
            sum += step.brings;
            sum <= commits
        });
        let taken = 1 + more.count();
        let whole: usize = rest.iter().take(taken).map(|step| step.brings).sum();
        rest = rest.get(taken..).unwrap_or_default();
        let from = rest.first().map(|step| step.id).or(line.base);
        if rest.is_empty() && whole < commits {
            break;
        }
        ranges.push(Range { to: first.id, from });
    }
    ranges
}

/// The chain of first parents.
struct MainLine {
    /// Newest first.
    steps: Vec<HistoryStep>,
    /// What the oldest step came from; none where it is the history's beginning.
    base: Option<Oid>,
}

struct HistoryStep {
    id: Oid,
    /// Commits, without merges, that it has behind it and its first parent has not.
    brings: usize,
}

impl MainLine {
    fn of(walked: &[Vec<Oid>]) -> Self {
        let words = |words: &'_ Vec<Oid>| -> Option<(Oid, Vec<Oid>)> {
            let (id, parents) = words.split_first()?;
            Some((*id, parents.to_vec()))
        };
        let parents: HashMap<Oid, Vec<Oid>> = walked.iter().filter_map(words).collect();
        let newest = walked.first().and_then(|words| words.first()).copied();
        let before =
            |id: &Oid| parents.get(id).and_then(|all| all.first()).copied().filter(|id| parents.contains_key(id));
        let mut chain: Vec<Oid> = std::iter::successors(newest, before).collect();
        // Where the walk ended before the history did, the oldest one is only what the next came from.
        let cut = chain.last().and_then(|oldest| parents.get(oldest)).is_some_and(|all| !all.is_empty());
        let base = if cut { chain.pop() } else { None };
        let mut seen = HashSet::new();
        if let Some(base) = base {
            reach(base, &parents, &mut seen);
        }
        let mut steps: Vec<HistoryStep> =
            chain.into_iter().rev().map(|id| HistoryStep { id, brings: reach(id, &parents, &mut seen) }).collect();
        steps.reverse();
        Self { steps, base }
    }
}

/// Marks what a commit has behind it, itself included; how many of those that were not marked are no merges.
fn reach(tip: Oid, parents: &HashMap<Oid, Vec<Oid>>, seen: &mut HashSet<Oid>) -> usize {
    let mut open = vec![tip];
    let mut brings = 0;
    while let Some(id) = open.pop() {
        let Some(behind) = parents.get(&id) else { continue };
        if seen.insert(id) {
            brings += usize::from(behind.len() < 2);
            open.extend(behind);
        }
    }
    brings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> Oid {
        Oid::Sha1([number; 20])
    }

    fn cut(walked: &[&[u8]], commits: usize, last: usize) -> Vec<(u8, Option<u8>)> {
        let walked: Vec<Vec<Oid>> = walked.iter().map(|ids| ids.iter().map(|number| id(*number)).collect()).collect();
        let number = |id: Oid| id.as_bytes()[0];
        ranges(&walked, commits, last).into_iter().map(|range| (number(range.to), range.from.map(number))).collect()
    }

    #[test]
    fn a_straight_line_is_cut_into_equal_parts_and_the_rest_is_left() {
        let line: [&[u8]; 5] = [&[5, 4], &[4, 3], &[3, 2], &[2, 1], &[1]];
        assert_eq!(cut(&line, 1, 9), [(5, Some(4)), (4, Some(3)), (3, Some(2)), (2, Some(1)), (1, None)]);
        assert_eq!(cut(&line, 2, 9), [(5, Some(3)), (3, Some(1))]);
        assert_eq!(cut(&line, 5, 9), [(5, None)]);
        assert_eq!(cut(&line, 6, 9), []);
        assert_eq!(cut(&line, 1, 2), [(5, Some(4)), (4, Some(3))]);
        assert_eq!(cut(&[], 1, 9), []);
    }

    #[test]
    fn a_merge_is_one_step_with_all_that_it_brings_in() {
        // 6 merges 5 and 4, which 3 and 3 precede; 7 follows.
        let line: [&[u8]; 7] = [&[7, 6], &[6, 2, 5], &[5, 4], &[4, 3], &[3, 2], &[2, 1], &[1]];
        assert_eq!(cut(&line, 1, 9), [(7, Some(6)), (6, Some(2)), (2, Some(1)), (1, None)]);
        // 7 alone: with the merge it would be four.
        assert_eq!(cut(&line, 3, 9), [(7, Some(6)), (6, Some(2))]);
        assert_eq!(cut(&line, 4, 9), [(7, Some(2))]);
    }

    #[test]
    fn where_the_walk_ended_the_oldest_is_what_the_next_came_from() {
        let line: [&[u8]; 3] = [&[5, 4], &[4, 3], &[3, 2]];
        assert_eq!(cut(&line, 1, 9), [(5, Some(4)), (4, Some(3))]);
        assert_eq!(cut(&line, 2, 9), [(5, Some(3))]);
        assert_eq!(cut(&line, 3, 9), []);
    }
}
