//! Where the queues are, who we are there, and how patient we are.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bananas_core::{Capabilities, Error, ErrorKind, Result};
use url::Url;

use crate::broker;

/// Settings of one client of Amazon SQS.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqsConfig {
    /// The region, such as `eu-west-1`; `None` is what the environment and the profiles of AWS say.
    pub region: Option<String>,
    /// Where the service is, if not where Amazon has it: a VPC endpoint or an emulator, as
    /// `http://127.0.0.1:5124`.
    pub endpoint: Option<String>,
    /// The access key; `None` is the chain of AWS: environment, profiles, web identity, container, instance.
    pub access_key: Option<String>,
    /// The secret of the access key. Never shown.
    pub secret_key: Option<String>,
    /// The kind of the queues. Default [`QueueKind::Standard`].
    pub kind: QueueKind,
    /// The beginning of the names of all queues; letters, digits, `.`, `-` and `_`. Default `bananas`.
    pub namespace: String,
    /// How long a request may take, beyond the time that it is asked to wait. Default 10 s.
    pub timeout: Duration,
    /// How long a message stays hidden whose way to us failed, whatever the lease. A longer lease costs one more
    /// request for ten messages. Whole seconds, default 30 s.
    pub handover: Duration,
    /// The most bytes that the server takes in one message and in one request. Default 1 MiB.
    pub max_bytes: usize,
}

/// The kind of queues that are used and made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueKind {
    /// Any number of messages, in no order, with delays up to 15 minutes.
    #[default]
    Standard,
    /// Messages with the same key in order, without delays.
    Fifo,
}

impl Default for SqsConfig {
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            access_key: None,
            secret_key: None,
            kind: QueueKind::Standard,
            namespace: "bananas".to_owned(),
            timeout: Duration::from_secs(10),
            handover: Duration::from_secs(30),
            max_bytes: 1024 * 1024,
        }
    }
}

impl fmt::Debug for SqsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsConfig")
            .field("url", &self.shown_url())
            .field("region", &self.region)
            .field("kind", &self.kind)
            .field("namespace", &self.namespace)
            .field("timeout", &self.timeout)
            .field("handover", &self.handover)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

const KEYS: &str = "region, endpoint, kind (standard or fifo), timeout_ms, handover_s, max_bytes";

/// The longest namespace, so that names of queues have room behind it.
const MAX_NAMESPACE: usize = 32;

impl SqsConfig {
    /// Reads `sqs://eu-west-1`, or `sqs://` for the region of the environment; or `sqs://KEY:SECRET@HOST:PORT` for
    /// an emulator.
    ///
    /// After a `?` may follow `region=`, `endpoint=` with a URL, `kind=fifo`, `timeout_ms=`, `handover_s=` and
    /// `max_bytes=`, joined by `&`. Key and secret are percent-decoded.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for another scheme, an unknown key or a wrong value. The text shows no secret.
    pub fn from_url(url: &str) -> Result<Self> {
        let parsed = match Url::parse(url) {
            Ok(parsed) if parsed.scheme() == "sqs" => parsed,
            _ => {
                return invalid("the URL is not of sqs; an example is sqs://eu-west-1".to_owned());
            }
        };
        let mut config = Self::default();
        if let Some(host) = parsed.host_str().filter(|host| !host.is_empty()) {
            config.place(host, parsed.port());
        }
        if !parsed.path().trim_matches('/').is_empty() {
            return invalid("a sqs URL has no path; the namespace is a setting of its own".into());
        }
        config.access_key = decoded(parsed.username())?.filter(|key| !key.is_empty());
        config.secret_key = parsed.password().map_or(Ok(None), decoded)?;
        for (key, value) in parsed.query_pairs() {
            config.set(&key, &value)?;
        }
        if config.access_key.is_some() != config.secret_key.is_some() {
            return invalid("an access key needs its secret: sqs://KEY:SECRET@...".to_owned());
        }
        Ok(config)
    }

    /// The host of a URL is a region, or where the service is.
    fn place(&mut self, host: &str, port: Option<u16>) {
        let is_here = is_loopback(host);
        if port.is_none() && !is_here && !host.contains('.') {
            self.region = Some(host.to_owned());
            return;
        }
        let scheme = if is_here || port.is_some() {
            "http"
        } else {
            "https"
        };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        self.endpoint = Some(format!("{scheme}://{host}{port}"));
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "region" => self.region = Some(value.to_owned()),
            "endpoint" => self.endpoint = Some(endpoint(value)?),
            "kind" => {
                self.kind = match value {
                    "standard" => QueueKind::Standard,
                    "fifo" => QueueKind::Fifo,
                    _ => {
                        return invalid(format!(
                            "kind={value:?} is unknown; it is standard or fifo"
                        ));
                    }
                }
            }
            "timeout_ms" => self.timeout = Duration::from_millis(number(key, value)?),
            "handover_s" => self.handover = Duration::from_secs(number(key, value)?),
            "max_bytes" => {
                self.max_bytes = usize::try_from(number(key, value)?).unwrap_or(usize::MAX);
            }
            _ => {
                return invalid(format!(
                    "key {key:?} of a sqs URL is unknown; known are {KEYS}"
                ));
            }
        }
        Ok(())
    }

    /// What the service does with queues of this kind.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        broker::capabilities(self)
    }

    /// Whether the settings make sense together.
    pub(crate) fn check(&self) -> Result<()> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let namespace = &self.namespace;
        if namespace.is_empty() || namespace.len() > MAX_NAMESPACE || !namespace.chars().all(fits) {
            return invalid(format!(
                "namespace {namespace:?} must have 1 to {MAX_NAMESPACE} letters, digits, '.', '-' and '_'"
            ));
        }
        if !(2..=43_200).contains(&self.handover.as_secs()) {
            return invalid("handover_s must be from 2 to 43200".to_owned());
        }
        if !(64 * 1024..=1024 * 1024).contains(&self.max_bytes) {
            return invalid("max_bytes must be from 65536 to 1048576".to_owned());
        }
        Ok(())
    }

    /// Where it is, for people: without keys.
    pub(crate) fn shown_url(&self) -> String {
        let place = match (&self.endpoint, &self.region) {
            (Some(endpoint), _) => endpoint.split("//").last().unwrap_or_default(),
            (None, Some(region)) => region,
            (None, None) => "",
        };
        let kind = match self.kind {
            QueueKind::Standard => "",
            QueueKind::Fifo => "?kind=fifo",
        };
        format!("sqs://{place}{kind}")
    }

    /// Whether Amazon runs the service, of which it is known how it keeps its data.
    pub(crate) fn is_of_amazon(&self) -> bool {
        let Some(endpoint) = &self.endpoint else {
            return true;
        };
        let url = Url::parse(endpoint).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"]
            .iter()
            .any(|of_amazon| host.ends_with(of_amazon))
    }
}

fn is_loopback(host: &str) -> bool {
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

/// An endpoint that shows no secret and is one.
fn endpoint(value: &str) -> Result<String> {
    let wrong = "endpoint must be a URL without user and password, as http://127.0.0.1:5124";
    match Url::parse(value) {
        Ok(url)
            if matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none() =>
        {
            Ok(value.trim_end_matches('/').to_owned())
        }
        _ => invalid(wrong.to_owned()),
    }
}

fn number(key: &str, value: &str) -> Result<u64> {
    value
        .parse()
        .or_else(|_| invalid(format!("{key}={value:?} is not a whole number")))
}

/// The text with its percent signs resolved.
fn decoded(text: &str) -> Result<Option<String>> {
    let pairs = format!("x={}", text.replace('+', "%2B"));
    let decoded = url::form_urlencoded::parse(pairs.as_bytes()).next();
    match decoded {
        Some((_, value)) if !value.contains(char::REPLACEMENT_CHARACTER) => {
            Ok(Some(value.into_owned()))
        }
        _ => invalid("key or secret of the URL is not UTF-8".to_owned()),
    }
}

fn invalid<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_region_or_an_endpoint_with_keys() {
        let config = SqsConfig::from_url("sqs://eu-west-1?kind=fifo&timeout_ms=250").unwrap();
        let expected = SqsConfig {
            region: Some("eu-west-1".to_owned()),
            kind: QueueKind::Fifo,
            timeout: Duration::from_millis(250),
            ..SqsConfig::default()
        };
        assert!(config == expected, "{config:?}");
        assert!(config.is_of_amazon());
        let url = "sqs://me:p%2Bq%2F+%3a@127.0.0.1:5124?region=us-east-1&handover_s=5";
        let config = SqsConfig::from_url(url).unwrap();
        assert_eq!(config.endpoint.as_deref(), Some("http://127.0.0.1:5124"));
        assert_eq!(config.secret_key.as_deref(), Some("p+q/+:"));
        assert_eq!(config.shown_url(), "sqs://127.0.0.1:5124");
        assert!(!config.is_of_amazon());
        let vpc = "sqs://eu-west-1?endpoint=https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com";
        assert!(SqsConfig::from_url(vpc).unwrap().is_of_amazon());
        assert!(SqsConfig::from_url("sqs://").unwrap() == SqsConfig::default());
    }

    #[test]
    fn the_secret_is_never_shown() {
        let config = SqsConfig::from_url("sqs://KEY:hidden@localhost:1").unwrap();
        let shown = format!("{config:?} {}", config.shown_url());
        assert!(
            !shown.contains("hidden") && !shown.contains("KEY"),
            "{shown}"
        );
        for wrong in [
            "sqs://k:hidden@h/x",
            "sqs://k:hidden@h?wrong=1",
            "http://k:hidden@h",
            "sqs://h?endpoint=http://k:hidden@h",
        ] {
            let error = SqsConfig::from_url(wrong).unwrap_err().to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn mistakes_are_named_with_what_would_be_right() {
        for (url, word) in [
            ("redis://x", "sqs://eu-west-1"),
            ("sqs://eu-west-1/mail", "namespace"),
            ("sqs://eu-west-1?wait=1", "known are region"),
            ("sqs://eu-west-1?kind=big", "standard or fifo"),
            ("sqs://eu-west-1?timeout_ms=5s", "whole number"),
            ("sqs://KEY@localhost", "needs its secret"),
            ("sqs://eu-west-1?endpoint=here", "http://127.0.0.1"),
        ] {
            let error = SqsConfig::from_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
        let check = |change: fn(&mut SqsConfig)| {
            let mut config = SqsConfig::default();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(check(|c| c.namespace = "a:b".to_owned()).contains("letters"));
        assert!(check(|c| c.handover = Duration::ZERO).contains("handover_s"));
        assert!(check(|c| c.max_bytes = 1).contains("max_bytes"));
    }
}
