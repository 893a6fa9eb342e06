//! Which handler runs which task, and by which policy.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use bananas_core::config::Config;
use bananas_core::{QueueName, TaskName, TaskOptions};

use crate::handler::Handler;
use crate::policy::Policy;

/// One task that this worker can run.
pub(crate) struct Entry {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) policy: Policy,
    queue: QueueName,
}

/// Task name to handler.
#[derive(Default)]
pub(crate) struct Registry(HashMap<TaskName, Entry>);

impl Registry {
    /// Adds a handler. Two for one task, or a task whose name cannot go on the wire, are mistakes in the
    /// program, and the text says which.
    pub(crate) fn insert(
        &mut self,
        name: &str,
        options: &TaskOptions,
        config: &Config,
        handler: Arc<dyn Handler>,
    ) -> Result<(), String> {
        let name = TaskName::new(name).map_err(|e| e.to_string())?;
        let settings = config.tasks.get(&name);
        let queue = match (settings.and_then(|s| s.queue.clone()), options.queue) {
            (Some(queue), _) => queue,
            (None, Some(queue)) => QueueName::new(queue).map_err(|e| e.to_string())?,
            (None, None) => QueueName::default_queue(),
        };
        let entry = Entry {
            handler,
            policy: Policy::new(options, settings),
            queue,
        };
        if self.0.contains_key(&name) {
            return Err(format!(
                "task \"{name}\" has two handlers; remove one of them"
            ));
        }
        self.0.insert(name, entry);
        Ok(())
    }

    pub(crate) fn get(&self, task: &TaskName) -> Option<&Entry> {
        self.0.get(task)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The queues that jobs of these tasks go to when the enqueue call names none.
    pub(crate) fn queues(&self) -> BTreeSet<QueueName> {
        self.0.values().map(|entry| entry.queue.clone()).collect()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.0.keys().collect();
        names.sort();
        f.debug_tuple("Registry").field(&names).finish()
    }
}
