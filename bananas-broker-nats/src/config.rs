//! Where the servers are, who we are there, and how queues are made.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bananas_core::{Capabilities, Error, ErrorKind, Result};
use url::Url;

use crate::engine;

/// Settings of one client of NATS JetStream.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatsConfig {
    /// Host names or addresses with their ports; tried in turn. Default `localhost` and 4222.
    pub servers: Vec<(String, u16)>,
    /// Who we are. Default [`Login::Nobody`].
    pub login: Login,
    /// Whether and how the connection is encrypted. Default [`Tls::Off`].
    pub tls: Tls,
    /// A certificate of our own and its key, as PEM files, where the server asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The beginning of all names; letters, digits, `.`, `-` and `_`. Default `bananas`.
    pub namespace: String,
    /// How long an operation may take, beyond the time that it is asked to wait. Default 5 s.
    pub timeout: Duration,
    /// How many priorities a queue tells apart, 1 to 10. Default 3.
    pub lanes: u8,
    /// How many servers of a cluster keep each queue. Default 1.
    pub replicas: u8,
    /// What is known of the servers' `sync_interval`. Default [`SyncInterval::Unknown`].
    pub sync_interval: SyncInterval,
}

/// When servers write what they confirm to their disks, which none of them tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncInterval {
    /// Every two minutes, maybe.
    #[default]
    Unknown,
    /// Before they confirm it: each server has `sync_interval: always` in its `jetstream` block. Only whoever runs
    /// the servers can know; the durability class follows.
    Always,
}

/// How a client says who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// It does not.
    Nobody,
    /// By name and password.
    User {
        /// The name.
        name: String,
        /// The password. Never shown.
        password: String,
    },
    /// By a word that both know. Never shown.
    Token(String),
    /// By the NKey whose seed is in this file.
    Nkey(PathBuf),
    /// By the JWT and the NKey in this file, as `nsc` writes it.
    Credentials(PathBuf),
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

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            servers: vec![("localhost".to_owned(), PORT)],
            login: Login::Nobody,
            tls: Tls::Off,
            identity: None,
            namespace: "bananas".to_owned(),
            timeout: Duration::from_secs(5),
            lanes: 3,
            replicas: 1,
            sync_interval: SyncInterval::Unknown,
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("Nobody"),
            Self::User { name, .. } => write!(f, "User({name:?}, ***)"),
            Self::Token(_) => f.write_str("Token(***)"),
            Self::Nkey(path) => write!(f, "Nkey({path:?})"),
            Self::Credentials(path) => write!(f, "Credentials({path:?})"),
        }
    }
}

impl fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsConfig")
            .field("url", &self.shown_url())
            .field("login", &self.login)
            .field("tls", &self.tls)
            .field("namespace", &self.namespace)
            .field("timeout", &self.timeout)
            .field("lanes", &self.lanes)
            .field("replicas", &self.replicas)
            .field("sync_interval", &self.sync_interval)
            .finish_non_exhaustive()
    }
}

const PORT: u16 = 4222;

const KEYS: &str = "ca, cert and key (PEM files), creds and nkey (files), lanes, replicas, sync_interval, timeout_ms";

impl NatsConfig {
    /// Reads `nats://user:password@host:port,host:port`, or `tls+nats://` for TLS; all but the scheme may be left
    /// out. A user without a password is a token; several servers are those of a cluster.
    ///
    /// After a `?` may follow, joined by `&`: `creds=` or `nkey=` with a file; `ca=`, or `cert=` and `key=`, with
    /// PEM files (and `tls+nats://`); `lanes=`, `replicas=`, `sync_interval=always` and `timeout_ms=`. User and
    /// password are percent-decoded.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for another scheme, an unknown key or a wrong value. The text shows no password.
    pub fn from_url(url: &str) -> Result<Self> {
        let (first, others) = one_by_one(url);
        let parsed = match Url::parse(&first) {
            Ok(parsed) if matches!(parsed.scheme(), "nats" | "tls+nats") => parsed,
            _ => {
                return invalid("the URL is not of nats; an example is nats://localhost:4222");
            }
        };
        if !parsed.path().trim_matches('/').is_empty() {
            return invalid("a nats URL has no path; settings follow after a ?");
        }
        let mut config = Self::default();
        if parsed.scheme() == "tls+nats" {
            config.tls = Tls::System;
        }
        config.servers = vec![server(&parsed)];
        for other in others {
            let Ok(other) = Url::parse(&format!("nats://{other}")) else {
                return invalid(format!("{other:?} in the URL is no host"));
            };
            config.servers.push(server(&other));
        }
        let name = decoded(parsed.username())?;
        config.login = match parsed.password().map(decoded).transpose()? {
            Some(password) => Login::User { name, password },
            None if name.is_empty() => Login::Nobody,
            None => Login::Token(name),
        };
        let (mut cert, mut key) = (None, None);
        for (name, value) in parsed.query_pairs() {
            match &*name {
                "cert" => cert = Some(PathBuf::from(&*value)),
                "key" => key = Some(PathBuf::from(&*value)),
                _ => config.set(&name, &value)?,
            }
        }
        config.identity = match (cert, key) {
            (None, None) => None,
            (Some(cert), Some(key)) if config.tls != Tls::Off => Some((cert, key)),
            _ => return invalid("cert and key go together, in a tls+nats:// URL"),
        };
        config.check()?;
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let number = |what: &str| {
            let parsed = value.parse();
            parsed.or_else(|_| invalid(format!("{key}={value:?} is not a whole number{what}")))
        };
        match key {
            "ca" if self.tls == Tls::Off => {
                return invalid("ca is for tls+nats:// URLs; write tls+nats:// or leave it out");
            }
            "ca" => self.tls = Tls::Authority(PathBuf::from(value)),
            "creds" => self.login = Login::Credentials(PathBuf::from(value)),
            "nkey" => self.login = Login::Nkey(PathBuf::from(value)),
            "timeout_ms" => self.timeout = Duration::from_millis(number(" of milliseconds")?),
            "lanes" => self.lanes = u8::try_from(number("")?).unwrap_or(u8::MAX),
            "replicas" => self.replicas = u8::try_from(number("")?).unwrap_or(u8::MAX),
            "sync_interval" if value == "always" => self.sync_interval = SyncInterval::Always,
            "sync_interval" => {
                return invalid(format!(
                    "sync_interval={value:?} can be always, or is left out"
                ));
            }
            _ => {
                return invalid(format!(
                    "key {key:?} of a nats URL is unknown; known are {KEYS}"
                ));
            }
        }
        Ok(())
    }

    /// What a server of today with default settings does; an older one does less, and a message may be larger or
    /// smaller by its settings.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        engine::capabilities(self, engine::USUAL_PAYLOAD, true)
    }

    /// Whether the settings make sense.
    pub(crate) fn check(&self) -> Result<()> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if self.namespace.is_empty() || !self.namespace.chars().all(fits) {
            return invalid(format!(
                "namespace {:?} must have letters, digits, '.', '-' and '_' only, and at least one",
                self.namespace
            ));
        }
        if !(1..=10).contains(&self.lanes) {
            return invalid(format!("lanes={} must be from 1 to 10", self.lanes));
        }
        if !(1..=5).contains(&self.replicas) {
            return invalid(format!("replicas={} must be from 1 to 5", self.replicas));
        }
        if self.servers.is_empty() {
            return invalid("no server is named");
        }
        Ok(())
    }

    /// Where it is, for people: without secrets.
    pub(crate) fn shown_url(&self) -> String {
        let scheme = match self.tls {
            Tls::Off => "nats",
            Tls::System | Tls::Authority(_) => "tls+nats",
        };
        let user = match &self.login {
            Login::Nobody | Login::Nkey(_) | Login::Credentials(_) => String::new(),
            Login::User { name, .. } => format!("{name}:***@"),
            Login::Token(_) => "***@".to_owned(),
        };
        let servers = self.servers.iter().map(|(host, port)| address(host, *port));
        let servers: Vec<String> = servers.collect();
        format!("{scheme}://{user}{}", servers.join(","))
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

fn server(url: &Url) -> (String, u16) {
    let host = url.host_str().filter(|host| !host.is_empty());
    // An address of six parts stands in brackets in a URL, and nowhere else.
    let host = host.map_or("localhost", |host| host.trim_matches(['[', ']']));
    (host.to_owned(), url.port().unwrap_or(PORT))
}

/// Host and port as one writes them.
pub(crate) fn address(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
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
            _ => return invalid("user or password of the URL has a % without two digits"),
        }
    }
    String::from_utf8(bytes).or_else(|_| invalid("user or password of the URL is not UTF-8"))
}

fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_servers_user_and_settings() {
        let url = "tls+nats://ada:p%40ss%3a@a.example:4333,b.example:4334?ca=%2Fetc%2Fca.pem\
                   &cert=c.pem&key=k.pem&lanes=5&replicas=3&timeout_ms=250&sync_interval=always";
        let config = NatsConfig::from_url(url).unwrap();
        let expected = NatsConfig {
            servers: vec![
                ("a.example".to_owned(), 4333),
                ("b.example".to_owned(), 4334),
            ],
            login: Login::User {
                name: "ada".to_owned(),
                password: "p@ss:".to_owned(),
            },
            tls: Tls::Authority(PathBuf::from("/etc/ca.pem")),
            identity: Some((PathBuf::from("c.pem"), PathBuf::from("k.pem"))),
            timeout: Duration::from_millis(250),
            lanes: 5,
            replicas: 3,
            sync_interval: SyncInterval::Always,
            ..NatsConfig::default()
        };
        assert!(config == expected, "{config:?}");
        let short = NatsConfig::from_url("nats://[::1]").unwrap();
        assert_eq!(short.servers, [("::1".to_owned(), 4222)]);
        assert_eq!(short.shown_url(), "nats://[::1]:4222");
        let creds = NatsConfig::from_url("nats://h?creds=%2Fa.creds").unwrap();
        assert_eq!(creds.login, Login::Credentials(PathBuf::from("/a.creds")));
    }

    #[test]
    fn passwords_and_tokens_are_never_shown() {
        for url in ["nats://me:hidden@h", "nats://hidden@h"] {
            let config = NatsConfig::from_url(url).unwrap();
            assert_ne!(config.login, Login::Nobody);
            let shown = format!("{config:?}");
            let hides = shown.contains("***") && !shown.contains("hidden");
            assert!(hides, "{shown}");
        }
        for wrong in [
            "nats://me:hidden@h/x",
            "nats://hidden@h?wrong=1",
            "http://:hidden@h",
        ] {
            let error = NatsConfig::from_url(wrong).unwrap_err().to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn mistakes_are_named_with_what_would_be_right() {
        for (url, word) in [
            ("redis://x", "nats://localhost"),
            ("nats://h/one", "no path"),
            ("nats://h?wait=1", "known are ca"),
            ("nats://h?ca=x.pem", "tls+nats://"),
            ("nats://h?cert=x.pem", "go together"),
            ("nats://h?timeout_ms=5s", "milliseconds"),
            ("nats://h?lanes=11", "from 1 to 10"),
            ("nats://h?replicas=0", "from 1 to 5"),
            ("nats://h,b:x", "no host"),
            ("nats://h?sync_interval=2m", "always"),
        ] {
            let error = NatsConfig::from_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
        let config = NatsConfig {
            namespace: "shop:mail".to_owned(),
            ..NatsConfig::default()
        };
        assert!(config.check().is_err());
    }
}
