//! `exec` tasks: jobs that a command runs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bananas_core::config::{ExecConfig, TaskConfig};
use bananas_core::{
    Alteration, Args, DeadReason, ErrorCause, Job, JobId, JobRecord, JobState, TaskName,
};

use bananas_worker::process;

use super::{DEADLINE, Stage, Work};

/// A stage whose configuration has one exec task, `run`.
fn stage(exec: ExecConfig) -> Stage {
    let mut stage = Stage::new();
    let mut task = TaskConfig::default();
    task.exec = Some(exec);
    stage.config.tasks.insert(name(), task);
    stage
}

fn name() -> TaskName {
    TaskName::new("run").unwrap()
}

fn argv(words: &[&str]) -> ExecConfig {
    let mut exec = ExecConfig::default();
    exec.argv = words.iter().map(|word| (*word).to_owned()).collect();
    exec
}

fn shell(script: &str) -> ExecConfig {
    let mut exec = ExecConfig::default();
    exec.shell = Some(script.to_owned());
    exec
}

async fn enqueue(stage: &Stage, args: &str, timeout: Option<Duration>) -> JobId {
    let args = Args::from_json(args).unwrap();
    let mut job = Job::new(stage.env.job_id(), name(), args, stage.env.now());
    job.timeout = timeout;
    let id = job.id;
    stage
        .client()
        .enqueue_jobs(vec![job])
        .await
        .remove(0)
        .unwrap();
    id
}

/// Runs one job to a state.
async fn run(exec: ExecConfig, args: &str, state: JobState) -> JobRecord {
    let stage = stage(exec);
    let id = enqueue(&stage, args, None).await;
    stage.run(stage.worker(), &[(id, state)]).await;
    stage.record(id).await
}

async fn result(exec: ExecConfig, args: &str) -> String {
    let record = run(exec, args, JobState::Succeeded).await;
    String::from_utf8(record.result.unwrap().to_vec()).unwrap()
}

async fn dead(exec: ExecConfig, args: &str) -> String {
    let record = run(exec, args, JobState::Dead).await;
    assert_eq!(record.standing.reason, Some(DeadReason::Fatal));
    record.errors[0].message.clone()
}

#[tokio::test]
async fn the_output_is_the_result_and_the_arguments_come_on_standard_input() {
    assert_eq!(
        result(argv(&["cat"]), "{\"a\":[1,2]}").await,
        "{\"a\":[1,2]}"
    );
    assert_eq!(
        result(argv(&["echo", "hello", "{who}"]), "{\"who\":\"you\"}").await,
        "\"hello you\""
    );
    assert_eq!(result(argv(&["true"]), "null").await, "null");
    assert_eq!(
        result(argv(&["printf", "\\377"]), "null").await,
        "\"\u{fffd}\""
    );
}

#[tokio::test]
async fn no_shell_looks_at_the_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let witness = folder.path().join("witness");
    let evil = format!(
        "; touch {0} $(touch {0}) `touch {0}` | touch {0}",
        witness.display()
    );
    let args = serde_json::json!({ "name": evil }).to_string();
    let text = result(argv(&["echo", "{name}"]), &args).await;
    assert_eq!(text, serde_json::to_string(&evil).unwrap());
    // Even where there is a shell, fields are no part of its script.
    let text = result(shell("echo \"$BANANAS_ARG_NAME\""), &args).await;
    assert_eq!(text, serde_json::to_string(&evil).unwrap());
    assert!(!witness.exists());
}

#[tokio::test]
async fn the_program_knows_its_job_from_the_environment() {
    let mut exec =
        shell("echo $BANANAS_TASK $BANANAS_QUEUE $BANANAS_ATTEMPT $BANANAS_ARG_MY_N $X; pwd");
    exec.env.insert("X".to_owned(), "n is {my-n}".to_owned());
    exec.cwd = Some("/".into());
    let text = result(exec, "{\"my-n\": 7}").await;
    assert_eq!(text, "\"run default 1 7 n is 7\\n/\"");
    let id = run(shell("echo $BANANAS_JOB_ID"), "null", JobState::Succeeded).await;
    assert_eq!(id.result.unwrap(), format!("\"{}\"", id.id));
}

#[tokio::test]
async fn a_non_zero_exit_is_a_failed_attempt_with_the_end_of_standard_error() {
    let script = "head -c 9000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 3";
    let record = run(shell(script), "null", JobState::Retrying).await;
    let error = &record.errors[0];
    assert_eq!(error.cause, ErrorCause::Failed);
    let text = &error.message;
    assert!(
        text.starts_with("exit code 3: … xxx") && text.ends_with("xxxthe end"),
        "{text}"
    );
    assert!(text.len() < 4_200);
    let record = run(shell("kill -9 $$"), "null", JobState::Retrying).await;
    assert_eq!(record.errors[0].message, "killed by signal 9");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_a_clear_failure() {
    let record = run(argv(&["no-such-program"]), "null", JobState::Retrying).await;
    let text = &record.errors[0].message;
    assert!(
        text.starts_with("cannot start \"no-such-program\": No such file"),
        "{text}"
    );
    let mut exec = argv(&["true"]);
    exec.cwd = Some("/no/such/folder".into());
    let record = run(exec, "null", JobState::Retrying).await;
    let text = &record.errors[0].message;
    assert!(text.ends_with("/no/such/folder is no directory"), "{text}");
}

#[tokio::test]
async fn mistakes_in_templates_and_arguments_set_the_job_aside() {
    let text = dead(argv(&["echo", "{size}"]), "{\"name\":1}").await;
    assert!(
        text.contains("no field `size`") && text.contains("have name"),
        "{text}"
    );
    let text = dead(argv(&["echo", "{size"]), "{\"size\":1}").await;
    assert!(text.contains("\"{size\""), "{text}");
    let text = dead(argv(&["echo", "{a}"]), "{\"a\":\"x\\u0000y\"}").await;
    assert!(text.contains("NUL"), "{text}");
}

#[tokio::test]
async fn more_output_than_may_be_stored_is_counted_but_not_kept() {
    let mut stage = stage(argv(&["head", "-c", "3000000", "/dev/zero"]));
    stage.config.worker.max_result_bytes = 1_000;
    let id = enqueue(&stage, "null", None).await;
    stage.run(stage.worker(), &[(id, JobState::Dead)]).await;
    let record = stage.record(id).await;
    let text = &record.errors[0].message;
    assert!(
        text.contains("3000000 bytes") && text.contains("1000"),
        "{text}"
    );
    assert!(text.contains("the run succeeded"), "{text}");
}

#[tokio::test]
async fn large_arguments_and_outputs_pass_without_a_deadlock() {
    let long = format!("\"{}\"", "x".repeat(600_000));
    assert_eq!(result(argv(&["cat"]), &long).await, long);
    assert_eq!(result(argv(&["true"]), &long).await, "null");
    let field = format!("{{\"long\":{long}}}");
    assert_eq!(
        result(shell("echo ${BANANAS_ARG_LONG:-none}"), &field).await,
        "\"none\""
    );
}

/// A script that starts a grandchild which ignores SIGTERM, writes both pids, and waits.
fn family(folder: &Path) -> ExecConfig {
    let pids = folder.join("pids");
    shell(&format!(
        "(trap '' TERM; sleep 600; sleep 600) & echo $$ $! > {0}.new; mv {0}.new {0}; wait",
        pids.display()
    ))
}

/// The pids that the family wrote, once it has.
async fn pids(stage: &Stage, folder: &Path) -> Vec<u32> {
    let file = folder.join("pids");
    stage
        .eventually("it has started", async || file.exists())
        .await;
    let text = fs::read_to_string(file).unwrap();
    text.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

fn are_gone(stage: &Stage, pids: &[u32]) -> bool {
    let is_gone = |pid: &u32| {
        let mut owner = process::owner(&stage.env);
        (owner.pid, owner.pid_started) = (*pid, 0);
        process::is_surely_gone(&owner)
    };
    pids.iter().all(is_gone)
}

async fn all_gone(stage: &Stage, pids: &[u32]) {
    let gone = async || are_gone(stage, pids);
    stage.eventually("the whole family is gone", gone).await;
}

#[tokio::test]
async fn a_timeout_kills_grandchildren_too_even_if_they_ignore_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(family(folder.path()));
    let id = enqueue(&stage, "null", Some(Duration::from_millis(500))).await;
    let started = stage.start(stage.worker());
    let pids = pids(&stage, folder.path()).await;
    let record = stage.reaches(id, JobState::Retrying).await;
    assert_eq!(record.errors[0].cause, ErrorCause::TimedOut);
    assert!(are_gone(&stage, &pids), "killed before settled");
    started.stop(&stage).await.unwrap();
}

#[tokio::test]
async fn cancelling_kills_the_group() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(family(folder.path()));
    let id = enqueue(&stage, "null", None).await;
    let started = stage.start(stage.worker());
    let pids = pids(&stage, folder.path()).await;
    let client = stage.client();
    client
        .jobs()
        .unwrap()
        .alter(&[id], Alteration::Cancel)
        .await
        .unwrap();
    stage.reaches(id, JobState::Cancelled).await;
    all_gone(&stage, &pids).await;
    started.stop(&stage).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_that_is_forced_kills_the_group_and_gives_the_job_back() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(family(folder.path()));
    let id = enqueue(&stage, "null", None).await;
    let mut started = stage.start(stage.worker());
    let pids = pids(&stage, folder.path()).await;
    started.signal();
    started.force();
    started.ended(&stage).await.unwrap();
    assert_eq!(stage.record(id).await.standing.state, JobState::Ready);
    all_gone(&stage, &pids).await;
}

#[tokio::test]
async fn a_worker_that_is_dropped_leaves_no_program_behind() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(family(folder.path()));
    enqueue(&stage, "null", None).await;
    let worker = stage.worker();
    let pids = {
        let run = worker.run_until(std::future::pending::<()>());
        let mut run = std::pin::pin!(run);
        tokio::select! {
            _ = run.as_mut() => panic!("it never ends"),
            pids = pids(&stage, folder.path()) => pids,
        }
    };
    all_gone(&stage, &pids).await;
}

#[tokio::test]
async fn what_a_program_leaves_running_is_killed_and_does_not_hold_up_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let script = format!("sleep 600 & echo $! > {}; echo done", file.display());
    let stage = stage(shell(&script));
    let id = enqueue(&stage, "null", None).await;
    let before = stage.real.monotonic();
    stage
        .run(stage.worker(), &[(id, JobState::Succeeded)])
        .await;
    assert!(stage.real.monotonic().since(before) < DEADLINE);
    assert_eq!(stage.record(id).await.result.unwrap(), "\"done\"");
    let left = pids(&stage, folder.path()).await;
    all_gone(&stage, &left).await;
}

#[tokio::test]
async fn exec_tasks_and_handlers_share_a_worker() {
    let stage = stage(argv(&["echo", "1"]));
    let ids = [enqueue(&stage, "null", None).await, stage.enqueue(2).await];
    let handler = |work: Work| async move { Ok(work.n) };
    let worker = stage.worker().handle(handler);
    stage
        .run(worker, &ids.map(|id| (id, JobState::Succeeded)))
        .await;
}
