//! Where the server is, who we are there, and how patient we are.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bananas_core::{Error, ErrorKind, Result};
use url::Url;

use crate::address::Address;
use crate::confirm::Confirm;
use crate::sentinel::Sentinel;

/// Settings of one client of a Redis server.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisConfig {
    /// The server, or some nodes of a cluster. Default `localhost`, port 6379.
    pub hosts: Vec<Address>,
    /// The database by number. Default 0, the only one of a cluster.
    pub database: i64,
    /// The user of the server's ACL; `None` is its default user.
    pub username: Option<String>,
    /// The password. Never shown.
    pub password: Option<String>,
    /// Whether and how the connection is encrypted. Default [`Tls::Off`].
    pub tls: Tls,
    /// The beginning of all keys; letters, digits, `.`, `-` and `_`. Default `bananas`.
    pub namespace: String,
    /// How long an operation may take, beyond the time that it is asked to wait. Default 5 s.
    pub timeout: Duration,
    /// Whether a server may be used that evicts keys when its memory is full. Default [`Eviction::Refused`].
    pub eviction: Eviction,
    /// If so, `hosts` are sentinels, and they are asked where the server is. Default `None`.
    pub sentinel: Option<Sentinel>,
    /// What publishing waits for beyond the server's own answer. Default [`Confirm::Server`].
    pub confirm: Confirm,
}

/// Whether and how a connection is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// It is not.
    #[default]
    Off,
    /// By TLS, with a certificate that the system trusts.
    System,
    /// By TLS, with a certificate that one in this PEM file has signed.
    Authority(PathBuf),
}

/// Whether a server may be used that evicts keys when its memory is full, and jobs with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// It is refused when it is opened.
    #[default]
    Refused,
    /// It may lose jobs, and one knows it.
    Accepted,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            hosts: vec![Address::new("localhost", Address::SERVER_PORT)],
            database: 0,
            username: None,
            password: None,
            tls: Tls::Off,
            namespace: "bananas".to_owned(),
            timeout: Duration::from_secs(5),
            eviction: Eviction::Refused,
            sentinel: None,
            confirm: Confirm::Server,
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &self.shown_url())
            .field("tls", &self.tls)
            .field("namespace", &self.namespace)
            .field("timeout", &self.timeout)
            .field("eviction", &self.eviction)
            .field("sentinel", &self.sentinel)
            .field("confirm", &self.confirm)
            .finish()
    }
}

const KEYS: &str = "ca (a PEM file), timeout_ms, eviction (refused or accepted), sentinel (the name of the master), \
    sentinel_username, sentinel_password, confirm (replicas:N or aof)";

impl RedisConfig {
    /// Reads `redis://user:password@host:port/database`, or `rediss://` for TLS; all but the scheme may be
    /// left out. Several nodes of a cluster are joined by commas, as in `redis://a:7000,b:7001`.
    ///
    /// After a `?` may follow, joined by `&`: `ca=` with a PEM file (and `rediss://`), `timeout_ms=`,
    /// `eviction=accepted`, `confirm=replicas:N` or `confirm=aof`, and `sentinel=` with the name of a master: then
    /// the hosts are sentinels, with port 26379 if none is named, and `sentinel_username=` and
    /// `sentinel_password=` are for them. User and password are percent-decoded.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for another scheme, an unknown key or a wrong value. The text shows no password.
    pub fn from_url(url: &str) -> Result<Self> {
        let (first, others) = one_by_one(url);
        let parsed = match Url::parse(&first) {
            Ok(parsed) if matches!(parsed.scheme(), "redis" | "rediss") => parsed,
            _ => {
                return invalid(
                    "the URL is not of redis; an example is redis://localhost:6379/0".to_owned(),
                );
            }
        };
        let mut config = Self::default();
        if parsed.scheme() == "rediss" {
            config.tls = Tls::System;
        }
        let is_sentinel = parsed.query_pairs().any(|(key, _)| key == "sentinel");
        let port = match is_sentinel {
            true => Address::SENTINEL_PORT,
            false => Address::SERVER_PORT,
        };
        config.hosts = vec![address(&parsed, port)];
        for other in others {
            let Ok(other) = Url::parse(&format!("redis://{other}")) else {
                return invalid(format!("{other:?} in the URL is no host"));
            };
            config.hosts.push(address(&other, port));
        }
        config.username = decoded(parsed.username())?.filter(|name| !name.is_empty());
        config.password = parsed.password().map_or(Ok(None), decoded)?;
        let database = parsed.path().trim_matches('/');
        if !database.is_empty() {
            config.database = database.parse().or_else(|_| {
                invalid(format!("database {database:?} of the URL is not a number"))
            })?;
        }
        for (key, value) in parsed.query_pairs() {
            config.set(&key, &value)?;
        }
        if let Some(sentinel) = &config.sentinel
            && sentinel.master.is_empty()
        {
            return invalid(
                "the URL has settings for sentinels and no sentinel=NAME; the name is that of their `sentinel \
                 monitor` line"
                    .to_owned(),
            );
        }
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "ca" if self.tls == Tls::Off => {
                return invalid("ca is for rediss:// URLs; write rediss:// or leave it out".into());
            }
            "ca" => self.tls = Tls::Authority(PathBuf::from(value)),
            "timeout_ms" => {
                self.timeout = value.parse().map(Duration::from_millis).or_else(|_| {
                    invalid(format!(
                        "timeout_ms={value:?} is not a whole number of milliseconds"
                    ))
                })?;
            }
            "eviction" => {
                self.eviction = match value {
                    "refused" => Eviction::Refused,
                    "accepted" => Eviction::Accepted,
                    _ => {
                        return invalid(format!(
                            "eviction={value:?} is unknown; it is refused or accepted"
                        ));
                    }
                }
            }
            "confirm" => {
                let Some(confirm) = Confirm::read(value) else {
                    return invalid(format!(
                        "confirm={value:?} is unknown; it is replicas:N, with N at least 1, or aof"
                    ));
                };
                self.confirm = confirm;
            }
            "sentinel" => self.sentinel.get_or_insert_default().master = value.to_owned(),
            "sentinel_username" => {
                self.sentinel.get_or_insert_default().username = Some(value.to_owned());
            }
            "sentinel_password" => {
                self.sentinel.get_or_insert_default().password = Some(value.to_owned());
            }
            _ => {
                return invalid(format!(
                    "key {key:?} of a redis URL is unknown; known are {KEYS}"
                ));
            }
        }
        Ok(())
    }

    /// Whether the namespace is one: with a colon in it, two could have the same keys, and braces would end
    /// the part of a key that decides about its slot.
    pub(crate) fn check(&self) -> Result<()> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if self.namespace.is_empty() || !self.namespace.chars().all(fits) {
            return invalid(format!(
                "namespace {:?} must have letters, digits, '.', '-' and '_' only, and at least one",
                self.namespace
            ));
        }
        Ok(())
    }

    /// Where it is, for people: without the password.
    pub(crate) fn shown_url(&self) -> String {
        let scheme = if self.tls == Tls::Off {
            "redis"
        } else {
            "rediss"
        };
        let user = match (&self.username, &self.password) {
            (None, None) => String::new(),
            (user, None) => format!("{}@", user.as_deref().unwrap_or_default()),
            (user, Some(_)) => format!("{}:***@", user.as_deref().unwrap_or_default()),
        };
        let hosts: Vec<_> = self.hosts.iter().map(Address::to_string).collect();
        let shown = format!("{scheme}://{user}{}/{}", hosts.join(","), self.database);
        match &self.sentinel {
            None => shown,
            Some(sentinel) => format!("{shown}?sentinel={}", sentinel.master),
        }
    }
}

/// The URL with its first host alone, and its other hosts.
fn one_by_one(url: &str) -> (String, Vec<&str>) {
    let Some((scheme, rest)) = url.split_once("://") else {
        return (url.to_owned(), Vec::new());
    };
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let mut hosts = hosts.split(',');
    let first = hosts.next().unwrap_or_default();
    (format!("{scheme}://{user}{first}{behind}"), hosts.collect())
}

fn address(url: &Url, port: u16) -> Address {
    // An address of six parts stands in brackets in a URL, and nowhere else.
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.unwrap_or("localhost").trim_matches(['[', ']']);
    Address::new(host, url.port().unwrap_or(port))
}

/// The text with its percent signs resolved.
fn decoded(text: &str) -> Result<Option<String>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()];
        let digit = |digit: Option<u8>| char::from(digit?).to_digit(16);
        match digits.map(digit) {
            [Some(high), Some(low)] => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default())
            }
            _ => {
                return invalid(
                    "user or password of the URL has a % without two digits".to_owned(),
                );
            }
        }
    }
    String::from_utf8(bytes)
        .map(Some)
        .or_else(|_| invalid("user or password of the URL is not UTF-8".to_owned()))
}

fn invalid<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_host_user_database_and_settings() {
        let url = "rediss://ada:p%40ss%3a@db.example:6390/3?ca=%2Fetc%2Fca.pem&timeout_ms=250";
        let config = RedisConfig::from_url(url).unwrap();
        let expected = RedisConfig {
            hosts: vec![Address::new("db.example", 6390)],
            database: 3,
            username: Some("ada".to_owned()),
            password: Some("p@ss:".to_owned()),
            tls: Tls::Authority(PathBuf::from("/etc/ca.pem")),
            timeout: Duration::from_millis(250),
            ..RedisConfig::default()
        };
        assert!(config == expected, "{config:?}");
        let short = RedisConfig::from_url("redis://[::1]").unwrap();
        assert_eq!(short.hosts, [Address::new("::1", 6379)]);
        assert_eq!(short.shown_url(), "redis://[::1]:6379/0");
        let many =
            RedisConfig::from_url("redis://:hidden@a:7000,[::1]:7001,c/0?timeout_ms=9").unwrap();
        let shown = "redis://:***@a:7000,[::1]:7001,c:6379/0";
        assert_eq!(many.shown_url(), shown);
        assert_eq!(many.timeout, Duration::from_millis(9));
    }

    #[test]
    fn a_url_can_name_sentinels_and_what_publishing_waits_for() {
        let url =
            "redis://:pw@s1,s2:26380/2?sentinel_password=own&sentinel=main&confirm=replicas:2";
        let config = RedisConfig::from_url(url).unwrap();
        assert_eq!(
            config.hosts,
            [Address::new("s1", 26_379), Address::new("s2", 26_380)]
        );
        let sentinel = config.sentinel.clone().unwrap();
        assert_eq!(sentinel.master, "main");
        assert_eq!(sentinel.password.as_deref(), Some("own"));
        assert_eq!(config.password.as_deref(), Some("pw"));
        assert_eq!(config.confirm, Confirm::Replicas(2));
        let shown = "redis://:***@s1:26379,s2:26380/2?sentinel=main";
        assert_eq!(config.shown_url(), shown);
        assert!(!format!("{config:?}").contains("own"));
    }

    #[test]
    fn the_password_is_never_shown() {
        let config = RedisConfig::from_url("redis://:hidden@h/1").unwrap();
        assert_eq!(config.password.as_deref(), Some("hidden"));
        let shown = format!("{config:?}");
        assert!(
            shown.contains("***") && !shown.contains("hidden"),
            "{shown}"
        );
        for wrong in [
            "redis://:hidden@h/x",
            "redis://:hidden@h?wrong=1",
            "http://:hidden@h",
        ] {
            let error = RedisConfig::from_url(wrong).unwrap_err().to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn a_namespace_that_could_share_keys_with_another_is_refused() {
        let of = |namespace: &str| RedisConfig {
            namespace: namespace.to_owned(),
            ..RedisConfig::default()
        };
        assert!(of("shop-2.eu_west").check().is_ok());
        for wrong in ["", "shop:mail", "{shop}", "a b", "ü"] {
            let error = of(wrong).check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{wrong}: {error}");
        }
    }

    #[test]
    fn mistakes_are_named_with_what_would_be_right() {
        for (url, word) in [
            ("postgres://x", "redis://localhost"),
            ("redis://h/one", "not a number"),
            ("redis://h,h:x", "no host"),
            ("redis://h?wait=1", "known are ca"),
            ("redis://h?ca=x.pem", "rediss://"),
            ("redis://h?timeout_ms=5s", "milliseconds"),
            ("redis://h?eviction=maybe", "refused or accepted"),
            ("redis://h?confirm=replicas:0", "at least 1"),
            ("redis://h?sentinel_password=x", "sentinel=NAME"),
        ] {
            let error = RedisConfig::from_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
    }
}
