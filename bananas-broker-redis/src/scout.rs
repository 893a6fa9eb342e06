//! [`Scout`]: listens to the sentinels, so that connections leave a master when another takes its place.
//!
//! Without it they would stay while the old master lives: after a failover that was ordered it serves on for ten
//! seconds and more, and whatever it accepts is thrown away when it becomes a replica.

use std::sync::Arc;

use bananas_core::{BoxFuture, Env};
use futures::future::join_all;
use tokio::sync::{Mutex, watch};

use crate::address::Address;
use crate::connection::Dialer;
use crate::ear::Ear;
use crate::link::reconnecting;
use crate::sentinel::{self, Sentinel};

/// What sentinels tell when a replica became the master, and when clients should go there.
const CHANNELS: [&str; 2] = ["+promoted-slave", "+switch-master"];

/// How often somebody was told to leave a server for another; shared by all who dial.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moves(Arc<watch::Sender<u64>>);

/// Waits for the next of them.
#[derive(Debug)]
pub(crate) struct NextMove(watch::Receiver<u64>);

/// Listens to the sentinels until it is ended or dropped.
#[derive(Debug)]
pub(crate) struct Scout(watch::Sender<bool>);

struct Post {
    env: Arc<dyn Env>,
    dialer: Arc<Dialer>,
    sentinel: Sentinel,
    /// The master that they named last.
    known: Mutex<Option<Address>>,
}

impl Moves {
    /// Whoever is about to dial asks first, so that no move falls between.
    pub(crate) fn next(&self) -> NextMove {
        NextMove(self.0.subscribe())
    }
}

impl NextMove {
    /// Waits until the server should be left that was dialled after this was made.
    pub(crate) async fn comes(&mut self) {
        if self.0.changed().await.is_err() {
            // All is over, and nothing moves any more.
            std::future::pending().await
        }
    }
}

impl Scout {
    /// `None` where there are no sentinels.
    pub(crate) fn start(dialer: &Arc<Dialer>) -> Option<Self> {
        let post = Post {
            env: Arc::clone(&dialer.env),
            dialer: Arc::clone(dialer),
            sentinel: dialer.config.sentinel.clone()?,
            known: Mutex::default(),
        };
        let scout = Self(watch::Sender::new(false));
        let mut over = scout.0.subscribe();
        let work: BoxFuture<'static, ()> = Box::pin(async move {
            let hosts = &post.dialer.config.hosts;
            let listening: Vec<_> = hosts.iter().map(|host| post.listen(host)).collect();
            tokio::select! {
                _ = join_all(listening) => {}
                // It is over as well when nobody can say so any more.
                _ = over.wait_for(|over| *over) => {}
            }
        });
        dialer.env.spawn_isolated("redis-sentinels", work);
        Some(scout)
    }

    /// Listens no more.
    pub(crate) fn end(&self) {
        self.0.send_replace(true);
    }
}

impl Post {
    async fn listen(&self, host: &Address) {
        let backoff = reconnecting();
        let timeout = self.dialer.config.timeout;
        let dialer = self.dialer.to_sentinel(&self.sentinel, host);
        let mut failures = 0;
        loop {
            let hearing = dialer.hear(host, &CHANNELS);
            match self.env.within(timeout, hearing).await {
                Ok(Ok(heard)) => {
                    failures = 0;
                    // Something may have been told before.
                    self.look().await;
                    let mut ear = Ear::new(&self.env, heard, timeout);
                    while ear.hears().await {
                        self.look().await;
                    }
                }
                Ok(Err(e)) => tracing::debug!(error = %e, "a sentinel cannot be listened to"),
                Err(_) => tracing::debug!(%host, "a sentinel does not answer"),
            }
            failures += 1;
            let pause = backoff.delay(failures, self.env.random());
            self.env.sleep(pause).await;
        }
    }

    /// Asks all sentinels; if they name another master than before, everybody goes there.
    async fn look(&self) {
        let mut known = self.known.lock().await;
        let timeout = self.dialer.config.timeout;
        match sentinel::find(&self.dialer, &self.sentinel, timeout).await {
            Ok(address) => {
                let old = known.replace(address.clone());
                if old.is_some_and(|old| old != address) {
                    tracing::info!(master = %address, "the sentinels name another master");
                    self.dialer.moves.0.send_modify(|moves| *moves += 1);
                }
            }
            Err(e) => tracing::debug!(error = %e, "the sentinels name no master"),
        }
    }
}
