//! [`Timing`]: how fast the jobs ran, and how soon those of the killed worker had ended.

use super::audit::Audit;
use super::director::Course;

/// How fast the jobs ran. Rounded to thousandths, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Timing {
    /// From the first enqueue to the last end.
    pub(super) run_seconds: f64,
    /// Jobs that ended, by that time.
    pub(super) jobs_per_second: f64,
    /// The median of the run times, in milliseconds.
    pub(super) run_ms_p50: f64,
    /// What 99 of 100 run times stay below.
    pub(super) run_ms_p99: f64,
    /// How long after the kill the last job had ended that ran again.
    pub(super) recovered_ms: Option<u64>,
}

impl Timing {
    /// Reads it off the audit, which knows the jobs.
    pub(super) fn of(audit: &mut Audit, course: &Course) -> Self {
        let times = &mut audit.run_times;
        times.sort_unstable();
        let micros = u64::try_from(audit.ended - course.started.as_micros()).unwrap_or(0);
        let seconds = micros as f64 / 1e6;
        let rate = if micros == 0 {
            0.0
        } else {
            times.len() as f64 / seconds
        };
        let recovered = course
            .kill
            .as_ref()
            .filter(|_| audit.rerun > 0)
            .map(|kill| {
                u64::try_from((audit.rerun_until - kill.at.as_micros()) / 1_000).unwrap_or(0)
            });
        Self {
            run_seconds: round(seconds),
            jobs_per_second: round(rate),
            run_ms_p50: percentile(times, 50),
            run_ms_p99: percentile(times, 99),
            recovered_ms: recovered,
        }
    }
}

/// The value that so many of 100 stay at or below, in milliseconds.
fn percentile(sorted: &[u64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    let micros = sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0);
    round(micros as f64 / 1e3)
}

/// To thousandths.
pub(super) fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use bananas::Timestamp;

    use super::*;

    #[test]
    fn figures_are_read_off_the_jobs() {
        let mut audit = Audit {
            run_times: (1..=200).rev().map(|ms| ms * 1_000).collect(),
            ended: 3_000_000,
            ..Audit::default()
        };
        let course = Course {
            started: Timestamp::from_micros(1_000_000),
            kill: None,
        };
        let timing = Timing::of(&mut audit, &course);
        assert_eq!((timing.run_seconds, timing.jobs_per_second), (2.0, 100.0));
        assert_eq!((timing.run_ms_p50, timing.run_ms_p99), (100.0, 198.0));
        assert_eq!(timing.recovered_ms, None);
    }

    #[test]
    fn no_job_at_all_is_no_division_by_zero() {
        let course = Course {
            started: Timestamp::from_micros(5),
            kill: None,
        };
        assert_eq!(
            Timing::of(&mut Audit::default(), &course),
            Timing::default()
        );
    }
}
