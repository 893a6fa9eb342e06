//! [`ToyBroker`]: the contract over the toy's protocol.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, BrokerInfo, Capabilities, Consumer, ConsumerSpec, Durability, Env, Lease,
    Publish, Published, QueueSpec, RawMessage, Reach, Receipt, Result, Settle, Settled, Settlement,
};

use super::config::ToyConfig;
use super::consumer::ToyConsumer;
use super::error::Error;
use super::link::{Link, Received};
use super::protocol::{End, Message, Reply, Request, Token};

/// The largest body.
const MAX_MESSAGE: usize = 1024 * 1024;

/// How many items, and about how many of their bytes, go into one request.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// A client of a toy server. It has one connection, which it makes again when it breaks.
///
/// An operation whose bytes were sent is not sent again on its own, but for a consumer's poll, which is made so
/// that repeating it does no harm.
#[derive(Clone, Debug)]
pub struct ToyBroker {
    pub(super) link: Arc<Link>,
    info: Arc<BrokerInfo>,
}

impl ToyBroker {
    /// Connects.
    ///
    /// # Errors
    ///
    /// `Unreachable` when nothing answers within [`ToyConfig::patience`].
    pub async fn connect(config: ToyConfig, env: &Arc<dyn Env>) -> Result<Self> {
        let mut capabilities = Capabilities::exact();
        capabilities.max_message = MAX_MESSAGE;
        capabilities.max_batch = BATCH;
        capabilities.durability = Durability::D3;
        capabilities.reach = Reach::Network;
        let info = BrokerInfo {
            backend: "toy",
            url: config.url(),
            version: None,
            capabilities,
        };
        let broker = Self {
            link: Arc::new(Link::new(config, env)),
            info: Arc::new(info),
        };
        broker.ask(Request::Queues).await?;
        Ok(broker)
    }

    /// How many clients of this namespace the server knows, this one included.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn clients(&self) -> Result<u64> {
        self.count(Request::Clients).await
    }

    pub(super) async fn ask(&self, request: Request) -> Result<Received, Error> {
        self.link.wire().ask(request).await
    }

    fn check_lease(&self, asked: Duration) -> Result<(), Error> {
        let limits = self.info.capabilities.lease;
        if asked < limits.min || asked > limits.max {
            return Err(Error::Lease { asked, limits });
        }
        Ok(())
    }

    /// Sends the items that are not refused, in order and in as few requests as they fit in, and gathers the
    /// answers.
    async fn each<I, T>(
        &self,
        items: Vec<Result<(I, usize), Error>>,
        request: impl Fn(Vec<I>) -> Request,
        read: impl Fn(Received) -> Option<Vec<Result<T, Error>>>,
    ) -> Vec<Result<T>> {
        let mut refusals = Vec::new();
        let mut batches: Vec<Vec<I>> = Vec::new();
        let mut room = 0;
        for item in items {
            let item = item.map(|(item, bytes)| match batches.last_mut() {
                Some(batch) if bytes <= room && batch.len() < BATCH => {
                    room -= bytes;
                    batch.push(item);
                }
                _ => {
                    room = BATCH_BYTES.saturating_sub(bytes);
                    batches.push(vec![item]);
                }
            });
            refusals.push(item.err());
        }
        let call = |batch: Vec<I>| {
            (
                batch.len(),
                self.link.wire().call(request(batch), Duration::ZERO),
            )
        };
        let calls: Vec<_> = batches.into_iter().map(call).collect();
        let mut answers = VecDeque::new();
        for (items, call) in calls {
            let answer = match call {
                Ok(mut call) => call.answer().await,
                Err(e) => Err(e),
            };
            match answer.map(&read) {
                Ok(Some(each)) if each.len() == items => answers.extend(each),
                Ok(_) => answers.extend((0..items).map(|_| Err(Error::WrongAnswer))),
                Err(e) => answers.extend((0..items).map(|_| Err(e.clone()))),
            }
        }
        let mut answer = || answers.pop_front().unwrap_or(Err(Error::WrongAnswer));
        let each = refusals
            .into_iter()
            .map(|refusal| refusal.map_or_else(&mut answer, Err));
        each.map(|answer| answer.map_err(Into::into)).collect()
    }
}

/// What an item adds to a request, or why it is too large for one.
fn bytes(message: Option<&RawMessage>) -> Result<usize, Error> {
    let bytes = message.map_or(0, |message| message.body.len());
    if bytes > MAX_MESSAGE {
        let (what, limit) = ("a body".to_owned(), MAX_MESSAGE);
        return Err(Error::TooLarge { what, bytes, limit });
    }
    let properties = message.into_iter().flat_map(|message| &message.properties);
    Ok(bytes
        + properties
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>())
}

pub(super) fn token(receipt: &Receipt) -> Result<Token, Error> {
    serde_json::from_slice(receipt.token()).map_err(|_| Error::ForeignReceipt)
}

/// That a lease was lost is a fate of a settlement and not an error.
fn settled(answer: Result<(), Error>) -> Result<Settled, Error> {
    match answer {
        Ok(()) => Ok(Settled::Done),
        Err(Error::Already) => Ok(Settled::Already),
        Err(Error::LeaseLost) => Ok(Settled::LeaseLost),
        Err(e) => Err(e),
    }
}

#[async_trait]
impl Broker for ToyBroker {
    fn info(&self) -> &BrokerInfo {
        &self.info
    }

    async fn ensure(&self, queues: &[QueueSpec]) -> Result<()> {
        let names = queues.iter().map(|queue| queue.name.clone()).collect();
        self.ask(Request::Ensure(names)).await?;
        Ok(())
    }

    async fn publish(&self, batch: Vec<Publish>) -> Vec<Result<Published>> {
        let ids: Vec<_> = batch.iter().map(|item| item.message.id).collect();
        let item = |Publish { queue, message }| {
            let bytes = bytes(Some(&message))?;
            Ok(((queue, Message::from(message)), bytes))
        };
        let items = batch.into_iter().map(item).collect();
        let read = |received: Received| match received.reply {
            Reply::Each(each) => Some(each),
            _ => None,
        };
        let answers = self.each(items, Request::Publish, read).await;
        let published = |(answer, id): (Result<()>, _)| {
            answer.map(|()| Published {
                id,
                duplicate: false,
            })
        };
        answers.into_iter().zip(ids).map(published).collect()
    }

    async fn consume(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        self.check_lease(spec.lease)?;
        self.ask(Request::Find(spec.queue.clone())).await?;
        Ok(Box::new(ToyConsumer::new(&self.link, spec)))
    }

    async fn settle(&self, batch: Vec<Settle>) -> Vec<Result<Settled>> {
        let item = |Settle {
                        receipt,
                        settlement,
                    }| {
            let message = match &settlement {
                Settlement::Retry { message, .. } => Some(message.as_ref()),
                Settlement::DeadLetter { message, .. } => message.as_deref(),
                Settlement::Ack | Settlement::Release { .. } => None,
            };
            let bytes = bytes(message)?;
            Ok(((token(&receipt)?, End::from(settlement)), bytes))
        };
        let items = batch.into_iter().map(item).collect();
        let read = |received: Received| match received.reply {
            Reply::Each(each) => Some(each.into_iter().map(settled).collect()),
            _ => None,
        };
        self.each(items, Request::Settle, read).await
    }

    async fn extend(&self, receipts: &[Receipt], lease: Duration) -> Vec<Result<Lease>> {
        let item = |receipt| {
            self.check_lease(lease)?;
            Ok((token(receipt)?, 0))
        };
        let items = receipts.iter().map(item).collect();
        let read = |received: Received| match &received.reply {
            Reply::Extended(each) => {
                let tick = |until: &Result<u64, Error>| Ok(received.tick(until.clone()?));
                Some(each.iter().map(tick).collect())
            }
            _ => None,
        };
        let answers = self
            .each(items, |tokens| Request::Extend(tokens, lease), read)
            .await;
        let lease = |until| Lease {
            until,
            hard_limit: None,
        };
        answers
            .into_iter()
            .map(|answer| answer.map(lease))
            .collect()
    }

    fn admin(&self) -> Option<&dyn BrokerAdmin> {
        Some(self)
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.link.wire().close(deadline).await;
        Ok(())
    }
}
