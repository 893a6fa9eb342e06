//! What became of publishes under faults, and whether the deliveries agree with it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bananas_core::{
    Consumer, Delivery, Error, Fencing, JobId, RawMessage, Settle, Settlement, Status,
};

use crate::case::{BrokerCase, ids};
use crate::patience::Patience;

/// How long one look for messages waits.
const LOOK: Duration = Duration::from_millis(200);

/// How long to wait after an error before the next try.
const PAUSE: Duration = Duration::from_millis(50);

/// The ids of published messages by what the broker answered.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Accepted: each must come.
    pub(crate) confirmed: HashSet<JobId>,
    /// The answer was lost: each may come.
    pub(crate) perhaps: HashSet<JobId>,
    /// Surely not accepted: none may come.
    pub(crate) refused: HashSet<JobId>,
}

impl Tally {
    /// Publishes, and sorts the messages by the answers.
    pub(crate) async fn publish(&mut self, case: &BrokerCase, messages: Vec<RawMessage>) {
        let ids: Vec<JobId> = messages.iter().filter_map(|message| message.id).collect();
        let batch = messages.into_iter().map(|message| case.to_queue(message));
        let answers = case.broker.publish(batch.collect()).await;
        assert_eq!(answers.len(), ids.len(), "one answer for each message");
        for (id, answer) in ids.into_iter().zip(answers) {
            let place = match answer.map_err(|e| e.status()) {
                Ok(_) => &mut self.confirmed,
                Err(Status::MayBeApplied) => &mut self.perhaps,
                Err(Status::NotApplied | Status::Permanent) => &mut self.refused,
            };
            place.insert(id);
        }
    }

    /// Publishes one message after the other until one is accepted, as it must be once the fault is over.
    pub(crate) async fn publish_until_confirmed(&mut self, case: &BrokerCase) {
        let patience = Patience::new(&case.env);
        let before = self.confirmed.len();
        while self.confirmed.len() == before {
            self.publish(case, case.messages(1)).await;
            patience.check("the broker accepts messages again");
            case.env.sleep(PAUSE).await;
        }
    }

    /// Takes and acks everything, through a line without faults, and compares it with the answers.
    pub(crate) async fn verify(&self, case: &BrokerCase) {
        let mut consumer = case.consumer().await;
        let mut came: HashMap<JobId, u32> = HashMap::new();
        let patience = Patience::new(&case.env);
        loop {
            let taken = consumer.reserve(500, LOOK).await.unwrap();
            case.ack(&taken).await;
            for id in ids(&taken) {
                *came.entry(id).or_default() += 1;
            }
            let missing = self.confirmed.iter().filter(|id| !came.contains_key(id));
            let missing = missing.count();
            if missing == 0 && taken.is_empty() {
                break;
            }
            patience.check(&format!("{missing} confirmed messages came"));
        }
        for (id, times) in came {
            assert_eq!(times, 1, "{id} was published once and came {times} times");
            assert!(!self.refused.contains(&id), "{id} was refused, and came");
            let known = self.confirmed.contains(&id) || self.perhaps.contains(&id);
            assert!(known, "{id} was never published");
        }
    }
}

/// Takes so many messages through a line with faults: errors that may pass are waited out.
///
/// They stay leased; where the connection is the lease, the next fault would end it, and they are acked.
pub(crate) async fn take_through_faults(
    case: &BrokerCase,
    consumer: &mut dyn Consumer,
    messages: usize,
) -> Vec<JobId> {
    let patience = Patience::new(&case.env);
    let is_connection = case.broker.info().capabilities.fencing == Fencing::Connection;
    let mut came = Vec::new();
    while came.len() < messages {
        match consumer.reserve(messages - came.len(), LOOK).await {
            Ok(taken) => {
                came.extend(ids(&taken));
                if is_connection {
                    ack_through_faults(case, &taken).await;
                }
            }
            Err(e) => wait_out(case, &e).await,
        }
        patience.check(&format!("{} of {messages} messages came", came.len()));
    }
    came
}

/// Acks what is still held; what was lost by a fault comes again.
async fn ack_through_faults(case: &BrokerCase, taken: &[Delivery]) {
    let ack = |delivery: &Delivery| Settle {
        receipt: delivery.receipt.clone(),
        settlement: Settlement::Ack,
    };
    for answer in case.broker.settle(taken.iter().map(ack).collect()).await {
        if let Err(e) = answer {
            wait_out(case, &e).await;
        }
    }
}

/// Checks that an error may pass, and waits a moment.
pub(crate) async fn wait_out(case: &BrokerCase, error: &Error) {
    assert!(
        error.is_retryable(),
        "a fault that passes was called permanent: {error}"
    );
    case.env.sleep(PAUSE).await;
}
