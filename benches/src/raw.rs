//! The raw limit of each backend, with nothing of ours: what the rest is compared with.

use std::time::Instant;

use anyhow::Result;
use rusqlite::{Connection, params};

use crate::report::{Report, median};
use crate::target::Target;

/// Jobs per transaction.
const BATCH: u64 = 1_000;

/// Measures the raw limit.
pub(crate) fn measure(target: Target, jobs: u64, rounds: usize, report: &mut Report) -> Result<()> {
    let synchronous = match target {
        Target::Memory => return Ok(()),
        Target::SqliteNormal => "NORMAL",
        Target::SqliteFull => "FULL",
    };
    let (mut insert, mut life) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let folder = tempfile::tempdir()?;
        let mut db = Connection::open(folder.path().join("raw.db"))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", synchronous)?;
        db.execute_batch(
            "CREATE TABLE jobs (seq INTEGER PRIMARY KEY, state INTEGER, body BLOB, result BLOB);
             CREATE INDEX ready ON jobs (seq) WHERE state = 0;",
        )?;
        insert.push(rate(jobs, || fill(&mut db, jobs))?);
        life.push(rate(jobs, || drain(&mut db))?);
    }
    let name = target.name();
    report.figure(
        name,
        "raw insert, 1000 per commit",
        median(&mut insert),
        "jobs/s",
    );
    report.figure(
        name,
        "raw claim + settle, 1000 per commit",
        median(&mut life),
        "jobs/s",
    );
    Ok(())
}

fn fill(db: &mut Connection, jobs: u64) -> Result<()> {
    let body = "x".repeat(200);
    for _ in 0..jobs.div_ceil(BATCH) {
        let transaction = db.transaction()?;
        let mut insert =
            transaction.prepare_cached("INSERT INTO jobs (state, body) VALUES (0, ?1)")?;
        for _ in 0..BATCH {
            insert.execute([body.as_bytes()])?;
        }
        drop(insert);
        transaction.commit()?;
    }
    Ok(())
}

/// Claims a batch and settles the one before in one transaction, as a worker under load does.
fn drain(db: &mut Connection) -> Result<()> {
    let mut running: Vec<i64> = Vec::new();
    loop {
        let transaction = db.transaction()?;
        let mut settle =
            transaction.prepare_cached("UPDATE jobs SET state = 2, result = ?2 WHERE seq = ?1")?;
        let settled = running.len();
        for seq in running.drain(..) {
            settle.execute(params![seq, b"null"])?;
        }
        let mut claim = transaction.prepare_cached(
            "UPDATE jobs SET state = 1 WHERE seq IN
               (SELECT seq FROM jobs WHERE state = 0 ORDER BY seq LIMIT 1000)
             RETURNING seq, body",
        )?;
        let claimed = claim.query_map([], |row| row.get(0))?;
        for seq in claimed {
            running.push(seq?);
        }
        drop((settle, claim));
        transaction.commit()?;
        if settled == 0 && running.is_empty() {
            return Ok(());
        }
    }
}

fn rate(jobs: u64, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    #[expect(clippy::cast_precision_loss, reason = "job counts are far below 2^53")]
    let jobs = jobs as f64;
    Ok(jobs / start.elapsed().as_secs_f64())
}
