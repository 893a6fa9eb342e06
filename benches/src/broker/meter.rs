//! [`Meter`]: how long something took, and how much CPU time of this process and of the server.

use std::time::Instant;

use anyhow::Result;

use crate::cpu;
use crate::report::{Report, median};

/// The figures of something that is done again and again.
#[derive(Default)]
pub(super) struct Meter {
    per_second: Vec<f64>,
    client_us: Vec<f64>,
    server_us: Vec<f64>,
}

impl Meter {
    /// Measures what answers how many jobs it has done, on a server with this process id, if that says something.
    pub(super) async fn of(
        &mut self,
        server: Option<u32>,
        work: impl Future<Output = Result<usize>> + Send,
    ) -> Result<()> {
        let of_server = |pid: Option<u32>| pid.map(cpu::of_process).transpose();
        let (client, before) = (cpu::own(), of_server(server)?);
        let start = Instant::now();
        let jobs = work.await?;
        let seconds = start.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "job counts are far below 2^53")]
        let jobs = jobs as f64;
        let micros = 1e6 / jobs;
        self.per_second.push(jobs / seconds);
        self.client_us.push((cpu::own() - client) * micros);
        if let (Some(before), Some(after)) = (before, of_server(server)?) {
            self.server_us.push((after - before) * micros);
        }
        Ok(())
    }

    /// Jobs per second, the last time.
    pub(super) fn last(&self) -> f64 {
        self.per_second.last().copied().unwrap_or(f64::NAN)
    }

    /// Prints the medians.
    pub(super) fn print(mut self, (target, what): (&str, &str), report: &mut Report) {
        report.figure(target, what, median(&mut self.per_second), "jobs/s");
        let of = |whose: &str| format!("{what}: {whose}");
        let sides = [("client", self.client_us), ("server", self.server_us)];
        for (whose, mut us) in sides.into_iter().filter(|(_, us)| !us.is_empty()) {
            report.figure(target, &of(whose), median(&mut us), "us CPU/job");
        }
    }
}
