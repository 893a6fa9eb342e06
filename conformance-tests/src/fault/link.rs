//! One connection through a proxy: pumps bytes both ways, each way through its faults.
//!
//! Each way has a reader and a writer with a short queue between them, so that a delay holds bytes back without
//! making the connection slow. Faults act where bytes leave the queue.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bananas_core::Tick;
use bytes::{Bytes, BytesMut};
use futures::future::try_join;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::control::{Birth, Control};
use super::pattern::Search;
use super::toxic::{Direction, Portion, Sent};

/// The most bytes read at once, and the most segments that wait on one way: a quarter of a MiB together.
const SEGMENT: usize = 8 * 1024;
const WAITING: usize = 32;

/// How long the server may take to read to the end of a connection whose reply was lost.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What one read gave.
struct Segment {
    content: Content,
    arrived: Tick,
    /// A random number that decides on its jitter.
    luck: u64,
    /// It came after the request whose reply is to be lost.
    lost: bool,
}

enum Content {
    Bytes(Bytes),
    Closed,
    Reset,
}

/// Why a connection ends other than by itself.
enum Broken {
    /// Both sides get a reset.
    Reset,
    /// The client gets a reset; the server can read to the end of what the client sent.
    ReplyLost,
    /// The proxy is gone.
    Dropped,
}

/// The connection of one client.
pub(super) struct Link {
    control: Arc<Control>,
    /// What had happened to all connections when it was accepted.
    birth: Birth,
    /// How often everything had been healed when the client left; the greatest number while it is there.
    left: AtomicU64,
    reply_lost: AtomicBool,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.control.state().counts.open -= 1;
    }
}

impl Link {
    pub(super) fn new(control: Arc<Control>, birth: Birth) -> Self {
        Self {
            control,
            birth,
            left: AtomicU64::new(u64::MAX),
            reply_lost: AtomicBool::new(false),
        }
    }

    /// Connects to the server and lives until either side, a fault or the proxy ends it.
    pub(super) async fn run(self, mut client: TcpStream) {
        let connected = tokio::select! {
            biased;
            broken = self.broken() => Err(broken),
            connected = self.connect() => connected,
        };
        let (server, broken) = match connected {
            Ok(mut server) => {
                let broken = self.pump(&mut client, &mut server).await;
                (Some(server), broken)
            }
            Err(broken) => (None, Err(broken)),
        };
        match (server, broken) {
            (_, Ok(()) | Err(Broken::Dropped)) => {}
            (server, Err(Broken::Reset)) => {
                reset(client);
                if let Some(server) = server {
                    reset(server);
                }
            }
            (server, Err(Broken::ReplyLost)) => {
                reset(client);
                if let Some(server) = server {
                    self.let_go(server).await;
                }
            }
        }
    }

    /// A server that cannot be reached is a reset for the client, which is connected to us already.
    async fn connect(&self) -> Result<TcpStream, Broken> {
        match TcpStream::connect(self.control.server).await {
            Ok(server) => Ok(server),
            Err(_) => {
                self.can_pass(Direction::ToClient).await;
                Err(Broken::Reset)
            }
        }
    }

    async fn pump(&self, client: &mut TcpStream, server: &mut TcpStream) -> Result<(), Broken> {
        // Each write is a segment of its own, so that what is sliced arrives sliced.
        client.set_nodelay(true).ok();
        server.set_nodelay(true).ok();
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = try_join(
            self.carry(Direction::ToServer, from_client, to_server),
            self.carry(Direction::ToClient, from_server, to_client),
        );
        tokio::select! {
            biased;
            broken = self.broken() => Err(broken),
            ended = both => ended.map(drop),
        }
    }

    /// Waits for the end that the handle of the proxy can put to a connection.
    async fn broken(&self) -> Broken {
        let broken = self.control.until(|state| {
            let cut = state.is_cut(self.birth).then_some(Broken::Reset);
            if cut.is_some() {
                state.counts.faults += 1;
            }
            let given_up =
                state.is_stranded(self.birth) && state.heals > self.left.load(Ordering::Relaxed);
            cut.or_else(|| (state.ended || given_up).then_some(Broken::Dropped))
        });
        broken.await
    }

    /// Waits while this way swallows everything, the end of a connection too.
    async fn can_pass(&self, direction: Direction) {
        let passes = self
            .control
            .until(|state| (!state.swallows(direction, self.birth)).then_some(()));
        passes.await;
    }

    async fn carry(
        &self,
        direction: Direction,
        from: ReadHalf<'_>,
        to: WriteHalf<'_>,
    ) -> Result<(), Broken> {
        let (sender, waiting) = mpsc::channel(WAITING);
        let way = Way {
            link: self,
            direction,
            sent: Sent::default(),
            search: Search::default(),
            to,
        };
        let read = async {
            self.read(direction, from, sender).await;
            Ok(())
        };
        try_join(read, way.write(waiting)).await.map(drop)
    }

    async fn read(
        &self,
        direction: Direction,
        mut from: ReadHalf<'_>,
        waiting: mpsc::Sender<Segment>,
    ) {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(SEGMENT);
            let content = match from.read_buf(&mut buffer).await {
                Ok(0) => Content::Closed,
                Ok(_) => Content::Bytes(buffer.split().freeze()),
                Err(_) => Content::Reset,
            };
            let more = matches!(content, Content::Bytes(_));
            if !more && direction == Direction::ToServer {
                let heals = self.control.state().heals;
                self.left.store(heals, Ordering::Relaxed);
            }
            let segment = Segment {
                content,
                arrived: self.control.env.monotonic(),
                luck: self.control.env.random(),
                lost: self.reply_lost.load(Ordering::Relaxed),
            };
            if waiting.send(segment).await.is_err() || !more {
                return;
            }
        }
    }

    /// Lets the server read all that the client sent, the request above all: a reset could take it away again.
    async fn let_go(&self, mut server: TcpStream) {
        let read_to_end = async {
            server.shutdown().await?;
            let mut buffer = [0; 1024];
            while server.read(&mut buffer).await? > 0 {}
            io::Result::Ok(())
        };
        let ended = async {
            tokio::select! {
                _ = self.broken() => {}
                _ = read_to_end => {}
            }
        };
        self.control.env.within(LAST_WORDS, ended).await.ok();
    }
}

/// Closes with a reset instead of an orderly end.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().ok();
    drop(stream);
}

/// One direction of a link, from the queue on.
struct Way<'a> {
    link: &'a Link,
    direction: Direction,
    sent: Sent,
    search: Search,
    to: WriteHalf<'a>,
}

impl Way<'_> {
    async fn write(mut self, mut waiting: mpsc::Receiver<Segment>) -> Result<(), Broken> {
        while let Some(mut segment) = waiting.recv().await {
            if segment.lost && self.direction == Direction::ToClient {
                self.link.can_pass(self.direction).await;
                self.link.control.state().counts.faults += 1;
                return Err(Broken::ReplyLost);
            }
            match &mut segment.content {
                Content::Bytes(bytes) => {
                    let bytes = std::mem::take(bytes);
                    self.pass(&segment, bytes).await?;
                }
                Content::Closed => {
                    self.turn(&segment).await;
                    self.link.can_pass(self.direction).await;
                    self.to.shutdown().await.ok();
                }
                Content::Reset => {
                    self.turn(&segment).await;
                    self.link.can_pass(self.direction).await;
                    return Err(Broken::Reset);
                }
            }
        }
        Ok(())
    }

    async fn pass(&mut self, segment: &Segment, mut bytes: Bytes) -> Result<(), Broken> {
        while !bytes.is_empty() {
            self.turn(segment).await;
            let (control, birth) = (&self.link.control, self.link.birth);
            match control.take(self.direction, birth, &mut bytes) {
                Portion::Swallowed => {}
                Portion::Passes(portion, times) => {
                    for _ in 0..times {
                        self.send(&portion).await?;
                    }
                }
                Portion::Last(portion) => {
                    self.send(&portion).await?;
                    return Err(Broken::Reset);
                }
            }
            // The receiver gets a chance to read, so that slices do not pile up to a whole.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Waits until the segment may go on, which every change of the faults may put off or bring near.
    async fn turn(&self, segment: &Segment) {
        let control = &self.link.control;
        let luck = (segment.arrived, segment.luck);
        let mut changed = control.watch();
        loop {
            let ready_at = control.ready_at(self.direction, luck, self.sent);
            if control.env.monotonic() >= ready_at {
                return;
            }
            tokio::select! {
                () = control.env.sleep_until(ready_at) => {}
                _ = changed.changed() => {}
            }
        }
    }

    async fn send(&mut self, bytes: &Bytes) -> Result<(), Broken> {
        let control = &self.link.control;
        if self.direction == Direction::ToServer && control.loses_reply(&mut self.search, bytes) {
            self.link.reply_lost.store(true, Ordering::Relaxed);
        }
        if self.to.write_all(bytes).await.is_err() {
            // The receiver is gone, and word of it comes back the other way.
            self.link.can_pass(self.direction.opposite()).await;
            return Err(Broken::Reset);
        }
        control.carried(self.direction, bytes.len());
        self.sent = Sent {
            at: control.env.monotonic(),
            bytes: bytes.len() as u64,
        };
        Ok(())
    }
}
