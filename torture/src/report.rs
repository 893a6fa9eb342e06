//! [`Report`]: what a run has shown, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use conformance_tests::judge::Micros;
use serde::Serialize;

/// What a run has shown.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) broker: &'static str,
    pub(crate) store: &'static str,
    pub(crate) track: &'static str,
    pub(crate) seed: u64,
    pub(crate) rounds: u32,
    pub(crate) workers: u32,
    pub(crate) bound_ms: u64,
    pub(crate) worker_kills: u64,
    pub(crate) broker_restarts: u64,
    pub(crate) cuts: u64,
    /// By fault: how long those who were struck took to run a job again; for `kill`, how long the jobs of the
    /// killed process were nobody's.
    pub(crate) recovery_ms: BTreeMap<&'static str, Milliseconds>,
    /// By fault: how often it struck, and how long those who were struck took to run a job again.
    pub(crate) faults: BTreeMap<&'static str, Recovery>,
    /// Faults that were asked for and that this broker cannot suffer.
    pub(crate) skipped: Vec<&'static str>,
    /// How often a worker process missed the bound.
    pub(crate) stalled: u64,
    pub(crate) stalls: Vec<Stall>,
    /// Why the run ended before its time.
    pub(crate) broken_off: Option<String>,
    /// Jobs that were asked for.
    pub(crate) jobs: u64,
    pub(crate) accepted: u64,
    /// Runs beyond one for each job.
    pub(crate) rerun: u64,
    /// Runs that did a job's work again, as the judge counts them.
    pub(crate) duplicates: u64,
    /// Those that took over without a cause.
    pub(crate) unexplained_duplicates: u64,
    /// Jobs that ended twice though only one end can count.
    pub(crate) settled_twice: u64,
    pub(crate) lost: u64,
    /// With a confidence of 95 %, no greater part of all jobs is lost.
    pub(crate) loss_rate_at_most: f64,
    /// The most memory that witness and judge had.
    pub(crate) peak_memory_mib: u64,
    /// What else the judge found, by kind.
    pub(crate) violations: BTreeMap<String, u64>,
    /// Jobs and messages that were not at their end when the run was over.
    pub(crate) unsettled: u64,
    /// The same number.
    pub(crate) stuck: u64,
    pub(crate) seconds: u64,
    pub(crate) verdict: Verdict,
    /// Where logs and history are, if they were kept.
    pub(crate) folder: Option<PathBuf>,
    /// What the judge has to tell.
    #[serde(skip)]
    pub(crate) findings: String,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// All is well.
    Passed,
    /// Nothing was found, in too few jobs to say so.
    TooFew,
    /// A worker process was silent for too long, or something was not settled in time.
    Stalled,
    /// A job was lost, or the history is otherwise wrong.
    Unsafe,
}

/// A worker process that missed the bound.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Stall {
    pub(crate) fault: String,
    pub(crate) worker: String,
    /// `None` when it never came back.
    pub(crate) recovery_ms: Option<u64>,
}

/// How long those who were struck took to run a job again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Recovery {
    /// How often the fault struck.
    pub(crate) n: u64,
    pub(crate) recovery_ms: Milliseconds,
}

/// Of one figure for each worker process that was struck, each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Milliseconds {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

impl Recovery {
    pub(crate) fn of(n: u64, mut times: Vec<Micros>) -> Self {
        times.sort_unstable();
        // The smallest figure that so many hundredths of all do not exceed.
        let percentile = |hundredths: usize| {
            let rank = (times.len() * hundredths).div_ceil(100).max(1);
            times.get(rank - 1).map_or(0, |time| time / 1_000)
        };
        Self {
            n,
            recovery_ms: Milliseconds {
                p50: percentile(50),
                p99: percentile(99),
                max: percentile(100),
            },
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (broker, workers, seed) = (self.broker, self.workers, self.seed);
        let (store, track, seconds) = (self.store, self.track, self.seconds);
        writeln!(
            f,
            "{broker} with store {store}, {workers} worker processes, track {track}, seed {seed}, {seconds} s"
        )?;
        for (fault, recovery) in &self.faults {
            let Milliseconds { p50, p99, max } = recovery.recovery_ms;
            let n = recovery.n;
            writeln!(
                f,
                "  {fault:<10} {n:>4} times; workers run again after p50 {p50} ms, p99 {p99} ms, max {max} ms"
            )?;
        }
        if let Some(Milliseconds { p50, p99, max }) = self.recovery_ms.get("kill") {
            writeln!(
                f,
                "  jobs of killed workers are begun again after p50 {p50} ms, p99 {p99} ms, max {max} ms"
            )?;
        }
        for fault in &self.skipped {
            writeln!(f, "  {fault:<10} skipped: {broker} cannot suffer it")?;
        }
        for stall in &self.stalls {
            let Stall { fault, worker, .. } = stall;
            match stall.recovery_ms {
                Some(took) => writeln!(f, "  {worker} was silent for {took} ms after {fault}")?,
                None => writeln!(f, "  {worker} ran no job any more after {fault}")?,
            }
        }
        if let Some(why) = &self.broken_off {
            writeln!(f, "  broken off: {why}")?;
        }
        writeln!(
            f,
            "  jobs {}, run again {}, lost {}, not settled {}, workers stalled {} (bound {} ms)",
            self.jobs, self.rerun, self.lost, self.unsettled, self.stalled, self.bound_ms
        )?;
        writeln!(
            f,
            "  accepted {}, duplicates {} (unexplained {}), settled twice {}, at most {:.2e} of all lost (95 %)",
            self.accepted,
            self.duplicates,
            self.unexplained_duplicates,
            self.settled_twice,
            self.loss_rate_at_most
        )?;
        if !self.findings.is_empty() {
            writeln!(f, "{}", self.findings)?;
        }
        if let Some(folder) = &self.folder {
            writeln!(f, "  logs and history: {}", folder.display())?;
        }
        let verdict = match self.verdict {
            Verdict::Passed => "passed",
            Verdict::TooFew => "too few jobs to say",
            Verdict::Stalled => "stalled",
            Verdict::Unsafe => "unsafe",
        };
        write!(f, "verdict: {verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_figures_that_were_measured() {
        let times: Vec<Micros> = (1..=200).rev().map(|ms| ms * 1_000).collect();
        let Milliseconds { p50, p99, max } = Recovery::of(50, times).recovery_ms;
        assert_eq!((p50, p99, max), (100, 198, 200));
        assert_eq!(Recovery::of(1, vec![7_900]).recovery_ms.p99, 7);
        assert_eq!(Recovery::of(0, Vec::new()), Recovery::default());
    }
}
