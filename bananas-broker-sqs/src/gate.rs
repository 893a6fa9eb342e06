//! The door of a client: calls pass while it is open, and its end waits for those that are inside.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::Env;
use futures::future::{Either, select};
use tokio::sync::{oneshot, watch};

use crate::error::Error;

/// How far the end of a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// What is inside goes on; nothing comes in.
    Closing,
    /// Whoever waits is told that it is over.
    Ended,
}

/// The door.
#[derive(Debug)]
pub(crate) struct Gate {
    phase: watch::Sender<Phase>,
    inside: Arc<watch::Sender<usize>>,
}

/// Counts one call as long as it lives.
struct Inside(Arc<watch::Sender<usize>>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.send_modify(|inside| *inside -= 1);
    }
}

impl Gate {
    pub(crate) fn open() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Open),
            inside: Arc::new(watch::Sender::new(0)),
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        match *self.phase.borrow() {
            Phase::Open => Ok(()),
            Phase::Closing | Phase::Ended => Err(Error::Closed { sent: false }),
        }
    }

    /// Waits until the client begins to close.
    pub(crate) async fn closing(&self) {
        let mut phase = self.phase.subscribe();
        // The sender lives as long as `self`.
        drop(phase.wait_for(|phase| *phase > Phase::Open).await);
    }

    /// Makes a call in a task of its own, so that it goes on when nobody waits for it any more.
    pub(crate) async fn pass<T: Send + 'static>(
        &self,
        env: &Arc<dyn Env>,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Error> {
        self.check_open()?;
        self.inside.send_modify(|inside| *inside += 1);
        let inside = Inside(Arc::clone(&self.inside));
        let (sender, receiver) = oneshot::channel();
        let task = async move {
            let output = call.await;
            drop(inside);
            drop(sender.send(output));
        };
        env.spawn_isolated("sqs-call", Box::pin(task));
        let mut phase = self.phase.subscribe();
        let ended = pin!(phase.wait_for(|phase| *phase == Phase::Ended));
        match select(receiver, ended).await {
            Either::Left((Ok(output), _)) => Ok(output),
            Either::Left((Err(_), _)) | Either::Right(_) => Err(Error::Closed { sent: true }),
        }
    }

    /// Lets nobody in any more, waits for those inside, and sends them away after the deadline.
    pub(crate) async fn close(&self, env: &Arc<dyn Env>, deadline: Duration) {
        let close = |phase: &mut Phase| *phase = (*phase).max(Phase::Closing);
        self.phase.send_modify(close);
        let mut inside = self.inside.subscribe();
        let empty = inside.wait_for(|inside| *inside == 0);
        // In time or not, it is over.
        drop(env.within(deadline, empty).await);
        self.phase.send_modify(|phase| *phase = Phase::Ended);
    }
}

#[cfg(test)]
mod tests {
    use bananas_core::TokioEnv;

    use super::*;

    #[tokio::test]
    async fn a_close_waits_for_calls_and_ends_those_that_hang() {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let gate = Gate::open();
        let quick = gate.pass(&env, async { 7 });
        let hangs = gate.pass(&env, std::future::pending::<()>());
        let close = gate.close(&env, Duration::from_millis(200));
        let (quick, hangs, ()) = futures::join!(quick, hangs, close);
        assert_eq!(quick.unwrap(), 7);
        assert!(matches!(hangs, Err(Error::Closed { sent: true })));
        let late = gate.pass(&env, async {}).await;
        assert!(matches!(late, Err(Error::Closed { sent: false })));
    }
}
