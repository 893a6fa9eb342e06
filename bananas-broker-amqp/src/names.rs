//! What queues are called on the server, and the way of a delayed message to one.

use std::time::Duration;

use bananas_core::QueueName;

use crate::config::{AmqpConfig, QueueType, Topology};

/// How many levels the delay chain has: one for each bit of the number of seconds.
pub(crate) const LEVELS: usize = 28;

/// The longest delay.
pub(crate) const LONGEST: Duration = Duration::from_secs((1 << LEVELS) - 1);

/// The names of one client.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    namespace: String,
    topology: Topology,
    kind: QueueType,
}

/// Where a message is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) exchange: String,
    pub(crate) key: String,
}

impl Names {
    pub(crate) fn new(config: &AmqpConfig) -> Self {
        Self {
            namespace: config.namespace.clone(),
            topology: config.topology,
            kind: config.queue_type,
        }
    }

    /// The queue itself. No namespace has a colon, so the first one ends it.
    pub(crate) fn queue(&self, queue: &QueueName) -> String {
        match self.topology {
            Topology::Own => format!("{}:{queue}", self.namespace),
            Topology::Foreign => queue.to_string(),
        }
    }

    /// Its dead queue, which no name of a queue can be.
    pub(crate) fn dead(&self, queue: &QueueName) -> String {
        format!("{}:{queue}#dead", self.namespace)
    }

    /// The exchange, and the queue, that hold messages for `2^level` seconds. All namespaces share them.
    pub(crate) fn level(&self, level: usize) -> String {
        format!("bananas.delay.{}.{level:02}", self.kind.name())
    }

    /// The exchange behind the last level, to which queues are bound.
    pub(crate) fn due(&self) -> String {
        format!("bananas.delay.{}.due", self.kind.name())
    }

    /// The exchange that is made when all of the chain is there.
    pub(crate) fn chain(&self) -> String {
        format!("bananas.delay.{}.v1", self.kind.name())
    }

    /// The pattern of what is due for a queue: its name as the last word.
    pub(crate) fn pattern(&self, queue: &QueueName) -> String {
        format!("#.{}", word(&self.queue(queue)))
    }

    /// The way to a queue, after a delay that is rounded up to seconds.
    pub(crate) fn route(&self, queue: &QueueName, delay: Duration) -> Route {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        let Some(highest) = seconds.checked_ilog2() else {
            return Route {
                exchange: String::new(),
                key: self.queue(queue),
            };
        };
        let bits: String = (0..LEVELS)
            .rev()
            .map(|level| {
                if seconds >> level & 1 == 1 {
                    "1."
                } else {
                    "0."
                }
            })
            .collect();
        let highest = usize::try_from(highest).unwrap_or(LEVELS);
        Route {
            exchange: self.level(highest),
            key: format!("{bits}{}", word(&self.queue(queue))),
        }
    }
}

/// The pattern of keys whose bit of this level is so.
pub(crate) fn bit_pattern(level: usize, bit: u8) -> String {
    format!("{}{bit}.#", "*.".repeat(LEVELS - 1 - level))
}

/// A name as one word of a routing key: no name has a slash, and a dot would part words.
fn word(name: &str) -> String {
    name.replace('.', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(&AmqpConfig::default())
    }

    #[test]
    fn a_delay_takes_the_way_of_its_bits() {
        let queue = QueueName::new("mail.eu").unwrap();
        let direct = names().route(&queue, Duration::ZERO);
        assert_eq!(
            (direct.exchange.as_str(), direct.key.as_str()),
            ("", "bananas:mail.eu")
        );
        let five = names().route(&queue, Duration::from_millis(4_001));
        assert_eq!(five.exchange, "bananas.delay.quorum.02");
        let zeros = "0.".repeat(LEVELS - 3);
        assert_eq!(five.key, format!("{zeros}1.0.1.bananas:mail/eu"));
        assert_eq!(names().route(&queue, LONGEST).exchange, names().level(27));
        assert_eq!(names().pattern(&queue), "#.bananas:mail/eu");
    }

    #[test]
    fn a_level_looks_at_its_own_bit() {
        assert_eq!(bit_pattern(LEVELS - 1, 1), "1.#");
        assert_eq!(bit_pattern(LEVELS - 3, 0), "*.*.0.#");
    }

    #[test]
    fn the_longest_key_fits() {
        let config = AmqpConfig {
            namespace: "n".repeat(64),
            ..AmqpConfig::default()
        };
        let queue = QueueName::new("q".repeat(128)).unwrap();
        assert!(Names::new(&config).route(&queue, LONGEST).key.len() <= 255);
    }
}
