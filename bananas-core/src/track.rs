//! How much of a job's life the state store keeps.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// What the state store keeps of a job. A property of its task or queue; travels in the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Track {
    /// Nothing: fire and forget, the fastest.
    None,
    /// The end only: result, failure, dead letters.
    Outcome,
    /// The whole life: results, cancel, exact state, search, fencing, repair. The default.
    #[default]
    Full,
}

impl Track {
    /// The word used on the wire and in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Outcome => "outcome",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Track {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::None, Self::Outcome, Self::Full]
            .into_iter()
            .find(|track| track.as_str() == text)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidArgument,
                    format!("track {text:?} is unknown; it is one of none, outcome, full"),
                )
            })
    }
}
