//! Charts by hand: SVG of numbers and times only, so there is nothing in it that anybody else wrote. Colours and strokes are
//! the style sheet's, so that dark pages and paper look right.

use std::fmt::Write as _;

use jiff::Timestamp;

/// A value at a time, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ChartPoint {
    pub(super) at: i64,
    pub(super) value: f64,
}

/// How a line is drawn; the names are classes in the style sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineKind {
    /// What the ledger wants.
    Desired,
    /// What an applier saw.
    Observed,
    /// What rolls out.
    Candidate,
    /// What it is compared with.
    Baseline,
}

impl LineKind {
    const fn class(self) -> &'static str {
        match self {
            Self::Desired => "desired",
            Self::Observed => "observed",
            Self::Candidate => "candidate",
            Self::Baseline => "baseline",
        }
    }
}

const WIDTH: f64 = 1120.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 1108.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 122.0;

/// What a chart spans.
struct Frame {
    from: i64,
    to: i64,
    top: f64,
}

impl Frame {
    fn of(lines: &[(LineKind, &[ChartPoint])], limit: Option<f64>, least: f64) -> Option<Self> {
        let points = || lines.iter().flat_map(|(_, points)| points.iter());
        let from = points().map(|point| point.at).min()?;
        let to = points().map(|point| point.at).max()?.max(from.saturating_add(1));
        let top = points().map(|point| point.value).chain(limit).fold(least, f64::max);
        Some(Self { from, to, top })
    }

    #[expect(clippy::cast_precision_loss, reason = "pixels")]
    fn x(&self, at: i64) -> f64 {
        LEFT + (RIGHT - LEFT) * (at.saturating_sub(self.from) as f64) / (self.to.saturating_sub(self.from) as f64)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (value / self.top).clamp(0.0, 1.0)
    }

    /// The grid, with what its lines stand for.
    fn grid(&self, unit: &str) -> String {
        let mut svg = String::new();
        for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let y = self.y(self.top * part);
            let _ = write!(svg, "<path class=grid d=\"M{LEFT} {y:.1}H{RIGHT}\"/>");
            let _ = write!(
                svg,
                "<text class=tick x={} y={:.1} text-anchor=end>{}{unit}</text>",
                LEFT - 6.0,
                y + 4.0,
                number(self.top * part)
            );
        }
        let length = self.to.saturating_sub(self.from);
        let days = length > 86_400;
        // A second has no middle that a clock could show.
        let middle = (length > 1).then_some((self.from.saturating_add(length / 2), "middle"));
        for (at, anchor) in [(self.from, "start"), (self.to, "end")].into_iter().chain(middle) {
            let x = self.x(at);
            let _ = write!(
                svg,
                "<text class=tick x={x:.1} y={} text-anchor={anchor}>{}</text>",
                BOTTOM + 18.0,
                clock(at, days)
            );
        }
        svg
    }

    /// A line that keeps each value until the next.
    fn steps(&self, kind: LineKind, points: &[ChartPoint]) -> String {
        let mut path = String::new();
        for (at, point) in points.iter().enumerate() {
            let (x, y) = (self.x(point.at), self.y(point.value));
            let _ = if at == 0 { write!(path, "M{x:.1} {y:.1}") } else { write!(path, "H{x:.1}V{y:.1}") };
        }
        if path.is_empty() { path } else { format!("<path class={} d=\"{path}H{RIGHT}\"/>", kind.class()) }
    }

    /// A line from value to value, each with a dot.
    fn line(&self, kind: LineKind, points: &[ChartPoint]) -> String {
        let mut path = String::new();
        let mut dots = String::new();
        for (at, point) in points.iter().enumerate() {
            let (x, y) = (self.x(point.at), self.y(point.value));
            let _ = write!(path, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' });
            let _ = write!(dots, "<circle class={} cx={x:.1} cy={y:.1} r=2 />", kind.class());
        }
        if path.is_empty() { path } else { format!("<path class={} d=\"{path}\"/>{dots}", kind.class()) }
    }
}

/// The weights in percent, wanted and seen, as a staircase up to some time. `words` says the same to who cannot see it.
pub(super) fn staircase(
    desired: &[ChartPoint],
    observed: &[ChartPoint],
    until: Option<i64>,
    words: &str,
) -> Option<String> {
    let mut frame = Frame::of(&[(LineKind::Desired, desired), (LineKind::Observed, observed)], None, 100.0)?;
    frame.to = frame.to.max(until.unwrap_or(frame.to));
    let lines = frame.steps(LineKind::Desired, desired) + &frame.steps(LineKind::Observed, observed);
    Some(svg(&(frame.grid(" %") + &lines), words))
}

/// A gate's measurements slot by slot, with its limit.
pub(super) fn measurements(
    candidate: &[ChartPoint],
    baseline: &[ChartPoint],
    limit: Option<f64>,
    words: &str,
) -> Option<String> {
    let frame =
        Frame::of(&[(LineKind::Candidate, candidate), (LineKind::Baseline, baseline)], limit, f64::MIN_POSITIVE)?;
    let mut lines = frame.line(LineKind::Baseline, baseline) + &frame.line(LineKind::Candidate, candidate);
    if let Some(limit) = limit {
        let y = frame.y(limit);
        let _ = write!(lines, "<path class=limit d=\"M{LEFT} {y:.1}H{RIGHT}\"/>");
    }
    Some(svg(&(frame.grid("") + &lines), words))
}

fn svg(inside: &str, words: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{}\">{inside}</svg>", attribute(words))
}

/// A text as an attribute's value. What comes here is our own words, dates and numbers; it is escaped all the same.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// A number with as many decimals as it needs, three at most.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn clock(at: i64, days: bool) -> String {
    let text = Timestamp::from_second(at).map(|time| time.to_string()).unwrap_or_default();
    let part = if days { text.get(5..16) } else { text.get(11..19) };
    part.unwrap_or_default().replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staircase_keeps_each_weight_until_the_next_and_needs_a_point() {
        let at = |at, value| ChartPoint { at, value };
        let chart =
            staircase(&[at(0, 5.0), at(50, 25.0), at(100, 0.0)], &[], None, "words \"quoted\" & <more>").unwrap();
        assert!(chart.contains("<path class=desired d=\"M52.0 116.4H580.0V94.0H1108.0V122.0H1108\"/>"), "{chart}");
        assert!(chart.contains("aria-label=\"words &quot;quoted&quot; &amp; &lt;more>\""), "{chart}");
        assert_eq!(staircase(&[], &[], Some(1), ""), None);
    }

    #[test]
    fn a_limit_is_within_the_chart_even_if_nothing_comes_near_it() {
        let chart = measurements(&[ChartPoint { at: 0, value: 1.0 }], &[], Some(4.0), "").unwrap();
        assert!(chart.contains("<path class=limit d=\"M52 10.0H1108\"/>"), "{chart}");
        assert!(chart.contains("cy=94.0"), "{chart}");
    }

    #[test]
    fn times_stand_where_they_are_and_never_on_one_another() {
        let times = |from, to| {
            let chart = staircase(&[ChartPoint { at: from, value: 5.0 }], &[], Some(to), "").unwrap();
            let times = chart.split("<text class=tick x=").filter(|text| text.contains(" y=140 "));
            times.map(|text| text.split('<').next().unwrap().replace(" y=140 text-anchor=", " ")).collect::<Vec<_>>()
        };
        // One moment only, as of a gate that was asked once.
        assert_eq!(times(35, 35), ["52.0 start>00:00:35", "1108.0 end>00:00:36"]);
        assert_eq!(times(35, 37), ["52.0 start>00:00:35", "1108.0 end>00:00:37", "580.0 middle>00:00:36"]);
        // The middle is not a whole second: it stands where that second is.
        assert_eq!(times(0, 3), ["52.0 start>00:00:00", "1108.0 end>00:00:03", "404.0 middle>00:00:01"]);
    }

    #[test]
    fn numbers_have_no_needless_decimals() {
        for (value, text) in [(5.0, "5"), (0.25, "0.25"), (0.0, "0"), (12.3456, "12.346"), (100.0, "100")] {
            assert_eq!(number(value), text);
        }
    }
}
