//! Many clients at once: what they did and saw is written down, and the judge decides.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bananas_core::{Consumer, Delivery, JobId, Priority, Settle, Settled, Settlement};
use futures::future::join_all;
use tokio::task::yield_now;

use crate::case::BrokerCase;
use crate::check::checks;
use crate::hand_worker::{LONG_LEASE, SHORT_LEASE};
use crate::judge::{Cause, History, Recorded, Verdict, judge};
use crate::patience::Patience;
use crate::race::all_at_once;

checks!(BrokerCase:
    sixteen_consumers_take_each_message_once in Smoke,
    a_burst_of_publishes_is_accepted_and_delivered_once,
    what_is_published_again_comes_once_for_each_copy_that_was_accepted,
    whatever_is_delivered_again_had_a_lease_that_lapsed,
    messages_start_in_order_while_more_are_published if Order,
);

/// How long one look for messages waits.
const LOOK: Duration = Duration::from_millis(50);

/// A case whose broker writes down what happens.
struct Witnessed {
    case: BrokerCase,
    recorded: Arc<Recorded>,
    history: Arc<History>,
    /// The messages that were acknowledged with success.
    acked: Mutex<HashSet<JobId>>,
}

impl Witnessed {
    fn new(case: &BrokerCase) -> Self {
        let env = Arc::clone(&case.env);
        let history = Arc::new(History::new(move || env.monotonic().as_micros()));
        let recorded = Arc::new(Recorded::around(
            Arc::clone(&case.broker),
            Arc::<History>::clone(&history),
        ));
        Self {
            case: case.on(Arc::<Recorded>::clone(&recorded)),
            recorded,
            history,
            acked: Mutex::default(),
        }
    }

    fn acked(&self) -> usize {
        self.acked.lock().unwrap().len()
    }

    /// Acknowledges deliveries, of which some may be lost by now.
    async fn try_ack(&self, deliveries: Vec<Delivery>) {
        let settle = |delivery: &Delivery| Settle {
            receipt: delivery.receipt.clone(),
            settlement: Settlement::Ack,
        };
        let batch = deliveries.iter().map(settle).collect();
        let answers = self.case.broker.settle(batch).await;
        for (delivery, settled) in deliveries.iter().zip(answers) {
            if settled.unwrap() == Settled::Done {
                let mut acked = self.acked.lock().unwrap();
                acked.extend(delivery.message.id);
            }
        }
    }

    /// Takes and acknowledges until so many messages are.
    async fn work(&self, mut consumer: Box<dyn Consumer>, messages: usize, at_once: usize) {
        let patience = Patience::new(&self.case.env);
        while self.acked() < messages {
            let taken = consumer.reserve(at_once, LOOK).await.unwrap();
            // Others take meanwhile, even where no call ever waits, so that many hold deliveries at once.
            yield_now().await;
            if !taken.is_empty() {
                self.try_ack(taken).await;
            }
            patience.check(&format!("{} of {messages} are acked", self.acked()));
        }
    }

    /// Judges what happened, by what the broker says it can do.
    async fn judged(&self) -> Verdict {
        self.recorded.list(&self.case.queue).await.unwrap();
        let verdict = judge(&self.history.events(), &self.recorded.rules());
        verdict.assert_clean();
        verdict
    }
}

/// Proves B20, B40, B71. Case K01.
async fn sixteen_consumers_take_each_message_once(case: BrokerCase) {
    let all = case.at_most(5_000) / 50 * 50;
    let witnessed = Arc::new(Witnessed::new(&case));
    let mut consumers = Vec::new();
    for _ in 0..16 {
        consumers.push(witnessed.case.consumer_with(LONG_LEASE, 100).await);
    }
    let publish = async {
        for _ in 0..50 {
            let batch = witnessed.case.messages(all / 50);
            witnessed.case.publish_all(batch).await;
        }
    };
    let work = consumers.into_iter().map(|consumer| {
        let witnessed = Arc::clone(&witnessed);
        async move { witnessed.work(consumer, all, 50).await }
    });
    futures::join!(publish, all_at_once(&case.env, work));
    let counts = witnessed.judged().await.counts;
    let all = all as u64;
    assert_eq!((counts.ok, counts.runs), (all, all), "{counts}");
}

/// Proves B2, B20, B21. Case B10.
async fn a_burst_of_publishes_is_accepted_and_delivered_once(case: BrokerCase) {
    let all = case.at_most(20_000);
    let witnessed = Witnessed::new(&case);
    let messages = witnessed.case.messages(all).into_iter();
    join_all(messages.map(|message| witnessed.case.publish(message))).await;
    let consumer = witnessed.case.consumer().await;
    witnessed.work(consumer, all, 1_000).await;
    let counts = witnessed.judged().await.counts;
    let all = all as u64;
    assert_eq!((counts.ok, counts.runs), (all, all), "{counts}");
}

/// Proves B3, B40. Case B05.
async fn what_is_published_again_comes_once_for_each_copy_that_was_accepted(case: BrokerCase) {
    let witnessed = Witnessed::new(&case);
    let messages = witnessed.case.messages(100);
    let ids: Vec<JobId> = witnessed.case.publish_all(messages.clone()).await;
    let mut consumer = witnessed.case.consumer().await;
    // Some are published again before they are delivered, and some after they were acknowledged.
    let taken = witnessed.case.take(consumer.as_mut(), 50).await;
    witnessed.try_ack(taken).await;
    witnessed.case.publish_all(messages).await;
    witnessed.work(consumer, ids.len(), 10).await;
    let mut rest = witnessed.case.consumer().await;
    loop {
        let taken = rest.reserve(100, SHORT_LEASE * 3).await.unwrap();
        if taken.is_empty() {
            break;
        }
        witnessed.try_ack(taken).await;
    }
    let verdict = witnessed.judged().await;
    assert_eq!(verdict.counts.ok, 100, "{verdict}");
    let again = verdict.explained(Cause::PublishedAgain);
    let dedupe = case.broker.info().capabilities.dedupe;
    assert_eq!(again, if dedupe { 0 } else { 100 }, "{verdict}");
}

/// Takes until so many messages are acknowledged, forgets some, and acknowledges some when it is too late.
async fn forget_some(witnessed: &Witnessed, mut consumer: Box<dyn Consumer>, messages: usize) {
    let env = &witnessed.case.env;
    let patience = Patience::new(env);
    let mut late: Vec<Delivery> = Vec::new();
    while witnessed.acked() < messages {
        let mut now = Vec::new();
        let taken = consumer.reserve(10, LOOK).await.unwrap();
        yield_now().await;
        for delivery in taken {
            match env.random() % 8 {
                0 => drop(delivery),
                1 => late.push(delivery),
                _ => now.push(delivery),
            }
        }
        let lapsed = |delivery: &mut Delivery| delivery.lease.until < env.monotonic();
        now.extend(late.extract_if(.., lapsed));
        if !now.is_empty() {
            witnessed.try_ack(now).await;
        }
        patience.check(&format!("{} of {messages} are acked", witnessed.acked()));
    }
}

/// Proves B5, B45, B71, B72. Cases E02, E05.
async fn whatever_is_delivered_again_had_a_lease_that_lapsed(case: BrokerCase) {
    let messages = case.at_most(500);
    let witnessed = Witnessed::new(&case);
    let batch = witnessed.case.messages(messages);
    witnessed.case.publish_all(batch).await;
    let mut consumers = Vec::new();
    for _ in 0..4 {
        let consumer = witnessed.case.consumer_with(SHORT_LEASE, 100).await;
        consumers.push(forget_some(&witnessed, consumer, messages));
    }
    join_all(consumers).await;
    let verdict = witnessed.judged().await;
    assert_eq!(verdict.counts.ok, messages as u64, "{verdict}");
    let lapsed = verdict.explained(Cause::LeaseLapsed);
    assert_eq!(verdict.counts.runs, messages as u64 + lapsed, "{verdict}");
    assert!(lapsed > 0, "a quarter of the deliveries was forgotten");
}

/// Proves B73. Case C01.
async fn messages_start_in_order_while_more_are_published(case: BrokerCase) {
    const MESSAGES: usize = 300;
    let witnessed = Witnessed::new(&case);
    let publish = async {
        for _ in 0..MESSAGES {
            let priority = u8::try_from(case.env.random() % 101).unwrap();
            let mut message = witnessed.case.message("in order");
            message.priority = Priority::new(priority).unwrap();
            witnessed.case.publish(message).await;
            // A broker that never waits would publish all before the first is taken.
            yield_now().await;
        }
    };
    let consumer = witnessed.case.consumer().await;
    futures::join!(publish, witnessed.work(consumer, MESSAGES, 3));
    let counts = witnessed.judged().await.counts;
    assert_eq!(counts.ok, MESSAGES as u64, "{counts}");
}
