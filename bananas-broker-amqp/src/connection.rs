//! One connection that is made again whenever it breaks: `Connecting`, `Ready` with its epoch, or `Closed`.
//!
//! A supervisor dials without end, with growing pauses of chance, and says of an error that time alone does not
//! mend that it is one. What belongs to a connection bears its epoch: receipts of an earlier one are void.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bananas_core::{Elapsed, Env, ErrorKind, Tick};
use futures::StreamExt;
use lapin::{Channel, Connection, Event};
use tokio::sync::watch;

use crate::config::AmqpConfig;
use crate::dialer::{Dialer, Killer};
use crate::error::Error;
use crate::server;

/// The first pause after a failed attempt, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long an answer may be owed before one asks whether the connection is still known at the other end.
const DOUBT: Duration = Duration::from_secs(2);

/// How long that may take.
const PROOF: Duration = Duration::from_secs(2);

/// How long a connection may take to close in order.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often a connection is looked at that says nothing.
const LOOK: Duration = Duration::from_secs(1);

/// One connection that is made again whenever it breaks.
pub(crate) struct Link {
    pub(crate) env: Arc<dyn Env>,
    dialer: Arc<Dialer>,
    /// What it is for, shown to the operator of the server.
    name: &'static str,
    state: watch::Sender<State>,
    is_started: AtomicBool,
}

/// Where it stands.
#[derive(Clone)]
enum State {
    /// Not there, and why if that is known.
    Connecting(Option<Error>),
    Ready(Live),
    Closed,
}

/// A connection that stands, or stood.
#[derive(Clone)]
pub(crate) struct Live {
    /// Grows with each connection.
    pub(crate) epoch: u64,
    connection: Arc<Connection>,
    killer: Arc<Killer>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({}, {})", self.dialer.url, self.name)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Live({})", self.epoch)
    }
}

impl Live {
    /// Ends it: it does not answer. What is under way on it fails at once, and the next one is made.
    pub(crate) fn mistrust(&self) {
        self.killer.kill();
    }

    /// Whether the server takes no messages on it.
    pub(crate) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }
}

impl Link {
    pub(crate) fn new(dialer: &Arc<Dialer>, env: &Arc<dyn Env>, name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            env: Arc::clone(env),
            dialer: Arc::clone(dialer),
            name,
            state: watch::Sender::new(State::Connecting(None)),
            is_started: AtomicBool::new(false),
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.dialer.url
    }

    pub(crate) fn config(&self) -> &AmqpConfig {
        &self.dialer.config
    }

    /// How long an operation may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.dialer.config.timeout
    }

    /// The connection, as soon as there is one.
    pub(crate) async fn live(self: &Arc<Self>, deadline: Tick) -> Result<Live, Error> {
        self.start();
        let mut state = self.state.subscribe();
        let mut trouble = None;
        loop {
            match state.borrow_and_update().clone() {
                State::Ready(live) => return Ok(live),
                State::Closed => return Err(Error::Closed { sent: false }),
                State::Connecting(Some(why)) if why.is_permanent() => return Err(why),
                State::Connecting(why) => trouble = why.or(trouble),
            }
            match self.env.until(deadline, state.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Error::Closed { sent: false }),
                Err(Elapsed) => return Err(self.absent(trouble)),
            }
        }
    }

    /// Why there is none; `None` while there is one, or it was never asked for.
    pub(crate) fn trouble(&self) -> Option<Error> {
        match &*self.state.borrow() {
            State::Ready(_) => None,
            State::Closed => Some(Error::Closed { sent: false }),
            State::Connecting(why) => {
                let is_asked_for = self.is_started.load(Ordering::Relaxed);
                is_asked_for.then(|| self.absent(why.clone()))
            }
        }
    }

    fn absent(&self, why: Option<Error>) -> Error {
        match why {
            Some(Error::NotSent { url, why, kind }) => Error::NotSent { url, why, kind },
            other => Error::NotSent {
                url: self.dialer.url.clone(),
                why: other.map_or_else(|| "it takes too long".to_owned(), |e| e.to_string()),
                kind: ErrorKind::Unreachable,
            },
        }
    }

    /// Whether it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(*self.state.borrow(), State::Closed)
    }

    /// Waits for an operation on a connection. One that is not answered in time costs the connection, and so does
    /// one that is not answered for a while, if the server answers others and nothing on this connection.
    pub(crate) async fn on<T>(
        &self,
        live: &Live,
        operation: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Error> {
        let begun = self.env.monotonic();
        let deadline = begun + self.timeout();
        let mut operation = std::pin::pin!(operation);
        let doubt = async {
            loop {
                self.env.sleep(DOUBT).await;
                // Apart, for it is large and hardly ever needed.
                if Box::pin(self.is_forgotten(live)).await {
                    return;
                }
            }
        };
        let answered = async {
            tokio::select! {
                biased;
                answer = &mut operation => Some(answer),
                () = doubt => None,
            }
        };
        let waited = match self.env.until(deadline, answered).await {
            Ok(Some(answer)) => return answer.map_err(|e| Error::of(&self.dialer.url, &e)),
            Ok(None) | Err(Elapsed) => self.env.monotonic().since(begun),
        };
        live.mistrust();
        Err(self.silent_for(waited))
    }

    /// Whether the server answers others, and nothing on this connection, which then is open at our end alone. A
    /// queue that is slow is no sign of it, and neither is a server that stands still.
    async fn is_forgotten(&self, live: &Live) -> bool {
        let here = live.connection.create_channel();
        let here = self.env.within(PROOF, here);
        let there = self.env.within(PROOF, server::look(&self.dialer));
        let (here, there) = futures::join!(here, there);
        here.is_err() && matches!(there, Ok(Ok(_))) && !live.is_blocked()
    }

    pub(crate) fn silence(&self) -> Error {
        self.silent_for(self.timeout())
    }

    fn silent_for(&self, waited: Duration) -> Error {
        Error::Silence {
            url: self.dialer.url.clone(),
            waited,
        }
    }

    /// A channel of its own.
    pub(crate) async fn channel(&self, live: &Live) -> Result<Channel, Error> {
        let opened = self.on(live, live.connection.create_channel()).await;
        opened.map_err(|e| match e {
            // Nothing was done on it yet.
            Error::Lost { url, why } => Error::NotSent {
                url,
                why,
                kind: ErrorKind::Unreachable,
            },
            Error::Silence { url, waited } => Error::NotSent {
                url,
                why: format!("no channel within {waited:?}"),
                kind: ErrorKind::Timeout,
            },
            other => other,
        })
    }

    /// Ends it for good. In order, if there is time for it.
    pub(crate) async fn close(&self, deadline: Tick) {
        if let State::Ready(live) = self.state.send_replace(State::Closed) {
            let closing = live.connection.close(200, "closed by the client".into());
            // A server that does not answer loses it all the same; and so does the client library when it does not tell
            // of the answer, as happens while a channel is being opened.
            let deadline = deadline.min(self.env.monotonic() + FAREWELL);
            self.env.until(deadline, closing).await.ok();
            live.mistrust();
        }
    }

    /// The same, without a word to the server.
    pub(crate) fn abandon(&self) {
        if let State::Ready(live) = self.state.send_replace(State::Closed) {
            live.mistrust();
        }
    }

    fn start(self: &Arc<Self>) {
        if !self.is_started.swap(true, Ordering::AcqRel) {
            let supervise = supervise(Arc::clone(self));
            self.env.spawn_isolated("amqp link", Box::pin(supervise));
        }
    }

    /// Moves on, unless it was closed meanwhile.
    fn become_state(&self, next: State) -> bool {
        self.state.send_if_modified(|state| {
            let is_open = !matches!(state, State::Closed);
            if is_open {
                *state = next;
            }
            is_open
        })
    }

    async fn dial(&self) -> Result<(Connection, Killer), Error> {
        let waited = self.timeout();
        let connecting = Box::pin(self.dialer.connect(self.name));
        match self.env.within(waited, connecting).await {
            Ok(connected) => connected,
            Err(Elapsed) => Err(Error::NotSent {
                url: self.dialer.url.clone(),
                why: format!("no answer within {waited:?}"),
                kind: ErrorKind::Timeout,
            }),
        }
    }

    /// Waits for the end of a connection, and says why it ended.
    async fn end_of(&self, live: &Live) -> Error {
        let mut events = std::pin::pin!(live.connection.events_listener());
        let mut state = self.state.subscribe();
        let mut why = None;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    // That of a single channel is reported here as well.
                    Some(Event::Error(e)) => why = Some(Error::of(&self.dialer.url, &e)),
                    None => return self.lost("it is gone"),
                    Some(_) => {}
                },
                _ = state.changed() => {
                    if matches!(*state.borrow_and_update(), State::Closed) {
                        return Error::Closed { sent: false };
                    }
                }
                () = self.env.sleep(LOOK) => {}
            }
            if !live.connection.status().connected() {
                return why.unwrap_or_else(|| self.lost("it has ended"));
            }
        }
    }

    fn lost(&self, why: &str) -> Error {
        Error::Lost {
            url: self.dialer.url.clone(),
            why: why.to_owned(),
        }
    }

    /// A pause of chance that grows with the number of failures.
    async fn pause(&self, failures: u32) {
        let longest = FIRST_PAUSE
            .saturating_mul(1 << failures.min(10))
            .min(LONGEST_PAUSE);
        let half = longest / 2;
        let micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        let pause = half + Duration::from_micros(self.env.random() % micros);
        let mut state = self.state.subscribe();
        let closed = state.wait_for(|state| matches!(state, State::Closed));
        self.env.within(pause, closed).await.ok();
    }
}

async fn supervise(link: Arc<Link>) {
    let mut failures = 0;
    let mut epoch = 0;
    while !link.is_closed() {
        match link.dial().await {
            Ok((connection, killer)) => {
                epoch += 1;
                failures = 0;
                let live = Live {
                    epoch,
                    connection: Arc::new(connection),
                    killer: Arc::new(killer),
                };
                if link.become_state(State::Ready(live.clone())) {
                    let why = link.end_of(&live).await;
                    tracing::debug!(link = link.name, epoch, error = %why, "connection ended");
                    link.become_state(State::Connecting(Some(why)));
                }
                live.mistrust();
            }
            Err(why) => {
                failures += 1;
                tracing::debug!(link = link.name, failures, error = %why, "no connection");
                link.become_state(State::Connecting(Some(why)));
            }
        }
        if !link.is_closed() {
            link.pause(failures).await;
        }
    }
}
