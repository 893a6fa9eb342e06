//! What a sequence does to a broker. Small numbers stand for things: the model says which they are by then.

use proptest::prelude::*;

/// How many queues the steps name.
pub(super) const QUEUES: usize = 2;

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Publish {
        client: usize,
        messages: Vec<NewMessage>,
    },
    Consume {
        client: usize,
        queue: usize,
        lease: u64,
        credit: u32,
    },
    Reserve {
        consumer: usize,
        max: usize,
    },
    Stop {
        consumer: usize,
    },
    Drop {
        consumer: usize,
    },
    Settle {
        client: usize,
        ends: Vec<(usize, End)>,
    },
    Extend {
        client: usize,
        receipts: Vec<usize>,
        lease: u64,
    },
    /// So many seconds pass.
    Pass(u64),
    OpenClient,
    CloseClient(usize),
    /// All clients close and one opens.
    Reopen,
    Ensure(usize),
    Admin {
        queue: usize,
        what: Admin,
    },
}

/// A message to publish.
#[derive(Clone, Debug)]
pub(super) struct NewMessage {
    pub(super) queue: usize,
    /// One of few, so that ids are used again.
    pub(super) id: u8,
    pub(super) priority: u8,
    pub(super) delay: Option<u64>,
}

/// How a delivery ends.
#[derive(Clone, Debug)]
pub(super) enum End {
    Ack,
    Retry {
        delay: u64,
        not_before: Option<u64>,
        priority: u8,
    },
    Release {
        delay: u64,
    },
    Dead {
        replaced: bool,
    },
    /// With a receipt of nobody.
    Foreign,
}

/// What the admin side is asked for. Buckets are numbered: ready, delayed, dead.
#[derive(Clone, Debug)]
pub(super) enum Admin {
    Depth,
    Peek(u8, usize),
    Purge(u8),
    Redrive(Option<Vec<u8>>),
    Delete,
}

/// How many job ids there are.
const IDS: u8 = 6;

pub(super) fn any_step() -> impl Strategy<Value = Step> + Clone {
    // A lease of zero is outside the limits.
    let lease = prop_oneof![6 => Just(10_u64), 4 => Just(30_u64), 1 => Just(0_u64)];
    prop_oneof![
        10 => (0..3_usize, prop::collection::vec(any_message(), 1..4))
            .prop_map(|(client, messages)| Step::Publish { client, messages }),
        3 => (0..3_usize, 0..QUEUES, lease.clone(), 1..5_u32)
            .prop_map(|(client, queue, lease, credit)| Step::Consume { client, queue, lease, credit }),
        12 => (0..4_usize, 1..5_usize).prop_map(|(consumer, max)| Step::Reserve { consumer, max }),
        1 => (0..4_usize).prop_map(|consumer| Step::Stop { consumer }),
        1 => (0..4_usize).prop_map(|consumer| Step::Drop { consumer }),
        9 => (0..3_usize, prop::collection::vec((0..6_usize, any_end()), 1..4))
            .prop_map(|(client, ends)| Step::Settle { client, ends }),
        4 => (0..3_usize, prop::collection::vec(0..6_usize, 1..3), lease)
            .prop_map(|(client, receipts, lease)| Step::Extend { client, receipts, lease }),
        8 => (1..16_u64).prop_map(Step::Pass),
        1 => Just(Step::OpenClient),
        1 => (0..3_usize).prop_map(Step::CloseClient),
        1 => Just(Step::Reopen),
        1 => (0..QUEUES).prop_map(Step::Ensure),
        6 => (0..QUEUES, any_admin()).prop_map(|(queue, what)| Step::Admin { queue, what }),
    ]
}

fn any_message() -> impl Strategy<Value = NewMessage> + Clone {
    let delay = prop::option::weighted(0.3, 1..20_u64);
    (0..QUEUES, 0..IDS, any_priority(), delay).prop_map(|(queue, id, priority, delay)| NewMessage {
        queue,
        id,
        priority,
        delay,
    })
}

fn any_priority() -> impl Strategy<Value = u8> + Clone {
    prop_oneof![4 => Just(50_u8), 1 => Just(0_u8), 1 => Just(100_u8)]
}

fn any_end() -> impl Strategy<Value = End> + Clone {
    let delay = prop_oneof![1 => Just(0_u64), 1 => 1..20_u64];
    let not_before = prop::option::weighted(0.2, 1..20_u64);
    prop_oneof![
        6 => Just(End::Ack),
        3 => (delay.clone(), not_before, any_priority())
            .prop_map(|(delay, not_before, priority)| End::Retry { delay, not_before, priority }),
        3 => delay.prop_map(|delay| End::Release { delay }),
        3 => any::<bool>().prop_map(|replaced| End::Dead { replaced }),
        1 => Just(End::Foreign),
    ]
}

fn any_admin() -> impl Strategy<Value = Admin> + Clone {
    let ids = prop::option::of(prop::collection::vec(0..IDS, 1..3));
    prop_oneof![
        8 => Just(Admin::Depth),
        4 => (0..3_u8, 1..4_usize).prop_map(|(bucket, max)| Admin::Peek(bucket, max)),
        2 => (0..3_u8).prop_map(Admin::Purge),
        4 => ids.prop_map(Admin::Redrive),
        1 => Just(Admin::Delete),
    ]
}
