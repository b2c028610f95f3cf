//! An assessment in words.

use std::fmt::Write as _;

use crate::model::{lease::DeclaredRisk, text::is_hidden};

use super::{
    assess::{Assessment, Demands},
    lease::{DeclaredView, LeaseAssessment},
};

/// The whole assessment, for people.
pub fn text(assessment: &Assessment) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_text(&mut out, assessment);
    out
}

fn write_text(out: &mut String, assessment: &Assessment) -> std::fmt::Result {
    let change = &assessment.change;
    let from = change.from.map_or("nothing".to_owned(), |from| from.short());
    writeln!(
        out,
        "risk {} of 100 (model {}): the percentile of its size among the last {} ranges of as many commits",
        assessment.score, assessment.model, assessment.compared_with
    )?;
    writeln!(out, "change {from}..{}: {} commits, {} files", change.to.short(), change.commits, change.files)?;
    if assessment.factors.is_empty() {
        writeln!(out, "\nbeside the score: no factor")?;
    } else {
        writeln!(out, "\nbeside the score:")?;
    }
    for factor in &assessment.factors {
        writeln!(out, "  {}: {}", factor.name.name(), one_line(&factor.why))?;
    }
    writeln!(out, "\nwhat makes the size, against the median range here:")?;
    for term in &assessment.terms {
        let (times, named) = (format!("×{:.1}", term.times), format!("{}={}", term.feature, number(term.value)));
        let (percentile, meaning, median) = (format!("(p{})", term.percentile), term.meaning, number(term.median));
        writeln!(out, "  {times:>7}  {named:<14} {percentile:<6}  {meaning}; median {median}")?;
    }
    let used: Vec<_> = assessment.terms.iter().map(|term| term.feature).collect();
    let rest = assessment.features.iter().filter(|(name, _)| !used.contains(name));
    let rest: Vec<_> = rest.map(|(name, value)| format!("{name}={}", number(*value))).collect();
    writeln!(out, "measured, and no part of the score: {}", rest.join(" "))?;
    if let Some(terms) = &assessment.demands {
        writeln!(out, "the policy demands of this risk: {}", demands(terms))?;
    }
    for remark in &assessment.remarks {
        writeln!(out, "note: {}", one_line(remark))?;
    }
    Ok(())
}

/// A lease's assessment, for people.
pub fn lease_text(lease: &LeaseAssessment) -> String {
    let mut out = text(&lease.assessment);
    let declared = match &lease.declared {
        Some(DeclaredView { score, model, factors }) => format!("declared: {}", flow(*score, model, factors)),
        None => "declared: nothing".to_owned(),
    };
    let verdict = match &lease.objection {
        Some(objection) => format!("does not hold: {objection}"),
        None => "holds".to_owned(),
    };
    let _ = writeln!(out, "\n{}: {declared}: {verdict}", lease.lease);
    if let Some(looser) = &lease.looser {
        let _ = writeln!(out, "the lease is too loose for it: {looser}");
    }
    out
}

/// Terms in words.
fn demands(terms: &Demands) -> String {
    let mut words = Vec::new();
    words.extend(terms.bake.as_ref().map(|bake| format!("every tier bakes at least {bake}")));
    words.extend(terms.first_tier.map(|weight| format!("a first tier of at most {weight} %")));
    words.extend(terms.samples.map(|times| format!("{times} times the gates' minimum samples")));
    words.extend((terms.humans > 0).then(|| format!("{} more of the humans", terms.humans)));
    if words.is_empty() { "nothing more".to_owned() } else { words.join(", ") }
}

/// A path may hold a line feed, or what turns text around; it must not look like a line of ours, nor like another path.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// A value without needless digits.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The line to paste into a lease.
pub fn block(risk: &DeclaredRisk) -> String {
    format!("risk: {}\n", flow(risk.score, &risk.model, &risk.factors))
}

fn flow(score: u8, model: &str, factors: &[String]) -> String {
    let factors = if factors.is_empty() { String::new() } else { format!(", factors: [{}]", factors.join(", ")) };
    format!("{{score: {score}, model: {model}{factors}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_needless_digits() {
        let shown: Vec<_> = [640.0, 0.5, 0.123, 100.0, 0.0].into_iter().map(number).collect();
        assert_eq!(shown, ["640", "0.5", "0.12", "100", "0"]);
    }

    #[test]
    fn a_path_stays_on_its_line_and_reads_as_it_is() {
        assert_eq!(one_line("a\nb\u{202e}c\u{200b}d"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(one_line("Größe"), "Größe");
    }

    #[test]
    fn the_block_is_one_line_of_yaml() {
        let mut risk = DeclaredRisk { score: 71, model: "two-key-2".to_owned(), factors: Vec::new() };
        assert_eq!(block(&risk), "risk: {score: 71, model: two-key-2}\n");
        risk.factors = vec!["lockfile".to_owned(), "no-tests".to_owned()];
        assert_eq!(block(&risk), "risk: {score: 71, model: two-key-2, factors: [lockfile, no-tests]}\n");
    }
}
