//! A broker that lost its data.

use std::collections::HashSet;

use bananas_core::{
    Broker, BrokerAdmin, Bucket, Codec, JobId, JobSettled, JobState, JsonCodec, Publish, QueueName,
    QueueSpec, RawMessage,
};

use crate::case::SplitCase;
use crate::check::checks;
use crate::hand_worker::{HandWorker, LONG_LEASE};
use crate::outcomes::release;

checks!(SplitCase:
    a_broker_that_lost_all_messages_gets_them_again_after_the_evidence_and_not_before,
    a_broker_that_came_back_empty_gets_its_jobs_again_at_once,
    a_queue_whose_jobs_all_run_is_no_evidence,
    a_loss_on_one_queue_is_no_evidence_against_another,
    an_adopted_job_that_was_given_back_outlives_the_loss_of_the_broker,
);

fn admin(case: &SplitCase) -> &dyn BrokerAdmin {
    case.broker.admin().expect("the broker has an admin side")
}

async fn run_all(worker: &mut HandWorker, jobs: usize) -> HashSet<JobId> {
    let claimed = worker.take(jobs).await;
    worker.succeed(&claimed).await;
    claimed.iter().map(|run| run.job.id).collect()
}

/// Proves L1, S52, B82.
async fn a_broker_that_lost_all_messages_gets_them_again_after_the_evidence_and_not_before(
    case: SplitCase,
) {
    case.enqueue_confirmed(1_500).await;
    let purged = admin(&case)
        .purge(&case.queue, Bucket::Ready)
        .await
        .unwrap();
    assert_eq!(purged, 1_500);
    case.tend().await;
    case.pass(25).await;
    assert_eq!(case.broker.published(), 1_500, "one look is no evidence");
    case.pass(10).await;
    assert_eq!(case.broker.published(), 3_000);
    let mut worker = case.worker(LONG_LEASE).await;
    assert_eq!(run_all(&mut worker, 1_500).await.len(), 1_500);
    case.confirmed().await;
    case.pass(120).await;
    assert_eq!(
        case.broker.published(),
        3_000,
        "they were published again once"
    );
}

/// Proves L1, S52, B80.
async fn a_broker_that_came_back_empty_gets_its_jobs_again_at_once(case: SplitCase) {
    case.enqueue_confirmed(50).await;
    case.tend().await;
    admin(&case).delete(&case.queue).await.unwrap();
    let spec = QueueSpec::new(case.queue.clone());
    case.broker.ensure(&[spec]).await.unwrap();
    case.tend().await;
    assert_eq!(case.broker.published(), 100);
    let mut worker = case.worker(LONG_LEASE).await;
    assert_eq!(run_all(&mut worker, 50).await.len(), 50);
}

/// Proves S52.
async fn a_queue_whose_jobs_all_run_is_no_evidence(case: SplitCase) {
    case.enqueue_confirmed(10).await;
    let mut worker = case.worker(LONG_LEASE).await;
    let claimed = worker.take(10).await;
    case.pass(300).await;
    assert_eq!(case.broker.published(), 10);
    worker.succeed(&claimed).await;
    case.pass(300).await;
    assert_eq!(case.broker.published(), 10);
}

/// Proves S52.
async fn a_loss_on_one_queue_is_no_evidence_against_another(case: SplitCase) {
    let other = QueueName::new("jobs.other").unwrap();
    case.ledger
        .ensure(std::slice::from_ref(&other))
        .await
        .unwrap();
    let mut jobs = case.jobs(60);
    for job in &mut jobs[..40] {
        job.queue = other.clone();
    }
    case.enqueue(jobs).await;
    case.confirmed().await;
    admin(&case).purge(&other, Bucket::Ready).await.unwrap();
    case.pass(60).await;
    assert_eq!(case.broker.published(), 60 + 40);
    let depth = case.depth().await;
    assert_eq!(depth.ready.value(), Some(20), "each is there once");
    let depth = admin(&case).depth(&[other]).await.unwrap().remove(0);
    assert_eq!(depth.ready.value(), Some(40), "each is there again");
}

/// Proves L1, L2, S52.
async fn an_adopted_job_that_was_given_back_outlives_the_loss_of_the_broker(case: SplitCase) {
    let job = case.job();
    let message = RawMessage::new(job.id, JsonCodec.encode(&job).unwrap());
    let queue = case.queue.clone();
    let mut published = case.broker.publish(vec![Publish { queue, message }]).await;
    published.remove(0).unwrap();
    let mut worker = case.worker(LONG_LEASE).await;
    let adopted = worker.one().await;
    let settled = worker.settle(&adopted, release()).await;
    assert_eq!(settled, JobSettled::Settled(JobState::Ready));
    let purged = admin(&case).purge(&case.queue, Bucket::Ready).await;
    assert_eq!(purged.unwrap(), 1);
    case.pass(60).await;
    assert_eq!(run_all(&mut worker, 1).await, HashSet::from([job.id]));
}
