//! [`shutdown_signal`]: SIGTERM and SIGINT as a reason to shut down.
//!
//! The signals are received on a thread of their own, so that they are obeyed even while handlers block every
//! thread of the user's runtime.

use std::io;

use bananas_core::BoxFuture;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::Shutdown;

/// How many signals have come; what [`shutdown_signal`] resolves to.
#[derive(Debug)]
pub struct Signals(watch::Receiver<u32>);

/// Waits for SIGTERM or SIGINT. Given to [`Worker::run_until`](crate::Worker::run_until), the first signal lets
/// running jobs finish within `shutdown_grace`, a second one gives them back and leaves at once, and a third
/// aborts the process.
///
/// From the first call on, these signals no longer end the process by themselves.
pub async fn shutdown_signal() -> Signals {
    let (sender, receiver) = watch::channel(0);
    let thread = std::thread::Builder::new().name("bananas-signals".to_owned());
    let spawned = thread.spawn(move || {
        if let Err(e) = count(&sender) {
            tracing::error!(error = %e, "signals cannot be received");
            // As if none ever came: the sender must not go.
            std::thread::park();
        }
    });
    if let Err(e) = spawned {
        tracing::error!(error = %e, "no thread to receive signals");
    }
    let mut signals = Signals(receiver);
    signals.at_least(1).await;
    signals
}

impl Signals {
    async fn at_least(&mut self, count: u32) {
        if self.0.wait_for(|signals| *signals >= count).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Shutdown for Signals {
    fn forced(mut self) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.at_least(2).await })
    }
}

/// Counts signals for as long as the process lives; the third aborts it.
fn count(signals: &watch::Sender<u32>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            let received = tokio::select! {
                received = terminate.recv() => received,
                received = interrupt.recv() => received,
            };
            if received.is_none() {
                return Err(io::Error::other("the stream of signals ended"));
            }
            signals.send_modify(|signals| *signals += 1);
            match *signals.borrow() {
                1 => {
                    tracing::info!("shutting down; a second signal gives running jobs back at once")
                }
                2 => tracing::warn!("leaving at once; a third signal aborts the process"),
                _ => std::process::abort(),
            }
        }
    })
}
