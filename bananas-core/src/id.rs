//! Identifiers: a job, a worker process start, a publication batch.
//!
//! All of them are version 7 UUIDs made by [`Env`](crate::Env), so they sort by time of creation and
//! need no server to hand them out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, ErrorKind};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an existing UUID of any version.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The sixteen bytes, most significant first.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id in these sixteen bytes; anything but sixteen bytes is `None`.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Uuid::from_slice(bytes).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Uuid::try_parse(text).map(Self).map_err(|_| {
                    Error::new(
                        ErrorKind::InvalidArgument,
                        format!(
                            concat!("{:?} is not a ", $what, " id; an id looks like 0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f"),
                            text
                        ),
                    )
                })
            }
        }
    };
}

id!(
    /// Names one job for ever, on every broker. Made by the client, so a retried enqueue is the same job.
    JobId,
    "job"
);
id!(
    /// Names one start of one worker process. A restarted process is a new owner.
    OwnerId,
    "owner"
);
id!(
    /// Names one batch of records whose publication was not yet confirmed.
    BatchId,
    "batch"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_text_and_bytes() {
        let id: JobId = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
        assert_eq!(JobId::from_slice(id.as_bytes()), Some(id));
    }

    #[test]
    fn a_wrong_id_is_named_in_the_error() {
        let error = "42".parse::<JobId>().unwrap_err();
        assert!(
            error.to_string().contains("\"42\" is not a job id"),
            "{error}"
        );
    }
}
