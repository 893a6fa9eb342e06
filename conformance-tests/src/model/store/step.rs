//! What a sequence does to a store. Small numbers stand for things: the model says which they are by then.

use proptest::prelude::*;

/// How many jobs, queues and owners the steps name.
pub(super) const JOBS: u8 = 10;
pub(super) const QUEUES: usize = 2;
pub(super) const OWNERS: u8 = 3;

/// How many numbers, beside those of the jobs, stand for the latest runs.
const RUNS: u8 = 12;

/// One step. In sequences of a fused engine `Start` takes jobs, in others it claims them.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Record {
        jobs: Vec<NewJob>,
        /// Whether they are about to be published, where the engine does not do without.
        published: bool,
    },
    Confirm {
        batch: usize,
    },
    Start {
        owner: u8,
        suspects: usize,
        claims: Vec<NewClaim>,
    },
    Settle(Vec<End>),
    Due {
        max: usize,
    },
    Lost {
        max: usize,
        /// Seconds.
        open_for: u64,
        gone: Option<usize>,
        evidence: Option<usize>,
    },
    Renew {
        owner: u8,
        lease: u64,
    },
    Retire {
        owner: u8,
    },
    Cancels {
        owner: u8,
    },
    Alter {
        jobs: Vec<u8>,
        wish: Wish,
    },
    Prune {
        max: usize,
        /// Seconds ago.
        finished: u64,
        dead: u64,
    },
    Query {
        states: u8,
        queue: Option<usize>,
        page: usize,
    },
    /// So many seconds pass.
    Pass(u64),
    Reopen,
}

/// A job to record; times are seconds from now.
#[derive(Clone, Debug)]
pub(super) struct NewJob {
    pub(super) n: u8,
    pub(super) queue: usize,
    pub(super) priority: u8,
    pub(super) kept: bool,
    pub(super) delay: Option<u64>,
    pub(super) expires: Option<u64>,
    pub(super) unique: Option<u8>,
}

/// A delivery that asks to run.
#[derive(Clone, Debug)]
pub(super) struct NewClaim {
    /// A job; from `JOBS` on the job of one of the latest runs, since claims of running jobs matter most.
    pub(super) n: u8,
    /// Behind the latest copy.
    pub(super) copies_behind: u32,
    pub(super) delivery: u32,
    pub(super) proves: bool,
}

/// The end of a run.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// Counted from the latest run.
    pub(super) run: usize,
    pub(super) how: How,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    Succeeded,
    Retry(u64),
    Dead,
    Release(Option<u64>, bool),
    Cancelled,
    Expired,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    Cancel,
    Retry,
    Drop,
}

pub(super) fn any_step() -> impl Strategy<Value = Step> + Clone {
    let lease = prop_oneof![Just(10_u64), Just(30_u64)];
    let wish = prop_oneof![Just(Wish::Cancel), Just(Wish::Retry), Just(Wish::Drop)];
    let age = || prop_oneof![Just(0_u64), 1..30_u64];
    prop_oneof![
        10 => (prop::collection::vec(any_job(), 1..4), prop::bool::weighted(0.9))
            .prop_map(|(jobs, published)| Step::Record { jobs, published }),
        2 => (0..4_usize).prop_map(|batch| Step::Confirm { batch }),
        12 => (0..OWNERS, 0..3_usize, prop::collection::vec(any_claim(), 1..4))
            .prop_map(|(owner, suspects, claims)| Step::Start { owner, suspects, claims }),
        10 => prop::collection::vec(any_end(), 1..3).prop_map(Step::Settle),
        5 => (1..5_usize).prop_map(|max| Step::Due { max }),
        3 => (1..4_usize, age(), prop::option::of(0..3_usize), prop::option::of(0..QUEUES))
            .prop_map(|(max, open_for, gone, evidence)| Step::Lost { max, open_for, gone, evidence }),
        8 => (0..OWNERS, lease).prop_map(|(owner, lease)| Step::Renew { owner, lease }),
        1 => (0..OWNERS).prop_map(|owner| Step::Retire { owner }),
        1 => (0..OWNERS).prop_map(|owner| Step::Cancels { owner }),
        4 => (prop::collection::vec(0..JOBS, 1..3), wish)
            .prop_map(|(jobs, wish)| Step::Alter { jobs, wish }),
        1 => (1..4_usize, age(), age())
            .prop_map(|(max, finished, dead)| Step::Prune { max, finished, dead }),
        2 => (any::<u8>(), prop::option::of(0..QUEUES), 1..4_usize)
            .prop_map(|(states, queue, page)| Step::Query { states, queue, page }),
        8 => (1..16_u64).prop_map(Step::Pass),
        1 => Just(Step::Reopen),
    ]
}

fn any_job() -> impl Strategy<Value = NewJob> + Clone {
    let priority = prop_oneof![4 => Just(50_u8), 1 => Just(0_u8), 1 => Just(100_u8)];
    let options = (
        prop::option::weighted(0.3, 1..20_u64),
        prop::option::weighted(0.2, 1..30_u64),
        prop::option::weighted(0.2, 0..2_u8),
    );
    let kept = prop::bool::weighted(0.8);
    (0..JOBS, 0..QUEUES, priority, kept, options).prop_map(
        |(n, queue, priority, kept, (delay, expires, unique))| NewJob {
            n,
            queue,
            priority,
            kept,
            delay,
            expires,
            unique,
        },
    )
}

fn any_claim() -> impl Strategy<Value = NewClaim> + Clone {
    let behind = prop_oneof![4 => Just(0_u32), 1 => Just(1_u32)];
    (0..JOBS + RUNS, behind, 1..9_u32, prop::bool::weighted(0.8)).prop_map(
        |(n, copies_behind, delivery, proves)| NewClaim {
            n,
            copies_behind,
            delivery,
            proves,
        },
    )
}

fn any_end() -> impl Strategy<Value = End> + Clone {
    let how = prop_oneof![
        3 => Just(How::Succeeded),
        3 => (0..20_u64).prop_map(How::Retry),
        1 => Just(How::Dead),
        3 => (prop::option::of(0..20_u64), any::<bool>())
            .prop_map(|(delay, note)| How::Release(delay, note)),
        1 => Just(How::Cancelled),
        1 => Just(How::Expired),
    ];
    let run = prop_oneof![4 => 0..3_usize, 1 => 0..12_usize];
    (run, how).prop_map(|(run, how)| End { run, how })
}
