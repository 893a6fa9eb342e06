//! Which server it is, and what a server of that version can do.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bananas_core::{
    Capabilities, Delay, Durability, ErrorKind, Fencing, LeaseLimits, Ordering, Reach,
};
use futures::io::{AsyncRead, AsyncWrite};

use crate::config::{AmqpConfig, QueueType};
use crate::dialer::{Dialer, Stream};
use crate::error::Error;
use crate::names::LONGEST;

/// The largest body: what servers from 4.0 on take by default.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// The most messages that are under way at once.
pub(crate) const BATCH: usize = 256;

/// What the server looks at before its own limit on the time that a delivery is out.
const MARGIN: Duration = Duration::from_mins(1);

/// The header of the protocol, version 0-9-1.
const HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";

/// A version of RabbitMQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32);

/// What is different from version to version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// `x-max-priority` of a queue, where that is an argument.
    pub(crate) max_priority: Option<u8>,
    /// How many priorities are told apart.
    pub(crate) levels: u8,
}

/// Asks the server who it is, and which version. It says so before one logs in.
pub(crate) async fn look(dialer: &Dialer) -> Result<Option<String>, Error> {
    let unreachable = |e: io::Error| Error::NotSent {
        url: dialer.url.clone(),
        why: e.to_string(),
        kind: ErrorKind::Unreachable,
    };
    let (mut stream, _killer) = dialer.dial().await.map_err(unreachable)?;
    let greeting = greet(&mut stream).await.map_err(unreachable)?;
    match said(&greeting, "product").as_deref() {
        Some("RabbitMQ") => {}
        other => {
            let product = other.unwrap_or("no RabbitMQ");
            let text = format!("{} is {product}, and not a RabbitMQ server", dialer.url);
            return Err(Error::Refused(text));
        }
    }
    Ok(said(&greeting, "version"))
}

/// The first frame of the server, with all that it says of itself.
async fn greet(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut sent = 0;
    while sent < HEADER.len() {
        let rest = &HEADER[sent..];
        sent += poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, rest)).await?;
    }
    poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await?;
    let mut frame = Vec::new();
    let mut part = [0; 4_096];
    loop {
        let read = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut part)).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        frame.extend_from_slice(&part[..read]);
        // One byte of type, two of channel, four of length, and one that ends it.
        let length = frame.get(3..7).and_then(|length| length.try_into().ok());
        let Some(length) = length.map(u32::from_be_bytes) else {
            continue;
        };
        let whole = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .saturating_add(8);
        if frame.len() >= whole || frame.len() > 1 << 20 {
            return Ok(frame);
        }
    }
}

/// A text in the table of what the server says of itself: a short name, an `S`, a length and the text.
fn said(frame: &[u8], name: &str) -> Option<String> {
    let mut entry = vec![u8::try_from(name.len()).ok()?];
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'S');
    let at = frame.windows(entry.len()).position(|part| part == entry)? + entry.len();
    let length = u32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?);
    let text = frame.get(at + 4..)?.get(..usize::try_from(length).ok()?)?;
    String::from_utf8(text.to_vec()).ok()
}

impl Version {
    /// What comes without a number is taken for the oldest.
    pub(crate) fn parse(text: &str) -> Self {
        let mut numbers = text.split('.').map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or(0)
        });
        let mut next = || numbers.next().unwrap_or(0);
        Self(next(), next())
    }

    /// What a server of this version can do with queues of this kind.
    pub(crate) fn dialect(self, config: &AmqpConfig) -> Result<Dialect, Error> {
        match config.queue_type {
            // Messages of quorum queues expire, and are moved safely when they do, from 3.10 on.
            QueueType::Quorum if self < Self(3, 10) => Err(Error::Refused(format!(
                "RabbitMQ {}.{} at {} is too old for quorum queues; 3.10 is needed, or queues=classic in the URL",
                self.0,
                self.1,
                config.shown_url()
            ))),
            QueueType::Quorum if self >= Self(4, 3) => Ok(Dialect {
                max_priority: None,
                levels: 32,
            }),
            kind => Ok(Dialect::of_oldest(kind)),
        }
    }
}

impl Dialect {
    /// Of the oldest version that can be used.
    pub(crate) fn of_oldest(kind: QueueType) -> Self {
        match kind {
            // Before 4.0 they ignore priorities, and up to 4.2 they serve two levels at two to one.
            QueueType::Quorum => Self {
                max_priority: None,
                levels: 1,
            },
            // A queue has this and 0; more levels cost the server a lot of time for each message.
            QueueType::Classic => Self {
                max_priority: Some(10),
                levels: 10,
            },
        }
    }

    /// The priority of the server for one of ours.
    pub(crate) fn priority(self, ours: u8) -> Option<u8> {
        match self.levels {
            32 => Some((ours / 3).min(31)),
            10 => Some(ours.div_ceil(10)),
            _ => None,
        }
    }

    pub(crate) fn capabilities(self, config: &AmqpConfig) -> Capabilities {
        let total = config.consumer_timeout.saturating_sub(MARGIN);
        let mut can = Capabilities::exact();
        can.delay = Delay::Native {
            max: Some(LONGEST),
            granularity: Duration::from_secs(1),
        };
        can.priority_levels = self.levels;
        // What one of several consumers gives back comes again behind what others were handed meanwhile, and a quorum
        // queue takes many back in any order.
        can.ordering = Ordering::None;
        can.lease = LeaseLimits {
            max: total,
            max_total: Some(total),
            ..can.lease
        };
        can.fencing = Fencing::Connection;
        // What was given back from our buffer counts, too.
        can.exact_delivery_count = false;
        can.max_message = MAX_MESSAGE;
        can.max_batch = BATCH;
        // Published and confirmed first, acknowledged then.
        can.atomic_settle = false;
        // The queue has dealt with it, and may have yet to write it.
        can.confirmed_ack = false;
        can.durability = match config.queue_type {
            QueueType::Quorum => Durability::D3,
            QueueType::Classic => Durability::D2,
        };
        can.exact_depth = false;
        can.reach = Reach::Network;
        can
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn classic() -> AmqpConfig {
        AmqpConfig {
            queue_type: QueueType::Classic,
            ..AmqpConfig::default()
        }
    }

    #[test]
    fn a_greeting_names_product_and_version() {
        let greeting = b"\x01\x00\x00\x00\x00\x00\x40..\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x063.10.8";
        assert_eq!(said(greeting, "product").as_deref(), Some("RabbitMQ"));
        assert_eq!(said(greeting, "version").as_deref(), Some("3.10.8"));
        assert_eq!(said(greeting, "platform"), None);
        assert_eq!(said(&greeting[..greeting.len() - 1], "version"), None);
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(Version::parse("3.10.8"), Version(3, 10));
        assert_eq!(Version::parse("4.3.0-rc.1"), Version(4, 3));
        assert_eq!(Version::parse(""), Version(0, 0));
        assert!(Version::parse("3.9.29") < Version::parse("3.10.0"));
    }

    #[test]
    fn what_a_queue_can_do_depends_on_its_kind_and_the_version() {
        let quorum = AmqpConfig::default();
        let old = Version(3, 9).dialect(&quorum).unwrap_err().to_string();
        assert!(old.contains("queues=classic"), "{old}");
        assert!(Version(3, 8).dialect(&classic()).is_ok());
        let levels = |version: Version, config| version.dialect(config).unwrap().levels;
        assert_eq!(levels(Version(3, 10), &quorum), 1);
        assert_eq!(levels(Version(4, 2), &quorum), 1);
        assert_eq!(levels(Version(4, 3), &quorum), 32);
        assert_eq!(levels(Version(4, 3), &classic()), 10);
    }

    #[test]
    fn no_two_levels_are_one_priority_of_the_server() {
        for dialect in [
            Version(4, 3).dialect(&AmqpConfig::default()).unwrap(),
            Version(3, 10).dialect(&classic()).unwrap(),
        ] {
            let step = 101 / dialect.levels;
            let middle = |level: u8| dialect.priority(level * step + step / 2);
            let of_server: BTreeSet<_> = (0..dialect.levels).map(middle).collect();
            assert_eq!(of_server.len(), usize::from(dialect.levels));
            let all: Vec<_> = (0..=100).map(|ours| dialect.priority(ours)).collect();
            assert!(all.is_sorted());
        }
    }
}
