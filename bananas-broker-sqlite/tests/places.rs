//! Files that cannot be used, or not any more: each is a clear error, and nothing is lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::field_reassign_with_default,
    reason = "a test fails by panicking; the configuration cannot be written as one value from outside"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bananas_broker_sqlite::{SqliteConfig, SqliteEngine};
use bananas_core::{Args, Env, Error, ErrorKind, Job, Status, TokioEnv};

fn config(path: &Path) -> SqliteConfig {
    let mut config = SqliteConfig::default();
    config.path = path.to_owned();
    config
}

async fn open(config: SqliteConfig) -> Result<Arc<SqliteEngine>, Error> {
    SqliteEngine::open(config, Arc::new(TokioEnv::current())).await
}

fn job(env: &dyn Env, bytes: usize) -> Job {
    let args = Args::encode(&"x".repeat(bytes)).unwrap();
    Job::new(env.job_id(), "fill".parse().unwrap(), args, env.now())
}

#[tokio::test]
async fn another_namespace_is_refused_and_both_are_named() {
    let place = tempfile::tempdir().unwrap();
    let mut config = config(&place.path().join("jobs.db"));
    config.namespace = "shop".to_owned();
    open(config.clone()).await.unwrap();
    config.namespace = "blog".to_owned();
    let error = open(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let text = error.to_string();
    assert!(
        text.contains("\"shop\"") && text.contains("\"blog\""),
        "{text}"
    );
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_refused_and_both_versions_are_named() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("jobs.db");
    open(config(&path)).await.unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    let error = open(config(&path)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let text = error.to_string();
    assert!(text.contains("99") && text.contains("up to 3"), "{text}");
}

#[tokio::test]
async fn the_database_of_another_program_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("photos.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch("CREATE TABLE photos (id INTEGER)")
        .unwrap();
    let error = open(config(&path)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let tables: i64 = file
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn garbage_and_damage_are_corrupt_and_the_file_is_named() {
    let place = tempfile::tempdir().unwrap();
    let garbage = place.path().join("garbage.db");
    std::fs::write(&garbage, "no database ".repeat(1_000)).unwrap();
    let damaged = place.path().join("damaged.db");
    let engine = open(config(&damaged)).await.unwrap();
    engine.store().close(Duration::from_secs(10)).await.unwrap();
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[100..4096].fill(0xee);
    std::fs::write(&damaged, bytes).unwrap();
    for path in [garbage, damaged] {
        let error = open(config(&path)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(!error.is_retryable());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(error.to_string().contains(&name), "{error}");
    }
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let error = open(config(Path::new("/no/such/place/jobs.db")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("/no/such/place"), "{error}");
}

/// A small file system of its own; none where mounting is not permitted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(test: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(directory.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(directory)),
            _ => {
                // No server is missing, and most users who run the tests may not mount anything: so this is no
                // failure with BANANAS_TEST_REQUIRED either.
                println!("SKIPPED {test}: mounting a tmpfs is not permitted here");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, option: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(self.path())
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let status = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(status.unwrap().success());
    }
}

#[tokio::test]
async fn a_full_disk_is_full_loses_nothing_and_recovers() {
    let Some(disk) = SmallDisk::new("a_full_disk_is_full_loses_nothing_and_recovers") else {
        return;
    };
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let engine = open(config(&disk.path().join("jobs.db"))).await.unwrap();
    let ledger = engine.ledger();
    let mut accepted = Vec::new();
    let error = loop {
        let job = job(&*env, 100_000);
        let id = job.id;
        match ledger.enqueue(vec![job]).await.remove(0) {
            Ok(_) => accepted.push(id),
            Err(e) => break e,
        }
        assert!(accepted.len() < 1_000, "the disk never fills");
    };
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert_eq!(error.status(), Status::NotApplied);
    let found = ledger.index().unwrap().get(&accepted).await.unwrap();
    assert!(
        found.iter().all(Option::is_some),
        "nothing accepted is lost"
    );
    disk.remount("size=64m");
    let late = job(&*env, 100_000);
    ledger.enqueue(vec![late]).await.remove(0).unwrap();
    let jobs: u64 = ledger
        .index()
        .unwrap()
        .counts()
        .await
        .unwrap()
        .iter()
        .map(|c| c.jobs)
        .sum();
    assert_eq!(
        jobs,
        accepted.len() as u64 + 1,
        "what was refused is not there"
    );
    ledger.close(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_read_only_place_is_a_clear_error() {
    let Some(disk) = SmallDisk::new("a_read_only_place_is_a_clear_error") else {
        return;
    };
    let path = disk.path().join("jobs.db");
    let engine = open(config(&path)).await.unwrap();
    engine.store().close(Duration::from_secs(10)).await.unwrap();
    disk.remount("ro");
    let error = open(config(&path)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!error.is_retryable());
    let text = error.to_string();
    assert!(
        text.contains("read-only") && text.contains("jobs.db"),
        "{text}"
    );
}
