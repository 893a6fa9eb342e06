//! [`Ear`]: hears what is told on a connection, until it ends.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::Env;
use futures::StreamExt;
use redis::Value;
use redis::aio::{PubSub, PubSubSink, PubSubStream};

/// How long nothing is heard before the other side is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(15);

/// A connection on which something is told now and then.
pub(crate) struct Ear {
    env: Arc<dyn Env>,
    sink: PubSubSink,
    messages: PubSubStream,
    timeout: Duration,
}

impl Ear {
    /// `timeout` is how long the other side may take to say that it is there.
    pub(crate) fn new(env: &Arc<dyn Env>, heard: PubSub, timeout: Duration) -> Self {
        let (sink, messages) = heard.split();
        Self {
            env: Arc::clone(env),
            sink,
            messages,
            timeout,
        }
    }

    /// Waits until something is told; `false` when nothing will be any more.
    pub(crate) async fn hears(&mut self) -> bool {
        loop {
            if let Ok(message) = self.env.within(SILENCE, self.messages.next()).await {
                return message.is_some();
            }
            let ping = self.sink.ping::<Value>();
            if !matches!(self.env.within(self.timeout, ping).await, Ok(Ok(_))) {
                return false;
            }
        }
    }
}
