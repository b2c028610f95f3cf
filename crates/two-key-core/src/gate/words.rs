//! Figures as people read them.

use super::stats::counts::Counts;

/// A number with four significant digits or so.
pub(super) fn number(value: f64) -> String {
    let text = if value == 0.0 || (0.001..1e6).contains(&value.abs()) {
        format!("{value:.4}")
    } else {
        format!("{value:.3e}")
    };
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A count, to the last one where that is of use.
pub(super) fn count(value: f64) -> String {
    if value.abs() < 1e12 { format!("{value:.0}") } else { number(value) }
}

/// Bad events of all.
pub(super) fn counts(counts: Counts) -> String {
    format!("{} bad of {} ({})", count(counts.bad), count(counts.total), percent(counts.share()))
}

/// A share in percent, with as many digits as tell it from zero.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent >= 0.1 { format!("{percent:.1} %") } else { format!("{percent:.2e} %") }
}

/// Evidence of which the natural logarithm is known, however large or small it is.
pub(super) fn evidence(ln: f64) -> String {
    if (-11.0..13.0).contains(&ln) {
        return number(libm::exp(ln));
    }
    if ln == f64::NEG_INFINITY {
        return "0".to_owned();
    }
    let log10 = ln / std::f64::consts::LN_10;
    format!("{:.1}e{:.0}", libm::pow(10.0, log10 - log10.floor()), log10.floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_however_large_or_small() {
        assert_eq!([number(0.25), number(3.0), number(1.5e300), number(1e-9)], ["0.25", "3", "1.500e300", "1.000e-9"]);
        assert_eq!([count(3061.0), count(1e13)], ["3061", "1.000e13"]);
        assert_eq!([percent(0.0), percent(0.05), percent(1e-6)], ["0.0 %", "5.0 %", "1.00e-4 %"]);
        let words = [0.0, 300_f64.ln(), 1000.0, -1000.0, f64::NEG_INFINITY].map(evidence);
        assert_eq!(words, ["1", "300", "2.0e434", "5.1e-435", "0"]);
    }
}
