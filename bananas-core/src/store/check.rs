//! Looking whether a store agrees with itself, and mending what does not.

use std::fmt;

use serde::Serialize;

use crate::{JobId, QueueName};

/// Asks for one page of a check.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// Where the last page ended; `None` for the first.
    pub after: Option<CheckPlace>,
    /// Whether to mend what is found.
    pub repair: bool,
    /// How much to look at.
    pub scope: CheckScope,
}

/// How much a check looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckScope {
    /// Jobs that nothing would ever move, which indexes tell: cheap, however much there is.
    Strays,
    /// Each record besides.
    #[default]
    Records,
    /// Counts and whole indexes besides, which takes long on a large store.
    Everything,
}

/// Where a page of a check ended. Only the store that made it can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckPlace(pub String);

/// One page of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many records it looked at.
    pub records: u64,
    /// What was wrong, at most so much as a page of records can hold.
    pub findings: Vec<Finding>,
    /// Where the next page starts, if there is one.
    pub next: Option<CheckPlace>,
}

/// Something that is wrong in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Of which kind it is.
    pub kind: FindingKind,
    /// The job that it concerns, if it is one.
    pub job: Option<JobId>,
    /// The queue that it concerns, if it is one and its name can be read.
    pub queue: Option<QueueName>,
    /// What exactly, without payload.
    pub detail: String,
    /// Whether it is mended now.
    pub repaired: bool,
}

/// What can be wrong in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingKind {
    /// A record cannot be read. Mended, it is a dead job with the reason `undecodable`, which keeps its body, and
    /// as its error what else was in it.
    Unreadable,
    /// A job runs under an owner that the store does not know. Mended, it is ready again, as after a crash.
    Stranded,
    /// A job waits for a time and has none. Mended, it is due at once.
    NeverDue,
    /// A job has ended at no time, and would never be forgotten. Mended, it ended now.
    NeverForgotten,
    /// An index leads to a record that is not there, or not to one that is. Mended, it is made anew.
    Index,
    /// A count is wrong. Mended, it is what was counted.
    Count,
}

impl FindingKind {
    /// Its name: `unreadable`, `never_due`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Stranded => "stranded",
            Self::NeverDue => "never_due",
            Self::NeverForgotten => "never_forgotten",
            Self::Index => "index",
            Self::Count => "count",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
