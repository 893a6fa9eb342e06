//! [`shutdown_signal`]: SIGTERM and SIGINT as a reason to shut down.
//!
//! The signals are received on a thread of their own, so that they are obeyed even while handlers block every
//! thread of the user's runtime.

use std::future::Future;
use std::io;
use std::sync::mpsc;

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
/// Signals count from the call on, and not only once the future is awaited; they no longer end the process by
/// themselves.
pub fn shutdown_signal() -> impl Future<Output = Signals> + Send + use<> {
    let (sender, receiver) = watch::channel(0);
    let (ready, is_ready) = mpsc::channel();
    let thread = std::thread::Builder::new().name("bananas-signals".to_owned());
    let spawned = thread.spawn(move || {
        if let Err(e) = count(&sender, &ready) {
            tracing::error!(error = %e, "signals cannot be received");
            drop(ready);
            loop {
                // As if none ever came: the sender must not go.
                std::thread::park();
            }
        }
    });
    if let Err(e) = spawned {
        tracing::error!(error = %e, "no thread to receive signals");
    }
    // It takes the thread less than a millisecond to be ready, or to fail; then nothing is sent.
    is_ready.recv().ok();
    async move {
        let mut signals = Signals(receiver);
        signals.at_least(1).await;
        signals
    }
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
fn count(signals: &watch::Sender<u32>, ready: &mpsc::Sender<()>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Nobody waits any more only if the caller's thread is gone.
        ready.send(()).ok();
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// Set in the child process that is sent the signals.
    const CHILD: &str = "BANANAS_TEST_SIGNALS_CHILD";

    /// Counts signals and says so; the body of the child process.
    fn child() {
        let say = |what: &str| {
            let mut out = io::stdout();
            writeln!(out, "\nchild: {what}").unwrap();
            out.flush().unwrap();
        };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let signal = shutdown_signal();
        say("ready");
        runtime.block_on(async {
            let signals = signal.await;
            say("first");
            signals.forced().await;
            say("second");
            std::future::pending::<()>().await;
        });
    }

    fn hears(lines: &mut impl Iterator<Item = io::Result<String>>, what: &str) {
        let wanted = format!("child: {what}");
        assert!(
            lines.any(|line| line.unwrap() == wanted),
            "{what} never came"
        );
    }

    #[test]
    fn the_first_signal_drains_the_second_forces_and_the_third_aborts() {
        if std::env::var_os(CHILD).is_some() {
            return child();
        }
        let name = "shutdown::signal::tests::the_first_signal_drains_the_second_forces_and_the_third_aborts";
        let mut process: Child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let pid = Pid::from_child(&process);
        hears(&mut lines, "ready");
        kill_process(pid, Signal::TERM).unwrap();
        hears(&mut lines, "first");
        kill_process(pid, Signal::INT).unwrap();
        hears(&mut lines, "second");
        kill_process(pid, Signal::TERM).unwrap();
        let status = process.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()));
    }
}
