//! The client's connection: one task owns it, makes it again when it breaks, and knows of every call whether
//! its bytes were sent.
//!
//! A call that was not sent waits for the next connection, until its deadline. One that was sent is never sent
//! again: it is answered on its own connection or fails, for only the caller knows whether to repeat it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bananas_core::{Backoff, Env, Tick};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};

use super::config::ToyConfig;
use super::error::Error;
use super::line;
use super::protocol::{Answer, Ask, Hello, Reply, Request};

/// How many bytes are sent in one write, or a little more.
const WRITE: usize = 256 * 1024;

/// The longest pause before connecting again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The connection of one client; the connection ends when this is dropped.
#[derive(Debug)]
pub(super) struct Link(Arc<Wire>);

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) env: Arc<dyn Env>,
    pub(super) config: ToyConfig,
    client: u64,
    state: Mutex<State>,
    /// Rung when there is something to send.
    unsent: Notify,
    /// Rung when the connection is to end.
    ending: Notify,
    /// Rung when a call ended.
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    calls: HashMap<u64, Call>,
    unsent: VecDeque<u64>,
    last: u64,
    /// The connection owes an answer for too long: it counts as broken.
    silent: bool,
    closing: bool,
    closed: bool,
    /// Why there is no connection.
    trouble: String,
    clock: Option<Clock>,
}

impl State {
    fn is_over(&self) -> bool {
        self.closed || self.silent
    }
}

#[derive(Debug)]
struct Call {
    line: Vec<u8>,
    /// Whether closing waits for it.
    waits: bool,
    sent: Option<Tick>,
    reply: oneshot::Sender<Result<Received, Error>>,
}

/// An answer, with what is known of the server's clock.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) reply: Reply,
    clock: Clock,
}

/// What a server's tick is on our clock at the earliest: the server read its clock after we sent the question.
/// Two clocks drift apart by less than one second in ten thousand.
#[derive(Clone, Copy, Debug)]
struct Clock {
    ahead: i128,
    at: Tick,
}

impl Clock {
    fn later(self, now: Tick) -> Self {
        let drift = now.since(self.at) / 10_000;
        Self {
            ahead: self.ahead - i128::try_from(drift.as_micros()).unwrap_or(i128::MAX),
            at: now,
        }
    }
}

impl Received {
    /// The end of a lease on our clock, rather too early than too late.
    pub(super) fn tick(&self, server: u64) -> Tick {
        let ours = i128::from(server) + self.clock.ahead;
        Tick::from_micros(u64::try_from(ours.max(0)).unwrap_or(u64::MAX))
    }
}

/// A call under way. Dropping it withdraws it if it was not sent yet.
#[derive(Debug)]
pub(super) struct Pending {
    wire: Arc<Wire>,
    number: u64,
    start: Tick,
    deadline: Tick,
    reply: oneshot::Receiver<Result<Received, Error>>,
}

impl Pending {
    /// Waits for the answer. May be dropped and called again, but not after it has answered.
    pub(super) async fn answer(&mut self) -> Result<Received, Error> {
        match self.wire.env.until(self.deadline, &mut self.reply).await {
            Ok(reply) => reply.unwrap_or(Err(Error::Closed { sent: true })),
            Err(_) => match self.reply.try_recv() {
                Ok(reply) => reply,
                Err(_) => Err(self
                    .wire
                    .give_up(self.number, self.deadline.since(self.start))),
            },
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.wire.state().calls.remove(&self.number);
        self.wire.ended.notify_waiters();
    }
}

impl Link {
    /// Starts the task; it connects at once and for ever.
    pub(super) fn new(config: ToyConfig, env: &Arc<dyn Env>) -> Self {
        let wire = Arc::new(Wire {
            env: Arc::clone(env),
            config,
            client: env.random(),
            state: Mutex::default(),
            unsent: Notify::new(),
            ending: Notify::new(),
            ended: Notify::new(),
        });
        let driven = Arc::clone(&wire);
        env.spawn_isolated("toy", Box::pin(async move { driven.drive().await }));
        Self(wire)
    }

    pub(super) fn wire(&self) -> &Arc<Wire> {
        &self.0
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Wire {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks and waits for the answer, as long as an operation may take.
    pub(super) async fn ask(self: &Arc<Self>, request: Request) -> Result<Received, Error> {
        self.call(request, Duration::ZERO)?.answer().await
    }

    /// Hands in a request whose answer may take this much longer than usual.
    pub(super) fn call(
        self: &Arc<Self>,
        request: Request,
        wait: Duration,
    ) -> Result<Pending, Error> {
        let start = self.env.monotonic();
        let waits = !matches!(request, Request::Poll(_));
        let (number, reply) = self.hand_in(request, waits)?;
        Ok(Pending {
            wire: Arc::clone(self),
            number,
            start,
            deadline: start + wait + self.config.patience,
            reply,
        })
    }

    /// Sends a request whose answer nobody waits for.
    pub(super) fn post(&self, request: Request) {
        drop(self.hand_in(request, true));
    }

    fn hand_in(
        &self,
        request: Request,
        waits: bool,
    ) -> Result<(u64, oneshot::Receiver<Result<Received, Error>>), Error> {
        let mut state = self.state();
        if state.closing || state.closed {
            return Err(Error::Closed { sent: false });
        }
        state.last += 1;
        let number = state.last;
        let ask = Ask { number, request };
        let line = line::encode(&ask).map_err(|_| Error::WrongAnswer)?;
        if line.len() > line::LONGEST {
            return Err(Error::TooLarge {
                what: "a request".to_owned(),
                bytes: line.len(),
                limit: line::LONGEST,
            });
        }
        let (sender, reply) = oneshot::channel();
        let call = Call {
            line,
            waits,
            sent: None,
            reply: sender,
        };
        state.calls.insert(number, call);
        state.unsent.push_back(number);
        self.unsent.notify_one();
        Ok((number, reply))
    }

    /// The deadline of a call has passed.
    fn give_up(&self, number: u64, waited: Duration) -> Error {
        let url = self.config.url();
        let mut state = self.state();
        match state.calls.remove(&number) {
            Some(call) if call.sent.is_none() => {
                let why = state.trouble.clone();
                return Error::NotSent { url, why };
            }
            Some(_) => state.silent = true,
            // Its connection ended at this moment.
            None => {}
        }
        self.ending.notify_waiters();
        Error::Silence { url, waited }
    }

    /// Ends the connection and all calls.
    fn end(&self) {
        let mut state = self.state();
        state.closed = true;
        for (_, call) in state.calls.drain() {
            let sent = call.sent.is_some();
            drop(call.reply.send(Err(Error::Closed { sent })));
        }
        self.ending.notify_waiters();
    }

    /// Takes no more calls, waits for those under way, and ends.
    pub(super) async fn close(&self, deadline: Duration) {
        let until = self.env.monotonic() + deadline;
        self.state().closing = true;
        loop {
            let ended = self.ended.notified();
            let busy = self.state().calls.values().any(|call| call.waits);
            if !busy || self.env.until(until, ended).await.is_err() {
                break;
            }
        }
        self.end();
    }

    async fn drive(&self) {
        let mut backoff = Backoff::default();
        (backoff.base, backoff.max) = (Duration::from_millis(20), LONGEST_PAUSE);
        let mut failures = 0;
        let mut connection = 0;
        while !self.state().closed {
            connection += 1;
            let connecting = self
                .env
                .within(self.config.patience, self.connect(connection));
            match connecting.await {
                Ok(Ok((reader, writer))) => {
                    failures = 0;
                    let ended = tokio::select! {
                        ended = self.read(reader) => ended,
                        ended = self.write(writer) => ended,
                        ended = self.ending() => ended,
                    };
                    self.lose(
                        ended.map_or_else(|e| e.to_string(), |()| "it was closed".to_owned()),
                    );
                }
                Ok(Err(e)) => self.state().trouble = e.to_string(),
                Err(_) => self.state().trouble = "it does not answer".to_owned(),
            }
            failures += 1;
            let pause = backoff.delay(failures, self.env.random());
            drop(self.env.within(pause, self.ending()).await);
        }
    }

    /// Connects, and waits until the server says that it listens.
    async fn connect(
        &self,
        connection: u64,
    ) -> io::Result<(BufReader<OwnedReadHalf>, OwnedWriteHalf)> {
        let stream = TcpStream::connect(&self.config.address).await?;
        stream.set_nodelay(true)?;
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let hello = Hello {
            namespace: self.config.namespace.clone(),
            client: self.client,
            connection,
        };
        let mut line = line::encode(&hello)?;
        writer.write_all(&line).await?;
        line.clear();
        if !line::read(&mut reader, &mut line).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line::decode::<Answer>(&line)?;
        Ok((reader, writer))
    }

    /// Waits until the connection is to end.
    async fn ending(&self) -> io::Result<()> {
        loop {
            let ending = self.ending.notified();
            if self.state().is_over() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            ending.await;
        }
    }

    async fn write(&self, mut writer: OwnedWriteHalf) -> io::Result<()> {
        loop {
            let lines = self.take_unsent();
            if lines.is_empty() {
                self.unsent.notified().await;
            }
            writer.write_all(&lines).await?;
        }
    }

    /// The lines to send next. From here on they count as sent.
    fn take_unsent(&self) -> Vec<u8> {
        let now = self.env.monotonic();
        let mut state = self.state();
        let state = &mut *state;
        let mut lines = Vec::new();
        // What is handed in while the connection ends is for the next one.
        while !state.is_over()
            && lines.len() < WRITE
            && let Some(number) = state.unsent.pop_front()
        {
            if let Some(call) = state.calls.get_mut(&number) {
                call.sent = Some(now);
                lines.append(&mut call.line);
            }
        }
        lines
    }

    async fn read(&self, mut reader: BufReader<OwnedReadHalf>) -> io::Result<()> {
        let mut line = Vec::new();
        while line::read(&mut reader, &mut line).await? {
            self.answered(line::decode(&line)?);
            line.clear();
        }
        Ok(())
    }

    fn answered(&self, answer: Answer) {
        let now = self.env.monotonic();
        let mut state = self.state();
        let Some(call) = state.calls.remove(&answer.number) else {
            return;
        };
        let asked = call.sent.unwrap_or_default();
        let fresh = Clock {
            ahead: i128::from(asked.as_micros()) - i128::from(answer.tick),
            at: now,
        };
        let known = state.clock.map(|clock| clock.later(now));
        let clock = known
            .filter(|known| known.ahead > fresh.ahead)
            .unwrap_or(fresh);
        state.clock = Some(clock);
        drop(state);
        drop(
            call.reply
                .send(answer.reply.map(|reply| Received { reply, clock })),
        );
        self.ended.notify_waiters();
    }

    /// The connection ended: what was sent and not answered is lost, the rest waits for the next one.
    fn lose(&self, why: String) {
        let mut state = self.state();
        state.silent = false;
        state.clock = None;
        let lost = state.calls.extract_if(|_, call| call.sent.is_some());
        for (_, call) in lost {
            let (url, why) = (self.config.url(), why.clone());
            drop(call.reply.send(Err(Error::Lost { url, why })));
        }
        state.trouble = why;
        self.ended.notify_waiters();
    }
}
