//! By what a command finds jobs: place, tags, times, text.

use bananas::{JobFilter, JobState, QueueName, SearchText, Tag, TaskName, Timestamp};
use clap::Args;

use crate::exit::usage;
use crate::render::time::local;
use crate::value::{self, When};

/// By what a command finds jobs. All of it must hold at once.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which jobs")]
pub(crate) struct Criteria {
    /// Only jobs on this queue.
    #[arg(long, value_name = "QUEUE")]
    pub(crate) queue: Option<QueueName>,
    /// Only jobs of this task.
    #[arg(long, value_name = "TASK")]
    task: Option<TaskName>,
    /// Only jobs with this tag; given several times, with all of them.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Tag>,
    /// Only jobs with this text in their id, task, tags, arguments (as JSON) or last error, in any case.
    ///
    /// The text is taken as it is; there are no wildcards. Jobs are read one by one for it, the newest first, so
    /// among many jobs it takes a while (a million in seconds); --tag, --since and --state shorten it.
    #[arg(long, value_name = "TEXT", value_parser = value::some_text)]
    text: Option<String>,
    /// Only jobs created since: a time in RFC 3339, or how long ago (2h, 30m, 7d).
    #[arg(long, value_name = "WHEN", value_parser = value::when)]
    since: Option<When>,
    /// Only jobs created before: a time in RFC 3339, or how long ago.
    #[arg(long, value_name = "WHEN", value_parser = value::when)]
    until: Option<When>,
    /// Only jobs that ended since, well or not.
    #[arg(long, value_name = "WHEN", value_parser = value::when)]
    finished_since: Option<When>,
    /// Only jobs that ended before, well or not.
    #[arg(long, value_name = "WHEN", value_parser = value::when)]
    finished_until: Option<When>,
}

impl Criteria {
    /// The filter for these states, none meaning every state; `now` is what `2h` counts from.
    pub(crate) fn filter(&self, states: &[JobState], now: Timestamp) -> anyhow::Result<JobFilter> {
        let mut filter = JobFilter::default();
        filter.states = states.to_vec();
        filter.queue.clone_from(&self.queue);
        filter.task.clone_from(&self.task);
        filter.tags.clone_from(&self.tags);
        filter.text = self.text.as_deref().map(SearchText::new);
        (filter.created_after, filter.created_before) =
            range(("--since", self.since), ("--until", self.until), now)?;
        (filter.finished_after, filter.finished_before) = range(
            ("--finished-since", self.finished_since),
            ("--finished-until", self.finished_until),
            now,
        )?;
        Ok(filter)
    }

    /// Whether it restricts nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_none() && self.is_at_most_a_queue()
    }

    /// Whether it restricts nothing but the queue, so that there are counts for it.
    pub(crate) fn is_at_most_a_queue(&self) -> bool {
        self.task.is_none()
            && self.tags.is_empty()
            && self.text.is_none()
            && self.since.or(self.until).is_none()
            && self.finished_since.or(self.finished_until).is_none()
    }

    /// ` on queue mail of task email.welcome with tag "vip"`
    pub(crate) fn describe(&self, now: Timestamp) -> String {
        let mut words = String::new();
        if let Some(queue) = &self.queue {
            words.push_str(&format!(" on queue {queue}"));
        }
        if let Some(task) = &self.task {
            words.push_str(&format!(" of task {task}"));
        }
        for tag in &self.tags {
            words.push_str(&format!(" with tag {tag:?}"));
        }
        if let Some(text) = &self.text {
            words.push_str(&format!(" with text {text:?}"));
        }
        for (what, when) in [
            ("created since", self.since),
            ("created before", self.until),
            ("finished since", self.finished_since),
            ("finished before", self.finished_until),
        ] {
            if let Some(when) = when {
                words.push_str(&format!(" {what} {}", local(when.at(now))));
            }
        }
        words
    }
}

type Range = (Option<Timestamp>, Option<Timestamp>);

fn range(
    (from_name, from): (&str, Option<When>),
    (to_name, to): (&str, Option<When>),
    now: Timestamp,
) -> anyhow::Result<Range> {
    let (from, to) = (from.map(|when| when.at(now)), to.map(|when| when.at(now)));
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(usage(format!(
            "{from_name} ({}) is not before {to_name} ({}), so no job can match",
            local(from),
            local(to)
        )));
    }
    Ok((from, to))
}
