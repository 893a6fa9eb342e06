//! Where the file is and how careful its writes are.

use std::path::PathBuf;
use std::time::Duration;

use bananas_core::{Durability, Error, ErrorKind, Result};

/// Settings of one database file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteConfig {
    /// The file. Made when it does not exist; its directory must. Default `bananas.db`.
    pub path: PathBuf,
    /// Recorded in the file when it is made; opening it with another one is refused. Default `bananas`.
    pub namespace: String,
    /// When a commit counts as stored. Default [`Synchronous::Full`].
    pub synchronous: Synchronous,
    /// How long to wait for the lock while other processes write. Default 10 s.
    pub busy_timeout: Duration,
    /// How long one operation may take in all, its place in the queue included. Default 30 s.
    pub deadline: Duration,
}

/// When a commit counts as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Synchronous {
    /// When it is on the disk: survives the loss of power (durability class D3).
    #[default]
    Full,
    /// When the system has it: survives the death of every process, but the loss of power may undo the last
    /// commits (durability class D2). The file stays consistent either way.
    Normal,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("bananas.db"),
            namespace: "bananas".to_owned(),
            synchronous: Synchronous::Full,
            busy_timeout: Duration::from_secs(10),
            deadline: Duration::from_secs(30),
        }
    }
}

impl Synchronous {
    /// What survives.
    #[must_use]
    pub const fn durability(self) -> Durability {
        match self {
            Self::Full => Durability::D3,
            Self::Normal => Durability::D2,
        }
    }

    pub(crate) const fn pragma(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

const KEYS: &str = "synchronous (full or normal), busy_timeout_ms, deadline_ms";

impl SqliteConfig {
    /// Reads `sqlite://relative/path`, `sqlite:///absolute/path` or `sqlite:path`.
    ///
    /// The path is taken as it is written, up to the first `?`. After it may follow `synchronous=full` or
    /// `normal`, `busy_timeout_ms=` and `deadline_ms=`, joined by `&`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for another scheme, no path, an unknown key, or a wrong value; and for
    /// `sqlite::memory:`, which several connections could not share: the URL for that is `memory:`.
    pub fn from_url(url: &str) -> Result<Self> {
        let Some(rest) = url.strip_prefix("sqlite:") else {
            return invalid(format!(
                "URL {url:?} does not begin with sqlite:; an example is sqlite://bananas.db"
            ));
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if path.contains(":memory:") {
            return invalid(format!(
                "URL {url:?} names a database in memory, which cannot be shared; use the URL memory: instead"
            ));
        }
        if path.is_empty() {
            return invalid(format!(
                "URL {url:?} names no file; an example is sqlite://bananas.db"
            ));
        }
        let mut config = Self {
            path: PathBuf::from(path),
            ..Self::default()
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            config.set(key, value)?;
        }
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let millis = || {
            value.parse().map(Duration::from_millis).or_else(|_| {
                invalid(format!(
                    "{key}={value:?} is not a whole number of milliseconds"
                ))
            })
        };
        match key {
            "synchronous" => {
                self.synchronous = match value {
                    "full" => Synchronous::Full,
                    "normal" => Synchronous::Normal,
                    _ => {
                        return invalid(format!(
                            "synchronous={value:?} is unknown; it is full or normal"
                        ));
                    }
                }
            }
            "busy_timeout_ms" => self.busy_timeout = millis()?,
            "deadline_ms" => self.deadline = millis()?,
            _ => {
                return invalid(format!(
                    "key {key:?} of a sqlite URL is unknown; known are {KEYS}"
                ));
            }
        }
        Ok(())
    }
}

fn invalid<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_write_a_path_are_understood() {
        for (url, path) in [
            ("sqlite://bananas.db", "bananas.db"),
            ("sqlite://a/b.db?synchronous=full", "a/b.db"),
            ("sqlite:///var/lib/b.db", "/var/lib/b.db"),
            ("sqlite:b.db", "b.db"),
        ] {
            assert_eq!(
                SqliteConfig::from_url(url).unwrap().path,
                PathBuf::from(path),
                "{url}"
            );
        }
        let config =
            SqliteConfig::from_url("sqlite:b.db?synchronous=normal&busy_timeout_ms=50").unwrap();
        assert_eq!(config.synchronous, Synchronous::Normal);
        assert_eq!(config.busy_timeout, Duration::from_millis(50));
    }

    #[test]
    fn mistakes_are_named_with_what_would_be_right() {
        for (url, word) in [
            ("sqlite::memory:", "memory: instead"),
            ("sqlite://:memory:", "memory: instead"),
            ("sqlite://", "names no file"),
            ("postgres://x", "does not begin"),
            ("sqlite:b.db?sync=off", "known are synchronous"),
            ("sqlite:b.db?synchronous=off", "full or normal"),
            ("sqlite:b.db?busy_timeout_ms=10s", "milliseconds"),
        ] {
            let error = SqliteConfig::from_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
    }
}
