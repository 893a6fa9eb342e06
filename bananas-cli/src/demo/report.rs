//! [`Report`]: what the demo says at the end, as one JSON object or as text for people.

use std::fmt::{self, Write};
use std::path::PathBuf;

use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use super::crew::Death;
use super::home::Server;
use super::kill::Kill;
use super::plan::Plan;
use super::verdict::Verdict;

/// What the demo says at the end.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The folder.
    pub(super) folder: String,
    /// What became of the files.
    #[serde(flatten)]
    pub(super) verdict: Verdict,
    /// How many worker processes there were at a time.
    pub(super) workers: usize,
    /// How many jobs each of them ran at once.
    pub(super) concurrency: usize,
    /// The least time that a job took, in milliseconds.
    pub(super) pace_ms: u64,
    /// How many workers were killed.
    pub(super) killed_workers: u32,
    /// The kill.
    pub(super) kill: Option<Kill>,
    /// How many jobs ran again because their worker died.
    pub(super) rerun: u64,
    /// How long after the kill the last of them had ended.
    pub(super) recovered_ms: Option<u64>,
    /// Workers that ended by themselves.
    pub(super) died_workers: Vec<Death>,
    /// Jobs that ended, by the time from the first enqueue to the last end.
    pub(super) jobs_per_second: f64,
    /// That time.
    pub(super) run_seconds: f64,
    /// The whole time of the demo.
    pub(super) elapsed_seconds: f64,
    /// The run time of jobs, from claim to settle: the median, and what 99 of 100 stay below.
    pub(super) run_ms_p50: f64,
    /// See `run_ms_p50`.
    pub(super) run_ms_p99: f64,
    /// The server that the jobs were on, if they were.
    pub(super) broker: Option<Server>,
    /// The database, if it is still there.
    pub(super) database: Option<String>,
    /// The command that shows the jobs, if they are still there.
    pub(super) look_on: Option<String>,
    /// The folder with the logs of the workers, if it is still there.
    pub(super) logs: Option<PathBuf>,
}

impl Report {
    /// The report on a folder without files.
    pub(super) fn empty(folder: String, plan: &Plan) -> Self {
        Self {
            folder,
            verdict: Verdict::default(),
            workers: plan.workers,
            concurrency: plan.concurrency,
            pace_ms: 0,
            killed_workers: 0,
            kill: None,
            rerun: 0,
            recovered_ms: None,
            died_workers: Vec::new(),
            jobs_per_second: 0.0,
            run_seconds: 0.0,
            elapsed_seconds: 0.0,
            run_ms_p50: 0.0,
            run_ms_p99: 0.0,
            broker: None,
            database: None,
            look_on: None,
            logs: None,
        }
    }

    /// Whether all is well: no job was lost and no result is wrong.
    pub(super) fn is_clean(&self) -> bool {
        self.verdict.lost == 0 && self.verdict.mismatched == 0
    }

    /// The report as text.
    pub(super) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        writeln!(text, "Digests of all files below {}\n", self.folder)?;
        if self.verdict.files == 0 && self.verdict.remarks.is_empty() {
            writeln!(
                text,
                "  There are no files there, so there is nothing to do."
            )?;
            return Ok(text);
        }
        self.work(&mut text)?;
        self.trouble(&mut text)?;
        self.proof(&mut text)?;
        self.onward(&mut text)?;
        Ok(text)
    }

    fn work(&self, text: &mut String) -> fmt::Result {
        let verdict = &self.verdict;
        if let Some(broker) = &self.broker {
            row(text, "broker", &broker.to_string())?;
        }
        let (files, lines) = (HumanCount(verdict.files), HumanCount(verdict.lines));
        row(
            text,
            "files",
            &format!("{files}, {}, {lines} lines", BinaryBytes(verdict.bytes)),
        )?;
        let (jobs, workers) = (HumanCount(verdict.succeeded), self.workers);
        let seconds = self.run_seconds;
        let rate = figure(self.jobs_per_second);
        row(
            text,
            "succeeded",
            &format!(
                "{jobs} jobs in {seconds:.1} s with {workers} worker processes: {rate} jobs/s"
            ),
        )?;
        let (p50, p99) = (figure(self.run_ms_p50), figure(self.run_ms_p99));
        row(
            text,
            "run time",
            &format!("p50 {p50} ms, p99 {p99} ms, from claim to stored result"),
        )?;
        if self.pace_ms > 0 {
            let note = format!(
                "each job is made to take {} ms, to be caught in the middle of it",
                self.pace_ms
            );
            row(text, "", &note)?;
        }
        let (copies, groups) = (verdict.duplicates, verdict.duplicate_groups);
        let bytes = BinaryBytes(verdict.duplicate_bytes);
        let duplicates = match copies {
            0 => "none".to_owned(),
            1 => format!("1 file is a copy of another, taking {bytes}"),
            _ => format!(
                "{} are copies of {}, taking {bytes}",
                count(copies, "file"),
                count(groups, "other")
            ),
        };
        row(text, "duplicates", &duplicates)
    }

    fn trouble(&self, text: &mut String) -> fmt::Result {
        text.push('\n');
        match &self.kill {
            Some(kill) => {
                let Kill {
                    worker,
                    pid,
                    running,
                    after_jobs,
                    replaced_by,
                    ..
                } = kill;
                let (running, after) = (count(*running, "job"), count(*after_jobs, "job"));
                row(
                    text,
                    "killed",
                    &format!(
                        "worker {worker} (pid {pid}) with SIGKILL after {after}, while it was running {running};"
                    ),
                )?;
                row(text, "", &format!("worker {replaced_by} took its place"))?;
            }
            None => row(
                text,
                "killed",
                "no worker: none was found in the middle of a job",
            )?,
        }
        let recovered = match self.recovered_ms {
            Some(ms) => format!(
                ", the last had ended {:.1} s after the kill",
                ms as f64 / 1000.0
            ),
            None => String::new(),
        };
        row(
            text,
            "run again",
            &format!("{}{recovered}", count(self.rerun, "job")),
        )?;
        for death in &self.died_workers {
            let Death { worker, pid, how } = death;
            row(
                text,
                "died",
                &format!("worker {worker} (pid {pid}) by itself: {how}"),
            )?;
        }
        Ok(())
    }

    fn proof(&self, text: &mut String) -> fmt::Result {
        let verdict = &self.verdict;
        text.push('\n');
        let numbers = [
            ("unreadable", verdict.unreadable, "could not be read"),
            (
                "vanished",
                verdict.vanished,
                "went away before they could be read",
            ),
            (
                "changed",
                verdict.changed,
                "were written to after they were digested",
            ),
            ("appeared", verdict.appeared, "came too late to get a job"),
            ("mismatched", verdict.mismatched, "were read wrongly"),
        ];
        for (name, number, meaning) in numbers.into_iter().filter(|(_, number, _)| *number > 0) {
            row(text, name, &format!("{} {meaning}", count(number, "file")))?;
            self.remarks(text, name)?;
        }
        self.remarks(text, "closed")?;
        let proof = match verdict.lost {
            0 => "no job; a second walk by other code found every file with its job and its size",
            _ => "of these files the jobs have not ended",
        };
        row(
            text,
            "lost",
            &format!("{}: {proof}", HumanCount(verdict.lost)),
        )?;
        self.remarks(text, "lost")?;
        if verdict.compared > 0 {
            let compared = count(verdict.compared, "file");
            row(
                text,
                "",
                &format!("{compared} were read once more and compared by digest"),
            )?;
        }
        Ok(())
    }

    fn remarks(&self, text: &mut String, what: &str) -> fmt::Result {
        for remark in self
            .verdict
            .remarks
            .iter()
            .filter(|remark| remark.what == what)
        {
            let name = if what == "closed" { "no entry" } else { "" };
            row(text, name, &format!("{:?}: {}", remark.file, remark.reason))?;
        }
        Ok(())
    }

    fn onward(&self, text: &mut String) -> fmt::Result {
        text.push('\n');
        match &self.look_on {
            Some(command) => row(text, "look on", command)?,
            None => row(
                text,
                "look on",
                "with --keep the jobs stay, for `bananas jobs list`",
            )?,
        }
        match &self.logs {
            Some(logs) => row(text, "logs", &logs.display().to_string()),
            None => Ok(()),
        }
    }
}

fn row(text: &mut String, name: &str, value: &str) -> fmt::Result {
    writeln!(text, "  {name:<11} {value}")
}

/// A number with its thing, in the plural where it needs one.
pub(super) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", HumanCount(number))
}

/// As many digits as a person wants to see.
fn figure(number: f64) -> String {
    if number < 10.0 {
        return format!("{number:.1}");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "above, and rounded on purpose"
    )]
    let whole = number.round() as u64;
    HumanCount(whole).to_string()
}
