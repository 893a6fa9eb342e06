//! What things look like: jobs as JSON and as text, times, durations.

pub(crate) mod health;
pub(crate) mod job;
pub(crate) mod sheet;
pub(crate) mod text;
pub(crate) mod time;
