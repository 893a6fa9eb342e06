//! From the names of queues to those on the server, and back.
//!
//! The server takes 80 letters, digits, `-` and `_`. An underscore begins what stands for another character, so
//! that different names stay different: `__`, `_d` for a dot, `_c` for a colon, `_-` between namespace and queue,
//! `_x` at the end of a dead queue. FIFO queues end in `.fifo`, as the server demands.

use bananas_core::QueueName;

use crate::config::QueueKind;
use crate::error::Error;

/// The longest name that the server takes.
const LONGEST: usize = 80;

const DEAD: &str = "_x";
const FIFO: &str = ".fifo";

/// Which of the two queues on the server that a queue consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// What is ready, delayed or in flight.
    Live,
    /// What was set aside.
    Dead,
}

/// The names of one namespace.
#[derive(Debug)]
pub(crate) struct Names {
    prefix: String,
    suffix: &'static str,
}

impl Names {
    pub(crate) fn new(namespace: &str, kind: QueueKind) -> Self {
        Self {
            prefix: format!("{}_-", escaped(namespace)),
            suffix: match kind {
                QueueKind::Standard => "",
                QueueKind::Fifo => FIFO,
            },
        }
    }

    /// What the names of all queues begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name on the server.
    pub(crate) fn of(&self, queue: &QueueName, place: Place) -> Result<String, Error> {
        let name = format!("{}{}", self.prefix, escaped(queue.as_str()));
        let longest = name.len() + DEAD.len() + self.suffix.len();
        if longest > LONGEST {
            return Err(Error::LongName {
                queue: queue.clone(),
                chars: longest,
                limit: LONGEST,
            });
        }
        let dead = match place {
            Place::Live => "",
            Place::Dead => DEAD,
        };
        Ok(format!("{name}{dead}{}", self.suffix))
    }

    /// The queue whose live messages are under this name; `None` for any other queue on the server.
    pub(crate) fn live(&self, name: &str) -> Option<QueueName> {
        let own = name.strip_prefix(&self.prefix)?.strip_suffix(self.suffix)?;
        QueueName::new(unescaped(own)?).ok()
    }
}

fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '_' => escaped.push_str("__"),
            '.' => escaped.push_str("_d"),
            ':' => escaped.push_str("_c"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn unescaped(name: &str) -> Option<String> {
    let mut unescaped = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        unescaped.push(match c {
            '_' => match chars.next()? {
                '_' => '_',
                'd' => '.',
                'c' => ':',
                _ => return None,
            },
            '.' => return None,
            c => c,
        });
    }
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn different_names_are_different_on_the_server_and_come_back() {
        let queues = [
            "mail", "a.b", "a-b", "a_b", "a:b", "a_d", "a_db", "a__b", "ad", "a_x", "a.x", "_", "-",
        ];
        let mut seen = HashSet::new();
        for kind in [QueueKind::Standard, QueueKind::Fifo] {
            for namespace in ["shop", "shop-a", "shop_", "shop.", "shop_-a"] {
                let names = Names::new(namespace, kind);
                for queue in queues {
                    let queue = QueueName::new(queue).unwrap();
                    let live = names.of(&queue, Place::Live).unwrap();
                    let dead = names.of(&queue, Place::Dead).unwrap();
                    assert_eq!(names.live(&live), Some(queue.clone()), "{live}");
                    assert_eq!(names.live(&dead), None, "{dead}");
                    let plain = live.trim_end_matches(FIFO);
                    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
                    assert!(plain.chars().all(fits), "{live}");
                    assert!(seen.insert(live) && seen.insert(dead), "{queue}");
                }
            }
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_with_the_limit() {
        let names = Names::new("shop", QueueKind::Fifo);
        let of = |length: usize| {
            let queue = QueueName::new("q".repeat(length)).unwrap();
            names.of(&queue, Place::Dead)
        };
        assert_eq!(of(67).unwrap().len(), LONGEST);
        let error = bananas_core::Error::from(of(68).unwrap_err()).to_string();
        assert!(error.contains("81") && error.contains("80"), "{error}");
    }
}
