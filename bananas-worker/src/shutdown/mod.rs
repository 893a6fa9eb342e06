//! Ending well: what asks for it, and the phases it goes through.

mod drain;
mod signal;

use bananas_core::BoxFuture;

pub(crate) use self::drain::drain;
pub use self::signal::{Signals, shutdown_signal};

/// What the future given to [`Worker::run_until`](crate::Worker::run_until) resolves to: a shutdown that has
/// begun, and that may become urgent.
pub trait Shutdown {
    /// Resolves when there is no more time: running jobs are given back at once. For `()` it never does.
    fn forced(self) -> BoxFuture<'static, ()>;
}

impl Shutdown for () {
    fn forced(self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}
