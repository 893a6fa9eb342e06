//! Doing what people ask of jobs.

use bananas_core::{Alteration, Altered, JobId, QueueName};

use super::row::{self, FORGET};
use super::settle;
use crate::error::Error;
use crate::transaction::Transaction;

/// Does what is asked; the answers are in order.
pub(super) fn alter(
    tx: &mut Transaction<'_>,
    ids: &[JobId],
    alteration: Alteration,
) -> Result<Vec<Altered>, Error> {
    let mut answers = Vec::with_capacity(ids.len());
    let mut expected = QueueName::default_queue();
    for id in ids {
        let Some(mut job) = settle::load(tx.connection(), *id, &expected)? else {
            answers.push(Altered::Missing);
            continue;
        };
        expected = job.queue.clone();
        let before = job.standing.clone();
        let altered = job.standing.alter(&alteration, tx.now);
        if altered == Altered::Dropped {
            tx.sql(FORGET)?.execute([job.seq])?;
            tx.moved(&job.queue, Some(before.state), None);
        } else if job.standing != before {
            row::put(tx, &job, before.state)?;
        }
        answers.push(altered);
    }
    Ok(answers)
}
