//! Jobs with a crash behind them: one at a time, and poison after the third.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bananas_core::{Chore, DeadReason, JobId, JobState, Ledger, Owner, QueueName, SourceSpec};

use super::{Stage, Work};
use bananas_worker::TaskResult;

/// An owner that is no process of this host.
fn stranger(stage: &Stage) -> Owner {
    Owner {
        id: stage.env.owner_id(),
        host: "elsewhere".to_owned(),
        boot_id: "another boot".to_owned(),
        pid: 1,
        pid_started: 1,
    }
}

/// Claims all jobs of a queue and dies.
async fn crash(stage: &Stage, queue: &str, jobs: usize) {
    let owner = stranger(stage);
    let lease = Duration::from_secs(60);
    stage.ledger.renew(&owner, lease).await.unwrap();
    let spec = SourceSpec::new(QueueName::new(queue).unwrap(), owner.clone());
    let mut source = stage.ledger.open(spec).await.unwrap();
    let mut claimed = 0;
    while claimed < jobs {
        claimed += source.next(jobs, jobs, Duration::ZERO).await.unwrap().len();
    }
    stage
        .ledger
        .tend_directly(Chore::Retire(vec![owner.id]))
        .await;
    stage.ledger.tend_directly(Chore::Promote).await;
}

async fn enqueue_on(stage: &Stage, queue: &str) -> JobId {
    let enqueue = stage.client().enqueue(Work::default());
    enqueue.queue(queue).await.unwrap().id()
}

#[tokio::test]
async fn suspects_run_one_at_a_time_across_all_queues_while_others_run_beside_them() {
    let stage = Stage::new();
    let mut until = Vec::new();
    for queue in ["a", "b", "c"] {
        for _ in 0..4 {
            until.push((enqueue_on(&stage, queue).await, JobState::Succeeded));
        }
        crash(&stage, queue, 4).await;
    }
    for (id, _) in &until {
        assert_eq!(stage.record(*id).await.standing.crashes, 1);
    }
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, high, env) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&stage.real));
    let handler = move |_: Work| {
        let (inside, high, env) = (Arc::clone(&inside), Arc::clone(&high), Arc::clone(&env));
        async move {
            high.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            env.sleep(Duration::from_millis(5)).await;
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok(0)
        }
    };
    let queues = ["a", "b", "c"].map(|queue| QueueName::new(queue).unwrap());
    let worker = stage.worker().handle(handler).queues(queues);
    stage.run(worker, &until).await;
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_suspect_that_runs_long_holds_up_no_other_jobs_but_suspects() {
    let stage = Stage::new();
    let suspects = [enqueue_on(&stage, "a").await, enqueue_on(&stage, "a").await];
    crash(&stage, "a", 2).await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let handler = move |work: Work| {
        let gate = Arc::clone(&opened);
        async move {
            if work.n == 0 {
                gate.acquire().await.unwrap().forget();
            }
            Ok(0)
        }
    };
    let queues = ["a", "default"].map(|queue| QueueName::new(queue).unwrap());
    let started = stage.start(stage.worker().handle(handler).queues(queues));
    let mut running = None;
    let one_runs = async || {
        for id in suspects {
            if stage.record(id).await.standing.state == JobState::Running {
                running = Some(id);
            }
        }
        running.is_some()
    };
    stage.eventually("one suspect runs", one_runs).await;
    let innocent = stage.enqueue(1).await;
    stage.reaches(innocent, JobState::Succeeded).await;
    let other = suspects
        .into_iter()
        .find(|id| Some(*id) != running)
        .unwrap();
    assert_eq!(stage.record(other).await.standing.state, JobState::Ready);
    gate.add_permits(2);
    stage.reaches(other, JobState::Succeeded).await;
    started.stop(&stage).await.unwrap();
}

#[tokio::test]
async fn a_job_whose_worker_died_three_times_is_dead_as_poison_and_never_runs() {
    async fn must_not_run(_: Work) -> TaskResult<u32> {
        panic!("it runs")
    }
    let stage = Stage::new();
    let id = stage.enqueue(0).await;
    for _ in 0..3 {
        crash(&stage, "default", 1).await;
    }
    let worker = stage.worker().handle(must_not_run);
    stage.run(worker, &[(id, JobState::Dead)]).await;
    let standing = stage.record(id).await.standing;
    assert_eq!(standing.reason, Some(DeadReason::Poison));
    assert_eq!((standing.crashes, standing.failed_attempts), (3, 0));
}
