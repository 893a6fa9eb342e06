//! The CPU time of processes.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// The CPU time of this process, in seconds.
pub(crate) fn own() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default().as_secs_f64()
}

/// User and system time of a process, in seconds, from `/proc`: exact to a hundredth.
pub(crate) fn of_process(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold spaces; the times are fields 14 and 15.
    let fields: Vec<&str> = stat
        .rsplit(") ")
        .next()
        .context("no name in stat")?
        .split_whitespace()
        .collect();
    let ticks = |place: usize| -> Result<f64> {
        Ok(fields
            .get(place)
            .context("stat is too short")?
            .parse::<f64>()?)
    };
    let per_second = rustix::param::clock_ticks_per_second();
    #[expect(clippy::cast_precision_loss, reason = "100")]
    let per_second = per_second as f64;
    Ok((ticks(11)? + ticks(12)?) / per_second)
}
