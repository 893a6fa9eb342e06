//! Two clients of a ledger that want different things of one job at the same moment.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Alteration, Altered, Chore, JobId, JobSettled, JobState, Ledger};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::hand_worker::ANY;
use crate::outcomes::{fatal, success};
use crate::race::race;

checks!(LedgerCase:
    a_take_and_a_cancel_at_once_agree,
    an_end_and_the_death_of_its_owner_at_once_agree,
    two_retries_of_a_dead_job_at_once_run_it_once,
    a_retry_and_a_drop_at_once_agree,
);

/// How often each race is run.
const ROUNDS: usize = 15;

async fn alter(ledger: Arc<dyn Ledger>, id: JobId, alteration: Alteration) -> Altered {
    let index = ledger.index().unwrap();
    index.alter(&[id], alteration).await.unwrap()[0]
}

/// Proves L22, S1, S64.
async fn a_take_and_a_cancel_at_once_agree(case: LedgerCase) {
    let there = case.second_client().await;
    let mut worker = case.worker().await;
    for _ in 0..ROUNDS {
        let id = case.enqueue(case.job()).await;
        let take = async move {
            let claimed = worker.source.next(1, ANY, Duration::from_millis(50)).await;
            (worker, claimed.unwrap())
        };
        let cancel = alter(Arc::clone(&there), id, Alteration::Cancel);
        let (taken, altered) = race(&case.env, take, cancel).await;
        let (mut its_worker, claimed) = taken;
        match altered {
            Altered::Requested => {
                let claimed = match claimed.is_empty() {
                    true => its_worker.take(1).await,
                    false => claimed,
                };
                assert_eq!(claimed[0].job.id, id, "it runs");
                its_worker.succeed(&claimed).await;
            }
            Altered::Done(JobState::Cancelled) => {
                assert!(claimed.is_empty(), "a cancelled job came");
            }
            other => panic!("a job that waits or runs can be cancelled: {other:?}"),
        }
        worker = its_worker;
    }
    case.assert_drained(&mut worker).await;
}

/// Proves L22, L30, S1, S40, S56.
async fn an_end_and_the_death_of_its_owner_at_once_agree(case: LedgerCase) {
    let mut worker = case.worker().await;
    let here = Arc::clone(&case.ledger);
    for _ in 0..ROUNDS {
        let id = case.enqueue(case.job()).await;
        let mut dying = case.worker_elsewhere(crate::hand_worker::LONG_LEASE).await;
        let claimed = dying.one().await;
        let gone = Chore::Retire(vec![dying.owner.id]);
        let ledger = Arc::clone(&here);
        let retire = async move {
            ledger.tend(gone).await.unwrap();
            ledger.tend(Chore::Promote).await.unwrap();
        };
        let end = async move { dying.settle(&claimed, success()).await };
        let (settled, ()) = race(&case.env, end, retire).await;
        match settled {
            JobSettled::Settled(JobState::Succeeded) => {
                let standing = case.record(id).await.standing;
                assert_eq!((standing.state, standing.crashes), (JobState::Succeeded, 0));
            }
            JobSettled::Stale { .. } => {
                let again = worker.one().await;
                assert_eq!((again.job.id, again.attempt, again.crashes), (id, 1, 1));
                worker.succeed(&[again]).await;
            }
            other => panic!("it counts, or it is late: {other:?}"),
        }
    }
    case.assert_drained(&mut worker).await;
}

/// Proves S1, S64.
async fn two_retries_of_a_dead_job_at_once_run_it_once(case: LedgerCase) {
    let there = case.second_client().await;
    let mut worker = case.worker().await;
    for _ in 0..ROUNDS {
        let id = case.enqueue(case.job()).await;
        let claimed = worker.one().await;
        worker.settle(&claimed, fatal(&case.env, 1)).await;
        let retry = |ledger: &Arc<dyn Ledger>| alter(Arc::clone(ledger), id, Alteration::Retry);
        let both = race(&case.env, retry(&case.ledger), retry(&there)).await;
        let done = Altered::Done(JobState::Scheduled);
        assert_eq!(both, (done, done));
        let again = worker.one().await;
        assert_eq!((again.job.id, again.attempt), (id, 1));
        worker.succeed(&[again]).await;
    }
    case.assert_drained(&mut worker).await;
}

/// Proves S1, S64, S65.
async fn a_retry_and_a_drop_at_once_agree(case: LedgerCase) {
    let there = case.second_client().await;
    let mut worker = case.worker().await;
    for _ in 0..ROUNDS {
        let id = case.enqueue(case.job()).await;
        let claimed = worker.one().await;
        worker.settle(&claimed, fatal(&case.env, 1)).await;
        let retry = alter(Arc::clone(&case.ledger), id, Alteration::Retry);
        let drop = alter(Arc::clone(&there), id, Alteration::Drop);
        match race(&case.env, retry, drop).await {
            (Altered::Missing, Altered::Dropped) => assert!(case.find(id).await.is_none()),
            (Altered::Done(_), Altered::Refused(_)) => {
                let again = worker.one().await;
                assert_eq!(again.job.id, id);
                worker.succeed(&[again]).await;
            }
            both => panic!("they contradict each other: {both:?}"),
        }
    }
    case.assert_drained(&mut worker).await;
}
