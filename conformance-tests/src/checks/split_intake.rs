//! What becomes of deliveries before they run.

use std::time::Duration;

use bananas_core::{
    Broker, Codec, ErrorKind, Job, JobSettled, JobState, JsonCodec, Publish, RawMessage, StateStore,
};
use bytes::Bytes;

use crate::case::SplitCase;
use crate::check::checks;
use crate::hand_worker::{ANY, LONG_LEASE};
use crate::outcomes::success;

checks!(SplitCase:
    a_young_message_without_a_record_is_adopted,
    an_old_message_without_a_record_is_set_aside,
    a_message_that_cannot_be_decoded_is_set_aside_and_the_next_one_runs,
    a_store_out_of_reach_at_the_claim_loses_nothing,
    a_redelivery_of_a_job_that_still_runs_here_is_not_run_twice,
    a_second_copy_of_a_running_job_is_not_run,
);

async fn publish(case: &SplitCase, message: RawMessage) {
    let queue = case.queue.clone();
    let mut answers = case.broker.publish(vec![Publish { queue, message }]).await;
    answers.remove(0).unwrap();
}

/// Publishes a job that no store knows of.
async fn publish_alone(case: &SplitCase, job: &Job) {
    let body = JsonCodec.encode(job).unwrap();
    publish(case, RawMessage::new(job.id, body)).await;
}

/// Proves L2.
async fn a_young_message_without_a_record_is_adopted(case: SplitCase) {
    let job = case.job();
    case.clock.advance(Duration::from_secs(23 * 3_600));
    publish_alone(&case, &job).await;
    let mut worker = case.worker(LONG_LEASE).await;
    let claimed = worker.one().await;
    assert_eq!(claimed.job.id, job.id);
    let settled = worker.settle(&claimed, success()).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
    assert_eq!(case.state_of(job.id).await, JobState::Succeeded);
}

/// Proves L2, B43.
async fn an_old_message_without_a_record_is_set_aside(case: SplitCase) {
    let job = case.job();
    case.clock.advance(Duration::from_secs(25 * 3_600));
    publish_alone(&case, &job).await;
    let mut worker = case.worker(LONG_LEASE).await;
    assert!(worker.look_with(1, ANY, Duration::ZERO).await.is_empty());
    assert_eq!(case.depth().await.dead.value(), Some(1));
    assert!(case.store_is_empty().await);
}

/// Proves B1, B43.
async fn a_message_that_cannot_be_decoded_is_set_aside_and_the_next_one_runs(case: SplitCase) {
    for garbage in [&b""[..], b"{", b"\xff\xfe", b"{\"v\":99}"] {
        let body = Bytes::from_static(garbage);
        publish(&case, RawMessage::new(case.env.job_id(), body)).await;
    }
    let job = case.job();
    let id = job.id;
    case.enqueue(vec![job]).await;
    let mut worker = case.worker(LONG_LEASE).await;
    assert_eq!(worker.one().await.job.id, id);
    assert_eq!(case.depth().await.dead.value(), Some(4));
}

/// Proves L2, B42.
async fn a_store_out_of_reach_at_the_claim_loses_nothing(case: SplitCase) {
    case.enqueue_confirmed(5).await;
    let mut worker = case.worker(LONG_LEASE).await;
    case.store.go_away();
    let error = worker
        .source
        .next(5, ANY, Duration::ZERO)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.is_retryable());
    case.store.come_back();
    case.clock.advance(Duration::from_secs(2));
    let claimed = worker.take(5).await;
    assert!(
        claimed
            .iter()
            .all(|run| (run.attempt, run.crashes) == (1, 0))
    );
    worker.succeed(&claimed).await;
}

/// Proves L22, L30.
async fn a_redelivery_of_a_job_that_still_runs_here_is_not_run_twice(case: SplitCase) {
    case.enqueue_confirmed(1).await;
    let short = Duration::from_secs(15);
    let mut worker = case.worker(short).await;
    let claimed = worker.one().await;
    // The owner stays alive in the store; the broker's lease is forgotten and lapses again and again.
    for _ in 0..4 {
        case.store
            .jobs()
            .renew(&worker.owner, LONG_LEASE)
            .await
            .unwrap();
        case.clock.advance(short + Duration::from_secs(1));
        let again = worker.look_with(10, ANY, Duration::ZERO).await;
        assert!(again.is_empty(), "it runs twice in one process");
    }
    let settled = worker.settle(&claimed, success()).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
    let depth = case.depth().await;
    assert_eq!(
        (depth.ready.value(), depth.in_flight.value()),
        (Some(0), Some(0))
    );
}

/// Proves L22, S30.
async fn a_second_copy_of_a_running_job_is_not_run(case: SplitCase) {
    let job = case.job();
    case.enqueue(vec![job.clone()]).await;
    case.confirmed().await;
    let mut worker = case.worker(LONG_LEASE).await;
    let claimed = worker.one().await;
    let copy = RawMessage::new(job.id, JsonCodec.encode(&job).unwrap()).copy_is(1);
    publish(&case, copy).await;
    let other = case.ledger_on("elsewhere").await;
    let mut other = case.worker_on(&other, LONG_LEASE).await;
    assert!(other.look_with(10, ANY, Duration::ZERO).await.is_empty());
    worker.succeed(&[claimed]).await;
    case.clock.advance(Duration::from_secs(60));
    assert!(other.look_with(10, ANY, Duration::ZERO).await.is_empty());
    assert_eq!(
        case.depth().await.ready.value(),
        Some(0),
        "the copy is used up"
    );
}
