//! Looking at the whole file for what is wrong in it, page by page, and mending it.

use bananas_core::{
    Check, CheckPlace, CheckScope, Checked, Error as CoreError, ErrorKind, Finding, FindingKind,
    JobId, JobState, QueueName,
};
use rusqlite::Connection;

use super::row::{self, moving, moving_columns};
use super::{damage, settle};
use crate::columns::{Columns, limit};
use crate::error::Error;
use crate::transaction::Transaction;

/// Jobs of owners that are not known. The next look for due jobs finds those of owners that are.
const STRANDED: &str = "SELECT seq, id, queue FROM jobs WHERE state = 'running'
    AND (owner IS NULL OR owner NOT IN (SELECT id FROM owners)) LIMIT ?1";
const NEVER_DUE: &str = "SELECT seq, id, queue FROM jobs
    WHERE (state = 'scheduled' OR state = 'retrying') AND run_at IS NULL LIMIT ?1";
const NEVER_FORGOTTEN: &str = "SELECT seq, id, queue FROM jobs
    WHERE ((state = 'succeeded' OR state = 'cancelled' OR state = 'expired') OR state = 'dead')
    AND finished_at IS NULL LIMIT ?1";
const LOAD: &str = concat!("SELECT ", moving_columns!(), " FROM jobs WHERE seq = ?1");
const IS_DUE: &str = "UPDATE jobs SET run_at = ?2 WHERE seq = ?1";
const IS_ENDED: &str = "UPDATE jobs SET finished_at = ?2 WHERE seq = ?1";

/// What is counted beside what is true, in one look.
const COUNTS: &str = "SELECT queue, state, sum(kept), sum(counted) FROM (
    SELECT queue, state, jobs AS kept, 0 AS counted FROM counts
    UNION ALL SELECT queue, state, 0, count(*) FROM jobs GROUP BY queue, state)
    GROUP BY queue, state HAVING sum(kept) <> sum(counted)";
const PUT_COUNT: &str = "INSERT INTO counts (queue, state, jobs) VALUES (?1, ?2, ?3)
    ON CONFLICT DO UPDATE SET jobs = excluded.jobs";

/// Reads tables and indexes as a whole; says `ok`, or what is wrong.
const FILE: &str = "PRAGMA integrity_check(100)";

/// How SQLite says that an index and its table do not agree, which making the index anew mends.
const OF_INDEXES: [&str; 3] = [
    " missing from index ",
    "wrong # of entries in index",
    "non-unique entry in index",
];

/// The parts of a check, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The jobs from this row on.
    Jobs(i64),
    /// Jobs that nothing would ever move.
    Strays,
    Counts,
    File,
}

impl Place {
    fn read(check: &Check) -> Result<Self, Error> {
        let Some(CheckPlace(place)) = &check.after else {
            return Ok(match check.scope {
                CheckScope::Strays => Self::Strays,
                CheckScope::Records | CheckScope::Everything => Self::Jobs(i64::MIN),
            });
        };
        let jobs = place.strip_prefix("jobs ").and_then(|seq| seq.parse().ok());
        match (place.as_str(), jobs) {
            (_, Some(seq)) => Ok(Self::Jobs(seq)),
            ("strays", _) => Ok(Self::Strays),
            ("counts", _) => Ok(Self::Counts),
            ("file", _) => Ok(Self::File),
            _ => {
                let text = format!("{place:?} is no place of a check of this store");
                Err(CoreError::new(ErrorKind::InvalidArgument, text).into())
            }
        }
    }

    fn told(self) -> CheckPlace {
        CheckPlace(match self {
            Self::Jobs(seq) => format!("jobs {seq}"),
            Self::Strays => "strays".to_owned(),
            Self::Counts => "counts".to_owned(),
            Self::File => "file".to_owned(),
        })
    }
}

/// One page, without changing anything.
pub(super) fn look(
    connection: &Connection,
    check: &Check,
    now: bananas_core::Timestamp,
) -> Result<Checked, Error> {
    let mut page = Checked::default();
    let next = match Place::read(check)? {
        Place::Jobs(from) => {
            let (findings, records, last) = damage::find(connection, from, now)?;
            page.findings = findings;
            page.records = records;
            match last {
                Some(last) if last < i64::MAX => Some(Place::Jobs(last + 1)),
                _ => Some(Place::Strays),
            }
        }
        Place::Strays => {
            let strays = strays(connection)?;
            let is_full = strays.len() >= damage::PAGE;
            page.findings = strays.into_iter().map(|stray| stray.finding).collect();
            match check.scope {
                // What is mended is not found again; where nothing is, the rest stays unsaid.
                _ if is_full && check.repair => Some(Place::Strays),
                CheckScope::Everything => Some(Place::Counts),
                CheckScope::Strays | CheckScope::Records => None,
            }
        }
        Place::Counts => {
            let wrong = wrong_counts(connection)?;
            page.findings = wrong.iter().map(WrongCount::finding).collect();
            Some(Place::File)
        }
        Place::File => {
            page.findings = of_file(connection)?;
            None
        }
    };
    page.next = next.map(Place::told);
    Ok(page)
}

/// The same page, mended.
pub(super) fn mend(tx: &mut Transaction<'_>, check: &Check) -> Result<Checked, Error> {
    let mut page = look(tx.connection(), check, tx.now)?;
    match Place::read(check)? {
        Place::Jobs(from) => {
            damage::set_aside(tx, from)?;
        }
        Place::Strays => {
            for stray in strays(tx.connection())? {
                stray.mend(tx)?;
            }
        }
        Place::Counts => {
            for wrong in wrong_counts(tx.connection())? {
                let WrongCount {
                    queue,
                    state,
                    counted,
                    ..
                } = wrong;
                tx.sql(PUT_COUNT)?.execute((queue, state, counted))?;
            }
        }
        Place::File => {
            if page
                .findings
                .iter()
                .any(|finding| finding.kind == FindingKind::Index)
            {
                tx.sql("REINDEX")?.execute([])?;
            }
            let left = of_file(tx.connection())?;
            for finding in &mut page.findings {
                finding.repaired = !left.contains(finding);
            }
            return Ok(page);
        }
    }
    for finding in &mut page.findings {
        finding.repaired = true;
    }
    Ok(page)
}

/// A job that nothing would ever move.
struct Stray {
    seq: i64,
    finding: Finding,
}

fn strays(connection: &Connection) -> Result<Vec<Stray>, Error> {
    let mut strays = Vec::new();
    for (sql, kind, detail) in [
        (
            STRANDED,
            FindingKind::Stranded,
            "it runs under an owner that is not known",
        ),
        (
            NEVER_DUE,
            FindingKind::NeverDue,
            "it waits for its time and has none",
        ),
        (
            NEVER_FORGOTTEN,
            FindingKind::NeverForgotten,
            "it has ended, and no time says when",
        ),
    ] {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([limit(damage::PAGE - strays.len())])?;
        while let Some(row) = rows.next()? {
            strays.push(Stray {
                seq: row.get(0)?,
                finding: Finding {
                    kind,
                    job: Columns::at(row, 1).id(JobId::from_slice)?,
                    queue: Columns::at(row, 2).word().ok(),
                    detail: detail.to_owned(),
                    repaired: false,
                },
            });
        }
    }
    Ok(strays)
}

impl Stray {
    fn mend(&self, tx: &mut Transaction<'_>) -> Result<(), Error> {
        match self.finding.kind {
            FindingKind::NeverDue => {
                tx.sql(IS_DUE)?.execute((self.seq, tx.now.as_micros()))?;
            }
            FindingKind::NeverForgotten => {
                tx.sql(IS_ENDED)?.execute((self.seq, tx.now.as_micros()))?;
            }
            _ => {
                let expected = QueueName::default_queue();
                let mut job = tx
                    .sql(LOAD)?
                    .query_row([self.seq], |row| moving(row, &expected))?;
                let mut record = settle::load_record(tx.connection(), self.seq)?;
                record.reap(tx.now);
                job.standing = record.standing;
                row::put_errors(tx, self.seq, &record.errors)?;
                row::put(tx, &job, JobState::Running)?;
            }
        }
        Ok(())
    }
}

struct WrongCount {
    queue: String,
    state: String,
    kept: i64,
    counted: i64,
}

impl WrongCount {
    fn finding(&self) -> Finding {
        let Self {
            queue,
            state,
            kept,
            counted,
        } = self;
        Finding {
            kind: FindingKind::Count,
            job: None,
            queue: queue.parse().ok(),
            detail: format!("{counted} jobs of {queue:?} are {state}, and the count says {kept}"),
            repaired: false,
        }
    }
}

fn wrong_counts(connection: &Connection) -> Result<Vec<WrongCount>, Error> {
    let mut statement = connection.prepare_cached(COUNTS)?;
    let rows = statement.query_map([], |row| {
        Ok(WrongCount {
            queue: row.get(0)?,
            state: row.get(1)?,
            kept: row.get(2)?,
            counted: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn of_file(connection: &Connection) -> Result<Vec<Finding>, Error> {
    let mut statement = connection.prepare_cached(FILE)?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut findings = Vec::new();
    for row in rows {
        let detail = row?;
        if detail == "ok" {
            continue;
        }
        let is_of_index = OF_INDEXES.iter().any(|words| detail.contains(words));
        findings.push(Finding {
            kind: if is_of_index {
                FindingKind::Index
            } else {
                FindingKind::Unreadable
            },
            job: None,
            queue: None,
            detail,
            repaired: false,
        });
    }
    Ok(findings)
}

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 3] = [LOAD, IS_DUE, IS_ENDED];
