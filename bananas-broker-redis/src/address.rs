//! [`Address`]: where a server is.

use std::fmt;

/// Where a server is: a host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Its name or its IP address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Address {
    /// The port of a server that is not told another.
    pub(crate) const SERVER_PORT: u16 = 6379;

    /// The port of a sentinel that is not told another.
    pub(crate) const SENTINEL_PORT: u16 = 26379;

    /// An address.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self { host, port }
    }

    /// Reads `host:port` as a server writes it, without brackets. Without a host it is the one of `beside`.
    pub(crate) fn told(text: &str, beside: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = if host.is_empty() { &beside.host } else { host };
        Some(Self::new(host, port.parse().ok()?))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_tells_of_another_is_read() {
        let beside = Address::new("h", 1);
        let told = |text| Address::told(text, &beside);
        assert_eq!(told("10.0.0.1:7000"), Some(Address::new("10.0.0.1", 7000)));
        assert_eq!(told(":7000"), Some(Address::new("h", 7000)));
        assert_eq!(told("::1:7000").unwrap().to_string(), "[::1]:7000");
        assert_eq!((told("h"), told("h:x")), (None, None));
    }
}
