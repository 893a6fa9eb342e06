//! The tools with which a check attacks a broker that is reached over a network.
//!
//! A [`Proxy`] stands between a client and a server and spoils what goes through it. Which server it is, and
//! how a client is led through the proxy, a harness says with [`Network`].

mod control;
mod link;
mod network;
mod pattern;
mod proxy;
mod toxic;

pub use self::control::Counts;
pub use self::network::Network;
pub use self::proxy::Proxy;
pub use self::toxic::Direction;
