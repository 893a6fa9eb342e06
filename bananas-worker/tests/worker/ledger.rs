//! A ledger around a ledger, whose calls can be made to fail.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Accepted, Chore, Claimed, Env, Error, ErrorKind, Job, JobId, JobIndex, JobSettled, Ledger,
    LedgerInfo, Outcome, Owner, OwnerRow, QueueName, Renewed, Result, Source, SourceSpec, Status,
    Tended,
};

/// How long a claim is on its way after it was made, if not no time at all.
type Slowness = Arc<Mutex<Option<(Arc<dyn Env>, Duration)>>>;

/// Delegates to the real one, unless told otherwise.
#[derive(Debug)]
pub(super) struct Troubled {
    real: Arc<dyn Ledger>,
    /// How many more settles fail, perhaps to succeed when tried again.
    pub(super) failing_settles: AtomicUsize,
    /// What becomes of the settles that fail.
    pub(super) settle_status: Mutex<Status>,
    /// Looking for lost jobs fails.
    pub(super) republish_fails: AtomicBool,
    /// How long a claim is on its way after it was made.
    pub(super) slow_claims: Slowness,
    /// The job whose settles always fail, perhaps to succeed when tried again.
    pub(super) unsettled: Mutex<Option<JobId>>,
    /// Renewals fail.
    pub(super) renew_fails: AtomicBool,
    /// Renewals never answer.
    pub(super) renew_hangs: AtomicBool,
    /// The next renewal panics.
    pub(super) renew_panics: AtomicBool,
    /// How many renewals succeeded.
    pub(super) renewals: AtomicU64,
    /// All that was settled, with the answer.
    pub(super) settled: Mutex<Vec<(JobId, Outcome, JobSettled)>>,
    /// The chores that were done.
    pub(super) chores: Mutex<Vec<Chore>>,
}

impl Troubled {
    pub(super) fn new(real: Arc<dyn Ledger>) -> Self {
        Self {
            real,
            failing_settles: AtomicUsize::default(),
            settle_status: Mutex::new(Status::NotApplied),
            republish_fails: AtomicBool::default(),
            slow_claims: Arc::default(),
            unsettled: Mutex::default(),
            renew_fails: AtomicBool::default(),
            renew_hangs: AtomicBool::default(),
            renew_panics: AtomicBool::default(),
            renewals: AtomicU64::default(),
            settled: Mutex::default(),
            chores: Mutex::default(),
        }
    }

    /// Upkeep that somebody else does.
    pub(super) async fn tend_directly(&self, chore: Chore) {
        self.real.tend(chore).await.unwrap();
    }

    /// What is known of a job.
    pub(super) async fn real_index(&self, id: JobId) -> Option<bananas_core::JobRecord> {
        let found = self.real.index().unwrap().get(&[id]).await.unwrap();
        found.into_iter().next().flatten()
    }

    /// The outcomes that were recorded for a job.
    pub(super) fn outcomes(&self, id: JobId) -> Vec<Outcome> {
        let settled = self.settled.lock().unwrap();
        let of_job = settled
            .iter()
            .filter(|(job, _, answer)| *job == id && matches!(answer, JobSettled::Settled(_)));
        of_job.map(|(_, outcome, _)| outcome.clone()).collect()
    }
}

#[async_trait]
impl Ledger for Troubled {
    fn info(&self) -> &LedgerInfo {
        self.real.info()
    }

    async fn ensure(&self, queues: &[QueueName]) -> Result<()> {
        self.real.ensure(queues).await
    }

    async fn enqueue(&self, jobs: Vec<Job>) -> Vec<Result<Accepted>> {
        self.real.enqueue(jobs).await
    }

    async fn open(&self, spec: SourceSpec) -> Result<Box<dyn Source>> {
        let source = self.real.open(spec).await?;
        let slow = Arc::clone(&self.slow_claims);
        Ok(Box::new(Slow { source, slow }))
    }

    async fn settle(&self, batch: Vec<(Claimed, Outcome)>) -> Vec<Result<JobSettled>> {
        let left = self.failing_settles.load(Ordering::SeqCst);
        if left > 0 {
            self.failing_settles.store(left - 1, Ordering::SeqCst);
            let status = *self.settle_status.lock().unwrap();
            let error =
                || Error::new(ErrorKind::Unavailable, "the store is away").status_is(status);
            return batch.iter().map(|_| Err(error())).collect();
        }
        let bad = *self.unsettled.lock().unwrap();
        let is_bad: Vec<bool> = batch.iter().map(|(c, _)| Some(c.job.id) == bad).collect();
        if is_bad.contains(&true) {
            let good = batch.into_iter().filter(|(c, _)| Some(c.job.id) != bad);
            let mut answers = self.settle(good.collect()).await.into_iter();
            let answer = |bad| match bad {
                true => Err(Error::new(ErrorKind::Unavailable, "this one not")),
                false => answers.next().unwrap(),
            };
            return is_bad.into_iter().map(answer).collect();
        }
        let asked = batch.clone();
        let answers = self.real.settle(batch).await;
        let mut settled = self.settled.lock().unwrap();
        for ((claimed, outcome), answer) in asked.into_iter().zip(&answers) {
            if let Ok(answer) = answer {
                settled.push((claimed.job.id, outcome, *answer));
            }
        }
        answers
    }

    async fn renew(&self, owner: &Owner, lease: Duration) -> Result<Renewed> {
        if self.renew_hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.renew_fails.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unreachable, "no route"));
        }
        assert!(!self.renew_panics.swap(false, Ordering::SeqCst), "a bug");
        let renewed = self.real.renew(owner, lease).await;
        self.renewals.fetch_add(1, Ordering::SeqCst);
        renewed
    }

    async fn owners(&self, cancels_of: Option<&Owner>) -> Result<(Vec<OwnerRow>, Vec<JobId>)> {
        self.real.owners(cancels_of).await
    }

    async fn tend(&self, chore: Chore) -> Result<Tended> {
        self.chores.lock().unwrap().push(chore.clone());
        if chore == Chore::Republish && self.republish_fails.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::NotFound, "no such queue"));
        }
        self.real.tend(chore).await
    }

    fn index(&self) -> Option<&dyn JobIndex> {
        self.real.index()
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.real.close(deadline).await
    }
}

/// A source whose claims may take their time to arrive.
#[derive(Debug)]
struct Slow {
    source: Box<dyn Source>,
    slow: Slowness,
}

#[async_trait]
impl Source for Slow {
    async fn next(&mut self, max: usize, suspects: usize, wait: Duration) -> Result<Vec<Claimed>> {
        let claimed = self.source.next(max, suspects, wait).await?;
        let slow = self.slow.lock().unwrap().clone();
        if let (Some((env, time)), false) = (slow, claimed.is_empty()) {
            env.sleep(time).await;
        }
        Ok(claimed)
    }

    async fn stop(&mut self) -> Result<()> {
        self.source.stop().await
    }
}
