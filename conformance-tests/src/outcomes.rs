//! The ends of runs that checks use most.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{AttemptError, DeadReason, Env, ErrorCause, Outcome};

/// Ended well, with a small result.
pub(crate) fn success() -> Outcome {
    Outcome::Succeeded {
        result: r#"{"ok":true}"#.into(),
    }
}

/// Failed, and due again after `delay`.
pub(crate) fn retry(env: &Arc<dyn Env>, attempt: u32, delay: Duration) -> Outcome {
    Outcome::Retry {
        run_at: env.now() + delay,
        error: failure(env, attempt),
    }
}

/// Failed for good.
pub(crate) fn fatal(env: &Arc<dyn Env>, attempt: u32) -> Outcome {
    Outcome::Dead {
        reason: DeadReason::Fatal,
        error: failure(env, attempt),
    }
}

/// Given back, to run as soon as a worker is free.
pub(crate) fn release() -> Outcome {
    Outcome::Release {
        run_at: None,
        note: None,
    }
}

/// Given back, to run after `delay`, with a note.
pub(crate) fn release_for(env: &Arc<dyn Env>, delay: Duration, note: &str) -> Outcome {
    Outcome::Release {
        run_at: Some(env.now() + delay),
        note: Some(note.to_owned()),
    }
}

fn failure(env: &Arc<dyn Env>, attempt: u32) -> AttemptError {
    let message = format!("attempt {attempt} went wrong");
    AttemptError::new(attempt, env.now(), ErrorCause::Failed, message)
}
