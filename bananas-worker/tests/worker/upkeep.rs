//! The scheduler: due jobs, dead neighbours, old records.

use std::process::Command;
use std::time::Duration;

use bananas_core::{Chore, JobState, Ledger, Owner, QueueName, SourceSpec};

use super::{Stage, Work};
use bananas_worker::{TaskResult, process};

async fn handler(work: Work) -> TaskResult<u32> {
    Ok(work.n)
}

#[tokio::test]
async fn a_delayed_job_runs_when_its_time_has_come() {
    let stage = Stage::manual();
    let enqueue = stage.client().enqueue(Work { n: 1 });
    let id = enqueue.delay(Duration::from_secs(30)).await.unwrap().id();
    let before = stage.env.now();
    let worker = stage.worker().handle(handler);
    stage.run(worker, &[(id, JobState::Succeeded)]).await;
    let waited = stage.record(id).await.started_at.unwrap().since(before);
    assert!(
        waited >= Duration::from_secs(30) && waited < Duration::from_secs(40),
        "{waited:?}"
    );
}

#[tokio::test]
async fn jobs_of_a_killed_process_on_this_host_run_again_without_waiting_for_its_lease() {
    let stage = Stage::new();
    let id = stage.enqueue(3).await;
    // A process that enlists, claims, and is killed; its lease would hold for an hour.
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    let mut owner: Owner = process::owner(&stage.env);
    owner.id = stage.env.owner_id();
    owner.pid = child.id();
    // 0 stands for unknown.
    owner.pid_started = 0;
    stage
        .ledger
        .renew(&owner, Duration::from_secs(3600))
        .await
        .unwrap();
    let spec = SourceSpec::new(QueueName::default_queue(), owner.clone());
    let mut source = stage.ledger.open(spec).await.unwrap();
    assert_eq!(source.next(1, 1, Duration::ZERO).await.unwrap().len(), 1);

    let started = stage.start(stage.worker().handle(handler));
    stage.settle_down().await;
    assert_eq!(
        stage.record(id).await.standing.owner,
        Some(owner.id),
        "it lives"
    );
    child.kill().unwrap();
    let record = stage.reaches(id, JobState::Succeeded).await;
    assert_eq!(record.standing.crashes, 1);
    started.stop(&stage).await.unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn finished_records_are_forgotten_after_their_time() {
    let mut stage = Stage::manual();
    stage.step = Duration::from_millis(500);
    stage.config.worker.keep_finished = Duration::from_secs(600);
    let id = stage.enqueue(1).await;
    let started = stage.start(stage.worker().handle(handler));
    stage.reaches(id, JobState::Succeeded).await;
    let finished = stage.env.now();
    let forgotten = async || stage.ledger.real_index(id).await.is_none();
    stage.eventually("it is forgotten", forgotten).await;
    assert!(stage.env.now().since(finished) >= Duration::from_secs(590));
    started.stop(&stage).await.unwrap();
    let chores = stage.ledger.chores.lock().unwrap();
    assert!(chores.contains(&Chore::Republish));
}

#[tokio::test]
async fn a_chore_that_keeps_failing_keeps_no_other_from_being_done() {
    let mut stage = Stage::manual();
    stage.step = Duration::from_millis(500);
    stage.config.worker.keep_finished = Duration::from_secs(60);
    stage
        .ledger
        .republish_fails
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let id = stage.enqueue(1).await;
    let started = stage.start(stage.worker().handle(handler));
    stage.reaches(id, JobState::Succeeded).await;
    let forgotten = async || stage.ledger.real_index(id).await.is_none();
    stage
        .eventually("it is forgotten all the same", forgotten)
        .await;
    started.stop(&stage).await.unwrap();
}
