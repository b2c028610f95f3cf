//! Random numbers with fixed seeds: the same everywhere, whatever version of whatever crate.

/// `SplitMix64` (Steele, Lea and Flood, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly between 0 and 1, neither of them.
    pub(crate) fn even(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0
    }

    /// Of the normal distribution (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.even().ln()).sqrt() * (std::f64::consts::TAU * self.even()).cos()
    }

    /// Of the gamma distribution of a shape and scale 1 (Marsaglia and Tsang, 2000).
    pub(crate) fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * self.even().powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.even().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// Of Poisson's distribution (Ahrens and Dieter, 1974).
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 30.0 {
            let n = (mean * 7.0 / 8.0).floor();
            let x = self.gamma(n);
            return if x > mean { self.binomial(n - 1.0, mean / x) } else { n + self.poisson(mean - x) };
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.even(), 0.0);
        while product > limit {
            count += 1.0;
            product *= self.even();
        }
        count
    }

    /// Of the binomial distribution.
    pub(crate) fn binomial(&mut self, n: f64, p: f64) -> f64 {
        if n < 60.0 {
            return (0..n as u32).filter(|_| self.even() < p).count() as f64;
        }
        let a = (1.0 + n / 2.0).floor();
        let (x, y) = (self.gamma(a), self.gamma(n - a + 1.0));
        let x = x / (x + y);
        if x >= p { self.binomial(a - 1.0, p / x) } else { a + self.binomial(n - a, (p - x) / (1.0 - x)) }
    }
}
