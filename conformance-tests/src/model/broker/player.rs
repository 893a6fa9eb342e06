//! Plays the steps of a sequence, on the broker and in the model.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Broker, Consumer, Env, ErrorKind, Fencing, JobId, ManualEnv, Priority, Publish, QueueName,
    QueueSpec, RawMessage, Receipt, Result,
};

use super::queues::Queues;
use super::step::{Admin, NewMessage, QUEUES, Step as Do};
use crate::model::{Step, VirtualBroker, line};

/// How long a call may take in real time. No call waits, so this is never near.
const PATIENCE: Duration = Duration::from_secs(120);

/// Time that suffices for a broker to close.
const CLOSING: Duration = Duration::from_secs(60);

/// A broker with its clients and consumers, and the model of it.
pub(super) struct Player {
    pub(super) env: Arc<ManualEnv>,
    real: Arc<dyn Env>,
    harness: Arc<dyn VirtualBroker>,
    namespace: String,
    pub(super) model: Queues,
    /// The clients that are open, with their numbers.
    pub(super) clients: Vec<(usize, Arc<dyn Broker>)>,
    opened: usize,
    pub(super) consumers: Vec<Option<Box<dyn Consumer>>>,
    pub(super) receipts: Vec<Receipt>,
    pub(super) made: usize,
}

impl Player {
    pub(super) async fn start(harness: Arc<dyn VirtualBroker>, env: Arc<ManualEnv>) -> Self {
        let real = harness.env();
        let namespace = format!("sequence-{}", real.job_id());
        let clock: Arc<dyn Env> = Arc::<ManualEnv>::clone(&env);
        let first = harness.open(&namespace, clock).await.expect("a client");
        let specs: Vec<QueueSpec> = (0..QUEUES).map(|n| QueueSpec::new(queue(n))).collect();
        first.ensure(&specs).await.expect("queues");
        Self {
            env,
            real,
            harness,
            namespace,
            model: Queues::new(first.info().capabilities.clone(), QUEUES),
            clients: vec![(0, first)],
            opened: 1,
            consumers: Vec::new(),
            receipts: Vec::new(),
            made: 0,
        }
    }

    /// Closes what is open; the namespace is used no more.
    pub(super) async fn end(self) {
        let Self {
            harness, namespace, ..
        } = self;
        harness.forget(&namespace).await;
    }

    /// Plays the steps and then looks for every message that must still be there.
    pub(super) async fn play(&mut self, steps: &[Do]) -> std::result::Result<(), String> {
        let mut lines = Vec::new();
        let last = (0..QUEUES).flat_map(|queue| {
            let depth = Do::Admin {
                queue,
                what: Admin::Depth,
            };
            let consume = Do::Consume {
                client: 0,
                queue,
                lease: 30,
                credit: 1_000,
            };
            let reserve = Do::Reserve {
                consumer: 0,
                max: 1_000,
            };
            [depth, consume, reserve]
        });
        let end: Vec<Do> = std::iter::once(Do::Pass(3_600)).chain(last).collect();
        for step in steps.iter().chain(&end) {
            let real = Arc::clone(&self.real);
            let done = real.within(PATIENCE, self.step(step)).await;
            match done.unwrap_or_else(|_| Err(format!("{step:?} does not end"))) {
                Ok(line) => lines.push(format!("  {line}")),
                Err(difference) => {
                    lines.push(format!("  {difference}"));
                    return Err(lines.join("\n"));
                }
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: &Do) -> Step {
        match step {
            Do::Publish { client, messages } => self.publish(*client, messages).await,
            Do::Consume {
                client,
                queue,
                lease,
                credit,
            } => self.consume((*client, *queue), *lease, *credit).await,
            Do::Reserve { consumer, max } => self.reserve(*consumer, *max).await,
            Do::Stop { consumer } => self.stop(*consumer).await,
            Do::Drop { consumer } => Ok(self.drop_consumer(*consumer)),
            Do::Settle { client, ends } => self.settle(*client, ends).await,
            Do::Extend {
                client,
                receipts,
                lease,
            } => self.extend(*client, receipts, *lease).await,
            Do::Pass(seconds) => {
                let time = Duration::from_secs(*seconds);
                self.env.advance(time);
                self.model.pass(time);
                Ok(format!("{time:?} pass, it is {:?}", self.model.now))
            }
            Do::OpenClient => {
                self.open_client().await;
                Ok("open a client".to_owned())
            }
            Do::CloseClient(client) => self.close_client(*client).await,
            Do::Reopen => self.reopen().await,
            Do::Ensure(n) => {
                let ensured = self.client(0).ensure(&[QueueSpec::new(queue(*n))]).await;
                self.model.exist[*n] = true;
                line(
                    ensured.is_ok(),
                    &format!("ensure q{n}"),
                    &kind(&ensured),
                    "Ok",
                )
            }
            Do::Admin { queue, what } => self.admin(*queue, what).await,
        }
    }

    async fn publish(&mut self, client: usize, messages: &[NewMessage]) -> Step {
        let raw: Vec<RawMessage> = messages.iter().map(|new| self.message(new)).collect();
        let items = messages.iter().zip(&raw);
        let batch = items.clone().map(|(new, raw)| Publish {
            queue: queue(new.queue),
            message: raw.clone(),
        });
        let answers = self.client(client).publish(batch.collect()).await;
        let call = items
            .clone()
            .map(|(new, raw)| format!("{} to q{}", show(raw), new.queue));
        let call = format!("publish {}", call.collect::<Vec<_>>().join(", "));
        let exist = |new: &&NewMessage| self.model.exist[new.queue];
        let right =
            answers.len() == messages.len()
                && messages.iter().zip(&answers).zip(&raw).all(
                    |((new, answer), raw)| match answer {
                        Ok(published) => exist(&new) && published.id == raw.id,
                        Err(e) => !exist(&new) && e.kind() == ErrorKind::NotFound,
                    },
                );
        let expected: Vec<_> = messages
            .iter()
            .map(|new| if exist(&new) { "Ok" } else { "NotFound" })
            .collect();
        let line = line(
            right,
            &call,
            &answers.iter().map(kind).collect::<Vec<_>>().join(", "),
            &expected.join(", "),
        )?;
        for ((new, raw), answer) in messages.iter().zip(raw).zip(answers) {
            if answer.is_ok_and(|published| !published.duplicate) {
                let delay = Duration::from_secs(new.delay.unwrap_or(0));
                self.model.publish(new.queue, raw, delay);
            }
        }
        Ok(line)
    }

    async fn open_client(&mut self) {
        let clock: Arc<dyn Env> = Arc::<ManualEnv>::clone(&self.env);
        let opened = self.harness.open(&self.namespace, clock).await;
        let client = opened.expect("a client");
        self.clients.push((self.opened, client));
        self.opened += 1;
    }

    async fn close_client(&mut self, client: usize) -> Step {
        let (number, closing) = self.clients.remove(client % self.clients.len());
        let closed = closing.close(CLOSING).await;
        let again = closing.close(CLOSING).await;
        let late = closing.ensure(&[QueueSpec::new(queue(0))]).await;
        let refused = late.as_ref().is_err_and(|e| e.kind() == ErrorKind::Closed);
        for consumer in self
            .model
            .consumers
            .iter_mut()
            .filter(|c| c.client == number)
        {
            consumer.closed = true;
        }
        if closing.info().capabilities.fencing == Fencing::Connection {
            self.model.end_leases_of(number);
        }
        if self.clients.is_empty() {
            self.open_client().await;
        }
        let answer = format!("{}, {}, then {}", kind(&closed), kind(&again), kind(&late));
        let right = closed.is_ok() && again.is_ok() && refused;
        line(
            right,
            &format!("close client {number}, twice"),
            &answer,
            "Ok, Ok, then Closed",
        )
    }

    async fn reopen(&mut self) -> Step {
        for _ in 0..self.clients.len() {
            self.close_client(0).await?;
        }
        self.consumers
            .iter_mut()
            .for_each(|consumer| *consumer = None);
        Ok("close all clients and open one".to_owned())
    }

    pub(super) fn message(&mut self, new: &NewMessage) -> RawMessage {
        let id = JobId::from_slice(&[new.id + 1; 16]).expect("sixteen bytes");
        let mut message = RawMessage::new(id, format!("m{}", self.made).into());
        self.made += 1;
        message.priority = Priority::new(new.priority).expect("a priority");
        message.not_before = new
            .delay
            .map(|delay| self.env.now() + Duration::from_secs(delay));
        message
            .properties
            .push(("made".to_owned(), self.made.to_string().into()));
        message
    }

    pub(super) fn client(&self, n: usize) -> &Arc<dyn Broker> {
        &self.clients[n % self.clients.len()].1
    }

    pub(super) fn name(&self, message: usize) -> String {
        show(&self.model.messages[message].raw)
    }

    /// Counted from the latest, so that most steps concern what was done a moment ago.
    pub(super) fn nth_latest(&self, nth: usize, count: usize) -> Option<usize> {
        (count > 0).then(|| count - 1 - nth % count)
    }
}

pub(super) fn queue(n: usize) -> QueueName {
    format!("q{n}").parse().expect("a queue name")
}

/// A message in a few letters.
pub(super) fn show(message: &RawMessage) -> String {
    let body = String::from_utf8_lossy(&message.body);
    let mut shown = format!("{body}(");
    if let Some(id) = message.id {
        shown.push_str(&format!("id {}", id.as_bytes()[0]));
    }
    shown.push_str(&format!(", priority {}", message.priority));
    if let Some(at) = message.not_before {
        let since = at.since(bananas_core::Timestamp::from_micros(
            crate::model::START_MICROS,
        ));
        shown.push_str(&format!(", not before {since:?}"));
    }
    shown + ")"
}

/// An answer in a few letters.
pub(super) fn kind<T>(answer: &Result<T>) -> String {
    match answer {
        Ok(_) => "Ok".to_owned(),
        Err(e) => format!("{:?}", e.kind()),
    }
}

/// Answers in a few letters.
pub(super) fn kinds<T: std::fmt::Debug>(answers: &[Result<T>]) -> String {
    let kinds: Vec<String> = answers
        .iter()
        .map(|answer| match answer {
            Ok(it) => format!("{it:?}"),
            Err(e) => format!("{:?}", e.kind()),
        })
        .collect();
    kinds.join(", ")
}
