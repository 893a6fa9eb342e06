//! How long a large history takes and how much memory: a measurement and not a test of speed.

use std::fs;

use bananas_core::{Env, TokioEnv};
use conformance_tests::judge::{
    Answer, Ending, Event, HistoryEnd, Job, Name, Order, Rules, What, judge,
};

use crate::script::{enqueue, start};

/// How many jobs, unless `JUDGED_JOBS` says otherwise.
const JOBS: u64 = 20_000;

/// The events of one job: enqueued, accepted, started, settled.
fn life(job: u64, queue: &Name, owner: &Name) -> [What; 5] {
    let mut asked = enqueue(job);
    asked.queue = Name::clone(queue);
    let mut started = start(job, 1);
    started.owner = Name::clone(owner);
    let (job, run) = (Job(job), 1);
    [
        What::Enqueue(asked),
        What::Accepted { job },
        What::Start(started),
        What::Settle {
            job,
            run,
            ending: Ending::Ack,
            body: None,
        },
        What::Settled {
            job,
            run,
            answer: Answer::Ok,
        },
    ]
}

/// `JUDGED_JOBS=1000000 cargo test --release -p conformance-tests --test verdicts large -- --nocapture`
#[tokio::test]
async fn a_large_clean_history_is_judged_clean() {
    let jobs = std::env::var("JUDGED_JOBS").map_or(JOBS, |jobs| jobs.parse().unwrap());
    let env = TokioEnv::current();
    let (queue, owner): (Name, Name) = ("q".into(), "w".into());
    // Odd factors mix the ids, as random ones would be.
    let ids = (0..jobs).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let whats = ids.flat_map(|job| life(job, &queue, &owner));
    let events: Vec<Event> = (0..)
        .zip(whats)
        .map(|(at, what)| Event { at, what })
        .collect();
    let rules = Rules {
        order: Order::Queue,
        end: HistoryEnd::Drained,
        ..Rules::default()
    };
    let begin = env.monotonic();
    let verdict = judge(&events, &rules);
    let took = env.monotonic().since(begin);
    verdict.assert_clean();
    assert_eq!(verdict.counts.ok, jobs);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!(
        "{} events judged in {took:?}; {}",
        events.len(),
        peak.unwrap_or_default()
    );
}
