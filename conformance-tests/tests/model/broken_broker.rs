//! A broker around the memory broker that breaks one clause.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, BrokerInfo, Consumer, ConsumerSpec, Delivery, Env, Lease, Priority,
    Publish, Published, QueueSpec, RawMessage, Receipt, Result, Settle, Settled, Settlement,
};
use conformance_tests::{Backend, VirtualBroker};

use crate::memory::Memory;

/// Which clause is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokerFault {
    /// B73
    ReversesPriorities,
    /// B40
    KeepsWhatWasAcked,
    /// B50
    ExtendsNothing,
    /// B20
    ForgetsTheThird,
}

/// Opens brokers with a fault.
pub(crate) struct BrokenBroker {
    pub(crate) memory: Arc<Memory>,
    pub(crate) fault: BrokerFault,
}

impl Backend for BrokenBroker {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn env(&self) -> Arc<dyn Env> {
        self.memory.env()
    }
}

#[async_trait]
impl VirtualBroker for BrokenBroker {
    async fn open(&self, namespace: &str, env: Arc<dyn Env>) -> Result<Arc<dyn Broker>> {
        let sound = VirtualBroker::open(&*self.memory, namespace, env).await?;
        let fault = self.fault;
        Ok(Arc::new(Broken { sound, fault }))
    }

    async fn forget(&self, namespace: &str) {
        VirtualBroker::forget(&*self.memory, namespace).await;
    }
}

#[derive(Debug)]
struct Broken {
    sound: Arc<dyn Broker>,
    fault: BrokerFault,
}

#[async_trait]
impl Broker for Broken {
    fn info(&self) -> &BrokerInfo {
        self.sound.info()
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        self.sound.ensure(queues).await
    }

    async fn publish(&self, mut batch: Vec<Publish>) -> Vec<Result<Published>> {
        match self.fault {
            BrokerFault::ReversesPriorities => {
                let messages = batch.iter_mut().map(|publish| &mut publish.message);
                messages.for_each(reverse);
                self.sound.publish(batch).await
            }
            BrokerFault::ForgetsTheThird if batch.len() >= 3 => {
                let forgotten = batch.remove(2);
                let mut answers = self.sound.publish(batch).await;
                let id = forgotten.message.id;
                let lie = Published {
                    id,
                    duplicate: false,
                };
                answers.insert(2, Ok(lie));
                answers
            }
            _ => self.sound.publish(batch).await,
        }
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        let sound = self.sound.consume(spec).await?;
        let fault = self.fault;
        Ok(Box::new(BrokenConsumer { sound, fault }))
    }

    async fn settle(&self, mut batch: Vec<Settle>) -> Vec<Result<Settled>> {
        for settle in &mut batch {
            match (self.fault, &mut settle.settlement) {
                (BrokerFault::KeepsWhatWasAcked, settlement @ Settlement::Ack) => {
                    let delay = Duration::ZERO;
                    *settlement = Settlement::Release { delay };
                }
                (BrokerFault::ReversesPriorities, Settlement::Retry { message, .. }) => {
                    reverse(message);
                }
                _ => {}
            }
        }
        self.sound.settle(batch).await
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        let extended = self.sound.extend(receipts, lease).await;
        if self.fault == BrokerFault::ExtendsNothing {
            // They end before anybody can ask.
            let least = self.info().capabilities.lease.min;
            self.sound.extend(receipts, least).await;
        }
        extended
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        // What it shows would give the fault away before a delivery does.
        None
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.sound.close(deadline).await
    }
}

#[derive(Debug)]
struct BrokenConsumer {
    sound: Box<dyn Consumer>,
    fault: BrokerFault,
}

#[async_trait]
impl Consumer for BrokenConsumer {
    async fn reserve(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let mut deliveries = self.sound.reserve(max, wait).await?;
        if self.fault == BrokerFault::ReversesPriorities {
            let messages = deliveries.iter_mut().map(|delivery| &mut delivery.message);
            messages.for_each(reverse);
        }
        Ok(deliveries)
    }

    async fn stop(&mut self) -> Result<()> {
        self.sound.stop().await
    }
}

fn reverse(message: &mut RawMessage) {
    let reversed = Priority::MAX.get() - message.priority.get();
    message.priority = Priority::new(reversed).expect("within bounds");
}
