//! How a harness offers the network between a broker's clients and its server to the checks.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bananas_core::{Broker, Result};

use super::ServerProcess;

/// A broker whose server is reached over TCP.
#[async_trait]
pub trait Network: Send + Sync {
    /// The server that all checks share. A check reaches it through a [`Proxy`](super::Proxy) and harms only
    /// the connections of its own.
    fn address(&self) -> SocketAddr;

    /// Opens a client of this namespace that connects to `address`: a proxy, or a private server.
    async fn open_at(&self, address: SocketAddr, namespace: &str) -> Result<Arc<dyn Broker>>;

    /// Starts a server for one check alone, with an empty folder, that keeps what it confirmed when it is
    /// killed and started again.
    async fn start_server(&self) -> Result<ServerProcess>;
}
