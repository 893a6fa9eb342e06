//! Jobs that somebody wants stopped while they run.

use std::time::Duration;

use bananas_core::{Alteration, Altered, JobId, JobState};

use super::{Stage, Work, for_ever};
use bananas_worker::{JobContext, TaskError, TaskResult};

async fn cancel(stage: &Stage, id: JobId) {
    stage.reaches(id, JobState::Running).await;
    let jobs = stage.client();
    let altered = jobs.jobs().unwrap().alter(&[id], Alteration::Cancel).await;
    assert_eq!(altered.unwrap(), [Altered::Requested]);
}

#[tokio::test]
async fn a_handler_that_looks_at_its_token_stops_soon_and_the_job_is_cancelled() {
    async fn polite(_: Work, job: JobContext) -> TaskResult<u32> {
        job.cancelled().await;
        assert!(job.is_cancelled());
        Err(TaskError::from("stopped half-way"))
    }
    let stage = Stage::new();
    let id = stage.enqueue(0).await;
    let started = stage.start(stage.worker().handle(polite));
    cancel(&stage, id).await;
    let record = stage.reaches(id, JobState::Cancelled).await;
    assert!(record.errors.is_empty());
    started.stop(&stage).await.unwrap();
}

#[tokio::test]
async fn a_handler_that_does_not_look_is_taken_off_after_ten_seconds() {
    let stage = Stage::manual();
    let hangs = |_: Work| async {
        for_ever().await;
        Ok(0)
    };
    let id = stage.enqueue(0).await;
    let started = stage.start(stage.worker().handle(hangs));
    cancel(&stage, id).await;
    let asked = stage.env.now();
    stage.reaches(id, JobState::Cancelled).await;
    assert!(stage.env.now().since(asked) >= Duration::from_secs(10));
    started.stop(&stage).await.unwrap();
}

#[tokio::test]
async fn work_that_was_finished_all_the_same_counts_as_done() {
    async fn finishes(work: Work, job: JobContext) -> TaskResult<u32> {
        job.cancelled().await;
        Ok(work.n)
    }
    let stage = Stage::new();
    let id = stage.enqueue(5).await;
    let started = stage.start(stage.worker().handle(finishes));
    cancel(&stage, id).await;
    let record = stage.reaches(id, JobState::Succeeded).await;
    assert_eq!(record.result.unwrap(), "5");
    started.stop(&stage).await.unwrap();
}
