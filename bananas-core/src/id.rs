//! Identifiers: a job, a worker process start, a publication batch, a blob.
//!
//! All of them are version 7 UUIDs made by [`Env`](crate::Env), so they sort by time of creation and
//! need no server to hand them out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, ErrorKind, Timestamp};

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

/// Names one blob for ever: the job whose message it belongs to, and an id of its own that says when it was made.
///
/// As text it is `OWN` or `OWN.JOB`, so names sort by their age as text, too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId {
    own: Uuid,
    job: Option<JobId>,
}

impl BlobId {
    /// Puts a name together; `own` is a version 7 UUID.
    #[must_use]
    pub const fn new(own: Uuid, job: Option<JobId>) -> Self {
        Self { own, job }
    }

    /// The job, if the message names one.
    #[must_use]
    pub const fn job(&self) -> Option<JobId> {
        self.job
    }

    /// Such as sort before all names that were made at a time or later, and after all others: as text.
    #[must_use]
    pub fn first_made_at(at: Timestamp) -> String {
        let millis = u64::try_from(at.as_micros() / 1_000).unwrap_or(0);
        // The first 48 bits of a version 7 UUID are its time.
        let time = format!("{:012x}", millis & 0xffff_ffff_ffff);
        format!("{}-{}", &time[..8], &time[8..])
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.job {
            Some(job) => write!(f, "{}.{job}", self.own),
            None => write!(f, "{}", self.own),
        }
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for BlobId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = || {
            let (own, job) = match text.split_once('.') {
                Some((own, job)) => (own, Some(job.parse().ok()?)),
                None => (text, None),
            };
            let id = Self {
                own: Uuid::try_parse(own).ok()?,
                job,
            };
            // Of all the ways to write a UUID only one sorts as the names do.
            (id.to_string() == text).then_some(id)
        };
        parsed().ok_or_else(|| {
            let text = format!("{text:?} is not the name of a blob");
            Error::new(ErrorKind::InvalidArgument, text)
        })
    }
}

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
    fn the_name_of_a_blob_survives_text_and_sorts_by_its_age() {
        let own = |text: &str| Uuid::try_parse(text).unwrap();
        let job: JobId = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        let first = BlobId::new(own("0198f3c2-7d1e-7000-8000-000000000000"), Some(job));
        let second = BlobId::new(own("0198f3c2-7d1f-7000-8000-000000000000"), None);
        for id in [first, second] {
            assert_eq!(id.to_string().parse::<BlobId>().unwrap(), id);
        }
        assert!(first < second && first.to_string() < second.to_string());
        let between = Timestamp::from_micros(0x0198_f3c2_7d1f * 1_000);
        let bound = BlobId::first_made_at(between);
        assert!(first.to_string() < bound && bound <= second.to_string());
        for wrong in [
            "",
            "42",
            "0198F3C2-7D1F-7000-8000-000000000000",
            &format!("{second}."),
        ] {
            assert!(wrong.parse::<BlobId>().is_err(), "{wrong}");
        }
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
