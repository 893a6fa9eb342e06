//! One file, or folder, per command.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dead;
pub(crate) mod doctor;
pub(crate) mod enqueue;
pub(crate) mod fsck;
pub(crate) mod jobs;
pub(crate) mod queues;
pub(crate) mod wait;
pub(crate) mod welcome;
pub(crate) mod worker;
