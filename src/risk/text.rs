//! An assessment in words.

use std::fmt::Write as _;

use crate::model::lease::DeclaredRisk;

use super::{
    MODEL,
    assess::{Assessment, AuthorRole, Demands, TermView},
    calibrate::{Calibration, Counts},
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
        "risk {} of 100 (model {}): the percentile among the last {} changes before it",
        assessment.score, assessment.model, assessment.compared_with
    )?;
    writeln!(out, "change {from}..{}: {} commits, {} files", change.to.short(), change.commits, change.files)?;
    writeln!(out, "\nwhat makes the score, against the median change here:")?;
    for term in &assessment.terms {
        let named = format!("{}={}", term.feature, number(term.value));
        writeln!(
            out,
            "  {}  {named:<14} {:<6}  {}; median {}",
            signed(term),
            format!("(p{})", term.percentile),
            term.meaning,
            number(term.median)
        )?;
    }
    let used: Vec<_> = assessment.terms.iter().map(|term| term.feature).collect();
    let rest = assessment.features.iter().filter(|(name, _)| !used.contains(name));
    let rest: Vec<_> = rest.map(|(name, value)| format!("{name}={}", number(*value))).collect();
    writeln!(out, "measured, and no part of the score: {}", rest.join(" "))?;
    if assessment.author == AuthorRole::Agent {
        writeln!(out, "left out, since the author is an agent: EXP, REXP, SEXP")?;
    }
    if assessment.factors.is_empty() {
        writeln!(out, "\nbeside the score: no factor")?;
    } else {
        writeln!(out, "\nbeside the score:")?;
    }
    for factor in &assessment.factors {
        writeln!(out, "  {}: {}", factor.name.name(), one_line(&factor.why))?;
    }
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

/// Outcomes, for people.
pub fn counts_text(counts: &Counts) -> String {
    format!(
        "labels: {} commits reverted, {} kept; {} leases rolled back, {} completed; {} commits too young to tell\n",
        counts.reverted, counts.kept, counts.rolled_back, counts.completed, counts.too_young
    )
}

/// A calibration, for people.
pub fn calibration_text(calibration: &Calibration) -> String {
    let mut out = counts_text(&calibration.labels);
    let _ = writeln!(
        out,
        "fitted to the {} older changes, tested on the {} newer ones",
        calibration.trained_on, calibration.tested_on
    );
    let _ = writeln!(out, "\nAUC on the newer ones (a coin has 0.500; ± is a 95 % interval):");
    for ranking in &calibration.auc {
        let _ = writeln!(out, "  {:<18} {:.3} ± {:.3}", ranking.by, ranking.auc, ranking.margin);
    }
    let _ = writeln!(out, "\nweights      {:>9}   refitted", MODEL.name);
    for term in &MODEL.terms {
        let name = term.feature.name();
        let refitted = calibration.weights.get(name).copied().unwrap_or_default();
        let _ = writeln!(out, "  {name:<10} {:>9.4}  {refitted:>9.4}", term.weight);
    }
    let _ = writeln!(out, "  {:<10} {:>9.4}  {:>9.4}", "intercept", MODEL.intercept, calibration.intercept);
    let _ = writeln!(
        out,
        "note: scores go on being computed by {}, so that everybody computes the same; no probability follows from\n      \
         these weights: labels are reverts and rollbacks, not all that went wrong",
        MODEL.name
    );
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

/// A contribution with its sign, to one digit; what rounds to nothing has none.
fn signed(term: &TermView) -> String {
    let text = format!("{:+.1}", term.contribution);
    if text == "-0.0" || text == "+0.0" { " 0.0".to_owned() } else { text }
}

/// A path may hold a line feed; it must not look like a line of ours.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
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
        let said: Vec<_> = [640.0, 0.5, 0.123, 100.0, 0.0].into_iter().map(number).collect();
        assert_eq!(said, ["640", "0.5", "0.12", "100", "0"]);
    }

    #[test]
    fn the_block_is_one_line_of_yaml() {
        let mut risk = DeclaredRisk { score: 71, model: "two-key-1".to_owned(), factors: Vec::new() };
        assert_eq!(block(&risk), "risk: {score: 71, model: two-key-1}\n");
        risk.factors = vec!["lockfile".to_owned(), "no-tests".to_owned()];
        assert_eq!(block(&risk), "risk: {score: 71, model: two-key-1, factors: [lockfile, no-tests]}\n");
    }
}
