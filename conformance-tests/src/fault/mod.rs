//! The tools with which a check attacks a broker that is reached over a network.
//!
//! A [`Proxy`] stands between a client and a server and spoils what goes through it. A [`ServerProcess`] is a
//! server that a check has for itself, to kill it, pause it and start it again. Which servers these are, and
//! how a client is led to them, a harness says with [`Network`].

mod authority;
mod control;
mod link;
mod network;
mod pattern;
mod process_group;
mod proxy;
mod server;
mod server_spec;
mod toxic;

pub use self::authority::Authority;
pub use self::control::Counts;
pub use self::network::Network;
pub use self::proxy::Proxy;
pub use self::server::ServerProcess;
pub use self::server_spec::{Ready, ServerSpec};
pub use self::toxic::Direction;
