//! Traffic: how many requests and errors two versions have in a minute, and how these depend on one another.

use crate::random::Random;

/// How errors come.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Errors {
    /// Each by itself.
    Independent,
    /// A user who fails makes so many failed requests.
    Retried(f64),
    /// The same, as many on average, by a geometric distribution.
    RetriedOnAverage(f64),
    /// The rate varies from minute to minute, with this coefficient of variation, of each version by itself.
    Uneven(f64),
    /// The same, of both versions together: what they share.
    Shared(f64),
    /// The logarithm of the rate resembles that of the minute before: first-order autoregressive, 0.9, deviation 0.5.
    Drifting,
    /// Each by itself, and in one minute of the candidate's every second request fails. It begins in the middle of a slot.
    BadMinute,
}

/// Two versions side by side.
#[derive(Clone, Copy)]
pub(crate) struct Traffic {
    /// The candidate's requests a minute.
    pub(crate) ours: f64,
    /// The stable version's.
    pub(crate) theirs: f64,
    /// The stable version's rate of errors.
    pub(crate) rate: f64,
    /// How many times the errors the candidate has.
    pub(crate) times: f64,
    pub(crate) errors: Errors,
}

/// 100 requests a second in all, 5 % of them the candidate's, 0.5 % errors.
pub(crate) const USUAL: Traffic =
    Traffic { ours: 300.0, theirs: 5700.0, rate: 0.005, times: 1.0, errors: Errors::Independent };

impl Traffic {
    /// What each minute counts: bad and all of the candidate, then of the stable version.
    pub(crate) fn minutes(self, random: &mut Random, minutes: u32) -> Vec<[f64; 4]> {
        let mut drift = [0, 1].map(|_| 0.5 * random.normal());
        let minute = |_| {
            let shared = if let Errors::Shared(variation) = self.errors { factor(random, variation) } else { 1.0 };
            let mut side = |requests: f64, rate: f64, drift: &mut f64| {
                let total = random.poisson(requests);
                let bad = match self.errors {
                    Errors::Independent | Errors::BadMinute => random.poisson(requests * rate),
                    Errors::Retried(each) => each * random.poisson(requests * rate / each),
                    Errors::RetriedOnAverage(each) => {
                        let failing = random.poisson(requests * rate / each);
                        let tries = |random: &mut Random| 1.0 + (random.even().ln() / (1.0 - 1.0 / each).ln()).floor();
                        (0..failing as u32).map(|_| tries(random)).sum()
                    }
                    Errors::Uneven(variation) => {
                        let factor = factor(random, variation);
                        random.poisson(requests * rate * factor)
                    }
                    Errors::Shared(_) => random.poisson(requests * rate * shared),
                    Errors::Drifting => {
                        *drift = 0.9 * *drift + 0.5 * (1.0_f64 - 0.81).sqrt() * random.normal();
                        random.poisson(requests * rate * (*drift - 0.125).exp())
                    }
                };
                [bad.min(total), total]
            };
            let [ours, theirs] = &mut drift;
            let ([bad, total], [bad_before, total_before]) =
                (side(self.ours, self.rate * self.times, ours), side(self.theirs, self.rate, theirs));
            [bad, total, bad_before, total_before]
        };
        let mut all: Vec<[f64; 4]> = (0..minutes).map(minute).collect();
        if self.errors == Errors::BadMinute {
            let began = (random.even() * f64::from(minutes - 1)) as usize;
            for [bad, total, ..] in &mut all[began..=began + 1] {
                *bad = (*bad + (*total / 4.0).round()).min(*total);
            }
        }
        all
    }
}

/// By how much a rate is other than usual, with a coefficient of variation.
fn factor(random: &mut Random, variation: f64) -> f64 {
    let shape = 1.0 / (variation * variation);
    random.gamma(shape) / shape
}
