//! Looking after many jobs: those that are due, those of dead owners, those that a broker has lost.

use bananas_core::{
    BatchId, Due, DuePage, JobId, JobState, Lost, Publication, QueueName, Republish, Tick,
    Timestamp,
};

use super::row::Row;
use super::table::Table;

impl Table {
    /// Makes jobs of dead owners, then due ones, ready.
    pub(super) fn due(&mut self, due: &Due, tick: Tick) -> DuePage {
        let mut page = DuePage::default();
        let publication = due.publication.as_ref();
        self.index.owners.sweep(tick);
        for id in self.index.owners.orphans(due.max) {
            let moved = self.change(id, |row| row.record.reap(due.now).then(|| republish(row)));
            self.add(&mut page, moved, publication, due.now);
        }
        while page.moved < due.max as u64
            && let Some((at, id)) = self.index.due.first().copied()
            && at <= due.now
        {
            let moved = self.promote(id, due.now);
            self.add(&mut page, moved, publication, due.now);
        }
        page.more = page.moved >= due.max as u64;
        page.next = self.index.due.first().map(|(at, _)| *at);
        page
    }

    /// Makes due jobs of one queue ready, at most `max`.
    pub(super) fn promote_queue(&mut self, queue: &QueueName, max: usize, now: Timestamp) {
        for _ in 0..max {
            match self.next_due(queue) {
                Some((at, id)) if at <= now => drop(self.promote(id, now)),
                _ => break,
            }
        }
    }

    /// When the next job of a queue is due, and which.
    pub(super) fn next_due(&self, queue: &QueueName) -> Option<(Timestamp, JobId)> {
        self.index.queues.get(queue)?.due.first().copied()
    }

    /// Finds ready jobs that the broker does not have. Only jobs in overdue batches, and with evidence those of
    /// a queue, are looked at; how many others wait does not matter.
    pub(super) fn lost(&mut self, lost: &Lost) -> DuePage {
        let mut page = DuePage::default();
        let max = lost.max as u64;
        for batch in self.batches.overdue(&lost.gone, lost.open_for, lost.now) {
            let mut running = Vec::new();
            while page.moved < max
                && batch != lost.publication.id
                && let Some(id) = self.batches.next_job(batch)
            {
                if self.is_ready_in(id, batch) {
                    self.publish_again(id, &mut page, lost);
                } else if self.is_stamped(id, batch) {
                    running.push(id);
                }
            }
            // A worker may give them back while the batch is still open.
            for id in running {
                self.batches.stamp(batch, id);
            }
        }
        for queue in &lost.evidence {
            let left = lost.max
                - usize::try_from(page.moved)
                    .unwrap_or(lost.max)
                    .min(lost.max);
            for id in self.unpublished(queue, lost.publication.id, left) {
                // To the end of the line, so that the next page starts with jobs that were not looked at.
                self.requeue(id);
                self.publish_again(id, &mut page, lost);
            }
        }
        page.more = page.moved >= max;
        page
    }

    fn promote(&mut self, id: JobId, now: Timestamp) -> Option<Option<Republish>> {
        self.change(id, |row| {
            row.record.standing.due(now).then(|| republish(row))
        })
    }

    fn publish_again(&mut self, id: JobId, page: &mut DuePage, lost: &Lost) {
        let moved = self.change(id, |row| {
            row.record.standing.copy += 1;
            Some(republish(row))
        });
        self.add(page, moved, Some(&lost.publication), lost.now);
    }

    /// Counts a move, and if there is somebody to publish it, adds it to the page and to the batch.
    fn add(
        &mut self,
        page: &mut DuePage,
        moved: Option<Option<Republish>>,
        publication: Option<&Publication>,
        now: Timestamp,
    ) {
        let Some(again) = moved else { return };
        page.moved += 1;
        if let (Some(again), Some(publication)) = (again, publication) {
            self.stamp(again.job.id, publication, now);
            page.jobs.push(again);
        }
    }

    fn is_stamped(&self, id: JobId, batch: BatchId) -> bool {
        self.rows
            .get(&id)
            .is_some_and(|row| row.batch == Some(batch))
    }

    fn is_ready_in(&self, id: JobId, batch: BatchId) -> bool {
        self.rows.get(&id).is_some_and(|row| {
            row.record.standing.state == JobState::Ready && row.batch == Some(batch)
        })
    }

    /// Ready jobs of a queue in no open batch, and not in the one under way.
    fn unpublished(&self, queue: &QueueName, under_way: BatchId, max: usize) -> Vec<JobId> {
        let Some(jobs) = self.index.queues.get(queue) else {
            return Vec::new();
        };
        let closed = |id: &JobId| {
            let batch = self.rows.get(id).and_then(|row| row.batch);
            batch.is_none_or(|batch| batch != under_way && !self.batches.is_open(batch))
        };
        let waiting = jobs.ready.iter().chain(jobs.suspects.iter());
        waiting.filter(closed).take(max).collect()
    }
}

fn republish(row: &Row) -> Republish {
    Republish {
        job: row.record.reference(),
        body: row.record.body.clone(),
        priority: row.record.priority,
        copy: row.record.standing.copy,
    }
}
