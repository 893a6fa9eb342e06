//! `exec` tasks, on the whole worker.
