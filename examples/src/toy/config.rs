//! Where the toy server is and how patient its client is.

use std::time::Duration;

/// Where the toy server is and how patient its client is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ToyConfig {
    /// Host and port of the server.
    pub address: String,
    /// The queues of one namespace are invisible to the others. Default `toy`.
    pub namespace: String,
    /// How long an operation may take, beyond the time that it is asked to wait. Default 5 s.
    pub patience: Duration,
}

impl ToyConfig {
    /// A client of the server at this address, with the defaults for the rest.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            namespace: "toy".to_owned(),
            patience: Duration::from_secs(5),
        }
    }

    pub(super) fn url(&self) -> String {
        format!("toy://{}/{}", self.address, self.namespace)
    }
}
