//! How often the continuous test cries wolf, and how much it takes to see harm: simulated with a fixed seed, beside the
//! figures of the literature, and written into benches/README.md.

use std::{fmt::Write as _, fs, path::Path};

use git_two_key::gate::stats::counts::ln_e;
use statrs::function::beta::beta_reg;

const ALPHA: f64 = 0.05;
/// The candidate's shares of the requests that are simulated.
const SHARES: [f64; 2] = [0.05, 0.25];

/// `SplitMix64` (Steele, Lea and Flood, 2014): the same numbers everywhere, whatever version of whatever crate.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Whether something of a probability happens.
    fn happens(&mut self, probability: f64) -> bool {
        f64::from(u32::try_from(self.bits() >> 32).unwrap()) < probability * 4_294_967_296.0
    }
}

/// After how many errors each of two tests first shows harm, looking after every error, up to a limit.
fn first_alarms(random: &mut Random, rho: f64, times: f64, limit: u32) -> [Option<u32>; 2] {
    // An error is the candidate's with this probability if its rate is so many times the baseline's.
    let probability = times * rho / (times * rho + 1.0 - rho);
    let (mut ours, mut theirs) = (0.0, 0.0);
    let mut alarms = [None, None];
    for errors in 1..=limit {
        *(if random.happens(probability) { &mut ours } else { &mut theirs }) += 1.0;
        if alarms[0].is_none() && ln_e(ours, theirs, rho) >= (1.0 / ALPHA).ln() {
            alarms[0] = Some(errors);
        }
        // The naive one: a binomial test, as if this were the only look. P(X >= ours) = I_rho(ours, theirs + 1).
        if alarms[1].is_none() && ours > 0.0 && beta_reg(ours, theirs + 1.0, rho) <= ALPHA {
            alarms[1] = Some(errors);
        }
        if alarms.iter().all(Option::is_some) {
            break;
        }
    }
    alarms
}

/// The rates of false alarms of both tests, looking after each of 400 errors, in percent.
fn false_alarms(rho: f64) -> [f64; 2] {
    const RUNS: u32 = 2000;
    let mut random = Random(1);
    let mut alarms = [0_u32; 2];
    for _ in 0..RUNS {
        for (count, alarm) in alarms.iter_mut().zip(first_alarms(&mut random, rho, 1.0, 400)) {
            *count += u32::from(alarm.is_some());
        }
    }
    alarms.map(|count| 100.0 * f64::from(count) / f64::from(RUNS))
}

/// The median number of errors, of both versions together, until the continuous test shows harm.
fn errors_to_detect(rho: f64, times: f64) -> u32 {
    let mut random = Random(2);
    let of = |random: &mut Random| {
        let probability = times * rho / (times * rho + 1.0 - rho);
        let (mut ours, mut theirs, mut errors) = (0.0, 0.0, 0);
        while errors < 5000 && ln_e(ours, theirs, rho) < (1.0 / ALPHA).ln() {
            *(if random.happens(probability) { &mut ours } else { &mut theirs }) += 1.0;
            errors += 1;
        }
        errors
    };
    let mut all: Vec<u32> = (0..1001).map(|_| of(&mut random)).collect();
    all.sort_unstable();
    all[500]
}

#[test]
fn false_alarms_stay_below_what_is_put_up_with_and_power_is_as_documented() {
    // By an independent implementation, of the mixture in closed form.
    let reference = [Some([200, 57, 20, 8]), None];
    let [mut alarms, mut alarms_of_naive, mut errors] = [""; 3].map(String::from);
    for (rho, reference) in SHARES.into_iter().zip(reference) {
        let [ours, naive] = false_alarms(rho);
        assert!(ours <= 5.0, "{ours} % of false alarms at rho {rho}");
        assert!(naive >= 15.0, "the naive test shows why: {naive} % at rho {rho}");
        let _ = write!(alarms, " {ours:.1} % |");
        let _ = write!(alarms_of_naive, " {naive:.1} % |");
        let ours = [2.0, 3.0, 5.0, 10.0].map(|times| errors_to_detect(rho, times));
        for (ours, reference) in ours.into_iter().zip(reference.into_iter().flatten()) {
            // A median of a thousand runs is known to a few percent.
            let off = f64::from(ours.abs_diff(reference));
            assert!(off <= 2.0_f64.max(0.15 * f64::from(reference)), "{ours} errors, {reference} in the reference");
        }
        let _ = write!(errors, " {} |", ours.map(|errors| errors.to_string()).join(", "));
    }
    let shares = SHARES.map(|rho| format!("{} %", rho * 100.0)).join(" | ");
    let table = format!(
        "| at alpha 0.05, with the candidate at | {shares} |\n|---|---|---|\n\
         | false alarms, looking after each of 400 errors |{alarms}\n\
         | … of a binomial test at every look |{alarms_of_naive}\n\
         | median errors until 2, 3, 5, 10 times are shown |{errors}\n"
    );
    documented(&table);
}

/// Checks that the page has the table between its marks; `UPDATE_DOCS=1` writes it there.
fn documented(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/README.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- simulated -->\n").unwrap();
    let (there, after) = rest.split_once("<!-- /simulated -->\n").unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}<!-- simulated -->\n{table}<!-- /simulated -->\n{after}")).unwrap();
    } else {
        assert!(
            there == table,
            "{} is stale; UPDATE_DOCS=1 cargo test --test targets power writes it:\n{table}",
            path.display()
        );
    }
}
