//! Asking the consumers of the lanes for messages, and hearing what they send.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use bananas_core::Tick;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};

use super::ensure::nanos;
use crate::connection::Connection;
use crate::error::Error;
use crate::jetstream::Reply;
use crate::link::Wire;
use crate::names::{self, Names};

/// How often a server says that it is still there while one waits.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(2);

/// The shortest wait with heartbeats.
const LONG: Duration = Duration::from_secs(6);

/// About how many bytes one request may bring.
const BYTES: usize = 8 * 1024 * 1024;

/// A place where messages and words of lanes arrive.
pub(super) struct Inbox {
    connection: Arc<Connection>,
    number: u64,
    subscriber: Subscriber,
    subject: String,
    /// How much has arrived.
    arrived: u64,
}

/// What arrives.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A message of some lane.
    Message(Message),
    /// Nothing more comes for the latest request to this lane.
    End(usize, Ending),
    /// The server is still there.
    Heartbeat,
    /// Nothing for us: an answer to ourselves.
    Echo,
}

/// Why nothing more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// There is none, or the time is over.
    Empty,
    /// There are more, and they would be too many bytes.
    Full,
    /// Nobody serves the lane.
    Nobody,
    /// Something else; one may ask again after a moment.
    Other,
    /// The server says nothing. One of version 2.9 says nothing of a lane that is gone, and forgets a request when
    /// somebody else takes what was ready.
    Silence,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbox({})", self.subject)
    }
}

impl Inbox {
    /// Opens one, over a connection that is there until `until`.
    pub(super) async fn open(
        wire: &Wire,
        namespace: &str,
        unique: u64,
        until: Tick,
    ) -> Result<Self, Error> {
        let (number, connection) = wire.connected(until).await?;
        let subject = names::inbox(namespace, unique);
        let subscribing = connection.client.subscribe(format!("{subject}.*"));
        let subscriber = wire.env.until(until, subscribing).await;
        match subscriber {
            Ok(Ok(subscriber)) => Ok(Self {
                connection,
                number,
                subscriber,
                subject,
                arrived: 0,
            }),
            Ok(Err(_)) | Err(_) => Err(Error::Lost(wire.url())),
        }
    }

    /// Where the server hears of a delivery that arrived here.
    pub(super) fn reply_to(&self, subject: String) -> Reply {
        let server = Arc::clone(&self.connection.server);
        Reply { subject, server }
    }

    /// Asks a lane for so many of the messages that are ready now.
    pub(super) async fn ask_now(
        &self,
        wire: &Wire,
        names: &Names,
        lane: usize,
        batch: usize,
    ) -> Result<(), Error> {
        let bytes = BYTES.max(2 * self.connection.client.max_payload());
        let request = json!({ "batch": batch, "no_wait": true, "max_bytes": bytes });
        self.ask(wire, names, lane, &request).await
    }

    /// Asks a lane for the next message, and waits for it so long.
    pub(super) async fn ask_and_wait(
        &self,
        wire: &Wire,
        names: &Names,
        lane: usize,
        wait: Duration,
    ) -> Result<(), Error> {
        let mut request = json!({ "batch": 1, "expires": nanos(wait) });
        if has_heartbeats(wait) {
            request["idle_heartbeat"] = json!(nanos(HEARTBEAT));
        }
        self.ask(wire, names, lane, &request).await
    }

    async fn ask(
        &self,
        wire: &Wire,
        names: &Names,
        lane: usize,
        request: &Value,
    ) -> Result<(), Error> {
        let consumer = Names::consumer(lane);
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{consumer}", names.stream);
        let reply = format!("{}.{lane}", self.subject);
        let payload = Bytes::from(request.to_string());
        self.send(wire, subject, Some(reply), payload).await
    }

    async fn send(
        &self,
        wire: &Wire,
        subject: String,
        reply: Option<String>,
        payload: Bytes,
    ) -> Result<(), Error> {
        let client = &self.connection.client;
        let sending = async {
            match reply {
                Some(reply) => client.publish_with_reply(subject, reply, payload).await,
                None => client.publish(subject, payload).await,
            }
        };
        match wire.env.within(wire.timeout(), sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.lost(wire)),
        }
    }

    /// What arrives next. May be dropped at any time.
    pub(super) async fn next(&mut self, wire: &Wire) -> Result<Arrival, Error> {
        let message = tokio::select! {
            biased;
            message = self.subscriber.next() => message,
            () = self.connection.ended() => None,
        };
        let Some(message) = message else {
            return Err(self.lost(wire));
        };
        self.arrived += 1;
        let Some(status) = message.status else {
            return Ok(match message.reply {
                Some(_) => Arrival::Message(message),
                None => Arrival::Echo,
            });
        };
        let lane = message.subject.rsplit_once('.');
        let lane = lane.and_then(|(_, lane)| lane.parse().ok()).unwrap_or(0);
        let words = message.description.as_deref().unwrap_or_default();
        let ending = match status.as_u16() {
            100 => return Ok(Arrival::Heartbeat),
            404 | 408 => Ending::Empty,
            409 if words.contains("MaxBytes") => Ending::Full,
            503 => Ending::Nobody,
            _ => {
                tracing::debug!(%status, words, "a NATS consumer ended a request");
                Ending::Other
            }
        };
        Ok(Arrival::End(lane, ending))
    }

    /// The same, for the answer of a lane, which must come soon.
    pub(super) async fn next_of(
        &mut self,
        wire: &Wire,
        lane: usize,
        patience: Duration,
    ) -> Result<Arrival, Error> {
        match wire.env.within(patience, self.next(wire)).await {
            Ok(arrival) => arrival,
            Err(_) => Ok(Arrival::End(lane, Ending::Silence)),
        }
    }

    /// The same, for an answer of our own, which shows that the line is sound.
    async fn next_echo(&mut self, wire: &Wire) -> Result<Arrival, Error> {
        match wire.env.within(wire.timeout(), self.next(wire)).await {
            Ok(arrival) => arrival,
            Err(_) => {
                let error = Error::Silence {
                    url: wire.url(),
                    waited: wire.timeout(),
                    hint: self.connection.hint(),
                };
                wire.lose(self.number, &error);
                Err(error)
            }
        }
    }

    /// Takes back the requests, and answers the messages that were on their way.
    ///
    /// The server stops after so many arrivals as there may still be, which is `rest`, of which we send the rest
    /// ourselves: what it had sent before comes before them, and so nothing is lost.
    pub(super) async fn leave(&mut self, wire: &Wire, rest: usize) -> Result<Vec<Message>, Error> {
        let rest = u64::try_from(rest).unwrap_or(u64::MAX);
        let last = self.arrived + rest;
        let client = self.connection.client.clone();
        let leaving = self.subscriber.unsubscribe_after(last);
        if !matches!(wire.env.within(wire.timeout(), leaving).await, Ok(Ok(()))) {
            return Err(self.lost(wire));
        }
        let echo = format!("{}.echo", self.subject);
        for _ in 0..rest {
            let sending = client.publish(echo.clone(), Bytes::new());
            if !matches!(wire.env.within(wire.timeout(), sending).await, Ok(Ok(()))) {
                return Err(self.lost(wire));
            }
        }
        let mut messages = Vec::new();
        while self.arrived < last {
            if let Arrival::Message(message) = self.next_echo(wire).await? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    fn lost(&self, wire: &Wire) -> Error {
        let error = Error::Lost(wire.url());
        wire.lose(self.number, &error);
        error
    }
}

/// Whether the server says that it is there during such a wait.
pub(super) fn has_heartbeats(wait: Duration) -> bool {
    wait >= LONG
}
