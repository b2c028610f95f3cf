//! The score: a percentile of size and spread among earlier ranges of as many commits.

use super::facts::FileChange;

/// The model's name, as leases and policies write it. It pins the [`Size`], [`RANGES`](super::RANGES) and
/// [`WALKED`](super::WALKED), since all of them have a say in the score.
pub const MODEL: &str = "two-key-2";

/// How large a change is and how far it is spread: (1 + lines added and deleted) × (1 + files touched).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u128);

impl Size {
    /// The size of what differs between two trees.
    pub fn of(files: &[FileChange]) -> Self {
        let lines: u128 = files
            .iter()
            .filter_map(|file| file.lines)
            .map(|lines| u128::from(lines.added) + u128::from(lines.deleted))
            .sum();
        let files = files.len() as u128;
        Self((1 + lines).saturating_mul(1 + files))
    }
}

/// The percentage of a population, the value itself included, that is no larger than the value; rounded down.
///
/// So where there is nothing else it is 100: what cannot be compared is not called safe.
pub fn percentile<T: PartialOrd>(population: &[T], value: &T) -> u8 {
    let no_larger = population.iter().filter(|other| *other <= value).count() + 1;
    u8::try_from(100 * no_larger / (population.len() + 1)).unwrap_or(100)
}

/// The lower median.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::{FileKind, LineCount};

    fn file(lines: Option<(u64, u64)>) -> FileChange {
        let lines = lines.map(|(added, deleted)| LineCount { added, deleted });
        FileChange { path: "a".to_owned(), renamed_from: None, kind: FileKind::Changed, lines }
    }

    #[test]
    fn the_size_is_lines_times_files() {
        assert_eq!(Size::of(&[]), Size(1));
        assert_eq!(Size::of(&[file(Some((3, 1))), file(Some((12, 0)))]), Size(17 * 3));
        // A binary file is a file without lines.
        assert_eq!(Size::of(&[file(Some((3, 1))), file(None)]), Size(5 * 3));
        assert_eq!(Size::of(&[file(Some((u64::MAX, u64::MAX)))]).0, (2 * u128::from(u64::MAX) + 1) * 2);
    }

    #[test]
    fn a_percentile_counts_the_value_itself_and_its_equals() {
        assert_eq!(percentile::<i64>(&[], &5), 100);
        assert_eq!(percentile(&[1, 2, 3, 4], &0), 20);
        assert_eq!(percentile(&[1, 2, 3, 4], &9), 100);
        assert_eq!(percentile(&[1, 2, 3, 4], &3), 80);
        assert_eq!(percentile(&[7, 7, 7], &7), 100);
        assert_eq!(percentile(&vec![1; 200], &0), 0);
    }

    #[test]
    fn the_median_is_a_value_that_occurs() {
        assert_eq!(median(vec![3.0, 1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }
}
