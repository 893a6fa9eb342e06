//! A worker played by hand: it takes jobs and settles them exactly when a check says so.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Chore, Claimed, Env, JobSettled, Ledger, Outcome, Owner, QueueName, Renewed, Source, SourceSpec,
};

use crate::outcomes::success;
use crate::patience::Patience;

/// A lease that no check outlives.
pub(crate) const LONG_LEASE: Duration = Duration::from_secs(600);

/// A lease that a check can wait for.
pub(crate) const SHORT_LEASE: Duration = Duration::from_secs(1);

/// So much credit that no check uses it up.
const CREDIT: u32 = 10_000;

/// How long one look for jobs waits.
const LOOK: Duration = Duration::from_millis(20);

/// So many suspects that there is no limit.
pub(crate) const ANY: usize = 1_000;

/// An owner with a source, who also does the scheduler's chores while it waits.
pub(crate) struct HandWorker {
    pub(crate) owner: Owner,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) source: Box<dyn Source>,
    /// How long one look for jobs waits.
    wait: Duration,
    /// The clock of its patience.
    clock: Arc<dyn Env>,
}

/// A new owner, of a process that nobody can look at.
pub(crate) fn new_owner(env: &Arc<dyn Env>) -> Owner {
    Owner {
        id: env.owner_id(),
        host: "conformance".to_owned(),
        boot_id: String::new(),
        pid: std::process::id(),
        pid_started: 0,
    }
}

impl HandWorker {
    /// Enlists a new owner for so long and opens a source.
    pub(crate) async fn enlist(
        env: &Arc<dyn Env>,
        ledger: &Arc<dyn Ledger>,
        queue: &QueueName,
        lease: Duration,
    ) -> Self {
        let owner = new_owner(env);
        let limits = ledger.info().capabilities.lease;
        let mut spec = SourceSpec::new(queue.clone(), owner.clone());
        spec.lease = lease.clamp(limits.min, limits.max);
        spec.credit = CREDIT;
        let renewed = ledger.renew(&owner, lease).await.unwrap();
        assert!(matches!(renewed, Renewed::Held { .. }), "{renewed:?}");
        Self {
            source: ledger.open(spec).await.unwrap(),
            owner,
            ledger: Arc::clone(ledger),
            wait: LOOK,
            clock: Arc::clone(env),
        }
    }

    /// Looks without waiting, as one must whose clock stands still; its patience ends by another clock.
    pub(crate) fn without_waiting(mut self, clock: &Arc<dyn Env>) -> Self {
        self.wait = Duration::ZERO;
        self.clock = Arc::clone(clock);
        self
    }

    /// Looks once for at most `max` jobs, and does the chores if there is none.
    pub(crate) async fn look(&mut self, max: usize) -> Vec<Claimed> {
        self.look_with(max, ANY, self.wait).await
    }

    /// Looks once, as long as it is told.
    pub(crate) async fn look_with(
        &mut self,
        max: usize,
        suspects: usize,
        wait: Duration,
    ) -> Vec<Claimed> {
        let claimed = self.source.next(max, suspects, wait).await.unwrap();
        if claimed.is_empty() {
            self.tend().await;
        }
        claimed
    }

    /// Does the scheduler's chores once.
    pub(crate) async fn tend(&mut self) {
        self.ledger.tend(Chore::Promote).await.unwrap();
        self.ledger.tend(Chore::Republish).await.unwrap();
    }

    /// Looks until a job comes.
    pub(crate) async fn one(&mut self) -> Claimed {
        let mut claimed = self.take(1).await;
        claimed.remove(0)
    }

    /// Looks until so many jobs have come, and takes no more.
    pub(crate) async fn take(&mut self, jobs: usize) -> Vec<Claimed> {
        let patience = Patience::new(&self.clock);
        let mut claimed = Vec::new();
        while claimed.len() < jobs {
            claimed.extend(self.look(jobs - claimed.len()).await);
            patience.check(&format!("{} of {jobs} jobs came", claimed.len()));
        }
        claimed
    }

    /// Settles one run.
    pub(crate) async fn settle(&mut self, claimed: &Claimed, outcome: Outcome) -> JobSettled {
        let batch = vec![(claimed.clone(), outcome)];
        let mut answers = self.ledger.settle(batch).await;
        assert_eq!(answers.len(), 1, "one answer for one run");
        answers.remove(0).unwrap()
    }

    /// Settles runs as successes, and checks that each counted.
    pub(crate) async fn succeed(&mut self, claimed: &[Claimed]) {
        let batch = claimed.iter().map(|run| (run.clone(), success())).collect();
        for settled in self.ledger.settle(batch).await {
            let settled = settled.unwrap();
            assert!(matches!(settled, JobSettled::Settled(_)), "{settled:?}");
        }
    }

    /// Ends the owner's lease at once, as a neighbour does that sees its process gone.
    pub(crate) async fn die(self) {
        let gone = vec![self.owner.id];
        self.ledger.tend(Chore::Retire(gone)).await.unwrap();
    }
}
