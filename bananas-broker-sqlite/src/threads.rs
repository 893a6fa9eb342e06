//! The threads of an engine: the writer, two readers, the watcher. Started together, ended together.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bananas_core::{Env, Error as CoreError, ErrorKind, Result};
use futures::channel::oneshot;
use rusqlite::Connection;

use crate::bell::Bell;
use crate::boot_clock::BootClock;
use crate::config::SqliteConfig;
use crate::connection::Connector;
use crate::lane::Lane;
use crate::reader::{self, ReadLane};
use crate::schema::FileFacts;
use crate::writer::{WriteLane, Writer};
use crate::{filesystem, watcher};

/// The threads of an engine and the ways to them.
pub(crate) struct Threads {
    pub(crate) file: PathBuf,
    pub(crate) facts: FileFacts,
    pub(crate) writer: Arc<WriteLane>,
    pub(crate) quick: Arc<ReadLane>,
    pub(crate) long: Arc<ReadLane>,
    pub(crate) bell: Arc<Bell>,
    /// Each ends with its thread.
    running: Mutex<Vec<oneshot::Receiver<()>>>,
}

impl Threads {
    /// Opens the file on the writer's thread and starts the others.
    pub(crate) async fn start(
        config: &SqliteConfig,
        env: &Arc<dyn Env>,
        boot_clock: &Arc<dyn BootClock>,
    ) -> Result<Self> {
        let bell = Bell::new();
        let writer: Arc<WriteLane> = Arc::new(Lane::new());
        let (opened, opening) = oneshot::channel();
        let mut running = Vec::new();
        running.push(spawn("bananas-sqlite-writer", {
            let (config, env) = (config.clone(), Arc::clone(env));
            let (lane, bell) = (Arc::clone(&writer), Arc::clone(&bell));
            let boot_clock = Arc::clone(boot_clock);
            move || match open_writer(&config, env) {
                Ok((connector, connection, facts)) => {
                    let writer = Writer {
                        lane,
                        connector: connector.clone(),
                        connection: Some(connection),
                        bell,
                        boot_clock,
                    };
                    drop(opened.send(Ok((connector, facts))));
                    writer.run();
                }
                Err(e) => drop(opened.send(Err(e))),
            }
        })?);
        let (connector, facts) = opening.await.map_err(|oneshot::Canceled| {
            CoreError::new(
                ErrorKind::Internal,
                "the database thread ended while opening",
            )
        })??;
        let threads = Self {
            file: connector.file.clone(),
            facts,
            writer,
            quick: Arc::new(Lane::new()),
            long: Arc::new(Lane::new()),
            bell,
            running: Mutex::new(running),
        };
        for (name, lane) in [
            ("bananas-sqlite-look", &threads.quick),
            ("bananas-sqlite-query", &threads.long),
        ] {
            let (lane, connector) = (Arc::clone(lane), connector.clone());
            threads.add(spawn(name, move || reader::run(&lane, &connector))?);
        }
        let bell = Arc::clone(&threads.bell);
        threads.add(spawn("bananas-sqlite-watch", move || {
            watcher::run(&bell, &connector);
        })?);
        Ok(threads)
    }

    fn add(&self, thread: oneshot::Receiver<()>) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(thread);
    }

    /// Lets the threads finish what they have, and waits for them.
    pub(crate) async fn end(&self) {
        self.stop();
        let running =
            std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in running {
            // An error is the end of the thread, which drops the sender.
            thread.await.unwrap_or_default();
        }
    }

    fn stop(&self) {
        self.writer.close();
        self.quick.close();
        self.long.close();
        self.bell.close();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

fn open_writer(
    config: &SqliteConfig,
    env: Arc<dyn Env>,
) -> Result<(Connector, Connection, FileFacts)> {
    let connector = Connector {
        file: filesystem::check(&config.path)?,
        namespace: config.namespace.clone(),
        synchronous: config.synchronous,
        busy_timeout: config.busy_timeout,
        env,
    };
    let (connection, facts) = connector.writer().map_err(CoreError::from)?;
    Ok((connector, connection, facts))
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<oneshot::Receiver<()>> {
    let (sender, receiver) = oneshot::channel::<()>();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Dropped when the body has ended, even by a panic.
            let _alive = sender;
            body();
        })
        .map_err(|e| {
            CoreError::new(
                ErrorKind::Unavailable,
                format!("thread {name:?} cannot be started"),
            )
            .because(e)
        })?;
    Ok(receiver)
}
