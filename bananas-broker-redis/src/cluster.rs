//! The masters of a cluster: one connection to each that is in use, and the map of who has which slot.
//!
//! What a node refuses because a slot is elsewhere was not run; it is asked again where the slot is, until the
//! deadline of the call. What was handed to a node and not answered is doubtful here, too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bananas_core::{Backoff, Durability, Env, Tick};
use futures::future::try_join_all;
use redis::Value;
use tokio::sync::{Notify, watch};

use crate::address::Address;
use crate::connection::{Dialer, Use};
use crate::error::Error;
use crate::link::{Asking, Line, Link, Silences};
use crate::question::Question;
use crate::server;
use crate::slots::{SlotMap, slot};

/// The shortest time between two looks at the map.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a call waits for a connection before it is asked who has the slot now.
const PATIENCE: Duration = Duration::from_millis(300);

/// How often a call follows at once where it is sent.
const AT_ONCE: u32 = 3;

/// The masters of a cluster; their connections end when this is dropped.
#[derive(Debug)]
pub(crate) struct Cluster(Arc<Nodes>);

#[derive(Debug)]
struct Nodes {
    env: Arc<dyn Env>,
    dialer: Arc<Dialer>,
    silences: Silences,
    map: watch::Sender<SlotMap>,
    links: Mutex<HashMap<Address, Arc<Link>>>,
    /// Rung when the map may be wrong.
    doubted: Notify,
    ended: watch::Sender<bool>,
}

/// What a refusal means for the question.
enum Advice {
    /// The slot is there now.
    Moved(Address),
    /// The slot is about to be there, and this key is.
    Ask(Address),
    /// It may be possible in a moment.
    Later,
}

impl Cluster {
    /// Asks for the map, and keeps it true from now on.
    pub(crate) async fn open(dialer: &Arc<Dialer>, silences: &Silences) -> Result<Self, Error> {
        let map = ask_for_map(dialer).await?;
        let nodes = Arc::new(Nodes {
            env: Arc::clone(&dialer.env),
            dialer: Arc::clone(dialer),
            silences: silences.clone(),
            map: watch::Sender::new(map),
            links: Mutex::default(),
            doubted: Notify::new(),
            ended: watch::Sender::new(false),
        });
        let looking = Arc::clone(&nodes);
        let look = Box::pin(async move { looking.look_around().await });
        dialer.env.spawn_isolated("redis-map", look);
        Ok(Self(nodes))
    }

    /// The connections to all masters.
    pub(crate) fn masters(&self) -> Vec<Arc<Link>> {
        let masters = self.0.map.borrow().masters();
        masters.iter().map(|address| self.0.link(address)).collect()
    }

    /// Looks at how all masters keep their data; what holds for all is what the weakest keeps.
    pub(crate) async fn look(&self, until: Tick) -> Result<Durability, Error> {
        let eviction = self.0.dialer.config.eviction;
        let masters = self.masters();
        let looks = masters
            .iter()
            .map(|link| server::look(link.wire(), eviction, until));
        let classes = try_join_all(looks).await?;
        classes.into_iter().min().ok_or_else(|| self.0.unmapped())
    }

    pub(crate) async fn answer(
        &self,
        question: Question<'_>,
        until: Tick,
    ) -> Result<(Value, Tick), Error> {
        let nodes = &self.0;
        let slot = slot(question.key());
        let mut asking = None;
        let mut refusals = 0;
        loop {
            let (address, asks) = match asking.take() {
                Some(address) => (address, Asking::Yes),
                None => (nodes.master(slot, until).await?, Asking::No),
            };
            let link = nodes.link(&address);
            let Some(line) = nodes.line(&link, (slot, &address), asks, until).await? else {
                continue;
            };
            let error = match link.wire().answer(&line, question, asks, until).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            refusals += 1;
            match Advice::of(&error, &address) {
                _ if nodes.env.monotonic() >= until => return Err(error),
                Some(Advice::Moved(to)) => nodes.moved(slot, to),
                Some(Advice::Ask(to)) => asking = Some(to),
                Some(Advice::Later) => {}
                None => {
                    nodes.doubted.notify_one();
                    return Err(error);
                }
            }
            nodes.doubted.notify_one();
            if refusals > AT_ONCE || matches!(Advice::of(&error, &address), Some(Advice::Later)) {
                let pause = backoff().delay(refusals, nodes.env.random());
                nodes.env.sleep(pause).await;
            }
        }
    }

    pub(crate) fn dialer_of(&self, key: &str) -> Arc<Dialer> {
        let map = self.0.map.borrow();
        match map.master(slot(key.as_bytes())) {
            Some(address) => Arc::new(self.0.dialer.to(address)),
            None => Arc::clone(&self.0.dialer),
        }
    }

    /// Looks soon who has which slot.
    pub(crate) fn look_around(&self) {
        self.0.doubted.notify_one();
    }

    pub(crate) fn mistrust(&self) -> Error {
        let links: Vec<_> = self.0.links().values().cloned().collect();
        for link in links {
            link.wire().mistrust();
        }
        Error::WrongAnswer(self.0.dialer.url.clone())
    }

    pub(crate) fn end(&self) {
        self.0.ended.send_replace(true);
        self.0.links().values().for_each(|link| link.wire().end());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}

impl Advice {
    /// What the refusal of a node says; `None` if it is no matter of the cluster.
    fn of(error: &Error, asked: &Address) -> Option<Self> {
        let Error::Server { code, detail, .. } = error else {
            return None;
        };
        // `MOVED 3999 127.0.0.1:6381`
        let place = || Address::told(detail.split_whitespace().nth(1)?, asked);
        match code.as_str() {
            "MOVED" => place().map(Self::Moved),
            "ASK" => place().map(Self::Ask),
            "TRYAGAIN" | "CLUSTERDOWN" | "READONLY" | "MASTERDOWN" | "LOADING" => Some(Self::Later),
            _ => None,
        }
    }
}

impl Nodes {
    fn links(&self) -> MutexGuard<'_, HashMap<Address, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to this node, made if there is none.
    fn link(&self, address: &Address) -> Arc<Link> {
        let mut links = self.links();
        let new = || Arc::new(Link::new(Arc::new(self.dialer.to(address)), &self.silences));
        let link = Arc::clone(links.entry(address.clone()).or_insert_with(new));
        if *self.ended.borrow() {
            link.wire().end();
        }
        link
    }

    /// Who has the slot, as soon as anybody is known to.
    async fn master(&self, slot: u16, until: Tick) -> Result<Address, Error> {
        let mut map = self.map.subscribe();
        loop {
            if let Some(address) = map.borrow_and_update().master(slot) {
                return Ok(address.clone());
            }
            self.doubted.notify_one();
            let soon = until.min(self.env.monotonic() + PATIENCE);
            let changed = self.env.until(soon, map.changed()).await;
            if changed.is_err() && self.env.monotonic() >= until {
                return Err(self.unmapped());
            }
        }
    }

    /// The connection to a node, or `None` if the slot went to another before there was one.
    async fn line(
        &self,
        link: &Link,
        (slot, address): (u16, &Address),
        asks: Asking,
        until: Tick,
    ) -> Result<Option<Line>, Error> {
        let mut map = self.map.subscribe();
        loop {
            let soon = until.min(self.env.monotonic() + PATIENCE);
            let error = match link.wire().line(soon).await {
                Ok(line) => return Ok(Some(line)),
                Err(error) => error,
            };
            if matches!(error, Error::Closed { .. }) && !*self.ended.borrow() {
                // It was given up between our look and our question.
                return Ok(None);
            }
            if soon == until || !error.is_of_connection() {
                return Err(error);
            }
            self.doubted.notify_one();
            let gone = map.borrow_and_update().master(slot) != Some(address);
            if gone || asks == Asking::Yes {
                return Ok(None);
            }
        }
    }

    fn moved(&self, slot: u16, to: Address) {
        self.map.send_modify(|map| map.is_at(slot, to));
    }

    fn unmapped(&self) -> Error {
        Error::Server {
            url: self.dialer.url.clone(),
            code: "CLUSTERDOWN".to_owned(),
            detail: "no node is known to have the slot".to_owned(),
        }
    }

    /// Looks again whenever somebody doubts the map, to the end.
    async fn look_around(&self) {
        let mut ended = self.ended.subscribe();
        tokio::select! {
            () = self.look_again() => {}
            // The sender lives as long as this does.
            _ = ended.wait_for(|ended| *ended) => {}
        }
    }

    async fn look_again(&self) {
        for turn in 0_usize.. {
            self.doubted.notified().await;
            // Who is asked changes, for a node that is cut off from the others has an old map.
            let mut places = self.map.borrow().masters();
            places.extend(self.dialer.config.hosts.iter().cloned());
            let count = places.len().max(1);
            places.rotate_left(turn % count);
            let mut found = None;
            for place in &places {
                if found.is_none() {
                    found = ask_for_map(&self.dialer.to(place)).await.ok();
                }
            }
            match found {
                Some(map) => self.keep(map),
                None => tracing::debug!("no node says who has which slot"),
            }
            self.env.sleep(PAUSE).await;
        }
    }

    fn keep(&self, map: SlotMap) {
        let masters = map.masters();
        self.map.send_if_modified(|old| {
            let differs = *old != map;
            *old = map;
            differs
        });
        // A call that is under way holds its link until it has its answer.
        self.links().retain(|address, _| masters.contains(address));
    }
}

async fn ask_for_map(dialer: &Dialer) -> Result<SlotMap, Error> {
    let (connection, address, driver) = dialer.dial_any(Use::Asking).await?;
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let asking = dialer
        .env
        .within(dialer.config.timeout, connection.send(&command));
    let answer = tokio::select! {
        answer = asking => answer,
        () = driver => return Err(Error::WrongAnswer(dialer.url.clone())),
    };
    match answer {
        Ok(Ok(Value::ServerError(error))) => Err(Error::server(&dialer.url, &error)),
        Ok(Ok(answer)) => {
            let map = SlotMap::read(answer, &address);
            map.ok_or_else(|| Error::WrongAnswer(dialer.url.clone()))
        }
        Ok(Err(why)) => Err(Error::Lost {
            url: dialer.url.clone(),
            why,
        }),
        Err(_) => Err(Error::Silence {
            url: dialer.url.clone(),
            waited: dialer.config.timeout,
        }),
    }
}

fn backoff() -> Backoff {
    let mut backoff = Backoff::default();
    (backoff.base, backoff.max) = (Duration::from_millis(10), Duration::from_millis(200));
    backoff
}
