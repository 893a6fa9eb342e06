//! Owners and their leases.

use std::collections::HashMap;
use std::time::Duration;

use bananas_core::{
    Error as CoreError, ErrorKind, JobId, Owner, OwnerId, OwnerRow, Renewed, Result,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::boot_clock::{Moment, micros};
use crate::columns::{Columns, limit, signed};
use crate::error::Error;
use crate::transaction::Transaction;

const LEASE: &str = "SELECT gone, lease_boot, lease_until, lease_us FROM owners WHERE id = ?1";
const ENLIST: &str =
    "INSERT INTO owners (id, host, boot_id, pid, pid_started, lease_boot, lease_until, lease_us,
    renewed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT DO UPDATE SET lease_boot = excluded.lease_boot, lease_until = excluded.lease_until,
    lease_us = excluded.lease_us, renewed_at = excluded.renewed_at";
/// The lease columns of an owner that is gone say until when its row is kept.
const GONE: &str = "INSERT INTO owners (id, host, boot_id, pid, pid_started, lease_boot, lease_until, lease_us,
    gone, renewed_at) VALUES (?1, '', '', 0, 0, ?2, ?3, ?4, 1, ?5)
    ON CONFLICT DO UPDATE SET gone = 1, lease_boot = excluded.lease_boot, lease_until = excluded.lease_until,
    lease_us = excluded.lease_us WHERE gone = 0";
const LEASES: &str = "SELECT id, lease_boot, lease_until, lease_us FROM owners WHERE gone = 0";
const LIST: &str = "SELECT id, host, boot_id, pid, pid_started, gone, lease_boot, lease_until, lease_us,
    (SELECT count(*) FROM jobs WHERE state = 'running' AND owner = owners.id)
    FROM owners WHERE gone = 0 OR EXISTS (SELECT 1 FROM jobs WHERE state = 'running' AND owner = owners.id)
    ORDER BY id";
const CANCELS: &str =
    "SELECT id FROM jobs WHERE state = 'running' AND owner = ?1 AND cancel_requested = 1";
const FORGETTABLE: &str = "SELECT id, lease_boot, lease_until, lease_us FROM owners WHERE gone = 1
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE state = 'running' AND owner = owners.id) LIMIT ?1";
const FORGET: &str = "DELETE FROM owners WHERE id = ?1 AND gone = 1";

/// How long the row of an owner that is gone is kept, so that the owner hears of it if it comes back.
const GONE_KEPT: Duration = Duration::from_secs(24 * 3600);

/// What the table says of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Unknown,
    Holds,
    Lapsed,
    Gone,
}

fn standing(
    connection: &Connection,
    owner: OwnerId,
    now: &Moment,
) -> std::result::Result<Standing, Error> {
    let read = connection
        .prepare_cached(LEASE)?
        .query_row([owner.as_bytes()], |row| {
            let mut columns = Columns::new(row);
            let gone = columns.number::<i64>()? != 0;
            Ok(match (gone, holds(&mut columns, now)?) {
                (true, _) => Standing::Gone,
                (false, true) => Standing::Holds,
                (false, false) => Standing::Lapsed,
            })
        })
        .optional()?;
    Ok(read.unwrap_or(Standing::Unknown))
}

/// Reads the next three columns as a lease and says whether it holds.
fn holds(columns: &mut Columns<'_, '_>, now: &Moment) -> rusqlite::Result<bool> {
    let boot = columns.text()?.unwrap_or_default();
    Ok(now.holds(boot, columns.number()?, columns.number()?))
}

/// `Closed` unless the owner's lease is valid.
pub(super) fn check(
    connection: &Connection,
    owner: OwnerId,
    now: &Moment,
) -> std::result::Result<Result<()>, Error> {
    let why = match standing(connection, owner, now)? {
        Standing::Holds => return Ok(Ok(())),
        Standing::Unknown => "was never enlisted; renew it first",
        Standing::Lapsed => "has let its lease lapse; renew it first",
        Standing::Gone => "was declared dead; start again as a new owner",
    };
    Ok(Err(CoreError::new(
        ErrorKind::Closed,
        format!("owner {owner} {why}"),
    )))
}

/// Whether the owner still holds its lease.
pub(super) fn is_alive(tx: &Transaction<'_>, owner: OwnerId) -> std::result::Result<bool, Error> {
    Ok(standing(tx.connection(), owner, &tx.moment)? == Standing::Holds)
}

/// Whether the owner was declared dead.
pub(super) fn is_gone(tx: &Transaction<'_>, owner: OwnerId) -> std::result::Result<bool, Error> {
    Ok(standing(tx.connection(), owner, &tx.moment)? == Standing::Gone)
}

/// Enlists an owner, or renews its lease.
pub(super) fn renew(
    tx: &Transaction<'_>,
    owner: &Owner,
    lease: Duration,
) -> std::result::Result<Renewed, Error> {
    if standing(tx.connection(), owner.id, &tx.moment)? == Standing::Gone {
        return Ok(Renewed::Lost);
    }
    tx.sql(ENLIST)?.execute(params![
        owner.id.as_bytes(),
        owner.host,
        owner.boot_id,
        owner.pid,
        signed(owner.pid_started),
        &*tx.moment.boot,
        tx.moment.after(lease),
        micros(lease),
        tx.now.as_micros(),
    ])?;
    Ok(Renewed::Held { lease })
}

/// Ends leases for ever.
pub(super) fn retire(tx: &Transaction<'_>, owners: &[OwnerId]) -> std::result::Result<(), Error> {
    let mut gone = tx.sql(GONE)?;
    for owner in owners {
        gone.execute((
            owner.as_bytes(),
            &*tx.moment.boot,
            tx.moment.after(GONE_KEPT),
            micros(GONE_KEPT),
            tx.now.as_micros(),
        ))?;
    }
    Ok(())
}

/// The owners whose lease lapsed and has not been acted upon.
pub(super) fn lapsed(
    connection: &Connection,
    now: &Moment,
) -> std::result::Result<Vec<OwnerId>, Error> {
    let mut statement = connection.prepare_cached(LEASES)?;
    let leases = statement.query_map([], |row| {
        let mut columns = Columns::new(row);
        Ok((
            columns.some_id(OwnerId::from_slice)?,
            holds(&mut columns, now)?,
        ))
    })?;
    let mut lapsed = Vec::new();
    for lease in leases {
        let (owner, holds) = lease?;
        if !holds {
            lapsed.push(owner);
        }
    }
    Ok(lapsed)
}

/// The owners, but for those that are gone and run nothing, and the running jobs of `cancels_of` that somebody asked to cancel.
pub(super) fn list(
    connection: &Connection,
    now: &Moment,
    cancels_of: Option<OwnerId>,
) -> std::result::Result<(Vec<OwnerRow>, Vec<JobId>), Error> {
    let mut statement = connection.prepare_cached(LIST)?;
    let rows = statement
        .query_map([], |row| owner_row(&mut Columns::new(row), now))?
        .collect::<rusqlite::Result<_>>()?;
    let mut cancels = Vec::new();
    if let Some(owner) = cancels_of {
        let mut statement = connection.prepare_cached(CANCELS)?;
        let ids = statement.query_map([owner.as_bytes()], |row| {
            Columns::new(row).some_id(JobId::from_slice)
        })?;
        cancels = ids.collect::<rusqlite::Result<_>>()?;
    }
    Ok((rows, cancels))
}

fn owner_row(columns: &mut Columns<'_, '_>, now: &Moment) -> rusqlite::Result<OwnerRow> {
    let owner = Owner {
        id: columns.some_id(OwnerId::from_slice)?,
        host: columns.text()?.unwrap_or_default().to_owned(),
        boot_id: columns.text()?.unwrap_or_default().to_owned(),
        pid: columns.number()?,
        pid_started: columns.number()?,
    };
    let gone = columns.number::<i64>()? != 0;
    let boot = columns.text()?.unwrap_or_default();
    let (until, lease) = (columns.number()?, columns.number()?);
    let left = if !gone && now.holds(boot, until, lease) {
        Duration::from_micros(u64::try_from(until - now.micros).unwrap_or(0))
    } else {
        Duration::ZERO
    };
    Ok(OwnerRow {
        owner,
        left,
        running: columns.number()?,
    })
}

/// Forgets owners that have been gone for long and have nothing left to take over.
pub(super) fn forget(tx: &Transaction<'_>, max: usize) -> std::result::Result<(), Error> {
    let mut statement = tx.sql(FORGETTABLE)?;
    let rows = statement.query_map([limit(max)], |row| {
        let mut columns = Columns::new(row);
        Ok((
            columns.some_id(OwnerId::from_slice)?,
            holds(&mut columns, &tx.moment)?,
        ))
    })?;
    let rows: HashMap<OwnerId, bool> = rows.collect::<rusqlite::Result<_>>()?;
    for owner in rows
        .iter()
        .filter(|(_, kept)| !**kept)
        .map(|(owner, _)| owner)
    {
        tx.sql(FORGET)?.execute([owner.as_bytes()])?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 5] = [LEASE, ENLIST, GONE, CANCELS, FORGET];
