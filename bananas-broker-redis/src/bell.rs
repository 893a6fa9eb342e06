//! Wakes consumers that wait. The server keeps a marker for each queue: whoever publishes puts it there, and one
//! of those who wait takes it. A single connection waits for the markers of all queues that consumers of this
//! engine wait for; of a cluster, which lets no command wait for two slots, one for each queue.
//!
//! A marker that arrives when nobody waits here any more is put back for somebody else. One that is lost with a
//! process or a connection costs time, not messages: consumers look again every few seconds all the same.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bananas_core::{BoxFuture, Env, QueueName};
use redis::{Cmd, Value};
use tokio::sync::{Notify, watch};

use crate::connection::{Connection, Driver, Use};
use crate::error::Error;
use crate::keys::{Keys, Part};
use crate::link::{Silences, reconnecting};
use crate::question::Call;
use crate::scout::NextMove;
use crate::script::Script;
use crate::servers::Servers;

/// How long a connection is kept on which nobody waits.
const IDLE: Duration = Duration::from_mins(1);

/// How long one command waits at the server. It bounds how late a connection that went silent is noticed.
const WAIT: Duration = Duration::from_secs(2);

/// How much later than that the answer may come.
const SLACK: Duration = Duration::from_secs(1);

/// How long the server keeps an interruption that nobody takes, in milliseconds.
const INTERRUPTION_MS: u64 = 60_000;

/// What wakes one who waits, if anything can be looked at.
pub(crate) const RING: [Part; 9] = [
    Part::Wake,
    Part::Normal,
    Part::High,
    Part::Low,
    Part::Delayed,
    Part::Leased,
    Part::Ready,
    Part::Suspects,
    Part::Due,
];

/// The bell of one engine.
#[derive(Debug)]
pub(crate) struct Bell {
    /// By queue on a cluster, and else one for all.
    towers: Mutex<HashMap<Option<QueueName>, Arc<Tower>>>,
    ground: Arc<Ground>,
}

/// One connection to wait on.
#[derive(Debug)]
struct Tower {
    state: Mutex<State>,
    /// Rung when somebody begins to wait.
    changed: Notify,
    ground: Arc<Ground>,
}

/// What all waits of one engine share.
#[derive(Debug)]
struct Ground {
    servers: Weak<Servers>,
    env: Arc<dyn Env>,
    namespace: String,
    silences: Silences,
    is_cluster: bool,
    engine: u64,
    ended: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<QueueName, Vec<(u64, Arc<Rung>)>>,
    last: u64,
    /// The queues that the command now at the server waits for.
    heard: Vec<QueueName>,
    interrupted: bool,
    started: bool,
}

/// Whether one who waits was woken, and has not looked since.
#[derive(Debug, Default)]
struct Rung {
    unheeded: AtomicBool,
    notify: Notify,
}

impl Rung {
    fn ring(&self) {
        self.unheeded.store(true, Ordering::Release);
        self.notify.notify_one();
    }
}

/// Somebody who waits; dropping it ends the wait.
struct Waiter {
    tower: Arc<Tower>,
    queue: QueueName,
    number: u64,
    rung: Arc<Rung>,
}

impl Bell {
    pub(crate) fn new(servers: &Arc<Servers>, engine: u64) -> Self {
        let ground = Arc::new(Ground {
            servers: Arc::downgrade(servers),
            env: Arc::clone(&servers.env),
            namespace: servers.dialer.config.namespace.clone(),
            silences: servers.silences.clone(),
            is_cluster: servers.is_cluster(),
            engine,
            ended: watch::Sender::new(false),
        });
        let towers = Mutex::default();
        Self { towers, ground }
    }

    fn towers(&self) -> MutexGuard<'_, HashMap<Option<QueueName>, Arc<Tower>>> {
        self.towers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until somebody should look at the queue. What was published since the last look counts, for its
    /// marker is still at the server.
    pub(crate) fn rung(&self, queue: &QueueName) -> impl Future<Output = ()> + Send + use<> {
        let own = self.ground.is_cluster.then(|| queue.clone());
        let new = || {
            Arc::new(Tower {
                state: Mutex::default(),
                changed: Notify::new(),
                ground: Arc::clone(&self.ground),
            })
        };
        let tower = Arc::clone(self.towers().entry(own).or_insert_with(new));
        let waiter = tower.enter(queue);
        async move {
            waiter.rung.notify.notified().await;
            waiter.rung.unheeded.store(false, Ordering::Release);
        }
    }

    /// Wakes one who waits for this queue, here or elsewhere.
    pub(crate) fn pass_on(&self, queue: &QueueName) {
        self.ground.pass_on(queue);
    }

    /// Waits for nothing any more, and wakes all who do.
    pub(crate) fn end(&self) {
        self.ground.ended.send_replace(true);
        self.towers().values().for_each(|tower| tower.ring_all());
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.end();
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = self.tower.lock();
        if let Some(waiting) = state.waiting.get_mut(&self.queue) {
            waiting.retain(|(number, _)| *number != self.number);
            if waiting.is_empty() {
                state.waiting.remove(&self.queue);
            }
        }
        drop(state);
        if self.rung.unheeded.load(Ordering::Acquire) {
            self.tower.ground.pass_on(&self.queue);
        }
    }
}

impl Ground {
    fn keys(&self, queue: &QueueName) -> Keys {
        Keys::of(&self.namespace, queue)
    }

    /// Makes the command at the server return, so that another can wait for more queues.
    fn interrupt(&self, heard: &QueueName) {
        let key = self.keys(heard).interrupt(self.engine);
        let mut ring = redis::cmd("ZADD");
        ring.arg(&key).arg(0).arg("");
        let mut expire = redis::cmd("PEXPIRE");
        expire.arg(&key).arg(INTERRUPTION_MS);
        self.post(|servers| {
            Box::pin(async move {
                servers.command(&ring).await?;
                servers.command(&expire).await.map(drop)
            })
        });
    }

    fn pass_on(&self, queue: &QueueName) {
        let keys = self.keys(queue);
        let call = Call {
            script: Script::Ring,
            keys: RING.map(|part| keys.key(part)).to_vec(),
            args: Vec::new(),
        };
        self.post(|servers| Box::pin(async move { servers.run(&call).await.map(drop) }));
    }

    /// Does something on the connection for calls, beside all else. That it fails costs time alone.
    fn post(&self, work: impl FnOnce(Arc<Servers>) -> BoxFuture<'static, Result<(), Error>>) {
        if let Some(servers) = self.servers.upgrade()
            && servers.check_open().is_ok()
        {
            let work = work(servers);
            let run = async move {
                if let Err(e) = work.await {
                    tracing::debug!(error = %e, "nobody was woken; consumers look again by themselves");
                }
            };
            self.env.spawn_isolated("redis-bell", Box::pin(run));
        }
    }

    async fn ending(&self) {
        let mut ended = self.ended.subscribe();
        // The sender lives as long as this does.
        drop(ended.wait_for(|ended| *ended).await);
    }

    /// Connects to the server that has the marker of this queue.
    async fn dial(&self, queue: &QueueName) -> Result<(Connection, Driver, NextMove), Error> {
        let servers = self.servers.upgrade();
        let servers = servers.ok_or(Error::Closed { sent: false })?;
        let dialer = servers.dialer_of(&self.keys(queue).key(Part::Wake));
        drop(servers);
        let moves = dialer.moves.next();
        let (connection, driver) = dialer.dial(Use::Waiting).await?;
        Ok((connection, driver, moves))
    }

    /// The connection was of no use, and the marker may be with another server.
    fn is_elsewhere(&self) {
        if let Some(servers) = self.servers.upgrade() {
            servers.is_elsewhere();
        }
    }
}

impl Tower {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, queue: &QueueName) -> Waiter {
        let rung = Arc::<Rung>::default();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        let waiting = state.waiting.entry(queue.clone()).or_default();
        waiting.push((number, Arc::clone(&rung)));
        let start = !std::mem::replace(&mut state.started, true);
        let unheard = !state.heard.contains(queue);
        let heard = state
            .heard
            .first()
            .filter(|_| unheard && !state.interrupted);
        let interrupt = heard.cloned();
        state.interrupted |= interrupt.is_some();
        drop(state);
        if start {
            let tower = Arc::clone(self);
            let listen = Box::pin(async move { tower.listen().await });
            self.ground.env.spawn_isolated("redis-bell", listen);
        }
        if let Some(heard) = interrupt {
            self.ground.interrupt(&heard);
        }
        self.changed.notify_one();
        Waiter {
            tower: Arc::clone(self),
            queue: queue.clone(),
            number,
            rung,
        }
    }

    /// Wakes who waits here for this queue. Says whether anybody did.
    fn ring(&self, queue: &QueueName) -> bool {
        let state = self.lock();
        let waiting = state.waiting.get(queue).map_or(&[][..], Vec::as_slice);
        waiting.iter().for_each(|(_, rung)| rung.ring());
        !waiting.is_empty()
    }

    /// After markers may have been lost, everybody looks.
    fn ring_all(&self) {
        let state = self.lock();
        state
            .waiting
            .values()
            .flatten()
            .for_each(|(_, rung)| rung.ring());
    }

    /// Waits for the markers, over one connection after the other, to the end.
    async fn listen(&self) {
        tokio::select! {
            () = self.listen_on() => {}
            () = self.ground.ending() => {}
        }
    }

    async fn listen_on(&self) {
        let backoff = reconnecting();
        let env = &self.ground.env;
        let mut failures = 0;
        loop {
            let queues = self.wanted().await;
            let Some(first) = queues.first() else {
                continue;
            };
            match self.ground.dial(first).await {
                Ok((connection, driver, moves)) => {
                    self.ring_all();
                    if self.hear(&connection, driver, moves).await {
                        failures = 0;
                    }
                }
                Err(e) => tracing::debug!(error = %e, "no connection to wait on"),
            }
            self.ground.is_elsewhere();
            failures += 1;
            let pause = backoff.delay(failures, env.random());
            env.sleep(pause).await;
        }
    }

    /// The queues that somebody waits for, as soon as there are any.
    async fn wanted(&self) -> Vec<QueueName> {
        loop {
            let changed = self.changed.notified();
            let queues: Vec<_> = self.lock().waiting.keys().cloned().collect();
            if !queues.is_empty() {
                return queues;
            }
            changed.await;
        }
    }

    /// Waits for markers until the connection ends or is not needed. Says whether it ever served.
    async fn hear(&self, connection: &Connection, mut driver: Driver, mut moves: NextMove) -> bool {
        let mut served = false;
        let mut silence = pin!(self.ground.silences.next());
        loop {
            let queues = tokio::select! {
                queues = self.ground.env.within(IDLE, self.wanted()) => queues,
                () = &mut driver => return served,
                () = &mut silence => return served,
                () = moves.comes() => return served,
            };
            let Ok(queues) = queues else {
                return served;
            };
            let command = self.command(&queues);
            self.hears(&queues);
            let patience = WAIT + SLACK;
            let answer = tokio::select! {
                answer = self.ground.env.within(patience, connection.send(&command)) => answer,
                () = &mut driver => return served,
                () = &mut silence => return served,
                () = moves.comes() => return served,
            };
            self.lock().heard.clear();
            match answer {
                Ok(Ok(Value::Nil)) => {}
                Ok(Ok(answer)) if self.heard(&queues, &answer) => {}
                other => {
                    tracing::debug!(?other, "the connection to wait on is given up");
                    return served;
                }
            }
            served = true;
        }
    }

    /// Notes for which queues no interruption is needed.
    fn hears(&self, queues: &[QueueName]) {
        let mut state = self.lock();
        (state.heard, state.interrupted) = (queues.to_vec(), false);
    }

    fn command(&self, queues: &[QueueName]) -> Cmd {
        let mut command = redis::cmd("BZPOPMIN");
        if let Some(first) = queues.first() {
            command.arg(self.ground.keys(first).interrupt(self.ground.engine));
        }
        for queue in queues {
            command.arg(self.ground.keys(queue).key(Part::Wake));
        }
        command.arg(WAIT.as_secs());
        command
    }

    /// Wakes whom a marker is for. Says whether the answer makes sense.
    fn heard(&self, queues: &[QueueName], answer: &Value) -> bool {
        let Value::Array(parts) = answer else {
            return false;
        };
        let Some(Value::BulkString(key)) = parts.first() else {
            return false;
        };
        let is_its = |queue: &&QueueName| self.ground.keys(queue).key(Part::Wake).as_bytes() == key;
        if let Some(queue) = queues.iter().find(is_its)
            && !self.ring(queue)
        {
            self.ground.pass_on(queue);
        }
        true
    }
}
