//! The scheduler: upkeep that any worker may do, in small pages.
//!
//! It makes due jobs ready, retires owners that are surely gone on this host, publishes again what a broker
//! lost, mends jobs that nothing would ever move, and forgets what is old enough.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Check, CheckScope, Chore, Error, ErrorKind, Finding, Result, Tended, Tick};

use crate::engine::Engine;
use crate::process;
use crate::supervisor::{Pulse, next_wait};

/// The longest pause between two looks for due jobs: those that others make due are not known before.
const PROMOTE: Duration = Duration::from_millis(500);

/// How often it looks whether owners on this host are gone.
const OWNERS: Duration = Duration::from_secs(1);

/// How often it looks for jobs that a broker lost.
const REPUBLISH: Duration = Duration::from_secs(5);

/// How often it looks for jobs that nothing would ever move.
const CHECK: Duration = Duration::from_secs(60);

/// How often it forgets old records.
const PRUNE: Duration = Duration::from_secs(60);

/// The first and the longest wait after a turn with an error.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long one page of upkeep may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Does upkeep until it is aborted. A fresh worker begins with the dead owners: what they ran should not
/// wait for their leases.
pub(crate) async fn tend(engine: Arc<Engine>, pulse: Arc<Pulse>) -> Result<()> {
    let env = &engine.env;
    let start = env.monotonic();
    let (mut owners, mut republish) = (start, start + engine.jittered(REPUBLISH));
    // Workers that were started together do not prune together.
    let mut prune = start + engine.jittered(PRUNE / 2);
    let mut check = start + engine.jittered(CHECK / 2);
    let mut wait = WAITS.0;
    loop {
        pulse.turn(env);
        let mut trouble = Trouble::default();
        if is_due(&engine, &mut owners, OWNERS) {
            trouble.note(retire_the_dead(&engine).await.map(|()| Tended::default()));
        }
        let promoted = trouble.note(page(&engine, Chore::Promote).await);
        if is_due(&engine, &mut republish, REPUBLISH)
            && trouble.note(page(&engine, Chore::Republish).await).more
        {
            republish = env.monotonic();
        }
        if is_due(&engine, &mut prune, PRUNE) {
            let chore = Chore::Prune {
                finished: engine.config.keep_finished,
                dead: engine.config.keep_dead,
            };
            // The rest of a full page comes at the next turn, so that due jobs do not wait for it.
            if trouble.note(page(&engine, chore).await).more {
                prune = env.monotonic();
            }
        }
        if is_due(&engine, &mut check, CHECK) && trouble.note(mend_strays(&engine).await).more {
            check = env.monotonic();
        }
        let pause = if let Some(e) = trouble.0 {
            tracing::warn!(error = %e, "upkeep failed; it is tried again");
            wait = next_wait(wait, env.random()).min(WAITS.1);
            wait
        } else {
            wait = WAITS.0;
            let until_next = promoted.next.map(|at| at.since(env.now()));
            let idle = engine.jittered(PROMOTE).min(until_next.unwrap_or(PROMOTE));
            if promoted.more { Duration::ZERO } else { idle }
        };
        env.sleep(pause.max(Duration::from_millis(1))).await;
    }
}

/// The last error of one turn. A chore that fails keeps no other from being done.
#[derive(Default)]
struct Trouble(Option<Error>);

impl Trouble {
    fn note(&mut self, tended: Result<Tended>) -> Tended {
        tended.unwrap_or_else(|e| {
            self.0 = Some(e);
            Tended::default()
        })
    }
}

/// Whether `at` has come; then it is set to the next time.
fn is_due(engine: &Engine, at: &mut Tick, period: Duration) -> bool {
    let now = engine.env.monotonic();
    let due = now >= *at;
    if due {
        *at = now + engine.jittered(period);
    }
    due
}

async fn page(engine: &Engine, chore: Chore) -> Result<Tended> {
    let tended = engine.env.within(DEADLINE, engine.ledger.tend(chore)).await;
    tended.unwrap_or_else(|_| Err(no_answer("tend")))
}

/// Ends the leases of owners whose process on this host is gone.
async fn retire_the_dead(engine: &Engine) -> Result<()> {
    let asked = engine.env.within(DEADLINE, engine.ledger.owners(None));
    let (rows, _) = asked
        .await
        .unwrap_or_else(|_| Err(no_answer("look for dead owners")))?;
    let gone: Vec<_> = rows
        .iter()
        .filter(|row| {
            (!row.left.is_zero() || row.running > 0) && process::is_surely_gone(&row.owner)
        })
        .map(|row| row.owner.id)
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    tracing::warn!(owners = ?gone, "workers on this host are gone; their jobs go to others");
    page(engine, Chore::Retire(gone)).await.map(drop)
}

/// Mends a page of jobs that nothing would ever move: something else than we wrote into the store, or lost a part
/// of it.
async fn mend_strays(engine: &Engine) -> Result<Tended> {
    let Some(index) = engine.ledger.index() else {
        return Ok(Tended::default());
    };
    let check = Check {
        repair: true,
        scope: CheckScope::Strays,
        after: None,
    };
    let checked = engine.env.within(DEADLINE, index.check(check)).await;
    let checked = checked.unwrap_or_else(|_| Err(no_answer("check")))?;
    for Finding {
        kind, job, detail, ..
    } in &checked.findings
    {
        let job = job.map(tracing::field::display);
        tracing::error!(%kind, job, detail, "the store was damaged here, and is repaired");
    }
    Ok(Tended {
        jobs: u64::try_from(checked.findings.len()).unwrap_or(u64::MAX),
        // What was found and repaired made room for what comes after it.
        more: checked.next.is_some() && checked.findings.iter().all(|one| one.repaired),
        next: None,
    })
}

fn no_answer(operation: &'static str) -> Error {
    let text = format!("no answer within {DEADLINE:?}");
    Error::new(ErrorKind::Timeout, text).during(operation)
}
