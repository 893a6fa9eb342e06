//! The proxy: its listener, and the handle that commands its faults.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Env, Spawned};

use super::control::{Control, Counts, State};
use super::link::Link;
use super::pattern::Pattern;
use super::toxic::{Direction, Flip, Toxic};

/// How long to wait when the system cannot give another connection, say for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// A TCP proxy in front of one server, on a port of its own on the loopback address.
///
/// It passes everything on until it is told otherwise. Every fault can be set and changed while connections are
/// open; it holds for them and, unless its documentation says otherwise, for those that come later. A fault
/// that hits *once* is used up by the connection that it hits first. Dropping the proxy closes its connections
/// and its port.
///
/// Bytes that the proxy took from a sender and has not passed on yet suffer the faults of the moment at which
/// they leave.
pub struct Proxy {
    control: Arc<Control>,
    address: SocketAddr,
    accepting: Spawned,
}

impl Proxy {
    /// Starts a proxy in front of this server, which need not run yet.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub fn start(env: &Arc<dyn Env>, server: SocketAddr) -> io::Result<Self> {
        let control = Arc::new(Control::new(Arc::clone(env), server)?);
        control.open()?;
        let accepting = accept(Arc::clone(&control));
        // Isolated, so that a check that blocks its thread does not stop the network.
        Ok(Self {
            address: control.address()?,
            accepting: env.spawn_isolated("proxy", Box::pin(accepting)),
            control,
        })
    }

    /// Where clients connect instead of to the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.control.state().counts
    }

    /// Resets the connections that it has accepted, on both sides. New ones are welcome.
    ///
    /// What the client sends after this call does not reach the server any more.
    pub fn cut(&self) {
        self.control.change(|state| state.cuts += 1);
    }

    /// Bytes that go this way disappear, and so does the end of a connection; sockets stay open. The sender
    /// notices nothing. An end that was held back is told after [`heal`](Self::heal).
    pub fn blackhole(&self, direction: Direction) {
        self.toxic(direction, |toxic| toxic.swallows = true);
    }

    /// The peer vanished, as when its machine loses power: a black hole both ways. The client learns nothing
    /// even when the server dies or closes the connection. New connections seem to succeed.
    pub fn half_open(&self) {
        self.control.change(|state| {
            state.to_server.swallows = true;
            state.to_client.swallows = true;
        });
    }

    /// The connections that are open now are half open from here on, as when something between the two has
    /// forgotten them: what either side sends disappears, and neither learns that the other has gone. New
    /// connections work. This outlasts [`heal`](Self::heal), for bytes that were swallowed would be missed; but
    /// a heal closes those that the client had left, for which the server waits in vain.
    pub fn strand(&self) {
        self.control.change(|state| state.strandings += 1);
    }

    /// Holds bytes back, each way, for `delay` and a random part of `jitter`. They stay in order.
    pub fn latency(&self, delay: Duration, jitter: Duration) {
        self.both(|toxic| {
            toxic.delay = delay;
            toxic.jitter = jitter;
        });
    }

    /// Lets so many bytes pass in a second, on each connection and each way. At least one.
    pub fn bandwidth(&self, bytes_per_second: u64) {
        self.both(|toxic| toxic.bandwidth = Some(bytes_per_second.max(1)));
    }

    /// Lets so many more bytes pass this way, over all connections, and resets the connection that carried the
    /// last of them, at once. With none, the connection that would carry the next. Hits once.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.toxic(direction, |toxic| toxic.cut_after = Some(bytes));
    }

    /// The next request on any connection gets through, and its reply is lost:
    /// [`drop_reply_after`](Self::drop_reply_after) for any bytes. Hits once.
    ///
    /// The greeting of a client that connects anew is a request too.
    pub fn drop_reply(&self) {
        self.drop_reply_after(&[]);
    }

    /// The first request that contains these bytes gets through, and what the server sends after it is
    /// swallowed: at its first byte the client gets a reset. The server can read to the end of all that the
    /// client sent. Hits once.
    ///
    /// Anything that the server sends counts, a heartbeat too. Where it sends nothing, nothing happens.
    pub fn drop_reply_after(&self, pattern: &[u8]) {
        self.control.change(|state| {
            state.losses += 1;
            state.losing = Some(Pattern {
                number: state.losses,
                bytes: pattern.to_vec(),
            });
        });
    }

    /// New connections are refused by the system from when this returns; those that exist stay. Those that
    /// the proxy has not accepted yet are reset.
    pub fn refuse_new(&self) {
        self.control.shut();
    }

    /// Takes new connections again.
    ///
    /// # Errors
    ///
    /// When the port cannot be opened again.
    pub fn accept_new(&self) -> io::Result<()> {
        self.control.open()
    }

    /// Flips one bit somewhere in the next so many bytes that go this way, over all connections. Hits once.
    pub fn corrupt(&self, direction: Direction, bytes: u64) {
        let env = &self.control.env;
        let (place, bit) = (env.random(), env.random() % 8);
        let flip = Flip {
            after: place % bytes.max(1),
            mask: 1 << bit,
        };
        self.toxic(direction, |toxic| toxic.flip = Some(flip));
    }

    /// Sends the next bytes that go this way twice: those that were read at once. Hits once.
    pub fn duplicate(&self, direction: Direction) {
        self.toxic(direction, |toxic| toxic.repeats = true);
    }

    /// Sends each byte that goes this way as a segment of its own.
    pub fn slice(&self, direction: Direction) {
        self.toxic(direction, |toxic| toxic.slices = true);
    }

    /// Everything is as at the start: no faults, none waiting for its moment, and new connections are taken.
    /// Bytes that were swallowed stay swallowed.
    ///
    /// # Errors
    ///
    /// When the port cannot be opened again.
    pub fn heal(&self) -> io::Result<()> {
        self.control.change(|state| {
            state.to_server = Toxic::default();
            state.to_client = Toxic::default();
            state.losing = None;
            state.heals += 1;
        });
        self.control.open()
    }

    fn toxic(&self, direction: Direction, change: impl FnOnce(&mut Toxic)) {
        self.control
            .change(|state: &mut State| change(state.toxic(direction)));
    }

    fn both(&self, change: impl Fn(&mut Toxic)) {
        self.control.change(|state| {
            change(&mut state.to_server);
            change(&mut state.to_client);
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.control.shut();
        self.control.change(|state| state.ended = true);
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Proxy");
        shown.field("address", &self.address);
        shown.field("server", &self.control.server);
        shown.finish_non_exhaustive()
    }
}

async fn accept(control: Arc<Control>) {
    loop {
        match control.accepted().await {
            Ok((client, birth)) => {
                let link = Link::new(Arc::clone(&control), birth);
                let env = &control.env;
                env.spawn_isolated("proxy link", Box::pin(link.run(client)));
            }
            Err(_) => control.env.sleep(PAUSE).await,
        }
    }
}
