//! Showing how far a wait is: a bar on a terminal, now and then a line elsewhere.

use std::time::Duration;

use bananas::Tick;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;
use crate::render::text::count;

/// Lines in a log file are so far apart.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// How far a wait is.
pub(super) struct Progress<'a> {
    output: &'a Output,
    bar: Option<ProgressBar>,
    last: Tick,
}

impl<'a> Progress<'a> {
    pub(super) fn new(output: &'a Output, now: Tick) -> Self {
        let bar = output.shows_progress().then(|| {
            let bar = ProgressBar::new(0);
            // The template is ours; should it be refused, the default style does as well.
            if let Ok(style) =
                ProgressStyle::with_template("{wide_bar} {pos}/{len} jobs, {per_sec}, {elapsed}")
            {
                bar.set_style(style);
            }
            bar
        });
        Self {
            output,
            bar,
            last: now,
        }
    }

    /// So many of so many have ended.
    pub(super) fn show(&mut self, ended: u64, total: u64, now: Tick) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(ended);
        } else if now.since(self.last) >= BETWEEN_LINES {
            self.last = now;
            self.output
                .note(format_args!("{ended} of {} ended", count(total, "job")));
        }
    }

    /// Takes the bar away.
    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
