//! [`Audit`]: the proof that nothing was lost.
//!
//! Two censuses, taken by other code than the producer's, are laid beside what the store says of the jobs, file
//! by file. A job that did not end is lost, and so is a file that was there all the time and has no job. What
//! vanished, appeared or changed meanwhile is told apart from that. Memory: one entry for each file.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context;
use bananas::{Codecs, JobRecord, JobState, RawMessage};

use super::census::{Census, Seen};
use super::digest::{Digest, Digested};

/// What is known of one file.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// What the first census saw.
    pub(super) before: Option<Seen>,
    /// What became of its job.
    pub(super) fate: Option<Fate>,
    /// What the second census saw.
    pub(super) after: Option<Seen>,
}

/// What became of a job.
#[derive(Debug)]
pub(super) enum Fate {
    /// It succeeded.
    Digested {
        /// How many bytes it read.
        bytes: u64,
        /// What they were.
        digest: blake3::Hash,
    },
    /// It ended in another way, for this reason.
    Failed(String),
    /// It did not end; it is in this state.
    Unfinished(JobState),
}

/// Everything known of all files and jobs.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// The files.
    pub(super) files: HashMap<PathBuf, Entry>,
    /// Folders that the second census could not look into.
    pub(super) closed: Vec<(PathBuf, String)>,
    /// How many lines the succeeded jobs counted.
    pub(super) lines: u64,
    /// How long the last run of each ended job took, in microseconds.
    pub(super) run_times: Vec<u64>,
    /// How many jobs lost a worker while they ran.
    pub(super) rerun: u64,
    /// When the last of those ended, in microseconds since the epoch.
    pub(super) rerun_until: i64,
    /// When the last job of all ended, likewise.
    pub(super) ended: i64,
}

impl Audit {
    /// Begins with the census that was taken before the first job.
    pub(super) fn new(census: Census) -> Self {
        let entry = |seen| Entry {
            before: Some(seen),
            ..Entry::default()
        };
        let files = census
            .files
            .into_iter()
            .map(|(path, seen)| (path, entry(seen)))
            .collect();
        Self {
            files,
            ..Self::default()
        }
    }

    /// Adds what the store says of a job.
    pub(super) fn job(&mut self, record: &JobRecord) -> anyhow::Result<()> {
        let task: Digest = decode(record)?;
        let standing = &record.standing;
        let fate = match standing.state {
            JobState::Succeeded => {
                let result = record.result.as_deref().unwrap_or_default();
                let digested: Digested = serde_json::from_slice(result).with_context(|| {
                    format!("job {} has another result than a digest", record.id)
                })?;
                self.lines += digested.lines;
                let digest = blake3::Hash::from_hex(&digested.blake3)
                    .with_context(|| format!("job {} has no digest as its result", record.id))?;
                Fate::Digested {
                    bytes: digested.bytes,
                    digest,
                }
            }
            state if state.is_terminal() => Fate::Failed(reason(record)),
            state => Fate::Unfinished(state),
        };
        if let Some(finished) = standing.finished_at {
            self.ended = self.ended.max(finished.as_micros());
            if let Some(started) = record.started_at {
                let micros = finished.since(started).as_micros();
                self.run_times
                    .push(u64::try_from(micros).unwrap_or(u64::MAX));
            }
        }
        if standing.crashes > 0 {
            self.rerun += 1;
            let finished = standing
                .finished_at
                .map_or(0, bananas::Timestamp::as_micros);
            self.rerun_until = self.rerun_until.max(finished);
        }
        self.files.entry(task.path.into()).or_default().fate = Some(fate);
        Ok(())
    }

    /// Ends with the census that was taken after the last job.
    pub(super) fn again(&mut self, census: Census) {
        for (path, seen) in census.files {
            self.files.entry(path).or_default().after = Some(seen);
        }
        self.closed = census.closed;
    }
}

fn decode(record: &JobRecord) -> anyhow::Result<Digest> {
    let message = RawMessage::new(record.id, record.body.clone());
    let job = Codecs::default()
        .of(&record.queue)
        .decode(&record.queue, &message);
    let job = job.map_err(|e| anyhow::anyhow!("job {} cannot be read: {}", record.id, e.reason))?;
    Ok(job.args.decode()?)
}

fn reason(record: &JobRecord) -> String {
    match record.errors.last() {
        Some(error) => error.message.clone(),
        None => format!("its job is {}", record.standing.state),
    }
}
