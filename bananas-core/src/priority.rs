//! How urgent a job is within its queue.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// 0 to 100; a higher number runs earlier. The default is 50.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// The least urgent.
    pub const MIN: Self = Self(0);
    /// The most urgent.
    pub const MAX: Self = Self(100);
    /// What a job has that names none.
    pub const DEFAULT: Self = Self(50);

    /// Checks the bounds.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` above 100.
    pub fn new(value: u8) -> Result<Self, Error> {
        if value > Self::MAX.0 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "priority {value} is out of range; it goes from 0 to 100, higher runs earlier"
                ),
            ));
        }
        Ok(Self(value))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl TryFrom<u8> for Priority {
    type Error = Error;
    fn try_from(value: u8) -> Result<Self, Error> {
        Self::new(value)
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hundred_is_the_last_priority() {
        assert_eq!(Priority::new(100).unwrap(), Priority::MAX);
        assert!(Priority::new(101).unwrap_err().to_string().contains("101"));
    }
}
