//! A job as the server keeps it: a standing of a fixed width that changes, a body that never does, and beside them
//! a story (errors and a note) and a result for the jobs that have one.

use std::sync::OnceLock;

use bananas_core::{
    AttemptError, BatchId, DeadReason, JobId, JobRecord, JobState, NewRecord, OwnerId, Priority,
    QueueName, Standing, Tags, TaskName, Timestamp, Track,
};
use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How many bytes a standing has, its number included.
pub(crate) const WIDTH: usize = 108;

/// That a time is not set.
const NEVER: i64 = i64::MIN;

const REASONS: [DeadReason; 5] = [
    DeadReason::AttemptsUsedUp,
    DeadReason::Fatal,
    DeadReason::Poison,
    DeadReason::Undecodable,
    DeadReason::Outdated,
];
const TRACKS: [Track; 3] = [Track::None, Track::Outcome, Track::Full];

/// A job as it was read, what became of it here, and what of it was read.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The standing as the server has it.
    pub(crate) stored: Bytes,
    /// Without the body, a made-up task; without the story, no errors and no note.
    pub(crate) record: JobRecord,
    /// The publication batch it was stamped with last.
    pub(crate) batch: Option<BatchId>,
    /// Its place among all jobs of the queue.
    number: u64,
    /// Whether somebody asked to forget it.
    pub(crate) dropped: bool,
    /// What story the server has.
    pub(crate) told: Told,
    has_result: bool,
    /// The story and the result as they were read; `None` if they were not.
    read: Option<(Vec<u8>, Option<Bytes>)>,
}

/// What is told of a job beside its standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Errors,
    /// A note, and perhaps errors.
    Note,
}

const TOLD: [Told; 3] = [Told::Nothing, Told::Errors, Told::Note];

/// What happened to a job.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Story {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<AttemptError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// A new standing, and what belongs to it, as the scripts take it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) standing: Vec<u8>,
    /// Empty if it stays as it is, or if there is none.
    pub(crate) result: Vec<u8>,
    /// Likewise.
    pub(crate) story: Vec<u8>,
}

impl Row {
    /// Reads a standing; the rest of the record is empty.
    pub(crate) fn read(queue: &QueueName, id: JobId, stored: Bytes) -> Result<Self, Error> {
        let corrupt = || Error::Corrupt(id);
        if stored.len() != WIDTH {
            return Err(corrupt());
        }
        let mut bytes = stored.clone();
        let (standing, started_at) = read_standing(&mut bytes).ok_or_else(corrupt)?;
        let track = TRACKS
            .get(usize::from(bytes.get_u8()))
            .ok_or_else(corrupt)?;
        let priority = Priority::new(bytes.get_u8()).map_err(|_| corrupt())?;
        let told = TOLD.get(usize::from(bytes.get_u8())).ok_or_else(corrupt)?;
        let has_result = bytes.get_u8() == 1;
        let batch = read_id(&mut bytes, BatchId::from_slice);
        let new = NewRecord {
            id,
            queue: queue.clone(),
            task: unread().ok_or_else(corrupt)?,
            priority,
            track: *track,
            tags: Tags::default(),
            body: Bytes::new(),
            created_at: Timestamp::default(),
            standing,
            unique: None,
            errors: Vec::new(),
            result: None,
        };
        let mut record = new.into_record();
        record.started_at = started_at;
        Ok(Self {
            stored,
            record,
            batch,
            number: bytes.get_u64(),
            dropped: false,
            told: *told,
            has_result,
            read: None,
        })
    }

    /// Adds the story and the result.
    pub(crate) fn read_more(
        &mut self,
        story: Option<Vec<u8>>,
        result: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        let story = story.filter(|_| self.told != Told::Nothing);
        let result = result.filter(|bytes| self.has_result && !bytes.is_empty());
        let result = result.map(|bytes| Bytes::from(bytes).slice(1..));
        self.record.result.clone_from(&result);
        let story = story.unwrap_or_default();
        if !story.is_empty() {
            let told: Story =
                serde_json::from_slice(&story).map_err(|_| Error::Corrupt(self.record.id))?;
            (self.record.errors, self.record.note) = (told.errors, told.note);
        }
        self.read = Some((story, result));
        Ok(())
    }

    /// Adds what never changes.
    pub(crate) fn read_body(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let body = Body::read(bytes).ok_or(Error::Corrupt(self.record.id))?;
        self.record.task = body.task;
        self.record.tags = body.tags;
        self.record.created_at = body.created_at;
        self.record.body = body.body;
        Ok(())
    }

    /// Whether nothing is kept of it.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.dropped || self.record.is_forgotten()
    }

    /// The row as it is now, to be written in place of what is stored. A story that was not read stays.
    pub(crate) fn write(&self) -> Written {
        let record = &self.record;
        if self.is_forgotten() {
            return Written::default();
        }
        let (old_story, old_result) = match &self.read {
            Some((story, result)) => (story.as_slice(), result.as_ref()),
            None => (&[][..], None),
        };
        let mut story = story(&record.errors, record.note.as_deref());
        let mut told = told(record);
        if self.read.is_none() && story.is_empty() {
            told = self.told;
        }
        if story == old_story {
            story.clear();
        }
        let result = record.result.as_ref();
        let flags = (told, self.has_result || result.is_some());
        let mut standing = standing(record, self.batch, flags);
        standing.put_u64(self.number);
        let new_result = result.filter(|result| Some(*result) != old_result);
        Written {
            standing,
            result: new_result.map(|it| marked(it)).unwrap_or_default(),
            story,
        }
    }
}

fn told(record: &JobRecord) -> Told {
    match (&record.note, record.errors.is_empty()) {
        (Some(_), _) => Told::Note,
        (None, false) => Told::Errors,
        (None, true) => Told::Nothing,
    }
}

/// The task of a job whose task was not read.
fn unread() -> Option<TaskName> {
    static UNREAD: OnceLock<Option<TaskName>> = OnceLock::new();
    UNREAD.get_or_init(|| TaskName::new("unread").ok()).clone()
}

/// What never changes of a job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) task: TaskName,
    pub(crate) tags: Tags,
    pub(crate) created_at: Timestamp,
    pub(crate) body: Bytes,
}

impl Body {
    /// The body stands last, as it is.
    pub(crate) fn read(bytes: Vec<u8>) -> Option<Self> {
        let mut bytes = Bytes::from(bytes);
        let created_at = Timestamp::from_micros(bytes.try_get_i64().ok()?);
        let task = part(&mut bytes)?;
        let task = TaskName::new(std::str::from_utf8(&task).ok()?).ok()?;
        let tags = part(&mut bytes)?;
        let tags = if tags.is_empty() {
            Tags::default()
        } else {
            serde_json::from_slice(&tags).ok()?
        };
        Some(Self {
            task,
            tags,
            created_at,
            body: bytes,
        })
    }

    fn write(job: &NewRecord) -> Vec<u8> {
        write_body(&job.task, &job.tags, job.created_at, &job.body)
    }
}

fn write_body(task: &TaskName, tags: &Tags, created_at: Timestamp, body: &[u8]) -> Vec<u8> {
    let task = task.as_str();
    let tags = if tags.is_empty() {
        Vec::new()
    } else {
        // Text always has a JSON form.
        serde_json::to_vec(tags).unwrap_or_default()
    };
    let mut bytes = Vec::with_capacity(16 + task.len() + tags.len() + body.len());
    bytes.put_i64(created_at.as_micros());
    put(&mut bytes, task.as_bytes());
    put(&mut bytes, &tags);
    bytes.extend(body);
    bytes
}

/// A job whose record could not be read, as the dead job that it becomes.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) standing: Standing,
    pub(super) track: Track,
    pub(super) priority: Priority,
    pub(super) number: u64,
    /// The story as it was.
    pub(super) story: Vec<u8>,
    /// What was found.
    pub(super) error: AttemptError,
    pub(super) has_result: bool,
    /// `None` if the body can be read.
    pub(super) body: Option<Body>,
}

impl Aside {
    /// Its standing, its story, and its body (empty if that stays), as the scripts take them.
    pub(super) fn write(self, queue: &QueueName, id: JobId) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let told: Story = serde_json::from_slice(&self.story).unwrap_or_default();
        let mut errors = told.errors;
        errors.truncate(bananas_core::MAX_ERRORS_KEPT - 1);
        errors.push(self.error);
        let text = story(&errors, None);
        let body = self
            .body
            .map(|body| write_body(&body.task, &body.tags, body.created_at, &body.body));
        let Some(task) = unread() else {
            return Default::default();
        };
        let new = NewRecord {
            id,
            queue: queue.clone(),
            task,
            priority: self.priority,
            track: self.track,
            tags: Tags::default(),
            body: Bytes::new(),
            created_at: Timestamp::default(),
            standing: self.standing,
            unique: None,
            errors,
            result: None,
        };
        let flags = (Told::Errors, self.has_result);
        let mut bytes = standing(&new.into_record(), None, flags);
        bytes.put_u64(self.number);
        (bytes, text, body.unwrap_or_default())
    }
}

/// A new job: its standing without a number, its story and result, and its body. All but the last are empty for
/// a job of which nothing is kept.
pub(crate) fn write_new(job: NewRecord, batch: Option<BatchId>) -> (Written, Vec<u8>) {
    let body = Body::write(&job);
    let ready = job.standing.state == JobState::Ready;
    let record = job.into_record();
    if record.is_forgotten() {
        return (Written::default(), body);
    }
    let story = story(&record.errors, None);
    let flags = (told(&record), record.result.is_some());
    let written = Written {
        standing: standing(&record, batch.filter(|_| ready), flags),
        result: record
            .result
            .as_ref()
            .map(|it| marked(it))
            .unwrap_or_default(),
        story,
    };
    (written, body)
}

/// A result behind a byte, so that an empty one is told from none.
fn marked(result: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + result.len());
    bytes.push(b'=');
    bytes.extend(result);
    bytes
}

fn story(errors: &[AttemptError], note: Option<&str>) -> Vec<u8> {
    if errors.is_empty() && note.is_none() {
        return Vec::new();
    }
    let story = Story {
        errors: errors.to_vec(),
        note: note.map(str::to_owned),
    };
    // Text, numbers and words always have a JSON form.
    serde_json::to_vec(&story).unwrap_or_default()
}

/// In the order that `table.lua` describes.
fn standing(record: &JobRecord, batch: Option<BatchId>, (told, result): (Told, bool)) -> Vec<u8> {
    let standing = &record.standing;
    let time = |at: Option<Timestamp>| at.map_or(NEVER, Timestamp::as_micros);
    let number = |place: Option<usize>| place.and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(WIDTH);
    bytes.put_u8(number(
        JobState::ALL.iter().position(|it| *it == standing.state),
    ));
    bytes.put_u8(standing.cancel_requested.into());
    bytes.put_u64(standing.epoch);
    bytes.put_u8(standing.owner.is_some().into());
    bytes.extend(standing.owner.map_or([0; 16], |owner| *owner.as_bytes()));
    bytes.put_u32(standing.claimed_with.0);
    bytes.put_u32(standing.claimed_with.1);
    bytes.put_i64(time(standing.run_at));
    bytes.put_i64(time(record.started_at));
    bytes.put_i64(time(standing.finished_at));
    let reason = REASONS.iter().position(|it| Some(*it) == standing.reason);
    bytes.put_u8(number(reason.map(|n| n + 1)));
    bytes.put_u32(standing.failed_attempts);
    bytes.put_u32(standing.crashes);
    bytes.put_u32(standing.copy);
    bytes.put_i64(time(standing.expires_at));
    bytes.put_u8(number(TRACKS.iter().position(|it| *it == record.track)));
    bytes.put_u8(record.priority.get());
    bytes.put_u8(number(TOLD.iter().position(|it| *it == told)));
    bytes.put_u8(result.into());
    bytes.extend(batch.map_or([0; 16], |batch| *batch.as_bytes()));
    bytes
}

fn read_standing(bytes: &mut Bytes) -> Option<(Standing, Option<Timestamp>)> {
    let state = *JobState::ALL.get(usize::from(bytes.get_u8()))?;
    let cancel_requested = bytes.get_u8() == 1;
    let epoch = bytes.get_u64();
    let has_owner = bytes.get_u8() == 1;
    let owner = OwnerId::from_slice(&bytes.split_to(16)).filter(|_| has_owner);
    let claimed_with = (bytes.get_u32(), bytes.get_u32());
    let mut time = || {
        Some(bytes.get_i64())
            .filter(|at| *at != NEVER)
            .map(Timestamp::from_micros)
    };
    let (run_at, started_at, finished_at) = (time(), time(), time());
    let reason = match usize::from(bytes.get_u8()).checked_sub(1) {
        Some(n) => Some(*REASONS.get(n)?),
        None => None,
    };
    let standing = Standing {
        state,
        epoch,
        failed_attempts: bytes.get_u32(),
        crashes: bytes.get_u32(),
        copy: bytes.get_u32(),
        owner,
        claimed_with,
        run_at,
        expires_at: Some(bytes.get_i64())
            .filter(|at| *at != NEVER)
            .map(Timestamp::from_micros),
        cancel_requested,
        finished_at,
        reason,
    };
    Some((standing, started_at))
}

fn read_id<T>(bytes: &mut Bytes, read: fn(&[u8]) -> Option<T>) -> Option<T> {
    let id = bytes.split_to(16);
    read(&id).filter(|_| id.iter().any(|byte| *byte != 0))
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.put_u16(u16::try_from(part.len()).unwrap_or(u16::MAX));
    bytes.extend(part);
}

fn part(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::from(bytes.try_get_u16().ok()?);
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
