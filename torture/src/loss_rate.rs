//! How many jobs may be lost in truth, when so many of so many were: the one-sided upper bound of Clopper and
//! Pearson (1934), which is exact.

/// One minus the confidence.
const DOUBT: f64 = 0.05;

/// How often an interval is halved: until it is as small as numbers get.
const HALVINGS: u32 = 200;

/// The rate of which a greater one is excluded with a confidence of 95 %, after so many losses among so many
/// jobs. Without a loss that is about 3 in the number of jobs.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate need not be that precise"
)]
pub(crate) fn at_most(lost: u64, jobs: u64) -> f64 {
    if lost >= jobs {
        return 1.0;
    }
    let (lost, jobs) = (lost as f64, jobs as f64);
    let (mut low, mut high) = (lost / jobs, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if so_few(lost, jobs, middle) > DOUBT {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// How likely it is that so few or fewer are lost at this rate, by the binomial distribution.
fn so_few(lost: f64, jobs: f64, rate: f64) -> f64 {
    // In logarithms, for the single factors are too small and too large.
    let mut term = jobs * (-rate).ln_1p();
    let (mut sum, mut count) = (term.exp(), 0.0);
    while count < lost {
        term += ((jobs - count) / (count + 1.0)).ln() + rate.ln() - (-rate).ln_1p();
        sum += term.exp();
        count += 1.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_that_of_the_tables() {
        let is = |lost, jobs, bound: f64| {
            let found = at_most(lost, jobs);
            assert!(
                (found / bound - 1.0).abs() < 1e-3,
                "{lost} of {jobs}: {found}"
            );
        };
        is(0, 2_995, 1e-3);
        is(0, 2_995_731, 1e-6);
        // Of the Poisson distribution: 4.744 expected are excluded by one, 7.754 by three.
        is(1, 1_000_000, 4.744e-6);
        is(3, 1_000_000, 7.754e-6);
        is(5, 5, 1.0);
        is(0, 0, 1.0);
    }
}
