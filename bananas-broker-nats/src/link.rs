//! The connection that all calls share: made again when it breaks, and of every call it is known whether it was
//! handed to a connection.
//!
//! A call waits for a connection until its deadline, and is surely not applied if none came. One that was
//! handed to a connection is never handed to another: it is answered there or fails as doubtful, for only the
//! caller knows whether to repeat it. There are never more calls on their way than the server can be asked to
//! remember; the others wait for their turn.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{HeaderMap, Message, Request, RequestErrorKind, ServerInfo};
use bananas_core::{Backoff, Env, ErrorKind, Tick, Timestamp};
use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, watch};

use crate::connection::{Connection, Dialer};
use crate::error::Error;

/// The longest pause before connecting again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The most calls that wait for an answer at a time.
const ON_THEIR_WAY: usize = 1_024;

/// How long a server may take to answer for a delivery that another start of a server has made. One that was killed
/// may have forgotten the delivery, and says nothing then.
const PATIENCE_WITH_ANOTHER: Duration = Duration::from_secs(1);

/// How often calls that wait for an answer look at the clock.
const KNOCK_EVERY: Duration = Duration::from_millis(250);

/// Something to ask.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) subject: String,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
    /// Which start of a server made the delivery that this is about.
    pub(crate) of: Option<Arc<str>>,
}

/// How it stands with the connection.
#[derive(Clone, Debug)]
enum Standing {
    /// There is none, for this reason.
    Down(Error),
    /// The connection with this number.
    Up(u64, Arc<Connection>),
    Closed,
}

/// The shared connection; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Link(Arc<Wire>);

#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) dialer: Arc<Dialer>,
    standing: watch::Sender<Standing>,
    turns: Semaphore,
    /// Calls between their beginning and their end.
    under_way: AtomicUsize,
    /// Rung when there was no call and one begins.
    call_began: Notify,
    /// Rung when a call ended.
    call_ended: Notify,
    /// Set when no more calls are taken.
    closing: watch::Sender<bool>,
    /// The server's time when it last told it, and the latest moment at which that was.
    server_time: Mutex<Option<(Timestamp, Tick)>>,
}

/// Counts a call as long as it lasts.
#[derive(Debug)]
pub(crate) struct UnderWay<'a>(&'a Wire);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        self.0.call_ended.notify_waiters();
    }
}

impl Link {
    /// Starts the task that connects, at once and for ever.
    pub(crate) fn new(dialer: Arc<Dialer>, env: &Arc<dyn Env>) -> Self {
        let none = Error::NotSent {
            url: dialer.url.clone(),
            why: "it does not answer".to_owned(),
            kind: ErrorKind::Unreachable,
        };
        let wire = Arc::new(Wire {
            env: Arc::clone(env),
            dialer,
            standing: watch::Sender::new(Standing::Down(none)),
            turns: Semaphore::new(ON_THEIR_WAY),
            under_way: AtomicUsize::new(0),
            call_began: Notify::new(),
            call_ended: Notify::new(),
            closing: watch::Sender::new(false),
            server_time: Mutex::default(),
        });
        let driven = Arc::clone(&wire);
        env.spawn_isolated("nats", Box::pin(async move { driven.drive().await }));
        Self(wire)
    }

    pub(crate) fn wire(&self) -> &Arc<Wire> {
        &self.0
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Wire {
    /// How long an operation may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.dialer.config.timeout
    }

    /// When an operation that begins now must have ended.
    pub(crate) fn deadline(&self) -> Tick {
        self.env.monotonic() + self.timeout()
    }

    /// The server said its time in the answer to something that was sent then.
    pub(crate) fn heard_time(&self, time: Timestamp, sent: Tick) {
        *self
            .server_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some((time, sent));
    }

    /// The server's time, rather late than early.
    pub(crate) fn server_now(&self) -> Option<Timestamp> {
        let heard = *self
            .server_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        heard.map(|(time, sent)| time + self.env.monotonic().since(sent))
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if *self.closing.borrow() {
            return Err(Error::Closed { sent: false });
        }
        Ok(())
    }

    /// Waits until no more calls are taken.
    pub(crate) async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        // The sender lives as long as this does.
        drop(closing.wait_for(|closing| *closing).await);
    }

    /// Counts something among the calls that a close waits for.
    pub(crate) fn begin(&self) -> Result<UnderWay<'_>, Error> {
        // Counted first: who closes looks at the count after the flag.
        if self.under_way.fetch_add(1, Ordering::AcqRel) == 0 {
            self.call_began.notify_one();
        }
        let under_way = UnderWay(self);
        self.check_open()?;
        Ok(under_way)
    }

    /// Asks, as a part of something that has begun, over a connection that is there until `until`; the answer,
    /// and when it was asked.
    pub(crate) async fn ask(&self, call: Call, until: Tick) -> Result<(Message, Tick), Error> {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let (number, connection) = self.connected(until).await?;
        let is_of_another = call.of.is_some_and(|server| server != connection.server);
        let patience = match is_of_another {
            true => self.timeout().min(PATIENCE_WITH_ANOTHER),
            false => self.timeout(),
        };
        let sent = self.env.monotonic();
        let request = Request::new().payload(call.payload);
        let request = match call.headers {
            Some(headers) => request.headers(headers),
            None => request,
        };
        let is_over = || self.env.monotonic() >= sent + patience;
        let answer = tokio::select! {
            biased;
            answer = connection.client.send_request(call.subject, request) => Ok(answer),
            ended = connection.ended_or(is_over) => Err(ended),
        };
        let error = match answer {
            Ok(Ok(message)) => return Ok((message, sent)),
            Ok(Err(e)) => match e.kind() {
                RequestErrorKind::NoResponders => return Err(Error::NoResponders(self.url())),
                RequestErrorKind::MaxPayloadExceeded => return Err(Error::Refused(e.to_string())),
                _ => self.cut_off(),
            },
            Err(true) => self.cut_off(),
            // The connection is sound for all that we know.
            Err(false) if is_of_another => return Err(Error::LeaseLost),
            Err(false) => Error::Silence {
                url: self.url(),
                waited: self.timeout(),
                hint: connection.hint(),
            },
        };
        self.lose(number, &error);
        Err(error)
    }

    /// What became of a call whose connection ended.
    fn cut_off(&self) -> Error {
        match *self.standing.borrow() {
            Standing::Closed => Error::Closed { sent: true },
            _ => Error::Lost(self.url()),
        }
    }

    pub(crate) fn url(&self) -> String {
        self.dialer.url.clone()
    }

    /// The connection, as soon as there is one.
    pub(crate) async fn connected(&self, until: Tick) -> Result<(u64, Arc<Connection>), Error> {
        if let Standing::Up(number, connection) = &*self.standing.borrow() {
            return Ok((*number, Arc::clone(connection)));
        }
        let mut standing = self.standing.subscribe();
        loop {
            match &*standing.borrow_and_update() {
                Standing::Up(number, connection) => {
                    return Ok((*number, Arc::clone(connection)));
                }
                Standing::Closed => return Err(Error::Closed { sent: false }),
                Standing::Down(_) => {}
            }
            if self.env.until(until, standing.changed()).await.is_err() {
                break;
            }
        }
        let url = self.url();
        match &*standing.borrow() {
            Standing::Down(why) => Err(not_sent(why, url)),
            Standing::Up(..) | Standing::Closed => Err(Error::NotSent {
                url,
                why: "the connection came too late".to_owned(),
                kind: ErrorKind::Unreachable,
            }),
        }
    }

    /// What the server said of itself when it was last connected to.
    pub(crate) async fn server(&self, until: Tick) -> Result<ServerInfo, Error> {
        let (_, connection) = self.connected(until).await?;
        Ok(connection.client.server_info())
    }

    /// The connection with this number is of no more use.
    pub(crate) fn lose(&self, number: u64, why: &Error) {
        self.standing.send_if_modified(|standing| {
            let Standing::Up(other, connection) = standing else {
                return false;
            };
            if *other != number {
                return false;
            }
            connection.give_up();
            *standing = Standing::Down(why.clone());
            true
        });
    }

    /// An answer makes no sense: what else comes over this connection may be the answer to something else.
    pub(crate) fn mistrust(&self) -> Error {
        let error = Error::WrongAnswer(self.url());
        let number = match &*self.standing.borrow() {
            Standing::Up(number, _) => Some(*number),
            Standing::Down(_) | Standing::Closed => None,
        };
        if let Some(number) = number {
            self.lose(number, &error);
        }
        error
    }

    fn end(&self) {
        self.closing.send_replace(true);
        let before = self.standing.send_replace(Standing::Closed);
        if let Standing::Up(_, connection) = before {
            connection.give_up();
        }
    }

    /// Takes no more calls, waits for those under way, and ends.
    pub(crate) async fn close(&self, deadline: Duration) {
        let until = self.env.monotonic() + deadline;
        self.closing.send_replace(true);
        loop {
            let ended = self.call_ended.notified();
            if self.under_way.load(Ordering::Acquire) == 0
                || self.env.until(until, ended).await.is_err()
            {
                break;
            }
        }
        self.end();
    }

    async fn drive(&self) {
        let mut backoff = Backoff::default();
        (backoff.base, backoff.max) = (Duration::from_millis(20), LONGEST_PAUSE);
        let mut failures = 0;
        for number in 1_u64.. {
            let dialling = self
                .env
                .within(self.timeout(), Box::pin(self.dialer.dial()));
            let dialled = tokio::select! {
                dialled = dialling => dialled,
                () = self.over(|standing| matches!(standing, Standing::Closed)) => return,
            };
            match dialled {
                Ok(Ok(connection)) => {
                    failures = 0;
                    self.serve(number, connection).await;
                }
                Ok(Err(e)) => self.is_down(e),
                Err(_) => self.is_down(Error::NotSent {
                    url: self.url(),
                    why: format!("it did not answer within {:?}", self.timeout()),
                    kind: ErrorKind::Unreachable,
                }),
            }
            failures += 1;
            let pause = self.env.sleep(backoff.delay(failures, self.env.random()));
            tokio::select! {
                () = pause => {}
                () = self.over(|standing| matches!(standing, Standing::Closed)) => return,
            }
        }
    }

    /// Offers a connection until it ends or is given up.
    async fn serve(&self, number: u64, connection: Connection) {
        let connection = Arc::new(connection);
        let offered = Arc::clone(&connection);
        let open = self.standing.send_if_modified(|standing| {
            let open = !matches!(standing, Standing::Closed);
            if open {
                *standing = Standing::Up(number, offered);
            }
            open
        });
        if !open {
            return;
        }
        loop {
            tokio::select! {
                () = connection.ended() => break,
                () = self.over(|standing| !matches!(standing, Standing::Up(..))) => break,
                () = self.time_to_knock() => connection.knock(),
            }
        }
        self.lose(number, &Error::Lost(self.url()));
    }

    /// Waits until the calls under way should look at the clock; for ever while there is none.
    async fn time_to_knock(&self) {
        if self.under_way.load(Ordering::Acquire) == 0 {
            self.call_began.notified().await;
        }
        self.env.sleep(KNOCK_EVERY).await;
    }

    /// Waits until it stands so with the connection.
    async fn over(&self, reached: fn(&Standing) -> bool) {
        let mut standing = self.standing.subscribe();
        // The sender lives as long as this does.
        drop(standing.wait_for(reached).await);
    }

    fn is_down(&self, why: Error) {
        self.standing.send_if_modified(|standing| {
            if let Standing::Down(old) = standing {
                *old = why;
            }
            false
        });
    }
}

/// That a call was not sent, with the reason why there is no connection.
fn not_sent(why: &Error, url: String) -> Error {
    match why {
        Error::NotSent { .. } => why.clone(),
        // A connection that was lost is the reason here, and not the fate of this call.
        _ => Error::NotSent {
            url,
            why: why.to_string(),
            kind: ErrorKind::Unreachable,
        },
    }
}
