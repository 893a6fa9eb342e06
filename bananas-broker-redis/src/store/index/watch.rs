//! Telling those who watch that something changed: a connection that hears what every client tells of its changes.
//! It is made with the first watch, and ends with the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bananas_core::Env;
use tokio::sync::{Notify, watch};

use crate::connection::Dialer;
use crate::ear::Ear;
use crate::error::Error;
use crate::keys;
use crate::link::reconnecting;

/// Those who watch the store through one engine.
#[derive(Debug)]
pub(crate) struct Watchers(Arc<Hall>);

#[derive(Debug)]
struct Hall {
    changed: Notify,
    ended: watch::Sender<bool>,
    started: AtomicBool,
    env: Arc<dyn Env>,
    dialer: Arc<Dialer>,
}

impl Watchers {
    pub(crate) fn new(dialer: &Arc<Dialer>, env: &Arc<dyn Env>) -> Self {
        Self(Arc::new(Hall {
            changed: Notify::new(),
            ended: watch::Sender::new(false),
            started: AtomicBool::new(false),
            env: Arc::clone(env),
            dialer: Arc::clone(dialer),
        }))
    }

    /// Waits until something may have changed, at most so long. A watch that began before the connection was
    /// there ends when it is, for it may have missed something. Fails when all watches were ended.
    pub(crate) async fn changed(&self, wait: Duration) -> Result<(), Error> {
        let hall = &self.0;
        let changed = hall.changed.notified();
        let until = hall.env.monotonic() + wait;
        if !hall.started.swap(true, Ordering::AcqRel) {
            let listener = Arc::clone(hall);
            let listen = Box::pin(async move { listener.listen().await });
            hall.env.spawn_isolated("redis-watch", listen);
        }
        let over = async {
            tokio::select! {
                () = changed => {}
                () = hall.ending() => {}
            }
        };
        // Changed or not, the wait is over.
        hall.env.until(until, over).await.unwrap_or_default();
        match *hall.ended.borrow() {
            true => Err(Error::Closed { sent: false }),
            false => Ok(()),
        }
    }

    /// Ends all watches.
    pub(crate) fn end(&self) {
        self.0.ended.send_replace(true);
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.end();
    }
}

impl Hall {
    async fn ending(&self) {
        let mut ended = self.ended.subscribe();
        // The sender lives as long as this does.
        drop(ended.wait_for(|ended| *ended).await);
    }

    async fn listen(&self) {
        tokio::select! {
            () = self.listen_on() => {}
            () = self.ending() => {}
        }
    }

    async fn listen_on(&self) {
        let backoff = reconnecting();
        let channel = keys::changes(&self.dialer.config.namespace);
        let timeout = self.dialer.config.timeout;
        let mut failures = 0;
        loop {
            let mut moves = self.dialer.moves.next();
            let subscribed = self.env.within(timeout, self.dialer.subscribe(&channel));
            match subscribed.await {
                Ok(Ok(heard)) => {
                    failures = 0;
                    self.changed.notify_waiters();
                    let mut ear = Ear::new(&self.env, heard, timeout);
                    let hearing = async {
                        while ear.hears().await {
                            self.changed.notify_waiters();
                        }
                    };
                    tokio::select! {
                        () = hearing => {}
                        () = moves.comes() => {}
                    }
                }
                Ok(Err(e)) => tracing::debug!(error = %e, "no connection to watch on"),
                Err(_) => tracing::debug!("the server does not answer who wants to watch"),
            }
            failures += 1;
            let pause = backoff.delay(failures, self.env.random());
            self.env.sleep(pause).await;
        }
    }
}
