//! What a history consists of: one event for each thing that somebody asked, was answered, began or found.
//!
//! Plain numbers and names only, so that the judge shares nothing with those whom it judges.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::rules::Rules;

/// A name of a queue, an owner, a key or a fault.
pub type Name = Arc<str>;

/// Microseconds on the monotonic clock of one host.
pub type Micros = u64;

/// A job, by a number that is surely its own: the last half of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Job(pub u64);

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When: before the call for what is asked, after it for what is answered.
    pub at: Micros,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum What {
    /// What the system under test promises, for a history that is judged elsewhere.
    #[serde(rename = "promised")]
    Promised(Box<Rules>),
    /// Somebody is about to enqueue a job.
    #[serde(rename = "enqueue.invoke")]
    Enqueue(Enqueue),
    /// The enqueue was accepted.
    #[serde(rename = "enqueue.ok")]
    Accepted {
        /// Which job.
        job: Job,
    },
    /// The job was known already, and this copy of it was dropped.
    #[serde(rename = "enqueue.duplicate")]
    Duplicate {
        /// Which job.
        job: Job,
    },
    /// The enqueue was surely not applied.
    #[serde(rename = "enqueue.refused")]
    Refused {
        /// Which job.
        job: Job,
    },
    /// The enqueue may or may not have been applied.
    #[serde(rename = "enqueue.unknown")]
    Unknown {
        /// Which job.
        job: Job,
    },
    /// A run began.
    #[serde(rename = "run.start")]
    Start(Start),
    /// A run came to its end, settled or not.
    #[serde(rename = "run.end")]
    End {
        /// Which job.
        job: Job,
        /// Which of its runs.
        run: u64,
        /// How.
        finish: Finish,
    },
    /// Somebody is about to settle a run.
    #[serde(rename = "settle.invoke")]
    Settle {
        /// Which job.
        job: Job,
        /// Which of its runs.
        run: u64,
        /// What it asks for.
        ending: Ending,
        /// The hash of the body that replaces the old one, if one does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<u64>,
    },
    /// The settlement counts, or does not.
    #[serde(rename = "settle.answer")]
    Settled {
        /// Which job.
        job: Job,
        /// Which of its runs.
        run: u64,
        /// How it was answered.
        answer: Answer,
    },
    /// The lease of a run was extended.
    #[serde(rename = "extend.ok")]
    Extended {
        /// Which job.
        job: Job,
        /// Which of its runs.
        run: u64,
        /// The new end of the lease.
        lease_until: Micros,
    },
    /// The lease of a run could not be extended, because it was lost.
    #[serde(rename = "extend.lost")]
    LeaseLost {
        /// Which job.
        job: Job,
        /// Which of its runs.
        run: u64,
    },
    /// A cancel was answered with: it is over, the job never runs. Not the mere wish to stop a running job.
    #[serde(rename = "cancel.ok")]
    Cancelled {
        /// Which job.
        job: Job,
    },
    /// A fault begins. The kill of a process is one, from before the signal until its end was seen.
    #[serde(rename = "fault.begin")]
    FaultBegin {
        /// Which fault.
        fault: Name,
        /// The durability class that survives it without a loss; 0 if every class does.
        #[serde(default)]
        needs: u8,
        /// The processes that it strikes, by their names in the starts of runs; when it names none, it may
        /// strike all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        struck: Vec<Name>,
    },
    /// The fault is over.
    #[serde(rename = "fault.end")]
    FaultEnd {
        /// Which fault.
        fault: Name,
    },
    /// A process began to run jobs, or a consumer to take messages.
    #[serde(rename = "process.start")]
    ProcessStart {
        /// Its name in the starts of runs.
        owner: Name,
    },
    /// The process is gone.
    #[serde(rename = "process.end")]
    ProcessEnd {
        /// Its name in the starts of runs.
        owner: Name,
        /// Whether it was killed and did not end by itself.
        killed: bool,
    },
    /// Where a job was found at the very end. What was found nowhere has no such event.
    #[serde(rename = "drain.found")]
    Found {
        /// Which job.
        job: Job,
        /// Where.
        place: Place,
    },
}

/// Somebody is about to enqueue a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enqueue {
    /// Which job.
    pub job: Job,
    /// The queue.
    pub queue: Name,
    /// The key that the order of jobs may depend on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Name>,
    /// From 0 to 100; the higher comes first.
    pub priority: u8,
    /// Whether it is to run later than at once, which takes it out of all order.
    #[serde(default)]
    pub delayed: bool,
    /// The hash of its body.
    pub body: u64,
}

/// A run began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Which job.
    pub job: Job,
    /// Which of its runs: a number that no other run of this job has.
    pub run: u64,
    /// The worker process, or the consumer.
    pub owner: Name,
    /// Which attempt, from 1, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The fencing number, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The end of its lease, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<Micros>,
    /// The hash of its body, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<u64>,
}

/// What a settlement asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Finished.
    Ack,
    /// Failed: deliver it again.
    Retry,
    /// Given back unused.
    Release,
    /// Set aside.
    DeadLetter,
    /// Cancelled while it ran.
    Cancel,
    /// Too late to run.
    Expire,
}

/// How a settlement was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It counts.
    Ok,
    /// It does not count: the lease was lost, or the run was settled before.
    Stale,
    /// It may or may not have been applied.
    Unknown,
}

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The handler said yes.
    Succeeded,
    /// The handler failed.
    Failed,
}

/// Where a job can be at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Waiting for a worker.
    Ready,
    /// In the hands of a worker.
    InFlight,
    /// Waiting for its time.
    Scheduled,
    /// Set aside.
    Dead,
    /// Finished.
    Succeeded,
    /// Cancelled.
    Cancelled,
    /// Too late to run.
    Expired,
}

impl Ending {
    /// Where a job is after this settlement counted; nowhere in particular while it is still to run.
    pub(super) fn place(self) -> Option<Place> {
        match self {
            Self::Ack => Some(Place::Succeeded),
            Self::DeadLetter => Some(Place::Dead),
            Self::Cancel => Some(Place::Cancelled),
            Self::Expire => Some(Place::Expired),
            Self::Retry | Self::Release => None,
        }
    }

    /// Whether the job never runs again.
    pub(super) fn is_terminal(self) -> bool {
        self.place().is_some()
    }
}

impl Place {
    /// Whether the job never runs again.
    pub(super) fn is_terminal(self) -> bool {
        !matches!(self, Self::Ready | Self::InFlight | Self::Scheduled)
    }
}

impl What {
    /// The job that it is about, if it is about one.
    #[must_use]
    pub fn job(&self) -> Option<Job> {
        match self {
            Self::Enqueue(Enqueue { job, .. })
            | Self::Accepted { job }
            | Self::Duplicate { job }
            | Self::Refused { job }
            | Self::Unknown { job }
            | Self::Start(Start { job, .. })
            | Self::End { job, .. }
            | Self::Settle { job, .. }
            | Self::Settled { job, .. }
            | Self::Extended { job, .. }
            | Self::LeaseLost { job, .. }
            | Self::Cancelled { job }
            | Self::Found { job, .. } => Some(*job),
            Self::Promised(_)
            | Self::FaultBegin { .. }
            | Self::FaultEnd { .. }
            | Self::ProcessStart { .. }
            | Self::ProcessEnd { .. } => None,
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// As text, because half of all programs that read JSON would round the number.
impl Serialize for Job {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Job {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl serde::de::Visitor<'_> for Digits {
            type Value = Job;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a job as hexadecimal digits, at most 16")
            }
            fn visit_str<E: serde::de::Error>(self, digits: &str) -> Result<Job, E> {
                let number = u64::from_str_radix(digits, 16);
                number
                    .map(Job)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(digits), &self))
            }
        }
        deserializer.deserialize_str(Digits)
    }
}

/// The line of the file, which is the line of a finding, too.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = serde_json::to_string(&self.what).map_err(|_| fmt::Error)?;
        let seconds = self.at / 1_000_000;
        write!(f, "{seconds:>6}.{:06} {what}", self.at % 1_000_000)
    }
}
