//! The clauses of the store, on one file opened by several engines.

mod damage;
mod life;
mod owners;
mod people;
mod publication;

use std::time::Duration;

use bananas_core::{AttemptError, Claim, Due, ErrorCause, StateCount, TakeStore, Taker};

use super::SqliteStore;
use crate::SqliteEngine;
use crate::testing::{Place, mail};

pub(super) const LEASE: Duration = Duration::from_secs(15);

/// A taker as the fused ledger opens it.
pub(super) fn taker(engine: &SqliteEngine, owner: &bananas_core::Owner) -> Box<dyn Taker> {
    SqliteStore::new(engine.shared_for_tests()).taker(&mail(), owner.id)
}

pub(super) fn due(place: &Place) -> Due {
    Due {
        now: bananas_core::Env::now(&*place.env),
        max: 100,
        publication: None,
    }
}

pub(super) fn failure() -> AttemptError {
    AttemptError::new(
        1,
        bananas_core::Timestamp::default(),
        ErrorCause::Failed,
        "no",
    )
}

/// The counts kept along the way are those of the table.
pub(super) async fn assert_counts(place: &Place, engine: &SqliteEngine) {
    let counts = engine.store().index().counts().await.unwrap();
    let file = rusqlite::Connection::open(place.config().path).unwrap();
    let mut recount = file
        .prepare("SELECT queue, state, count(*) FROM jobs GROUP BY queue, state")
        .unwrap();
    let mut recount: Vec<StateCount> = recount
        .query_map([], |row| {
            Ok(StateCount {
                queue: row.get::<_, String>(0)?.parse().unwrap(),
                state: row.get::<_, String>(1)?.parse().unwrap(),
                jobs: u64::try_from(row.get::<_, i64>(2)?).unwrap(),
            })
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    recount.sort_by_key(|count| (count.queue.clone(), count.state as usize));
    assert_eq!(counts, recount);
}

pub(super) fn claim(id: bananas_core::JobId, delivery: u32) -> Claim {
    Claim {
        job: bananas_core::JobRef { queue: mail(), id },
        copy: 0,
        delivery,
        redelivery_proves_lease_lost: true,
    }
}
