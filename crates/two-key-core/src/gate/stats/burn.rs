//! Error budgets, and how fast they burn (Google, The Site Reliability Workbook, chapter 5).

/// The time that a budget is for, in seconds: 30 days.
pub const PERIOD: f64 = 30.0 * 86_400.0;

/// How many times faster than sustainable a budget burns: the share of bad events over the share that the objective
/// (in percent, above 0 and below 100) allows.
pub fn rate(bad: f64, total: f64, objective: f64) -> f64 {
    (bad / total) / (1.0 - objective / 100.0)
}

/// The share of a 30-day budget that a burn rate spends in a window of so many seconds.
pub fn spent(rate: f64, window: f64) -> f64 {
    rate * window / PERIOD
}
