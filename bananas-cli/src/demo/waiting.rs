//! [`Waiting`]: the broker at which the demo's jobs wait, when it is not the demo's own database.

use std::sync::Arc;

use anyhow::Context;
use bananas::config::{Config, redact};
use bananas::{Engine, Env, QueueName, TokioEnv};

use crate::exit::usage;

/// A broker, and the queue there that the demo makes and removes.
#[derive(Clone)]
pub(super) struct Waiting {
    /// Where it is, with its password.
    pub(super) url: String,
    /// A queue that is nobody else's.
    pub(super) queue: QueueName,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting")
            .field("url", &self.shown())
            .field("queue", &self.queue)
            .finish()
    }
}

impl Waiting {
    /// At this URL, in a queue of this name.
    pub(super) fn at(url: &str, queue: &str) -> anyhow::Result<Self> {
        if url.starts_with("memory:") || url.starts_with("sqlite:") {
            return Err(usage(format!(
                "the demo makes an SQLite database of its own, so {} is no place for it; name a broker with a \
                 server, or a file with --database",
                redact(url)
            )));
        }
        Ok(Self {
            url: url.to_owned(),
            queue: QueueName::new(queue)?,
        })
    }

    /// The URL for people.
    pub(super) fn shown(&self) -> String {
        redact(&self.url)
    }

    /// Removes the queue.
    pub(super) async fn remove(&self) -> anyhow::Result<()> {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let broker = Engine::open(&self.url, &Config::default(), &env)
            .await?
            .broker;
        if let Some(admin) = broker.admin() {
            let deleted = admin.delete(&self.queue).await;
            deleted.with_context(|| format!("the queue {} stays behind", self.queue))?;
        }
        broker.close(super::database::CLOSE).await?;
        Ok(())
    }
}
