//! The connection that calls share: made again when it breaks, and of every call it is known whether it was
//! handed to a connection.
//!
//! A call waits for a connection until its deadline, and is surely not applied if none came. One that was
//! handed to a connection is never handed to another: it is answered there or fails as doubtful, for only the
//! caller knows whether to repeat it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Backoff, Env, ErrorKind, Tick};
use redis::{Cmd, Value};
use tokio::sync::watch;

use crate::confirmer::Confirmer;
use crate::connection::{Connection, Dialer, Driver, Use, load};
use crate::debt::{Debt, SUSPICION};
use crate::error::Error;
use crate::question::Question;
use crate::scout::NextMove;

/// How long the old connection still has once the new one works: a server that stood still answers both.
const LAST_CHANCE: Duration = Duration::from_millis(100);

/// The longest pause before connecting again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How it stands with the connection.
#[derive(Clone, Debug)]
enum Standing {
    /// There is none, for this reason.
    Down(Error),
    Up(Line),
    Closed,
}

/// How often connections went silent, of all that one engine has.
#[derive(Clone, Debug)]
pub(crate) struct Silences(Arc<watch::Sender<u64>>);

impl Silences {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Waits until a connection goes silent: others that came the same way may be silent, too.
    pub(crate) fn next(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut silences = self.0.subscribe();
        async move {
            if silences.changed().await.is_err() {
                // All is over, and nothing goes silent any more.
                std::future::pending().await
            }
        }
    }
}

/// The shared connection; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Link(Arc<Wire>);

#[derive(Debug)]
pub(crate) struct Wire {
    env: Arc<dyn Env>,
    dialer: Arc<Dialer>,
    standing: watch::Sender<Standing>,
    debt: Debt,
    silences: Silences,
    /// Where a confirmation is wanted.
    confirmer: Option<Confirmer>,
}

/// One of the connections that were made one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    number: u64,
    connection: Connection,
}

/// Whether a node of a cluster is asked about a slot that it is about to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    No,
    Yes,
}

impl Link {
    /// Starts the task that connects, at once and for ever.
    pub(crate) fn new(dialer: Arc<Dialer>, silences: &Silences) -> Self {
        let env = Arc::clone(&dialer.env);
        let none = Error::NotSent {
            url: dialer.url.clone(),
            why: "it does not answer".to_owned(),
            kind: ErrorKind::Unreachable,
        };
        let wire = Arc::new(Wire {
            env: Arc::clone(&env),
            confirmer: Confirmer::new(&dialer, silences),
            dialer,
            standing: watch::Sender::new(Standing::Down(none)),
            debt: Debt::default(),
            silences: silences.clone(),
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
    /// Where it leads, for people.
    pub(crate) fn url(&self) -> &str {
        &self.dialer.url
    }

    /// The address of the server, for people.
    pub(crate) fn address(&self) -> String {
        let hosts = self.dialer.config.hosts.iter().map(ToString::to_string);
        hosts.collect::<Vec<_>>().join(",")
    }

    /// The connection, as soon as there is one.
    pub(crate) async fn line(&self, until: Tick) -> Result<Line, Error> {
        let mut standing = self.standing.subscribe();
        loop {
            match &*standing.borrow_and_update() {
                Standing::Up(line) => return Ok(line.clone()),
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

    /// Asks over this connection; the answer, and when the question was handed to it.
    pub(crate) async fn answer(
        &self,
        line: &Line,
        question: Question<'_>,
        asking: Asking,
        until: Tick,
    ) -> Result<(Value, Tick), Error> {
        let mut sent = self.env.monotonic();
        let call = match question {
            Question::Command(command) => {
                let answer = self.ask(line, command, asking, until).await;
                return answer.map(|answer| (answer, sent));
            }
            Question::Call(call) => call,
        };
        if let Some(confirmer) = &self.confirmer
            && call.script.accepts()
        {
            return tokio::select! {
                answer = confirmer.answer(call, asking, until) => answer,
                () = self.over(|standing| matches!(standing, Standing::Closed)) => Err(Error::Closed { sent: true }),
            };
        }
        let command = call.command(line.connection.hash(call.script));
        let mut answer = self.ask(line, &command, asking, until).await;
        if matches!(&answer, Err(e) if e.is_unknown_script()) {
            // It was not run, so running it now is no second time.
            self.ask(line, &load(call.script), Asking::No, until)
                .await?;
            sent = self.env.monotonic();
            answer = self.ask(line, &command, asking, until).await;
        }
        Ok((answer?, sent))
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
        line: &Line,
        command: &Cmd,
        asking: Asking,
        until: Tick,
    ) -> Result<Value, Error> {
        let url = &self.dialer.url;
        let sending = async {
            match asking {
                Asking::No => line.connection.send(command).await,
                Asking::Yes => line.connection.send_asking(command).await,
            }
        };
        let owed = self.debt.begin(self.env.as_ref());
        let answer = self.env.until(until, sending).await;
        if matches!(answer, Ok(Ok(_))) {
            owed.paid();
        }
        let error = match answer {
            Ok(Ok(Value::ServerError(error))) => {
                let error = Error::server(url, &error);
                if error.wants_another_server() {
                    self.lose(line.number, &error);
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
                waited: self.dialer.config.timeout,
            },
        };
        self.lose(line.number, &error);
        Err(error)
    }

    /// An answer makes no sense: what else comes over this connection may be the answer to something else.
    pub(crate) fn mistrust(&self) -> Error {
        let error = Error::WrongAnswer(self.dialer.url.clone());
        let number = match &*self.standing.borrow() {
            Standing::Up(line) => Some(line.number),
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
            let mine = matches!(standing, Standing::Up(line) if line.number == number);
            if mine {
                *standing = Standing::Down(why.clone());
            }
            mine
        });
        if matches!(why, Error::Silence { .. }) {
            self.silences.0.send_modify(|silences| *silences += 1);
        }
    }

    /// Ends it for good; calls under way fail as doubtful.
    pub(crate) fn end(&self) {
        self.standing.send_replace(Standing::Closed);
        if let Some(confirmer) = &self.confirmer {
            confirmer.end();
        }
    }

    async fn drive(&self) {
        let backoff = reconnecting();
        let mut failures = 0;
        let mut next = None;
        for number in 1_u64.. {
            let moves = self.dialer.moves.next();
            let dialling = async {
                match next.take() {
                    Some(dialled) => Ok(dialled),
                    None => self.dialer.dial(Use::Calls).await,
                }
            };
            let dialled = tokio::select! {
                dialled = dialling => dialled,
                () = self.over(|standing| matches!(standing, Standing::Closed)) => return,
            };
            match dialled {
                Ok((connection, driver)) => {
                    failures = 0;
                    next = self.serve(Line { number, connection }, driver, moves).await;
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

    /// Runs a connection until it ends or is given up; for one that is given up because another works, answers
    /// with the other.
    async fn serve(
        &self,
        line: Line,
        driver: Driver,
        mut moves: NextMove,
    ) -> Option<(Connection, Driver)> {
        let (number, present) = (line.number, line.connection.clone());
        let opened = self.standing.send_if_modified(|standing| {
            let open = !matches!(standing, Standing::Closed);
            if open {
                *standing = Standing::Up(line);
            }
            open
        });
        if !opened {
            return None;
        }
        let mut why = "the server ended it";
        let better = tokio::select! {
            () = driver => None,
            () = moves.comes() => {
                why = "the sentinels name another master";
                None
            }
            () = self.over(|standing| !matches!(standing, Standing::Up(..))) => None,
            better = self.better(&present) => Some(better),
        };
        let url = self.dialer.url.clone();
        let why = if better.is_some() {
            let waited = SUSPICION;
            Error::Silence { url, waited }
        } else {
            let why = why.to_owned();
            Error::Lost { url, why }
        };
        self.lose(number, &why);
        better
    }

    /// Waits until the present connection is silent and another works. What lies between client and server can
    /// forget a connection and tell neither; and a server that stands still does not answer the other, either.
    async fn better(&self, present: &Connection) -> (Connection, Driver) {
        let pulse = &present.pulse;
        loop {
            let silent = self.debt.silent(&self.env).await;
            let Some(since) = pulse.missing() else {
                self.probe(present).await;
                continue;
            };
            if self.env.monotonic().since(since) < SUSPICION {
                // It was asked a moment ago, or a large message is on its way.
                self.env.sleep_until(since + SUSPICION).await;
                continue;
            }
            if let Ok((connection, mut driver)) = self.dialer.dial(Use::Calls).await {
                tokio::select! {
                    () = &mut driver => {}
                    () = self.env.sleep(LAST_CHANCE) => {
                        if self.debt.since() == Some(silent) && pulse.missing() == Some(since) {
                            return (connection, driver);
                        }
                    }
                }
            }
            self.env.sleep(SUSPICION).await;
        }
    }

    /// Asks for a sign of life, and waits for a while. All that was asked may be answered, in a program that is too
    /// busy to take the answers, or some of it may not.
    async fn probe(&self, connection: &Connection) {
        let question = redis::cmd("PING");
        let asking = async {
            drop(connection.send(&question).await);
            std::future::pending::<()>().await;
        };
        self.env.within(SUSPICION, asking).await.ok();
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

/// How long to wait before connecting again.
pub(crate) fn reconnecting() -> Backoff {
    let mut backoff = Backoff::default();
    (backoff.base, backoff.max) = (Duration::from_millis(20), LONGEST_PAUSE);
    backoff
}

/// That a call was not sent, with the reason why there is no connection.
pub(crate) fn not_sent(why: &Error, url: &str) -> Error {
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
