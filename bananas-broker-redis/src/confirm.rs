//! [`Confirm`]: what publishing waits for beyond the server's own answer.

use std::time::Duration;

use bananas_core::Tick;
use redis::{Cmd, Value};

use crate::error::Error;
use crate::link::Wire;
use crate::reply;
use crate::server::{self, setting};

/// What publishing and recording wait for, beyond the server's own answer.
///
/// Each makes a failover or a loss of power less likely to take what was accepted. None makes it impossible: the
/// class of durability stays that of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Confirm {
    /// For nothing.
    #[default]
    Server,
    /// Until so many replicas have received it (`WAIT`). At least 1.
    Replicas(u32),
    /// Until the server has synced it to its append-only file (`WAITAOF`); Redis 7.2 or newer.
    Aof,
}

/// The oldest version that can say what is in its append-only file.
const OLDEST_AOF: (u32, u32) = (7, 2);

impl Confirm {
    /// Reads `replicas:N` or `aof`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text == "aof" {
            return Some(Self::Aof);
        }
        let count = text.strip_prefix("replicas:")?.parse().ok()?;
        (count > 0).then_some(Self::Replicas(count))
    }

    /// The command that waits for what this connection has written, at most so long; `None` for nothing.
    pub(crate) fn command(self, wait: Duration) -> Option<Cmd> {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut command;
        match self {
            Self::Server => return None,
            Self::Replicas(count) => {
                command = redis::cmd("WAIT");
                command.arg(count).arg(wait);
            }
            Self::Aof => {
                command = redis::cmd("WAITAOF");
                command.arg(1).arg(0).arg(wait);
            }
        }
        Some(command)
    }

    /// What the answer to that command means.
    pub(crate) fn judge(self, answer: &Value, url: &str, waited: Duration) -> Result<(), Error> {
        let (got, wanted, who) = match (self, answer) {
            (_, Value::ServerError(error)) => return Err(Error::server(url, error)),
            (Self::Replicas(wanted), count) => (reply::integer(count), wanted, "replicas"),
            (Self::Aof, Value::Array(counts)) => {
                let local = counts.first().and_then(reply::integer);
                (local, 1, "append-only files")
            }
            _ => (None, 1, ""),
        };
        match got {
            Some(got) if got >= i64::from(wanted) => Ok(()),
            Some(got) => Err(Error::Unconfirmed {
                url: url.to_owned(),
                got,
                wanted,
                who,
                waited,
            }),
            None => Err(Error::WrongAnswer(url.to_owned())),
        }
    }

    /// Whether a server can do it.
    pub(crate) async fn check(
        self,
        wire: &Wire,
        version: Option<&str>,
        until: Tick,
    ) -> Result<(), Error> {
        if self != Self::Aof {
            return Ok(());
        }
        let url = wire.url();
        if let Some(version) = version
            && server::is_older(version, OLDEST_AOF)
        {
            return Err(Error::Refused(format!(
                "{url} is redis {version}, and confirm=aof needs {}.{} or newer; leave it out, and set `appendfsync \
                 always` if every job must survive the loss of power",
                OLDEST_AOF.0, OLDEST_AOF.1
            )));
        }
        if setting(wire, "appendonly", until).await?.as_deref() == Some("no") {
            return Err(Error::Refused(format!(
                "{url} has no append-only file, so confirm=aof cannot be met; set `appendonly yes`, or leave it out"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bananas_core::{Error as Seen, ErrorKind, Status};

    use super::*;

    #[test]
    fn the_words_of_a_url_are_read_and_others_are_not() {
        assert_eq!(Confirm::read("replicas:2"), Some(Confirm::Replicas(2)));
        assert_eq!(Confirm::read("aof"), Some(Confirm::Aof));
        for wrong in [
            "",
            "replicas",
            "replicas:0",
            "replicas:-1",
            "replicas:x",
            "AOF",
        ] {
            assert_eq!(Confirm::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn too_few_confirmations_are_doubtful_and_both_numbers_are_named() {
        let judge = |confirm: Confirm, answer: &Value| {
            confirm.judge(answer, "redis://h", Duration::from_secs(2))
        };
        let two = Confirm::Replicas(2);
        assert!(judge(two, &Value::Int(2)).is_ok() && judge(two, &Value::Int(3)).is_ok());
        let error = Seen::from(judge(two, &Value::Int(1)).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.status(), Status::MayBeApplied);
        assert!(error.to_string().contains("1 of 2 replicas"), "{error}");
        let both = |local| Value::Array(vec![Value::Int(local), Value::Int(0)]);
        assert!(judge(Confirm::Aof, &both(1)).is_ok());
        let error = judge(Confirm::Aof, &both(0)).unwrap_err().to_string();
        assert!(error.contains("0 of 1 append-only files"), "{error}");
        let nonsense = judge(Confirm::Aof, &Value::Int(1));
        assert!(matches!(nonsense, Err(Error::WrongAnswer(_))));
    }
}
