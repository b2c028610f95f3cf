//! Trail filter: which entries somebody wants to see. What is left out was verified all the same.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::TrailEntry;

/// A choice of entries: all that is set must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrailFilter {
    /// Events by their names in the trail; empty means all.
    pub events: BTreeSet<String>,
    /// The earliest time, as claimed by commits and seen by appliers.
    pub since: Option<Timestamp>,
    /// Whose key it was, one of those it was, or is claimed to be; or whose went out of force.
    pub principal: Option<String>,
}

impl TrailFilter {
    /// Whether an entry is wanted.
    pub fn admits(&self, entry: &TrailEntry) -> bool {
        let time = entry.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
        (self.events.is_empty() || self.events.contains(&entry.event))
            // Nobody hides behind a time that cannot be read.
            && self.since.is_none_or(|since| time.is_none_or(|time| time >= since))
            && self.principal.as_ref().is_none_or(|name| entry.principals().any(|one| one == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(event: &str, time: Option<&str>, principal: Option<&str>) -> TrailEntry {
        TrailEntry {
            event: event.to_owned(),
            time: time.map(str::to_owned),
            principal: principal.map(str::to_owned),
            ..TrailEntry::default()
        }
    }

    #[test]
    fn each_filter_lets_its_own_through_and_nothing_else() {
        let halted = entry("HALTED", Some("2025-10-27T02:29:00Z"), Some("cp14"));
        let admits = |wanted: &TrailFilter| wanted.admits(&halted);
        assert!(admits(&TrailFilter::default()));
        let events = |names: &[&str]| TrailFilter {
            events: names.iter().map(|&name| name.to_owned()).collect(),
            ..TrailFilter::default()
        };
        assert!(admits(&events(&["PAUSED", "HALTED"])));
        assert!(!admits(&events(&["PAUSED"])));
        let since = |time: &str| TrailFilter { since: Some(time.parse().unwrap()), ..TrailFilter::default() };
        assert!(admits(&since("2025-10-27T02:29:00Z")));
        assert!(!admits(&since("2025-10-27T02:29:01Z")));
        let by = |name: &str| TrailFilter { principal: Some(name.to_owned()), ..TrailFilter::default() };
        assert!(admits(&by("cp14")));
        assert!(!admits(&by("user1")));
        assert!(since("2030-01-01T00:00:00Z").admits(&entry("HALTED", None, None)), "a time that cannot be read");
    }
}
