//! Several queues, and the limits of each and of the worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bananas_core::config::QueueConfig;
use bananas_core::{JobState, QueueName, Task, TaskOptions};
use serde::{Deserialize, Serialize};

use super::{Stage, Work};
use bananas_worker::{JobContext, TaskResult};

#[derive(Serialize, Deserialize)]
struct Mail;

impl Task for Mail {
    const NAME: &'static str = "mail";
    type Output = ();
    fn options() -> TaskOptions {
        TaskOptions {
            queue: Some("mail"),
            ..TaskOptions::default()
        }
    }
}

async fn work(_: Work) -> TaskResult<u32> {
    Ok(0)
}

async fn mail(_: Mail) -> TaskResult {
    Ok(())
}

#[test]
#[should_panic(expected = "task \"work\" has two handlers; remove one of them")]
fn two_handlers_for_one_task_are_a_mistake_found_at_the_start() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        drop(
            Stage::new()
                .worker()
                .handle(work)
                .handle_blocking(|_: Work| Ok(0)),
        );
    });
}

#[tokio::test]
async fn a_worker_without_tasks_says_what_to_add() {
    let stage = Stage::new();
    let error = stage.worker().run_until(async {}).await.unwrap_err();
    assert!(error.to_string().contains(".handle(..)"), "{error}");
}

#[tokio::test]
async fn a_worker_serves_the_queues_of_its_tasks_and_of_the_configuration() {
    let mut stage = Stage::new();
    let bulk = QueueName::new("bulk").unwrap();
    stage.config.queues.insert(bulk, QueueConfig::default());
    let client = stage.client();
    let ids = [
        client.enqueue(Mail).await.unwrap().id(),
        client.enqueue(Work::default()).await.unwrap().id(),
        client
            .enqueue(Work::default())
            .queue("bulk")
            .await
            .unwrap()
            .id(),
    ];
    let worker = stage.worker().handle(work).handle(mail);
    stage
        .run(worker, &ids.map(|id| (id, JobState::Succeeded)))
        .await;
}

#[tokio::test]
async fn a_worker_told_its_queues_serves_no_others() {
    let stage = Stage::new();
    let client = stage.client();
    let others = client.enqueue(Work::default()).await.unwrap().id();
    let own = client.enqueue(Mail).await.unwrap().id();
    let worker = stage.worker().handle(work).handle(mail);
    let worker = worker.queues([QueueName::new("mail").unwrap()]);
    stage.run(worker, &[(own, JobState::Succeeded)]).await;
    assert_eq!(stage.record(others).await.standing.state, JobState::Ready);
}

/// Counts how many are inside at once.
#[derive(Clone, Default)]
struct Inside(Arc<(AtomicUsize, AtomicUsize)>);

impl Inside {
    async fn visit(&self, stage_env: Arc<dyn bananas_core::Env>) {
        let (now, most) = &*self.0;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        stage_env.sleep(Duration::from_millis(5)).await;
        now.fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_the_worker_and_the_queue_allow() {
    let mut stage = Stage::new();
    stage.config.worker.concurrency = 4;
    let mut limit = QueueConfig::default();
    limit.concurrency = Some(2);
    stage
        .config
        .queues
        .insert(QueueName::new("mail").unwrap(), limit);
    let (all, mails) = (Inside::default(), Inside::default());
    let (all_of_work, env) = (all.clone(), Arc::clone(&stage.real));
    let work = move |_: Work| {
        let (all, env) = (all_of_work.clone(), Arc::clone(&env));
        async move {
            all.visit(env).await;
            Ok(0)
        }
    };
    let (all_of_mail, own, env) = (all.clone(), mails.clone(), Arc::clone(&stage.real));
    let mail = move |_: Mail| {
        let (all, own, env) = (all_of_mail.clone(), own.clone(), Arc::clone(&env));
        async move {
            tokio::join!(all.visit(Arc::clone(&env)), own.visit(env));
            Ok(())
        }
    };
    let mut until = Vec::new();
    for n in 0..40 {
        until.push((stage.enqueue(n).await, JobState::Succeeded));
        let mail = stage.client().enqueue(Mail).await.unwrap();
        until.push((mail.id(), JobState::Succeeded));
    }
    let worker = stage.worker().handle(work).handle(mail);
    stage.run(worker, &until).await;
    assert_eq!((all.most(), mails.most()), (4, 2));
}

#[tokio::test]
async fn an_idle_queue_keeps_no_slot_from_a_busy_one_even_if_there_is_only_one() {
    let mut stage = Stage::new();
    stage.config.worker.concurrency = 1;
    let started = stage.start(stage.worker().handle(work).handle(mail));
    for n in 0..5 {
        let work = stage.enqueue(n).await;
        let mail = stage.client().enqueue(Mail).await.unwrap().id();
        stage.reaches(work, JobState::Succeeded).await;
        stage.reaches(mail, JobState::Succeeded).await;
    }
    started.stop(&stage).await.unwrap();
}

#[tokio::test]
async fn every_loop_of_a_worker_tells_when_it_last_turned() {
    let stage = Stage::new();
    let seen = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&seen);
    let handler = move |_: Work, _: JobContext| {
        noted.store(true, Ordering::SeqCst);
        async { Ok(0) }
    };
    let worker = stage.worker().handle(handler);
    let liveness = worker.liveness();
    let started = stage.start(worker);
    stage.enqueue(0).await;
    stage
        .eventually("it runs", async || seen.load(Ordering::SeqCst))
        .await;
    let mut names: Vec<_> = liveness
        .last_turns()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    names.sort();
    let all = [
        "canceller",
        "heartbeat",
        "scheduler",
        "settler",
        "source default",
    ];
    assert_eq!(names, all);
    started.stop(&stage).await.unwrap();
}
