//! Random operations on the store, compared with the model.

use std::time::Duration;

use bananas_core::{
    Alteration, AttemptError, Claim, ClaimRequest, DeadReason, Due, Env, ErrorCause, JobFilter,
    JobIndex, JobRef, JobSettle, JobStore, NewRecord, Outcome, Priority, Prune, QueueName,
    TakeStore, Timestamp, Track, Unique,
};
use proptest::prelude::*;

use super::model::Model;
use crate::rig::{LEASE, NOW, Rig, id, job, owner, success};

const JOBS: u64 = 24;
const OWNERS: u8 = 4;

#[derive(Clone, Debug)]
enum Step {
    Record(Record),
    Take {
        queue: bool,
        owner: u8,
        max: usize,
        suspects: usize,
    },
    Claim {
        job: u64,
        owner: u8,
        delivery: u32,
        suspects: usize,
    },
    Settle {
        job: u64,
        behind: u64,
        how: u8,
    },
    Renew(u8),
    Retire(u8),
    Due {
        max: usize,
    },
    Pass(u64),
    Alter(u64, Alteration),
    Prune {
        max: usize,
    },
}

#[derive(Clone, Debug)]
struct Record {
    n: u64,
    queue: bool,
    priority: u8,
    tracked: bool,
    delay: Option<u64>,
    expires: Option<u64>,
    unique: Option<u8>,
}

fn any_record() -> impl Strategy<Value = Record> {
    let options = (
        proptest::option::weighted(0.3, 1..20_u64),
        proptest::option::weighted(0.2, 1..30_u64),
        proptest::option::weighted(0.2, 0..3_u8),
    );
    (0..JOBS, any::<bool>(), 0..3_u8, any::<bool>(), options).prop_map(
        |(n, queue, priority, tracked, (delay, expires, unique))| Record {
            n,
            queue,
            priority,
            tracked,
            delay,
            expires,
            unique,
        },
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    let alteration = prop_oneof![
        Just(Alteration::Cancel),
        Just(Alteration::Retry),
        Just(Alteration::Drop)
    ];
    prop_oneof![
        8 => any_record().prop_map(Step::Record),
        8 => (any::<bool>(), 0..OWNERS, 0..6_usize, 0..3_usize).prop_map(
            |(queue, owner, max, suspects)| Step::Take { queue, owner, max, suspects }
        ),
        4 => (0..JOBS, 0..OWNERS, 0..3_u32, 0..2_usize).prop_map(
            |(job, owner, delivery, suspects)| Step::Claim { job, owner, delivery, suspects }
        ),
        8 => (0..JOBS, 0..2_u64, 0..6_u8)
            .prop_map(|(job, behind, how)| Step::Settle { job, behind, how }),
        5 => (0..OWNERS).prop_map(Step::Renew),
        1 => (0..OWNERS).prop_map(Step::Retire),
        4 => (1..5_usize).prop_map(|max| Step::Due { max }),
        5 => (1..8_u64).prop_map(Step::Pass),
        3 => (0..JOBS, alteration).prop_map(|(job, what)| Step::Alter(job, what)),
        1 => (1..4_usize).prop_map(|max| Step::Prune { max }),
    ]
}

fn queue_of(second: bool) -> QueueName {
    let name = if second { "second" } else { "first" };
    name.parse().unwrap()
}

fn outcome(how: u8, now: Timestamp) -> Outcome {
    let soon = now + Duration::from_secs(4);
    let error = AttemptError::new(1, now, ErrorCause::Failed, "no");
    match how {
        0 => Outcome::Retry {
            run_at: soon,
            error,
        },
        1 => Outcome::Dead {
            reason: DeadReason::Fatal,
            error,
        },
        2 => Outcome::Release {
            run_at: None,
            note: None,
        },
        3 => Outcome::Release {
            run_at: Some(soon),
            note: Some("wait".to_owned()),
        },
        4 => Outcome::Cancelled,
        _ => success(),
    }
}

fn new_record(record: &Record, now: Timestamp) -> NewRecord {
    let after = |seconds: Option<u64>| seconds.map(|s| now + Duration::from_secs(s));
    let standing = bananas_core::Standing::new(now, after(record.delay), after(record.expires));
    NewRecord {
        queue: queue_of(record.queue),
        priority: Priority::new(record.priority).unwrap(),
        track: if record.tracked {
            Track::Full
        } else {
            Track::None
        },
        unique: record.unique.map(|key| Unique {
            key: key.to_string(),
            lasts: Duration::from_secs(12),
        }),
        standing,
        ..job(record.n)
    }
}

/// Does one step in both and compares the answers.
async fn step(rig: &Rig, model: &mut Model, step: Step) {
    let (now, tick, store) = (rig.now(), rig.env.monotonic(), &rig.store);
    match step {
        Step::Record(record) => {
            let new = new_record(&record, now);
            let expected = model.record(new.clone(), now);
            assert_eq!(rig.record(new).await, expected);
        }
        Step::Take {
            queue,
            owner: n,
            max,
            suspects,
        } => {
            let (queue, by) = (queue_of(queue), owner(n).id);
            let taken = store.taker(&queue, by).take(max, suspects, NOW).await;
            if model.holds(by, tick) {
                let expected = model.take(&queue, by, (max, suspects), now);
                assert_eq!(taken.unwrap(), expected);
            } else {
                assert!(taken.is_err());
            }
        }
        Step::Claim {
            job,
            owner: n,
            delivery,
            suspects,
        } => {
            claim(rig, model, (job, n), (delivery, suspects)).await;
        }
        Step::Settle { job, behind, how } => settle(rig, model, (job, behind), how).await,
        Step::Renew(n) => {
            let expected = model.renew(owner(n).id, tick);
            assert_eq!(store.renew(&owner(n), LEASE).await.unwrap(), expected);
        }
        Step::Retire(n) => {
            model.retire(owner(n).id, tick);
            store.retire(&[owner(n).id]).await.unwrap();
        }
        Step::Due { max } => {
            let due = Due {
                now,
                max,
                publication: None,
            };
            let page = store.due(due).await.unwrap();
            assert_eq!(page.moved, model.due(max, now, tick));
        }
        Step::Pass(seconds) => rig.pass(seconds),
        Step::Alter(job, alteration) => {
            let expected = model.alter(id(job), alteration, now);
            let answer = store.alter(&[id(job)], alteration).await.unwrap();
            assert_eq!(answer, [expected]);
        }
        Step::Prune { max } => {
            let before = now - Duration::from_secs(10);
            let prune = Prune {
                finished_before: before,
                dead_before: before,
                max,
            };
            assert_eq!(store.prune(prune).await.unwrap(), model.prune(&prune));
        }
    }
}

/// Claims a job for an owner, as a broker's delivery of copy 0.
async fn claim(
    rig: &Rig,
    model: &mut Model,
    (job, n): (u64, u8),
    (delivery, suspects): (u32, usize),
) {
    let (clock, by) = ((rig.now(), rig.env.monotonic()), owner(n).id);
    let at = model.find(id(job));
    let queue = at.map_or_else(|| queue_of(false), |at| model.jobs[at].record.queue.clone());
    let claim = Claim {
        job: JobRef { queue, id: id(job) },
        copy: 0,
        delivery,
        redelivery_proves_lease_lost: true,
    };
    let request = ClaimRequest {
        owner: by,
        suspects,
        claims: vec![claim.clone()],
    };
    let answer = rig.store.claim(request).await.remove(0);
    if model.holds(by, clock.1) {
        let expected = model.claim(&claim, by, suspects, clock);
        assert_eq!(answer.unwrap(), expected);
    } else {
        assert!(answer.is_err());
    }
}

/// Settles the run of a job, or one that is `behind` it.
async fn settle(rig: &Rig, model: &mut Model, (job, behind): (u64, u64), how: u8) {
    let now = rig.now();
    let Some(at) = model.find(id(job)) else {
        return;
    };
    let record = &model.jobs[at].record;
    let settle = JobSettle {
        job: record.reference(),
        epoch: record.standing.epoch.saturating_sub(behind),
        outcome: outcome(how, now),
    };
    let expected = model.settle(id(job), settle.epoch, settle.outcome.clone(), now);
    let answer = rig.store.settle(vec![settle]).await.remove(0);
    assert_eq!(answer.unwrap(), expected);
}

/// Compares everything there is.
async fn compare(rig: &Rig, model: &Model) {
    let page = rig
        .store
        .query(&JobFilter::default(), None, 1_000)
        .await
        .unwrap();
    let mut expected: Vec<_> = model.jobs.iter().map(|job| job.record.clone()).collect();
    expected.sort_by_key(|record| std::cmp::Reverse(record.id));
    assert_eq!(page.jobs, expected);
    let queues = [queue_of(false), queue_of(true)];
    assert_eq!(rig.store.counts().await.unwrap(), model.counts(&queues));
    assert_eq!(
        model.recorded,
        model.jobs.len() as u64 + model.ended_and_gone,
        "no job is lost"
    );
    rig.engine.memory.jobs.lock().check();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn the_store_does_what_a_list_of_jobs_does(steps in prop::collection::vec(any_step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rig = Rig::new();
            let mut model = Model::default();
            for next in steps {
                step(&rig, &mut model, next).await;
                compare(&rig, &model).await;
            }
        });
    }
}
