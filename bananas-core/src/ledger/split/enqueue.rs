//! Accepting jobs: record, then publish.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use super::Shared;
use crate::ledger::limits::{check_size, short_answer};
use crate::{
    Accepted, Error, ErrorKind, Job, JobState, NewRecord, Publication, Publish, Published,
    QueueName, QueueSpec, RawMessage, Recorded, Republish, Result, Track,
};

/// One job on its way in.
enum Step {
    /// Answered already.
    Answered(Result<Accepted>),
    /// Recorded, and waiting for its time or for the broker.
    Recorded(Accepted),
    /// The publish is the acceptance.
    Untracked(Accepted),
}

impl Shared {
    pub(super) async fn enqueue(self: &Arc<Self>, jobs: Vec<Job>) -> Vec<Result<Accepted>> {
        let publication = Publication {
            id: self.env.batch_id(),
            owner: self.options.process.clone(),
        };
        let (mut steps, mut messages) = self.record(jobs, &publication).await;
        // Without a record there is no batch.
        let mut recorded_published = steps.iter().any(|step| matches!(step, Step::Recorded(_)));
        let places: Vec<usize> = messages.iter().map(|(place, _)| *place).collect();
        let batch = messages.drain(..).map(|(_, publish)| publish).collect();
        for (place, published) in places.into_iter().zip(self.publish(batch).await) {
            let Some(step) = steps.get_mut(place) else {
                continue;
            };
            match (&mut *step, published) {
                (Step::Recorded(accepted) | Step::Untracked(accepted), Ok(_)) => {
                    accepted.published = true;
                }
                (Step::Recorded(_), Err(e)) => {
                    recorded_published = false;
                    tracing::warn!(error = %e, "job recorded but not published; the upkeep will publish it");
                }
                (Step::Untracked(_), Err(e)) => *step = Step::Answered(Err(e.during("enqueue"))),
                (Step::Answered(_), _) => {}
            }
        }
        // A batch with one unpublished job stays open, and is published again as a whole.
        if recorded_published {
            self.confirm_soon(&publication);
        }
        steps
            .into_iter()
            .map(|step| match step {
                Step::Answered(answer) => answer,
                Step::Recorded(accepted) | Step::Untracked(accepted) => Ok(accepted),
            })
            .collect()
    }

    /// Records what is tracked, and says what has to be published, each with its place in the batch.
    async fn record(
        &self,
        jobs: Vec<Job>,
        publication: &Publication,
    ) -> (Vec<Step>, Vec<(usize, Publish)>) {
        let now = self.env.now();
        let mut steps = Vec::with_capacity(jobs.len());
        let mut messages = Vec::new();
        let mut records = Vec::new();
        for (place, job) in jobs.into_iter().enumerate() {
            let accepted = Accepted {
                id: job.id,
                duplicate: false,
                published: false,
            };
            match self.encode(&job) {
                Err(e) => steps.push(Step::Answered(Err(e))),
                Ok(body) if job.track == Track::Full || self.is_beyond_broker(job.run_at, now) => {
                    let record = NewRecord::of(&job, body, now);
                    if record.standing.state == JobState::Ready {
                        messages.push((place, publish(&record)));
                    }
                    records.push((place, record));
                    steps.push(Step::Recorded(accepted));
                }
                Ok(body) => {
                    let mut message = RawMessage::new(job.id, body);
                    message.priority = job.priority;
                    message.not_before = job.run_at.filter(|at| *at > now);
                    messages.push((
                        place,
                        Publish {
                            queue: job.queue,
                            message,
                        },
                    ));
                    steps.push(Step::Untracked(accepted));
                }
            }
        }
        if records.is_empty() {
            return (steps, messages);
        }
        let (places, records): (Vec<usize>, Vec<NewRecord>) = records.into_iter().unzip();
        let mut answers = self
            .store
            .jobs()
            .record(records, Some(publication.clone()))
            .await
            .into_iter();
        for place in places {
            let answer = answers
                .next()
                .unwrap_or_else(|| Err(short_answer("enqueue")));
            let Some(step) = steps.get_mut(place) else {
                continue;
            };
            match answer {
                Ok(Recorded::New) => continue,
                Ok(Recorded::Duplicate(id)) => {
                    *step = Step::Answered(Ok(Accepted {
                        id,
                        duplicate: true,
                        published: true,
                    }));
                }
                Err(e) => *step = Step::Answered(Err(e.during("enqueue"))),
            }
            messages.retain(|(other, _)| *other != place);
        }
        (steps, messages)
    }

    fn encode(&self, job: &Job) -> Result<bytes::Bytes> {
        if job.unique.is_some() && job.track != Track::Full {
            let message = format!(
                "a unique job needs track = \"full\"; this one has \"{}\"",
                job.track
            );
            return Err(Error::new(ErrorKind::Unsupported, message).on(&job.queue));
        }
        let body = self.options.codecs.of(&job.queue).encode(job)?;
        check_size(body.len(), self.info.capabilities.max_message, &job.queue)?;
        Ok(body)
    }

    /// Publishes recorded jobs; the first refusal is the answer, and their batch must then stay open.
    pub(super) async fn publish_recorded(&self, jobs: Vec<Republish>) -> Result<()> {
        let batch = jobs
            .into_iter()
            .map(|job| {
                let mut message = RawMessage::new(job.job.id, job.body).copy_is(job.copy);
                message.priority = job.priority;
                Publish {
                    queue: job.job.queue,
                    message,
                }
            })
            .collect();
        for published in self.publish(batch).await {
            published?;
        }
        Ok(())
    }

    /// Publishes messages; the answers are in order, one for each. A queue that nobody has made yet is made
    /// first, as any queue is where the record is the message.
    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        if batch.is_empty() {
            return Vec::new();
        }
        let queues: Vec<QueueName> = batch.iter().map(|publish| publish.queue.clone()).collect();
        let new: BTreeSet<QueueName> = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            let new = queues.iter().filter(|queue| made.insert((*queue).clone()));
            new.cloned().collect()
        };
        if !new.is_empty() {
            let specs: Vec<QueueSpec> = new.into_iter().map(QueueSpec::new).collect();
            if let Err(e) = self.broker.ensure(&specs).await {
                tracing::warn!(error = %e, "queues could not be made; publishing tells whether they are there");
            }
        }
        let mut answers = self.broker.publish(batch).await;
        answers.resize_with(queues.len(), || Err(short_answer("publish")));
        for (queue, answer) in queues.iter().zip(&answers) {
            if matches!(answer, Err(e) if e.kind() == ErrorKind::NotFound) {
                let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
                made.remove(queue);
            }
        }
        answers
    }

    /// Closes a batch soon, together with others; nobody waits for it.
    pub(super) fn confirm_soon(self: &Arc<Self>, publication: &Publication) {
        if !self.unconfirmed.add(publication.id) {
            return;
        }
        let shared = Arc::clone(self);
        self.env.spawn_isolated(
            "confirm",
            Box::pin(async move {
                let mut closer = shared.unconfirmed.closer();
                while closer.goes_on() {
                    if let Err(e) = shared.confirm_published().await {
                        tracing::warn!(error = %e, "publications not confirmed yet; jobs may be published twice");
                        return;
                    }
                }
            }),
        );
    }

    /// Closes all batches that were published.
    pub(super) async fn confirm_published(&self) -> Result<()> {
        let batches = self.unconfirmed.take();
        if batches.is_empty() {
            return Ok(());
        }
        let confirmed = self.store.jobs().confirm(&batches).await;
        if confirmed.is_err() {
            self.unconfirmed.put_back(batches);
        }
        confirmed
    }
}

fn publish(record: &NewRecord) -> Publish {
    let mut message = RawMessage::new(record.id, record.body.clone());
    message.priority = record.priority;
    Publish {
        queue: record.queue.clone(),
        message,
    }
}
