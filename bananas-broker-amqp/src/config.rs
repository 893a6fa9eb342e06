//! Where the server is, who we are there, and which kind of queues we make.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bananas_core::{Capabilities, Error, ErrorKind, Result};
use url::Url;

use crate::server::Dialect;

/// Settings of one client of a RabbitMQ server.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AmqpConfig {
    /// Host name or address. Default `localhost`.
    pub host: String,
    /// Default 5672, or 5671 with TLS.
    pub port: u16,
    /// The virtual host. Default `/`.
    pub vhost: String,
    /// The user. Default `guest`.
    pub username: String,
    /// The password. Never shown. Default `guest`.
    pub password: String,
    /// How the server learns who we are. Default [`Login::Password`].
    pub login: Login,
    /// Whether and how the connection is encrypted. Default [`Tls::Off`].
    pub tls: Tls,
    /// The certificate that we show, as a PEM file.
    pub certificate: Option<PathBuf>,
    /// Its private key, as a PEM file.
    pub key: Option<PathBuf>,
    /// The beginning of the names of all queues; at most 64 letters, digits, `.`, `-` and `_`. Default
    /// `bananas`.
    pub namespace: String,
    /// The kind of queues that are made. Default [`QueueType::Quorum`].
    pub queue_type: QueueType,
    /// Whose queues they are. Default [`Topology::Own`].
    pub topology: Topology,
    /// How long an operation may take, beyond the time that it is asked to wait. Default 10 s.
    pub timeout: Duration,
    /// How long the server lets a delivery be out before it closes the channel; its own setting
    /// `consumer_timeout`. Default 30 min.
    pub consumer_timeout: Duration,
    /// How often a side that is silent says that it is there; it is given up when nothing comes for twice as long. Default 5 s.
    pub heartbeat: Duration,
}

/// How the server learns who we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// By name and password (`PLAIN`).
    #[default]
    Password,
    /// By the certificate that we show (`EXTERNAL`).
    External,
}

/// Whether and how a connection is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// It is not.
    #[default]
    Off,
    /// By TLS, with a certificate that the system trusts.
    System,
    /// By TLS, with one that the system trusts or that one in this PEM file has signed.
    Authority(PathBuf),
}

/// The kind of a queue on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueType {
    /// Replicated, and on disk before a publish is confirmed.
    #[default]
    Quorum,
    /// On one node, with priorities.
    Classic,
}

/// Whose queues they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// Ours: `ensure` makes them, and their names begin with the namespace.
    #[default]
    Own,
    /// Those of another application: `ensure` only looks whether they are there, their names are what they
    /// are, and a property is a header of the message.
    Foreign,
}

impl QueueType {
    /// As the server writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quorum => "quorum",
            Self::Classic => "classic",
        }
    }
}

impl Default for AmqpConfig {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 5672,
            vhost: "/".to_owned(),
            username: "guest".to_owned(),
            password: "guest".to_owned(),
            login: Login::Password,
            tls: Tls::Off,
            certificate: None,
            key: None,
            namespace: "bananas".to_owned(),
            queue_type: QueueType::Quorum,
            topology: Topology::Own,
            timeout: Duration::from_secs(10),
            consumer_timeout: Duration::from_mins(30),
            heartbeat: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for AmqpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpConfig")
            .field("url", &self.shown_url())
            .field("tls", &self.tls)
            .field("login", &self.login)
            .field("namespace", &self.namespace)
            .field("queue_type", &self.queue_type)
            .field("topology", &self.topology)
            .field("timeout", &self.timeout)
            .field("consumer_timeout", &self.consumer_timeout)
            .finish_non_exhaustive()
    }
}

const KEYS: &str = "queues (quorum or classic), topology (own or foreign), auth (plain or external), ca, cert \
                    and key (PEM files), timeout_ms, consumer_timeout_ms, heartbeat_ms";

impl AmqpConfig {
    /// Reads `amqp://user:password@host:port/vhost`, or `amqps://` for TLS; all but the scheme may be left out.
    ///
    /// The virtual host is percent-encoded, so the default one is `%2f`. After a `?` may follow `queues=classic`,
    /// `topology=foreign`, `auth=external`, `ca=`, `cert=` and `key=` with PEM files (and `amqps://`),
    /// `timeout_ms=`, `consumer_timeout_ms=` and `heartbeat_ms=`, joined by `&`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for another scheme, an unknown key or a wrong value. The text shows no password.
    pub fn from_url(url: &str) -> Result<Self> {
        let parsed = match Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "amqp" | "amqps") => parsed,
            _ => {
                let text =
                    "the URL is not of AMQP; an example is amqp://guest:guest@localhost:5672/%2f";
                return invalid(text.to_owned());
            }
        };
        let mut config = Self::default();
        if parsed.scheme() == "amqps" {
            config.tls = Tls::System;
            config.port = 5671;
        }
        if let Some(host) = parsed.host_str().filter(|host| !host.is_empty()) {
            // An address of six parts stands in brackets in a URL, and nowhere else.
            config.host = decoded(host)?.trim_matches(['[', ']']).to_owned();
        }
        config.port = parsed.port().unwrap_or(config.port);
        if !parsed.username().is_empty() {
            config.username = decoded(parsed.username())?;
        }
        if let Some(password) = parsed.password() {
            config.password = decoded(password)?;
        }
        match parsed.path().strip_prefix('/') {
            None | Some("") => {}
            Some(vhost) => config.vhost = decoded(vhost)?,
        }
        for (key, value) in parsed.query_pairs() {
            config.set(&key, &value)?;
        }
        match (&config.certificate, &config.key) {
            (None, None) | (Some(_), Some(_)) => {}
            _ => return invalid("cert and key stand together in an amqps URL".to_owned()),
        }
        if config.login == Login::External && config.certificate.is_none() {
            return invalid("auth=external needs cert and key in an amqps URL".to_owned());
        }
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "ca" | "cert" | "key" if self.tls == Tls::Off => {
                let text = format!("{key} is for amqps:// URLs; write amqps:// or leave it out");
                return invalid(text);
            }
            "ca" => self.tls = Tls::Authority(PathBuf::from(value)),
            "cert" => self.certificate = Some(PathBuf::from(value)),
            "key" => self.key = Some(PathBuf::from(value)),
            "timeout_ms" => self.timeout = millis(key, value)?,
            "consumer_timeout_ms" => self.consumer_timeout = millis(key, value)?,
            "heartbeat_ms" => self.heartbeat = millis(key, value)?,
            "queues" => {
                let known = [
                    ("quorum", QueueType::Quorum),
                    ("classic", QueueType::Classic),
                ];
                self.queue_type = one_of(key, value, known)?;
            }
            "topology" => {
                let known = [("own", Topology::Own), ("foreign", Topology::Foreign)];
                self.topology = one_of(key, value, known)?;
            }
            "auth" => {
                let known = [("plain", Login::Password), ("external", Login::External)];
                self.login = one_of(key, value, known)?;
            }
            _ => {
                return invalid(format!(
                    "key {key:?} of an amqp URL is unknown; known are {KEYS}"
                ));
            }
        }
        Ok(())
    }

    /// What the oldest server that can be used does with queues of this kind; a newer one may do more.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        Dialect::of_oldest(self.queue_type).capabilities(self)
    }

    /// Whether the settings make sense: with a colon in the namespace, two could have the same queues.
    pub(crate) fn check(&self) -> Result<()> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let length = self.namespace.len();
        if length == 0 || length > 64 || !self.namespace.chars().all(fits) {
            return invalid(format!(
                "namespace {:?} must have 1 to 64 letters, digits, '.', '-' and '_'",
                self.namespace
            ));
        }
        let shortest = Duration::from_mins(2);
        if self.consumer_timeout < shortest {
            return invalid(format!(
                "consumer timeout of {:?} is shorter than {shortest:?}",
                self.consumer_timeout
            ));
        }
        Ok(())
    }

    /// Where it is, for people: without the password.
    pub(crate) fn shown_url(&self) -> String {
        let scheme = if self.tls == Tls::Off {
            "amqp"
        } else {
            "amqps"
        };
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let vhost = self.vhost.replace('/', "%2f");
        format!(
            "{scheme}://{}:***@{host}:{}/{vhost}",
            self.username, self.port
        )
    }
}

fn millis(key: &str, value: &str) -> Result<Duration> {
    value.parse().map(Duration::from_millis).or_else(|_| {
        invalid(format!(
            "{key}={value:?} is not a whole number of milliseconds"
        ))
    })
}

fn one_of<T>(key: &str, value: &str, known: [(&str, T); 2]) -> Result<T> {
    let names = known.each_ref().map(|(name, _)| *name);
    let found = known.into_iter().find(|(name, _)| *name == value);
    match found {
        Some((_, it)) => Ok(it),
        None => invalid(format!(
            "{key}={value:?} is unknown; it is {} or {}",
            names[0], names[1]
        )),
    }
}

/// The text with its percent signs resolved.
fn decoded(text: &str) -> Result<String> {
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
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
            }
            _ => return invalid("the URL has a % without two digits".to_owned()),
        }
    }
    String::from_utf8(bytes).or_else(|_| invalid("a part of the URL is not UTF-8".to_owned()))
}

fn invalid<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_host_user_vhost_and_settings() {
        let url =
            "amqps://ada:p%40ss%3a@mq.example/shop%2feu?queues=classic&timeout_ms=250&ca=%2Fca.pem";
        let config = AmqpConfig::from_url(url).unwrap();
        let expected = AmqpConfig {
            host: "mq.example".to_owned(),
            port: 5671,
            vhost: "shop/eu".to_owned(),
            username: "ada".to_owned(),
            password: "p@ss:".to_owned(),
            tls: Tls::Authority(PathBuf::from("/ca.pem")),
            queue_type: QueueType::Classic,
            timeout: Duration::from_millis(250),
            ..AmqpConfig::default()
        };
        assert!(config == expected, "{config:?}");
        for short in ["amqp://", "amqp://localhost", "amqp://localhost/%2f"] {
            assert!(AmqpConfig::from_url(short).unwrap() == AmqpConfig::default());
        }
        let six = AmqpConfig::from_url("amqp://[::1]:7").unwrap();
        assert_eq!((six.host.as_str(), six.port), ("::1", 7));
    }

    #[test]
    fn a_certificate_stands_for_a_password() {
        let url = "amqps://mq.example?auth=external&cert=me.pem&key=me.key";
        let config = AmqpConfig::from_url(url).unwrap();
        assert_eq!(config.login, Login::External);
        assert_eq!(config.certificate, Some(PathBuf::from("me.pem")));
    }

    #[test]
    fn the_password_is_never_shown() {
        let config = AmqpConfig::from_url("amqp://ada:hidden@h").unwrap();
        assert_eq!(config.password, "hidden");
        let shown = format!("{config:?}");
        assert!(shown.contains("ada:***@h"), "{shown}");
        assert!(!shown.contains("hidden"), "{shown}");
        for wrong in ["amqp://a:hidden@h?wrong=1", "http://a:hidden@h"] {
            let error = AmqpConfig::from_url(wrong).unwrap_err().to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn a_namespace_that_could_share_queues_with_another_is_refused() {
        let of = |namespace: &str| AmqpConfig {
            namespace: namespace.to_owned(),
            ..AmqpConfig::default()
        };
        assert!(of("shop-2.eu_west").check().is_ok());
        for wrong in ["", "shop:mail", "a b", "ü", &"n".repeat(65)] {
            let error = of(wrong).check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{wrong}: {error}");
        }
    }

    #[test]
    fn mistakes_are_named_with_what_would_be_right() {
        for (url, word) in [
            ("redis://x", "amqp://guest"),
            ("amqp://h?wait=1", "known are queues"),
            ("amqp://h?ca=x.pem", "amqps://"),
            ("amqp://h?timeout_ms=5s", "milliseconds"),
            ("amqp://h?queues=stream", "quorum or classic"),
            ("amqps://h?auth=external", "cert and key"),
            ("amqps://h?cert=x.pem", "stand together"),
        ] {
            let error = AmqpConfig::from_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
    }
}
