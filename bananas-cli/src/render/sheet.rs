//! A job's record as lines for people: what `jobs show` prints.

use std::fmt::Display;

use bananas::{JobRecord, OwnerRow, Tag, Tags, Timestamp};

use super::job::{JobView, decode};
use super::text::{one_line, visible};
use super::time::{full, humane, relative};

/// The width of the column of names.
const NAMES: usize = 10;

/// How much of a text the lists show.
const NOTE_CHARS: usize = 60;

/// Names and values, one below the other.
#[derive(Debug, Default)]
struct Sheet(String);

impl Sheet {
    fn add(&mut self, name: &str, value: impl Display) {
        let value = visible(&value.to_string());
        for (at, line) in value.lines().enumerate() {
            let name = if at == 0 { name } else { "" };
            self.0.push_str(&format!("{name:NAMES$} {line}\n"));
        }
    }

    fn add_some(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }
}

/// Everything about a job.
pub(crate) fn sheet(record: &JobRecord, owners: &[OwnerRow], now: Timestamp) -> String {
    let view = JobView::of(record);
    let standing = &record.standing;
    let mut sheet = Sheet::default();
    sheet.add("job", &view.id);
    sheet.add("task", &view.task);
    sheet.add("queue", &view.queue);
    sheet.add("state", state(record));
    sheet.add("priority", view.priority);
    sheet.add("track", view.track);
    if !view.tags.is_empty() {
        sheet.add("tags", tags(&view.tags));
    }
    sheet.add("created", full(record.created_at, now));
    sheet.add_some("due", standing.run_at.map(|at| full(at, now)));
    sheet.add_some("expires", standing.expires_at.map(|at| full(at, now)));
    sheet.add_some("started", record.started_at.map(|at| full(at, now)));
    sheet.add_some(
        "finished",
        standing.finished_at.map(|at| finished(record, at, now)),
    );
    sheet.add("attempts", attempts(&view));
    sheet.add("crashes", view.crashes);
    sheet.add("epoch", view.epoch);
    sheet.add_some(
        "timeout",
        decode(record).ok().and_then(|job| job.timeout).map(humane),
    );
    sheet.add_some("owner", standing.owner.map(|id| owner(id, owners)));
    sheet.add_some("note", view.note.as_ref());
    for (name, value) in &view.meta {
        sheet.add("meta", format_args!("{name} = {value}"));
    }
    sheet.add_some("args", view.args.as_ref().map(|args| args.get()));
    sheet.add_some(
        "message",
        view.undecodable
            .as_ref()
            .map(|why| format!("cannot be decoded: {why}")),
    );
    sheet.add_some("result", view.result.as_ref().map(|result| result.get()));
    for (error, seen) in record.errors.iter().zip(&view.errors) {
        let cause = serde_json::to_value(seen.cause).unwrap_or_default();
        let cause = cause.as_str().unwrap_or("failed").replace('_', " ");
        let when = full(error.at, now);
        sheet.add(
            "error",
            format_args!(
                "attempt {} {cause}, {when}\n{}",
                error.attempt, error.message
            ),
        );
    }
    sheet.0
}

/// The row of a list.
pub(crate) fn row(record: &JobRecord, terminal: bool, now: Timestamp) -> Vec<String> {
    let created = if terminal {
        relative(record.created_at, now)
    } else {
        super::time::local(record.created_at)
    };
    vec![
        record.id.to_string(),
        record.task.to_string(),
        record.queue.to_string(),
        record.standing.state.to_string(),
        record.standing.failed_attempts.to_string(),
        created,
        remark(record, now),
        tags(&record.tags),
    ]
}

/// The names of the columns of [`row`].
pub(crate) const COLUMNS: [&str; 8] = [
    "ID", "TASK", "QUEUE", "STATE", "FAILED", "CREATED", "NOTE", "TAGS",
];

fn tags(tags: &Tags) -> String {
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    tags.join(", ")
}

/// What a person most wants to know beside the state.
fn remark(record: &JobRecord, now: Timestamp) -> String {
    let standing = &record.standing;
    if let Some(note) = record
        .note
        .as_ref()
        .filter(|_| !standing.state.is_terminal())
    {
        return one_line(note, NOTE_CHARS);
    }
    if standing.cancel_requested {
        return "asked to cancel".to_owned();
    }
    let due = standing
        .run_at
        .map(|at| format!("due {}", relative(at, now)));
    let error = (standing.state != bananas::JobState::Succeeded)
        .then(|| {
            record
                .errors
                .last()
                .map(|error| one_line(&error.message, NOTE_CHARS))
        })
        .flatten();
    match (due, error) {
        (Some(due), Some(error)) => format!("{due}: {error}"),
        (due, error) => due.or(error).unwrap_or_default(),
    }
}

fn state(record: &JobRecord) -> String {
    let standing = &record.standing;
    let mut text = standing.state.to_string();
    if let Some(reason) = standing.reason {
        text = format!("{text} ({})", reason.as_str().replace('_', " "));
    }
    if standing.cancel_requested {
        text.push_str(", asked to cancel");
    }
    text
}

fn finished(record: &JobRecord, at: Timestamp, now: Timestamp) -> String {
    match record.started_at {
        Some(started) => format!("{}, ran {}", full(at, now), humane(at.since(started))),
        None => full(at, now),
    }
}

fn attempts(view: &JobView) -> String {
    match view.max_attempts {
        Some(max) => format!("{} failed, of at most {max}", view.failed_attempts),
        None => format!("{} failed", view.failed_attempts),
    }
}

fn owner(id: bananas::OwnerId, owners: &[OwnerRow]) -> String {
    match owners.iter().find(|row| row.owner.id == id) {
        Some(row) => {
            let lease = if row.left.is_zero() {
                "its lease has ended".to_owned()
            } else {
                format!("lease for {} more", humane(row.left))
            };
            format!(
                "{id} (process {} on {}, {lease})",
                row.owner.pid, row.owner.host
            )
        }
        None => id.to_string(),
    }
}
