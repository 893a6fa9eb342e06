//! How streams, consumers and subjects of a queue are named.
//!
//! A queue has two streams: `Q+namespace+queue` holds what is ready, leased and waiting, `D+namespace+queue` the
//! dead. A dot would part a subject or a name in two, so it is written `_d`, a colon `_c`, and the sign for
//! both `__`; thus different queues always have different names.

use bananas_core::QueueName;

use crate::error::Error;

/// The longest name that a server takes.
const LONGEST: usize = 255;

/// The subjects that answer to us begin with this, but for those of JetStream itself.
const ROOT: &str = "bn";

/// The names of one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// The stream of what lives.
    pub(crate) stream: String,
    /// The stream of the dead.
    pub(crate) dead: String,
    root: String,
}

impl Names {
    pub(crate) fn of(namespace: &str, queue: &QueueName) -> Result<Self, Error> {
        let (space, name) = (escaped(namespace), escaped(queue.as_str()));
        let stream = format!("Q+{space}+{name}");
        if stream.len() > LONGEST {
            return Err(Error::Name {
                bytes: stream.len(),
            });
        }
        Ok(Self {
            dead: format!("D+{space}+{name}"),
            root: format!("{ROOT}.{space}.{name}"),
            stream,
        })
    }

    /// The subject of a lane; the highest number is the most urgent.
    pub(crate) fn lane(&self, lane: usize) -> String {
        format!("{}.p{lane}", self.root)
    }

    /// The durable consumer of a lane.
    pub(crate) fn consumer(lane: usize) -> String {
        format!("lane{lane}")
    }

    /// The subject of a message that waits for its time.
    pub(crate) fn scheduled(&self, unique: u64) -> String {
        format!("{}.s.{unique:016x}", self.root)
    }

    /// All subjects of messages that wait.
    pub(crate) fn all_scheduled(&self) -> String {
        format!("{}.s.>", self.root)
    }

    /// The subject of a dead message, by its place in the stream where it lived.
    pub(crate) fn dead(&self, sequence: u64) -> String {
        format!("{}.x.{sequence}", self.root)
    }

    /// All subjects of dead messages.
    pub(crate) fn all_dead(&self) -> String {
        format!("{}.x.>", self.root)
    }
}

/// All subjects of a namespace.
pub(crate) fn all_of(namespace: &str) -> String {
    format!("{ROOT}.{}.>", escaped(namespace))
}

/// A subject that nobody else uses, for what is sent to one consumer. It begins like all of ours, so that a
/// user who may publish and subscribe to those needs no other right.
pub(crate) fn inbox(namespace: &str, unique: u64) -> String {
    format!("{ROOT}.{}.in.{unique:016x}", escaped(namespace))
}

/// The queue whose stream has this name, if it is one of the namespace.
pub(crate) fn queue_of(stream: &str, namespace: &str) -> Option<QueueName> {
    let rest = stream.strip_prefix("Q+")?;
    let name = rest
        .strip_prefix(escaped(namespace).as_str())?
        .strip_prefix('+')?;
    let mut plain = String::with_capacity(name.len());
    let mut rest = name.chars();
    while let Some(c) = rest.next() {
        plain.push(match (c, c == '_') {
            (c, false) => c,
            (_, true) => match rest.next()? {
                'd' => '.',
                'c' => ':',
                '_' => '_',
                _ => return None,
            },
        });
    }
    QueueName::new(plain).ok()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '.' => escaped.push_str("_d"),
            ':' => escaped.push_str("_c"),
            '_' => escaped.push_str("__"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn different_queues_have_different_names_that_lead_back_to_them() {
        let names = ["a.b", "a-b", "a_b", "a:b", "a_d", "a_db", "a__b", "."];
        let mut seen = HashSet::new();
        for name in names {
            let queue = QueueName::new(name).unwrap();
            let names = Names::of("shop.eu", &queue).unwrap();
            assert!(!names.stream.contains('.'), "{names:?}");
            assert_eq!(queue_of(&names.stream, "shop.eu"), Some(queue));
            assert_eq!(queue_of(&names.stream, "shop"), None);
            assert_eq!(names.lane(0).split('.').count(), 4);
            assert!(seen.insert(names.stream) && seen.insert(names.dead));
        }
    }

    #[test]
    fn a_name_that_a_server_would_not_take_is_refused() {
        let long = QueueName::new("_".repeat(128)).unwrap();
        let error = Names::of("shop", &long).unwrap_err();
        assert!(matches!(error, Error::Name { bytes: 263 }), "{error}");
    }
}
