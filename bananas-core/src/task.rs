//! [`Task`]: a kind of work, by a stable name, with typed arguments.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Track;

/// A kind of work. The value is the arguments of one job; `#[derive(Task)]` writes this impl.
///
/// ```
/// use bananas_core::{Task, TaskOptions};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Resize { path: String, width: u32 }
///
/// impl Task for Resize {
///     const NAME: &'static str = "image.resize";
///     type Output = ();
///     fn options() -> TaskOptions {
///         TaskOptions { max_attempts: Some(3), ..TaskOptions::default() }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "not a task",
    note = "add `#[derive(Task, Serialize, Deserialize)]` and `#[task(name = \"…\")]` to `{Self}`"
)]
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// The name on the wire. Never change it while jobs wait: it is how workers find the handler.
    const NAME: &'static str;

    /// What a successful run gives back; `()` when there is nothing to say.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// How jobs of this task are treated when the enqueue call and the configuration say nothing.
    #[must_use]
    fn options() -> TaskOptions {
        TaskOptions::default()
    }
}

/// Defaults that a task brings along. `None` leaves it to the queue, then to the library.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskOptions {
    /// The queue its jobs go to; the library's default is `default`.
    pub queue: Option<&'static str>,
    /// 0 to 100, higher runs earlier; the library's default is 50.
    pub priority: Option<u8>,
    /// How many runs may fail before the job is dead; the library's default is 20.
    pub max_attempts: Option<u32>,
    /// How long one run may take; the library's default is 30 minutes.
    pub timeout: Option<Duration>,
    /// What the state store keeps; the library's default is [`Track::Full`].
    pub track: Option<Track>,
    /// Labels of all its jobs, beside those of the enqueue call.
    pub tags: &'static [&'static str],
}
