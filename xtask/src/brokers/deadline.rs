//! [`Deadline`]: until when to wait for a server. Nothing here is simulated, so it asks the system for the time.

use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// A moment after which one does not wait any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// From now on.
    #[expect(
        clippy::disallowed_methods,
        reason = "a tool that waits for real servers"
    )]
    pub(super) fn in_seconds(seconds: u64) -> Self {
        Self(Instant::now() + Duration::from_secs(seconds))
    }

    /// Whether it has passed.
    #[expect(
        clippy::disallowed_methods,
        reason = "a tool that waits for real servers"
    )]
    pub(super) fn is_over(self) -> bool {
        Instant::now() >= self.0
    }

    /// Waits for the end of a program; one that is late is killed, and there is no status.
    pub(super) fn wait(self, child: &mut Child) -> Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if self.is_over() {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            pause();
        }
    }
}

/// The time between two looks.
#[expect(
    clippy::disallowed_methods,
    reason = "between two looks at a real server"
)]
pub(super) fn pause() {
    thread::sleep(Duration::from_millis(50));
}
