//! The connection that calls share: made again when it breaks, and of every call it is known whether it was
//! handed to a connection.
//!
//! A call waits for a connection until its deadline, and is surely not applied if none came. One that was
//! handed to a connection is never handed to another: it is answered there or fails as doubtful, for only the
//! caller knows whether to repeat it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bananas_core::{Backoff, Env, ErrorKind, Tick};
use redis::{Cmd, Value};
use tokio::sync::{Notify, watch};

use crate::connection::{Connection, Dialer, Driver, Use, load};
use crate::debt::{Debt, SUSPICION};
use crate::error::Error;
use crate::script::Script;

/// How long the old connection still has once the new one works: a server that stood still answers both.
const LAST_CHANCE: Duration = Duration::from_millis(100);

/// The longest pause before connecting again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A script, its keys and its arguments.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) script: Script,
    pub(crate) keys: Vec<String>,
    pub(crate) args: Vec<Vec<u8>>,
}

impl Call {
    fn command(&self, hash: &str) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(hash).arg(self.keys.len());
        for key in &self.keys {
            command.arg(key);
        }
        for arg in &self.args {
            command.arg(arg.as_slice());
        }
        command
    }
}

/// How it stands with the connection.
#[derive(Clone, Debug)]
enum Standing {
    /// There is none, for this reason.
    Down(Error),
    /// The connection with this number.
    Up(u64, Connection),
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
    /// Calls between their beginning and their end.
    under_way: AtomicUsize,
    /// Rung when a call ended.
    ended: Notify,
    debt: Debt,
    /// How often a connection went silent.
    silences: watch::Sender<u64>,
    /// Set when no more calls are taken.
    closing: watch::Sender<bool>,
}

/// Counts a call as long as it lasts.
struct UnderWay<'a>(&'a Wire);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify_waiters();
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
            under_way: AtomicUsize::new(0),
            ended: Notify::new(),
            debt: Debt::default(),
            silences: watch::Sender::new(0),
            closing: watch::Sender::new(false),
        });
        let driven = Arc::clone(&wire);
        env.spawn_isolated("redis", Box::pin(async move { driven.drive().await }));
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

    /// Waits until a connection goes silent: others that came the same way may be silent, too.
    pub(crate) fn silence(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut silences = self.silences.subscribe();
        async move {
            if silences.changed().await.is_err() {
                // All is over, and nothing goes silent any more.
                std::future::pending().await
            }
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if *self.closing.borrow() {
            return Err(Error::Closed { sent: false });
        }
        Ok(())
    }

    /// Runs a script and answers what it answered, and when it was handed to the connection.
    pub(crate) async fn run(&self, call: &Call) -> Result<(Value, Tick), Error> {
        let _under_way = self.begin()?;
        let until = self.env.monotonic() + self.timeout();
        let (number, connection) = self.connected(until).await?;
        let command = call.command(connection.hash(call.script));
        let mut sent = self.env.monotonic();
        let mut answer = self.ask((number, &connection), &command, until).await;
        if matches!(&answer, Err(e) if e.is_unknown_script()) {
            // It was not run, so running it now is no second time.
            self.ask((number, &connection), &load(call.script), until)
                .await?;
            sent = self.env.monotonic();
            answer = self.ask((number, &connection), &command, until).await;
        }
        Ok((answer?, sent))
    }

    /// Sends a plain command and answers what it answered.
    pub(crate) async fn command(&self, command: &Cmd) -> Result<Value, Error> {
        let _under_way = self.begin()?;
        let until = self.env.monotonic() + self.timeout();
        let (number, connection) = self.connected(until).await?;
        self.ask((number, &connection), command, until).await
    }

    fn begin(&self) -> Result<UnderWay<'_>, Error> {
        // Counted first: who closes looks at the count after the flag.
        self.under_way.fetch_add(1, Ordering::AcqRel);
        let under_way = UnderWay(self);
        self.check_open()?;
        Ok(under_way)
    }

    /// The connection, as soon as there is one.
    async fn connected(&self, until: Tick) -> Result<(u64, Connection), Error> {
        let mut standing = self.standing.subscribe();
        loop {
            match &*standing.borrow_and_update() {
                Standing::Up(number, connection) => return Ok((*number, connection.clone())),
                Standing::Closed => return Err(Error::Closed { sent: false }),
                Standing::Down(_) => {}
            }
            if self.env.until(until, standing.changed()).await.is_err() {
                break;
            }
        }
        match &*standing.borrow() {
            Standing::Down(why) => Err(not_sent(why, &self.dialer.url)),
            _ => Err(self.not_yet()),
        }
    }

    fn not_yet(&self) -> Error {
        Error::NotSent {
            url: self.dialer.url.clone(),
            why: "the connection came too late".to_owned(),
            kind: ErrorKind::Unreachable,
        }
    }

    async fn ask(
        &self,
        (number, connection): (u64, &Connection),
        command: &Cmd,
        until: Tick,
    ) -> Result<Value, Error> {
        let url = &self.dialer.url;
        let owed = self.debt.begin(self.env.as_ref());
        let answer = self.env.until(until, connection.send(command)).await;
        if matches!(answer, Ok(Ok(_))) {
            owed.paid();
        }
        let error = match answer {
            Ok(Ok(Value::ServerError(error))) => {
                let error = Error::server(url, &error);
                if error.wants_another_server() {
                    self.lose(number, &error);
                }
                return Err(error);
            }
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(_)) if matches!(*self.standing.borrow(), Standing::Closed) => {
                return Err(Error::Closed { sent: true });
            }
            Ok(Err(why)) => Error::Lost {
                url: url.clone(),
                why,
            },
            Err(_) => Error::Silence {
                url: url.clone(),
                waited: self.timeout(),
            },
        };
        self.lose(number, &error);
        Err(error)
    }

    /// An answer makes no sense: what else comes over this connection may be the answer to something else.
    pub(crate) fn mistrust(&self) -> Error {
        let error = Error::WrongAnswer(self.dialer.url.clone());
        let number = match &*self.standing.borrow() {
            Standing::Up(number, _) => Some(*number),
            _ => None,
        };
        if let Some(number) = number {
            self.lose(number, &error);
        }
        error
    }

    /// The connection with this number is of no more use.
    fn lose(&self, number: u64, why: &Error) {
        self.standing.send_if_modified(|standing| {
            let mine = matches!(standing, Standing::Up(other, _) if *other == number);
            if mine {
                *standing = Standing::Down(why.clone());
            }
            mine
        });
        if matches!(why, Error::Silence { .. }) {
            self.silences.send_modify(|silences| *silences += 1);
        }
    }

    fn end(&self) {
        self.closing.send_replace(true);
        self.standing.send_replace(Standing::Closed);
    }

    /// Takes no more calls, waits for those under way, and ends.
    pub(crate) async fn close(&self, deadline: Duration) {
        let until = self.env.monotonic() + deadline;
        self.closing.send_replace(true);
        loop {
            let ended = self.ended.notified();
            if self.under_way.load(Ordering::Acquire) == 0
                || self.env.until(until, ended).await.is_err()
            {
                break;
            }
        }
        self.end();
    }

    async fn drive(&self) {
        let backoff = reconnecting();
        let mut failures = 0;
        let mut next = None;
        for number in 1_u64.. {
            let dialling = async {
                match next.take() {
                    Some(dialled) => Ok(dialled),
                    None => self.dial().await,
                }
            };
            let dialled = tokio::select! {
                dialled = dialling => dialled,
                () = self.over(|standing| matches!(standing, Standing::Closed)) => return,
            };
            match dialled {
                Ok((connection, driver)) => {
                    failures = 0;
                    next = self.serve(number, connection, driver).await;
                }
                Err(e) => self.is_down(e),
            }
            if next.is_some() {
                continue;
            }
            failures += 1;
            let pause = self.env.sleep(backoff.delay(failures, self.env.random()));
            tokio::select! {
                () = pause => {}
                () = self.over(|standing| matches!(standing, Standing::Closed)) => return,
            }
        }
    }

    async fn dial(&self) -> Result<(Connection, Driver), Error> {
        let dialling = self.dialer.dial(Use::Calls);
        let dialled = self.env.within(self.timeout(), dialling).await;
        dialled.unwrap_or_else(|_| Err(self.silent()))
    }

    /// Runs a connection until it ends or is given up; for one that is given up because another works, answers
    /// with the other.
    async fn serve(
        &self,
        number: u64,
        connection: Connection,
        driver: Driver,
    ) -> Option<(Connection, Driver)> {
        let opened = self.standing.send_if_modified(|standing| {
            let open = !matches!(standing, Standing::Closed);
            if open {
                *standing = Standing::Up(number, connection);
            }
            open
        });
        if !opened {
            return None;
        }
        let better = tokio::select! {
            () = driver => None,
            () = self.over(|standing| !matches!(standing, Standing::Up(..))) => None,
            better = self.better() => Some(better),
        };
        let url = self.dialer.url.clone();
        let why = if better.is_some() {
            let waited = SUSPICION;
            Error::Silence { url, waited }
        } else {
            let why = "the server ended it".to_owned();
            Error::Lost { url, why }
        };
        self.lose(number, &why);
        better
    }

    /// Waits until the present connection is silent and another works. What lies between client and server can
    /// forget a connection and tell neither; and a server that stands still does not answer the other, either.
    async fn better(&self) -> (Connection, Driver) {
        loop {
            let silent = self.debt.silent(&self.env).await;
            if let Ok((connection, mut driver)) = self.dial().await {
                tokio::select! {
                    () = &mut driver => {}
                    () = self.env.sleep(LAST_CHANCE) => {
                        if self.debt.since() == Some(silent) {
                            return (connection, driver);
                        }
                    }
                }
            }
            self.env.sleep(SUSPICION).await;
        }
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

    fn silent(&self) -> Error {
        Error::NotSent {
            url: self.dialer.url.clone(),
            why: format!("it did not answer within {:?}", self.timeout()),
            kind: ErrorKind::Unreachable,
        }
    }
}

/// How long to wait before connecting again.
pub(crate) fn reconnecting() -> Backoff {
    let mut backoff = Backoff::default();
    (backoff.base, backoff.max) = (Duration::from_millis(20), LONGEST_PAUSE);
    backoff
}

/// That a call was not sent, with the reason why there is no connection.
fn not_sent(why: &Error, url: &str) -> Error {
    match why {
        Error::NotSent { .. } => why.clone(),
        // A connection that was lost is the reason here, and not the fate of this call.
        Error::Lost { .. } | Error::Silence { .. } | Error::WrongAnswer(_) => Error::NotSent {
            url: url.to_owned(),
            why: why.to_string(),
            kind: ErrorKind::Unreachable,
        },
        _ => Error::NotSent {
            url: url.to_owned(),
            why: why.to_string(),
            kind: why.kind(),
        },
    }
}
