//! What a child process does with a ledger until it is killed. Its output is as that of [`Role`](crate::role::Role).

use std::time::Duration;

use bananas_core::{Claimed, JobId};

use crate::case::LedgerCase;
use crate::hand_worker::{LONG_LEASE, SHORT_LEASE};
use crate::role::{at, print};

/// What a child process does with a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LedgerRole {
    /// Claims so many jobs on a short lease, prints them, and keeps them.
    Hold,
    /// Enqueues batches of so many for ever, and prints what is accepted.
    Enqueue,
    /// Runs batches of so many for ever, and prints what is settled.
    Work,
    /// Runs batches of so many until nothing comes any more.
    Drain,
}

impl LedgerRole {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Hold, Self::Enqueue, Self::Work, Self::Drain];

    /// Plays it.
    pub(crate) async fn play(self, case: LedgerCase, number: usize) {
        match self {
            Self::Hold => hold(&case, number).await,
            Self::Enqueue => loop {
                print(&case.enqueue_all(case.jobs(number)).await);
            },
            Self::Work => work(&case, SHORT_LEASE * 3, number, u32::MAX).await,
            Self::Drain => work(&case, LONG_LEASE, number, 20).await,
        }
    }
}

async fn hold(case: &LedgerCase, number: usize) {
    let mut worker = case.worker_on(&case.ledger, SHORT_LEASE * 3).await;
    let claimed = worker.take(number).await;
    print(&ids(&claimed));
    at("held");
    std::future::pending().await
}

/// Runs jobs until so many looks in a row have found none.
async fn work(case: &LedgerCase, lease: Duration, number: usize, looks: u32) {
    let mut worker = case.worker_on(&case.ledger, lease).await;
    let mut in_vain = 0;
    while in_vain < looks {
        let claimed = worker.look(number).await;
        worker.succeed(&claimed).await;
        print(&ids(&claimed));
        in_vain = if claimed.is_empty() { in_vain + 1 } else { 0 };
        // The lease is renewed as a worker does it, so that it lapses only when the process is killed.
        worker.ledger.renew(&worker.owner, lease).await.unwrap();
    }
    at("drained");
    std::future::pending().await
}

fn ids(claimed: &[Claimed]) -> Vec<JobId> {
    claimed.iter().map(|run| run.job.id).collect()
}
