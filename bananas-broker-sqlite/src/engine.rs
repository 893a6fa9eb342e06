//! The engine: one open file, its two sides, and the ways to ask its threads.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bananas_core::{
    Broker, BrokerInfo, Capabilities, Env, Error as CoreError, ErrorKind, FusedLedger, Ledger,
    LedgerInfo, Reach, Result, StateStore, StoreInfo, TakeStore, Tick, Timestamp,
};
use futures::channel::oneshot;
use rusqlite::Connection;

use crate::bell::Bell;
use crate::boot_clock::{BootClock, EnvBootClock, Moment, SystemBootClock};
use crate::broker::SqliteBroker;
use crate::config::SqliteConfig;
use crate::error::Error;
use crate::lane::LaneClosed;
use crate::reader::ReadRequest;
use crate::store::SqliteStore;
use crate::threads::Threads;
use crate::transaction::Transaction;
use crate::writer::{Answer, Request, WriteRequest};

/// The largest body, result or message, in bytes.
pub(crate) const MAX_VALUE: usize = 64 * 1024 * 1024;

/// One open database file, as broker, as state store, and as the ledger of both.
///
/// Its threads end when [`StateStore::close`] or [`Broker::close`] has closed the sides that were used, or when
/// the last handle is dropped.
#[derive(Debug)]
pub struct SqliteEngine {
    shared: Arc<Shared>,
}

impl SqliteEngine {
    /// Opens the file, makes it if it is not there, and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// `NotFound` without its directory, `Unsupported` on a network file system, `Conflict` for the file of
    /// another namespace, program or newer version, `Corrupt` for what is no sound database, `Unavailable` for
    /// one that may not be written or is locked for too long.
    pub async fn open(config: SqliteConfig, env: Arc<dyn Env>) -> Result<Arc<Self>> {
        Self::open_with(config, env, Arc::new(SystemBootClock::new())).await
    }

    /// Opens the file with its leases on the monotonic clock of `env`, as all else is, instead of the clock of
    /// the machine: for tests and simulations that move the time.
    ///
    /// Only for a file that nobody else opens: the clocks of two environments have nothing in common, so each
    /// would take the leases of the other for lost, or for endless.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_on_clock_of(config: SqliteConfig, env: Arc<dyn Env>) -> Result<Arc<Self>> {
        let clock = Arc::new(EnvBootClock(Arc::clone(&env)));
        Self::open_with(config, env, clock).await
    }

    pub(crate) async fn open_with(
        config: SqliteConfig,
        env: Arc<dyn Env>,
        boot_clock: Arc<dyn BootClock>,
    ) -> Result<Arc<Self>> {
        let threads = Threads::start(&config, &env, &boot_clock).await?;
        let url = format!("sqlite://{}", threads.file.display());
        let durability = config.synchronous.durability();
        let mut capabilities = Capabilities::exact();
        capabilities.durability = durability;
        capabilities.max_message = MAX_VALUE;
        capabilities.reach = Reach::Host;
        let shared = Shared {
            store_info: StoreInfo {
                backend: "sqlite",
                url: url.clone(),
                durability,
                max_value: MAX_VALUE,
            },
            broker_info: BrokerInfo {
                backend: "sqlite",
                url,
                version: Some(rusqlite::version().to_owned()),
                capabilities,
            },
            deadline: config.deadline,
            threads,
            env,
            boot_clock,
            store_closed: AtomicBool::new(false),
            broker_closed: AtomicBool::new(false),
            broker_used: AtomicBool::new(false),
        };
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
        }))
    }

    /// The broker's side.
    #[must_use]
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(SqliteBroker::new(Arc::clone(&self.shared)))
    }

    /// The store's side.
    #[must_use]
    pub fn store(&self) -> Arc<dyn StateStore> {
        Arc::new(SqliteStore::new(Arc::clone(&self.shared)))
    }

    #[cfg(test)]
    pub(crate) fn shared_for_tests(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The ledger of both, where the record of a job is its message.
    #[must_use]
    pub fn ledger(&self) -> Arc<dyn Ledger> {
        fused(&self.shared, &self.shared.env)
    }
}

/// The ledger in which the record of a job is its message.
pub(crate) fn fused(shared: &Arc<Shared>, env: &Arc<dyn Env>) -> Arc<dyn Ledger> {
    let store = Arc::new(SqliteStore::new(Arc::clone(shared)));
    let info = LedgerInfo {
        backend: "sqlite".to_owned(),
        url: shared.store_info.url.clone(),
        capabilities: shared.broker_info.capabilities.clone(),
    };
    let taking: Arc<dyn TakeStore> = Arc::<SqliteStore>::clone(&store);
    Arc::new(FusedLedger::new(info, store, taking, Arc::clone(env)))
}

/// What both sides of one engine share.
pub(crate) struct Shared {
    pub(crate) store_info: StoreInfo,
    pub(crate) broker_info: BrokerInfo,
    pub(crate) env: Arc<dyn Env>,
    boot_clock: Arc<dyn BootClock>,
    deadline: Duration,
    threads: Threads,
    store_closed: AtomicBool,
    broker_closed: AtomicBool,
    broker_used: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("url", &self.store_info.url)
            .finish_non_exhaustive()
    }
}

/// One of the two sides of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Store,
    Broker,
}

/// Which reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// For looks that take microseconds.
    Quick,
    /// For queries that may take long.
    Long,
}

impl Shared {
    /// Now, on the clock of leases.
    pub(crate) fn moment(&self) -> Moment {
        self.boot_clock.now()
    }

    /// Now, on the wall.
    pub(crate) fn now(&self) -> Timestamp {
        self.env.now()
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.threads.bell
    }

    pub(crate) fn file(&self) -> &Path {
        &self.threads.file
    }

    pub(crate) fn file_id(&self) -> u64 {
        self.threads.facts.file_id
    }

    /// Refuses work for a side that was closed.
    pub(crate) fn check_open(&self, side: Side) -> Result<()> {
        let closed = match side {
            Side::Store => &self.store_closed,
            Side::Broker => {
                self.broker_used.store(true, Ordering::Relaxed);
                &self.broker_closed
            }
        };
        if closed.load(Ordering::Acquire) {
            return Err(Error::Closed.in_file(&self.threads.file).into());
        }
        Ok(())
    }

    /// Runs a closure in the next write transaction and waits for its commit.
    pub(crate) async fn write<T, W>(&self, weight: usize, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnMut(&mut Transaction<'_>) -> std::result::Result<T, Error> + Send + 'static,
    {
        let until = self.env.monotonic() + self.deadline;
        let (sender, receiver) = oneshot::channel();
        let answer = move |answer: Answer<T>| drop(sender.send(answer.into_result()));
        let request = Box::new(Request::new(weight, work, answer));
        self.submit_until(until, request).await?;
        self.reply(until, receiver).await
    }

    /// Hands a request to the writer and does not wait for its answer.
    pub(crate) async fn submit(&self, request: Box<dyn WriteRequest>) -> Result<()> {
        self.submit_until(self.env.monotonic() + self.deadline, request)
            .await
    }

    /// Hands a request to the writer at once, from where nothing can wait.
    pub(crate) fn submit_now(&self, request: Box<dyn WriteRequest>) {
        if self.threads.writer.push_now(request).is_err() {
            tracing::debug!("the database was closed before the last jobs were given back");
        }
    }

    /// Runs a closure on a connection that reads.
    pub(crate) async fn read<T, R>(&self, pace: Pace, work: R) -> Result<T>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> std::result::Result<T, Error> + Send + 'static,
    {
        let until = self.env.monotonic() + self.deadline;
        let lane = match pace {
            Pace::Quick => &self.threads.quick,
            Pace::Long => &self.threads.long,
        };
        let file = self.threads.file.clone();
        let (sender, receiver) = oneshot::channel();
        let request: ReadRequest = Box::new(move |connection| {
            let answer = connection
                .and_then(work)
                .map_err(|e| CoreError::from(e.in_file(&file)));
            drop(sender.send(answer));
        });
        self.entered(until, lane.push(request)).await?;
        self.reply(until, receiver).await
    }

    /// Waits for an answer that was promised, for as long as operations may take.
    pub(crate) async fn answer_of<T: Send>(
        &self,
        receiver: &mut oneshot::Receiver<Result<T>>,
    ) -> Result<T> {
        self.reply(self.env.monotonic() + self.deadline, receiver)
            .await
    }

    /// Closes one side once what it asked for is done; with the last side in use, the file too.
    pub(crate) async fn close(&self, side: Side, deadline: Duration) -> Result<()> {
        let until = self.env.monotonic() + deadline;
        let closed = match side {
            Side::Store => &self.store_closed,
            Side::Broker => &self.broker_closed,
        };
        if closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // Waiters of this side look again, and see that it is closed.
        self.threads.bell.ring_all();
        let broker_open =
            self.broker_used.load(Ordering::Relaxed) && !self.broker_closed.load(Ordering::Acquire);
        let store_open = !self.store_closed.load(Ordering::Acquire);
        let flushed = if broker_open || store_open {
            let (sender, receiver) = oneshot::channel::<Result<()>>();
            let answer = move |answer: Answer<()>| drop(sender.send(answer.into_result()));
            self.submit_until(
                until,
                Box::new(Request::new(0, |_: &mut Transaction<'_>| Ok(()), answer)),
            )
            .await?;
            self.env.until(until, receiver).await.map(drop)
        } else {
            self.env.until(until, self.threads.end()).await
        };
        flushed.map_err(|_| Error::Deadline(deadline).in_file(&self.threads.file).into())
    }

    async fn submit_until(&self, until: Tick, request: Box<dyn WriteRequest>) -> Result<()> {
        self.entered(until, self.threads.writer.push(request)).await
    }

    async fn entered(
        &self,
        until: Tick,
        push: impl Future<Output = std::result::Result<(), LaneClosed>> + Send,
    ) -> Result<()> {
        let error = match self.env.until(until, push).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(_)) => Error::Closed,
            // It never reached the database.
            Err(_) => Error::Busy,
        };
        Err(error.in_file(&self.threads.file).into())
    }

    async fn reply<T>(
        &self,
        until: Tick,
        receiver: impl Future<Output = std::result::Result<Result<T>, oneshot::Canceled>> + Send,
    ) -> Result<T> {
        match self.env.until(until, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(oneshot::Canceled)) => Err(CoreError::new(
                ErrorKind::Internal,
                "the thread that serves the database has ended",
            )),
            Err(_) => Err(Error::Deadline(self.deadline)
                .in_file(&self.threads.file)
                .into()),
        }
    }
}
