//! A job's row: its record, and what of it decides where the indexes keep it.

use bananas_core::{BatchId, JobRecord, JobState, OwnerId, Timestamp};

use crate::line::Rank;

/// One job in the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) record: JobRecord,
    /// Its turn among the ready jobs; kept while it runs, so that a run given back has its old place.
    pub(super) ticket: Option<u64>,
    /// The publication batch it was stamped with last.
    pub(super) batch: Option<BatchId>,
}

/// Where the indexes keep a row. Two equal places need no change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) state: JobState,
    /// When it is due or when it ended.
    pub(super) at: Timestamp,
    pub(super) owner: Option<OwnerId>,
    pub(super) suspect: bool,
}

impl Row {
    pub(super) fn place(&self) -> Place {
        let standing = &self.record.standing;
        Place {
            state: standing.state,
            at: standing.run_at.or(standing.finished_at).unwrap_or_default(),
            owner: standing.owner,
            suspect: standing.is_suspect(),
        }
    }

    /// Its rank among the ready jobs of its queue.
    pub(super) fn rank(&self) -> Rank {
        Rank::new(self.record.priority, self.ticket.unwrap_or(0))
    }
}
