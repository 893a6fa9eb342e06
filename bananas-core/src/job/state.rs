//! The states of a job and the moves between them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// Where a job is in its life.
///
/// ```text
/// Scheduled ─► Ready ─► Running ─► Succeeded
///                ▲         ├─────► Retrying ─► Ready
///                └─────────┤ released or crashed
///                          └─────► Dead
/// Cancelled and Expired can follow every state that is not terminal.
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for its time.
    Scheduled,
    /// Waits for a worker.
    Ready,
    /// A worker runs it.
    Running,
    /// Failed, and waits for its next attempt.
    Retrying,
    /// Ended well. Terminal.
    Succeeded,
    /// Set aside with its last error, for a person to look at. Terminal.
    Dead,
    /// A person or program asked that it not run or not go on. Terminal.
    Cancelled,
    /// Its time passed before it could start. Terminal.
    Expired,
}

impl JobState {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Ready,
        Self::Running,
        Self::Retrying,
        Self::Succeeded,
        Self::Dead,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The word used in stores, on the wire and in commands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Whether nothing but a person's retry can move it.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Dead | Self::Cancelled | Self::Expired
        )
    }

    /// Whether a job may move from here to `to`. This is the whole transition table; every store asks it.
    #[must_use]
    pub const fn may_become(self, to: Self) -> bool {
        use JobState::{Cancelled, Dead, Expired, Ready, Retrying, Running, Scheduled, Succeeded};
        match self {
            Scheduled | Retrying => matches!(to, Ready | Scheduled | Cancelled | Expired),
            Ready => matches!(to, Running | Scheduled | Dead | Cancelled | Expired),
            Running => {
                matches!(
                    to,
                    Succeeded | Retrying | Ready | Scheduled | Dead | Cancelled | Expired
                )
            }
            // Only a person's retry leaves a terminal state, and not that of success.
            Dead | Cancelled | Expired => matches!(to, Scheduled),
            Succeeded => false,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                let message = format!("state {text:?} is unknown; it is one of {known}");
                Error::new(ErrorKind::InvalidArgument, message)
            })
    }
}

/// Why a job is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeadReason {
    /// Its last allowed attempt failed.
    AttemptsUsedUp,
    /// The handler said that no further attempt can help.
    Fatal,
    /// The process died three times while running it.
    Poison,
    /// Its message could not be decoded.
    Undecodable,
    /// It outlived its record.
    Outdated,
}

impl DeadReason {
    /// The word used in stores and commands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttemptsUsedUp => "attempts_used_up",
            Self::Fatal => "fatal",
            Self::Poison => "poison",
            Self::Undecodable => "undecodable",
            Self::Outdated => "outdated",
        }
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DeadReason {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [
            Self::AttemptsUsedUp,
            Self::Fatal,
            Self::Poison,
            Self::Undecodable,
            Self::Outdated,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == text)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                format!("reason {text:?} is unknown"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_states_absorb_all_but_a_persons_retry() {
        for from in JobState::ALL.into_iter().filter(|s| s.is_terminal()) {
            for to in JobState::ALL
                .into_iter()
                .filter(|s| *s != JobState::Scheduled)
            {
                assert!(!from.may_become(to), "{from} -> {to}");
            }
        }
        assert!(!JobState::Succeeded.may_become(JobState::Scheduled));
    }

    #[test]
    fn every_state_is_reachable_and_has_its_word() {
        for state in JobState::ALL {
            assert_eq!(state.as_str().parse::<JobState>().unwrap(), state);
            let start = state == JobState::Scheduled;
            assert!(
                start || JobState::ALL.iter().any(|from| from.may_become(state)),
                "{state}"
            );
        }
    }
}
