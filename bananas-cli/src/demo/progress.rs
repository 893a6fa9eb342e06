//! Live progress on standard error: bars on a terminal, plain lines elsewhere, nothing when quiet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bananas::{Env, Tick};
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};

use super::crew::Crew;
use super::kill::Kill;
use crate::output::Output;

/// Shows how the run stands.
#[derive(Debug)]
pub(super) struct Progress {
    env: Arc<dyn Env>,
    output: Output,
    bars: Option<Bars>,
    total: u64,
    started: Tick,
    next_line: Tick,
    last_said: u64,
}

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    jobs: ProgressBar,
    workers: BTreeMap<usize, ProgressBar>,
}

/// How far plain lines are apart.
const LINE_EVERY: Duration = Duration::from_secs(2);

impl Progress {
    /// Progress towards so many jobs.
    pub(super) fn new(env: Arc<dyn Env>, output: &Output, total: u64) -> Self {
        let started = env.monotonic();
        let bars = output.shows_progress().then(|| Bars::new(total));
        let next_line = started + LINE_EVERY;
        Self {
            env,
            output: output.clone(),
            bars,
            total,
            started,
            next_line,
            last_said: 0,
        }
    }

    /// Shows how many jobs have ended, and what each worker is doing.
    pub(super) fn show(&mut self, ended: u64, crew: &Crew, running: &[(u32, u64)]) {
        let now = self.env.monotonic();
        let rate = self.rate(ended, now);
        if let Some(bars) = &mut self.bars {
            bars.jobs.set_position(ended);
            bars.jobs.set_message(rate);
            for member in crew.members() {
                let jobs = running
                    .iter()
                    .find(|(pid, _)| *pid == member.pid)
                    .map_or(0, |(_, n)| *n);
                let doing = match jobs {
                    0 => "waiting".to_owned(),
                    1 => "running 1 job".to_owned(),
                    _ => format!("running {jobs} jobs"),
                };
                bars.worker(member.number)
                    .set_message(format!("pid {:<8} {doing}", member.pid));
            }
        } else if now >= self.next_line && ended > self.last_said {
            (self.next_line, self.last_said) = (now + LINE_EVERY, ended);
            let (ended, total) = (HumanCount(ended), HumanCount(self.total.max(ended)));
            self.output.note(format_args!(
                "demo: {ended} of {total} jobs have ended, {rate}"
            ));
        }
    }

    /// Shows that a worker was killed.
    pub(super) fn killed(&mut self, kill: &Kill) {
        let Kill {
            worker,
            pid,
            running,
            replaced_by,
            ..
        } = kill;
        let jobs = if *running == 1 {
            "its job".to_owned()
        } else {
            format!("{running} jobs")
        };
        let text = format!(
            "killed with SIGKILL in the middle of {jobs}; worker {replaced_by} takes its place"
        );
        match &mut self.bars {
            Some(bars) => bars
                .worker(*worker)
                .set_message(format!("pid {pid:<8} {text}")),
            None => self
                .output
                .note(format_args!("demo: worker {worker} (pid {pid}) {text}")),
        }
    }

    /// Says something in between.
    pub(super) fn say(&self, text: &str) {
        let text = format!("demo: {text}");
        match &self.bars {
            // An error says that the terminal is gone.
            Some(bars) => drop(bars.all.println(text)),
            None => self.output.note(text),
        }
    }

    /// Takes the bars away and says what comes next.
    pub(super) fn clear(self, next: &str) {
        if let Some(bars) = &self.bars {
            // An error says that the terminal is gone.
            drop(bars.all.clear());
        }
        self.output.note(format_args!("demo: {next}"));
    }

    fn rate(&self, ended: u64, now: Tick) -> String {
        let seconds = now.since(self.started).as_secs_f64();
        let per_second = if seconds > 0.0 {
            ended as f64 / seconds
        } else {
            0.0
        };
        let decimals = if per_second < 10.0 { 1 } else { 0 };
        format!("{per_second:.decimals$} jobs/s")
    }
}

impl Bars {
    fn new(total: u64) -> Self {
        let all = MultiProgress::new();
        let jobs = all.add(ProgressBar::new(total));
        let template = "  {bar:40.yellow/238} {human_pos}/{human_len} {percent:>3}%  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            jobs.set_style(style.progress_chars("━╸━"));
        }
        Self {
            all,
            jobs,
            workers: BTreeMap::new(),
        }
    }

    fn worker(&mut self, number: usize) -> &ProgressBar {
        self.workers.entry(number).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::no_length());
            if let Ok(style) = ProgressStyle::with_template("  {prefix:<9}  {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(format!("worker {number}"));
            bar
        })
    }
}
