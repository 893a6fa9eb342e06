//! Publication batches: how a store finds the jobs that a broker should have and has not.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;

use crate::{BatchId, JobRef, Owner, Priority, QueueName, Timestamp};

/// A batch of records about to be published. Closed by [`JobStore::confirm`](crate::JobStore::confirm).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Its id.
    pub id: BatchId,
    /// Who publishes it.
    pub owner: Owner,
}

/// Asks for jobs that became ready: scheduled or retrying ones whose time has come, and those whose owner is
/// dead. They move to `Ready` inside an open batch and are returned for publication.
#[derive(Clone, Debug)]
pub struct Due {
    /// The time.
    pub now: Timestamp,
    /// At most so many.
    pub max: usize,
    /// The batch they are stamped with; `None` where the record is the message and nothing is published.
    pub publication: Option<Publication>,
}

/// What became ready, and when more will.
#[derive(Clone, Debug, Default)]
pub struct DuePage {
    /// To be published; empty where the record is the message.
    pub jobs: Vec<Republish>,
    /// How many jobs moved.
    pub moved: u64,
    /// Whether the page was full.
    pub more: bool,
    /// When the next job is due, if one is waiting.
    pub next: Option<Timestamp>,
}

/// Asks for ready jobs that the broker has lost or never got: those in a batch that stayed open for
/// `open_for` or whose owner is in `gone`, and, for the queues in `evidence`, those in closed batches and those
/// that were never in one.
///
/// They are restamped with the new batch, their copy number grows by one. Never by age alone.
#[derive(Clone, Debug)]
pub struct Lost {
    /// The time.
    pub now: Timestamp,
    /// How long a batch may stay open. The design says 30 s.
    pub open_for: Duration,
    /// Batches whose publisher is known to be gone.
    pub gone: HashSet<BatchId>,
    /// Queues whose broker lost its data.
    pub evidence: Vec<QueueName>,
    /// At most so many.
    pub max: usize,
    /// The batch they are stamped with.
    pub publication: Publication,
}

/// A recorded job to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Republish {
    /// The job.
    pub job: JobRef,
    /// The encoded job.
    pub body: Bytes,
    /// Its urgency.
    pub priority: Priority,
    /// Which copy this is.
    pub copy: u32,
}
