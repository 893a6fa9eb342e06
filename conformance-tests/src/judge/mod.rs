//! An independent judge of histories: what was accepted, what ran, what was settled, and whether that adds up.
//!
//! Whoever enqueues, runs and settles jobs writes down what he asked and what he was answered, into a
//! [`History`] or a [`HistoryFile`]; [`judge`] reads it and says what was lost, run twice, invented or put out
//! of order. It shares no code with what it judges: jobs are numbers, times are microseconds, and it decides
//! from the record alone. Only [`Recorded`], which writes down what a broker does, knows what a broker is. A run that repeats an earlier one is innocent only if the record holds its cause: a
//! lease that had lapsed, a process that was killed, a fault in between, an outcome that nobody knows, or a run
//! that was given back.
//!
//! Left out: how long things took, delays, limits, schedules and workflows.

mod ends;
mod event;
mod facts;
mod faults;
mod history;
mod history_file;
#[expect(
    clippy::module_inception,
    reason = "the noun of the file is the noun of the folder"
)]
mod judge;
mod order;
mod recorded;
mod rules;
mod runs;
mod verdict;

pub use self::event::{
    Answer, Ending, Enqueue, Event, Finish, Job, Micros, Name, Place, Start, What,
};
pub use self::history::{History, Witness};
pub use self::history_file::{HistoryFile, read_files};
pub use self::judge::judge;
pub use self::recorded::Recorded;
pub use self::rules::{HistoryEnd, Order, Proof, Rules};
pub use self::verdict::{Cause, Counts, Finding, Verdict, Violation};
