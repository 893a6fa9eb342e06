//! Unique keys.

use std::time::Duration;

use bananas_core::{Accepted, ErrorKind, Job, QueueName, Track, Unique};

use crate::case::LedgerCase;
use crate::check::checks;
use crate::patience::eventually;

checks!(LedgerCase:
    a_unique_key_is_one_job_within_its_time,
    a_unique_key_holds_after_its_job_has_ended,
    a_unique_key_is_free_after_its_time,
    a_unique_key_holds_on_its_own_queue_alone,
    a_unique_key_raced_by_two_clients_is_one_job,
    an_untracked_unique_job_is_refused_or_unique,
);

const LONG: Duration = Duration::from_secs(3_600);

fn unique(case: &LedgerCase, lasts: Duration) -> Job {
    let mut job = case.job();
    let key = "the key".to_owned();
    job.unique = Some(Unique { key, lasts });
    job
}

async fn enqueue(case: &LedgerCase, job: Job) -> Accepted {
    case.ledger.enqueue(vec![job]).await.remove(0).unwrap()
}

/// Proves S11.
async fn a_unique_key_is_one_job_within_its_time(case: LedgerCase) {
    let first = case.enqueue(unique(&case, LONG)).await;
    let second = unique(&case, LONG);
    let id = second.id;
    let answer = enqueue(&case, second).await;
    assert_eq!((answer.id, answer.duplicate), (first, true));
    assert!(
        case.find(id).await.is_none(),
        "the duplicate left no record"
    );
    let mut worker = case.worker().await;
    let claimed = worker.take(1).await;
    worker.succeed(&claimed).await;
    case.assert_drained(&mut worker).await;
}

/// Proves S11.
async fn a_unique_key_holds_after_its_job_has_ended(case: LedgerCase) {
    let first = case.enqueue(unique(&case, LONG)).await;
    let mut worker = case.worker().await;
    let claimed = worker.take(1).await;
    worker.succeed(&claimed).await;
    let answer = enqueue(&case, unique(&case, LONG)).await;
    assert_eq!((answer.id, answer.duplicate), (first, true));
}

/// Proves S11.
async fn a_unique_key_is_free_after_its_time(case: LedgerCase) {
    let lasts = Duration::from_secs(1);
    let before = case.env.now();
    let first = case.enqueue(unique(&case, lasts)).await;
    let free = async || {
        let answer = enqueue(&case, unique(&case, lasts)).await;
        assert_eq!(answer.duplicate, answer.id == first);
        !answer.duplicate
    };
    eventually(&case.env, "the key is free", free).await;
    assert!(
        case.env.now().since(before) >= lasts,
        "it was free too early"
    );
}

/// Proves S11.
async fn a_unique_key_holds_on_its_own_queue_alone(case: LedgerCase) {
    case.enqueue(unique(&case, LONG)).await;
    let mut job = unique(&case, LONG);
    job.queue = QueueName::new("other").unwrap();
    case.ledger
        .ensure(std::slice::from_ref(&job.queue))
        .await
        .unwrap();
    case.enqueue(job).await;
}

/// Proves S11.
async fn a_unique_key_raced_by_two_clients_is_one_job(case: LedgerCase) {
    let other = case.second_client().await;
    for _ in 0..20 {
        let key = case.env.job_id().to_string();
        let race = |ledger| {
            let mut job = case.job();
            let key = key.clone();
            job.unique = Some(Unique { key, lasts: LONG });
            bananas_core::Ledger::enqueue(ledger, vec![job])
        };
        let (here, there) = futures::join!(race(case.ledger.as_ref()), race(other.as_ref()));
        let both = [here, there].map(|mut answers| answers.remove(0).unwrap());
        let new = both.iter().filter(|accepted| !accepted.duplicate).count();
        assert_eq!(new, 1, "one of the two is new: {both:?}");
        assert_eq!(both[0].id, both[1].id, "both are the same job");
    }
}

/// Proves S11, B4.
async fn an_untracked_unique_job_is_refused_or_unique(case: LedgerCase) {
    for track in [Track::None, Track::Outcome] {
        let key = track.to_string();
        let job = || {
            let mut job = case.job();
            job.track = track;
            let key = key.clone();
            job.unique = Some(Unique { key, lasts: LONG });
            job
        };
        match case.ledger.enqueue(vec![job()]).await.remove(0) {
            Err(e) => assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}"),
            Ok(first) => {
                let answer = enqueue(&case, job()).await;
                assert_eq!((answer.id, answer.duplicate), (first.id, true));
            }
        }
    }
}
