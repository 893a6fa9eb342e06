//! What a child process does with a broker until it is killed: a scripted client that prints what it was told.
//!
//! Each line of its output is the id of a message that the broker has answered for, or `at <point>`.
#![expect(
    clippy::print_stdout,
    reason = "its output is how it talks to the check that started it"
)]

use std::io::{Write, stdout};
use std::time::Duration;

use bananas_core::{Consumer, Delivery, JobId, QueueName, Settle, Settled, Settlement};

use crate::case::{BrokerCase, ids};

/// How long a role waits for messages.
const LOOK: Duration = Duration::from_millis(500);

/// What a child process does with a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reserves so many messages on a short lease, prints them, and keeps them.
    Hold,
    /// Publishes batches of so many for ever, and prints what is confirmed.
    Publish,
    /// Acks batches of so many for ever, and prints what is done.
    Ack,
    /// Retries, releases and dead-letters batches of so many for ever, and prints what is done.
    Shuffle,
    /// Ensures queues for ever.
    Ensure,
    /// Acks batches of so many until nothing comes any more.
    Drain,
}

impl Role {
    /// The queues that [`Role::Ensure`] ensures.
    pub(crate) const ENSURED: [&str; 3] = ["made.first", "made.second", "made.third"];

    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Hold,
        Self::Publish,
        Self::Ack,
        Self::Shuffle,
        Self::Ensure,
        Self::Drain,
    ];

    /// Plays it.
    pub(crate) async fn play(self, case: BrokerCase, number: usize) {
        match self {
            Self::Hold => hold(&case, number).await,
            Self::Publish => publish(&case, number).await,
            Self::Ack => settle(&case, number, |_, _| Settlement::Ack).await,
            Self::Shuffle => settle(&case, number, shuffled).await,
            Self::Ensure => ensure(&case).await,
            Self::Drain => drain(&case, number).await,
        }
    }
}

async fn hold(case: &BrokerCase, number: usize) {
    let mut consumer = case.hasty_consumer().await;
    let held = case.take(consumer.as_mut(), number).await;
    print(&ids(&held));
    at("held");
    std::future::pending().await
}

async fn publish(case: &BrokerCase, number: usize) {
    loop {
        print(&case.publish_all(case.messages(number)).await);
    }
}

/// Settles batches for ever; nothing is left leased for long when it is killed.
async fn settle(case: &BrokerCase, number: usize, how: fn(usize, &Delivery) -> Settlement) {
    let mut consumer = case.hasty_consumer().await;
    for round in 0.. {
        let taken = consumer.reserve(number, LOOK).await.unwrap();
        print(&settled(case, &taken, |delivery| how(round, delivery)).await);
        if let (Some(admin), true) = (case.broker.admin(), round % 7 == 0) {
            admin.redrive(&case.queue, None).await.unwrap();
        }
    }
}

fn shuffled(round: usize, delivery: &Delivery) -> Settlement {
    let delay = Duration::ZERO;
    match round % 3 {
        0 => Settlement::Release { delay },
        1 => Settlement::Retry {
            delay,
            message: Box::new(delivery.message.clone()),
        },
        _ => Settlement::DeadLetter {
            reason: "set aside".to_owned(),
            message: None,
        },
    }
}

async fn ensure(case: &BrokerCase) {
    loop {
        at("ensuring");
        for name in Role::ENSURED {
            case.ensure(&QueueName::new(name).unwrap()).await;
        }
    }
}

async fn drain(case: &BrokerCase, number: usize) {
    let mut consumer: Box<dyn Consumer> = case.consumer().await;
    loop {
        let taken = consumer.reserve(number, LOOK).await.unwrap();
        if taken.is_empty() {
            break;
        }
        print(&settled(case, &taken, |_| Settlement::Ack).await);
    }
    consumer.stop().await.unwrap();
    at("drained");
    std::future::pending().await
}

/// Settles deliveries and answers which settlements counted.
async fn settled(
    case: &BrokerCase,
    taken: &[Delivery],
    how: impl Fn(&Delivery) -> Settlement,
) -> Vec<JobId> {
    let settle = |delivery: &Delivery| Settle {
        receipt: delivery.receipt.clone(),
        settlement: how(delivery),
    };
    let answers = case.broker.settle(taken.iter().map(settle).collect()).await;
    let counted = ids(taken).into_iter().zip(answers);
    counted
        .filter_map(|(id, answer)| (answer.unwrap() == Settled::Done).then_some(id))
        .collect()
}

/// Prints ids, so that the parent has them even if this process dies now.
pub(crate) fn print(ids: &[JobId]) {
    for id in ids {
        println!("{id}");
    }
    stdout().flush().expect("the output can be written");
}

/// Prints that this process is at a point.
pub(crate) fn at(point: &str) {
    println!("at {point}");
    stdout().flush().expect("the output can be written");
}
