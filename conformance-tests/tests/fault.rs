//! What a client sees of each fault of a proxy, with real sockets and a server that echoes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bananas_core::{Env, Spawned, TokioEnv};
use conformance_tests::fault::{Counts, Direction, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use Direction::{ToClient, ToServer};

/// Long enough for a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long to look for what must not happen.
const GLIMPSE: Duration = Duration::from_millis(100);

/// A server that sends back what it gets, and remembers it.
struct Echo {
    env: Arc<dyn Env>,
    address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
    closing: watch::Sender<bool>,
    accepting: Spawned,
}

impl Echo {
    async fn start(env: &Arc<dyn Env>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (received, closing) = (Arc::default(), watch::Sender::new(false));
        let (bytes, closed, tasks) = (Arc::clone(&received), closing.clone(), Arc::clone(env));
        let accept = async move {
            loop {
                let stream = listener.accept().await.unwrap().0;
                let mut closed = closed.subscribe();
                let bytes = Arc::clone(&bytes);
                let serve = async move {
                    tokio::select! {
                        _ = closed.wait_for(|closed| *closed) => {}
                        _ = echo(stream, &bytes) => {}
                    }
                };
                tasks.spawn("echo", Box::pin(serve));
            }
        };
        Self {
            env: Arc::clone(env),
            address,
            received,
            closing,
            accepting: env.spawn("accept", Box::pin(accept)),
        }
    }

    async fn received(&self, expected: &[u8]) {
        let received = || self.received.lock().unwrap().clone();
        eventually(&self.env, || received() == expected).await;
    }

    /// Closes its connections, in order.
    fn hang_up(&self) {
        self.closing.send_replace(true);
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn echo(mut stream: TcpStream, received: &Mutex<Vec<u8>>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let size = stream.read(&mut buffer).await?;
        if size == 0 {
            return Ok(());
        }
        received.lock().unwrap().extend(&buffer[..size]);
        stream.write_all(&buffer[..size]).await?;
    }
}

async fn eventually(env: &Arc<dyn Env>, mut holds: impl FnMut() -> bool) {
    let held = async {
        while !holds() {
            env.sleep(Duration::from_millis(2)).await;
        }
    };
    env.within(DEADLINE, held).await.unwrap();
}

struct Stage {
    env: Arc<dyn Env>,
    server: Echo,
    proxy: Proxy,
}

impl Stage {
    async fn set() -> Self {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let server = Echo::start(&env).await;
        let proxy = Proxy::start(&env, server.address).unwrap();
        Self { env, server, proxy }
    }

    /// A client whose connection the server has answered on.
    async fn client(&self) -> Client {
        let stream = TcpStream::connect(self.proxy.address()).await.unwrap();
        let env = Arc::clone(&self.env);
        let mut client = Client { env, stream };
        client.send(b"hello").await;
        assert_eq!(client.receive(5).await.unwrap(), b"hello");
        self.server.received.lock().unwrap().clear();
        client
    }

    async fn counts(&self, hold: fn(Counts) -> bool) {
        eventually(&self.env, || hold(self.proxy.counts())).await;
    }
}

struct Client {
    env: Arc<dyn Env>,
    stream: TcpStream,
}

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn receive(&mut self, size: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; size];
        let read = self.stream.read_exact(&mut bytes);
        let read = self.env.within(DEADLINE, read).await.unwrap();
        read.map(|_| bytes)
    }

    async fn is_reset(&mut self) {
        let error = self.receive(1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    /// Neither bytes nor the end of the connection come.
    async fn hears_nothing(&mut self) {
        let mut byte = [0];
        let read = self.stream.read(&mut byte);
        assert!(self.env.within(GLIMPSE, read).await.is_err());
    }
}

#[tokio::test]
async fn a_healthy_proxy_passes_everything_and_counts_it() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    let much: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (mut from, mut to) = client.stream.split();
    let mut back = vec![0; much.len()];
    let (sent, read) = tokio::join!(to.write_all(&much), from.read_exact(&mut back));
    assert!(sent.is_ok() && read.is_ok() && back == much);
    stage.counts(|counts| counts.to_client == 300_005).await;
    let expected = Counts {
        accepted: 1,
        open: 1,
        to_server: 300_005,
        to_client: 300_005,
        faults: 0,
    };
    assert_eq!(stage.proxy.counts(), expected);
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.stream.read(&mut [0]).await.unwrap(), 0);
    stage.counts(|counts| counts.open == 0).await;
}

#[tokio::test]
async fn a_cut_resets_the_connections_of_now_and_not_those_of_later() {
    let stage = Stage::set().await;
    let (mut one, mut two) = (stage.client().await, stage.client().await);
    stage.proxy.cut();
    // A write that comes after the reset reports it, and no read does then.
    match one.stream.write_all(b"too late").await {
        Ok(()) => one.is_reset().await,
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    two.is_reset().await;
    stage.counts(|counts| counts.open == 0).await;
    assert_eq!(stage.proxy.counts().faults, 2);
    assert!(stage.server.received.lock().unwrap().is_empty());
    stage.client().await;
}

#[tokio::test]
async fn a_black_hole_for_replies_lets_requests_through_and_leaves_the_socket_open() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    stage.proxy.blackhole(ToClient);
    client.send(b"request").await;
    stage.server.received(b"request").await;
    stage.counts(|counts| counts.faults == 1).await;
    client.hears_nothing().await;
    stage.proxy.heal().unwrap();
    client.send(b"again").await;
    assert_eq!(client.receive(5).await.unwrap(), b"again");
}

#[tokio::test]
async fn a_black_hole_for_requests_swallows_them_and_passes_what_the_server_says() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    stage.proxy.blackhole(ToServer);
    client.send(b"request").await;
    stage.counts(|counts| counts.faults == 1).await;
    client.hears_nothing().await;
    assert!(stage.server.received.lock().unwrap().is_empty());
    stage.server.hang_up();
    assert_eq!(client.stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_black_hole_for_replies_hides_that_the_server_died_from_a_client_that_goes_on_sending() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    stage.proxy.blackhole(ToClient);
    stage.server.hang_up();
    for _ in 0..10 {
        client.send(b"is anyone there?").await;
        client.hears_nothing().await;
    }
    stage.proxy.heal().unwrap();
    assert!(!matches!(client.stream.read(&mut [0]).await, Ok(1..)));
}

#[tokio::test]
async fn a_peer_that_vanished_is_silent_even_when_the_server_closes_the_connection() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    stage.proxy.half_open();
    client.send(b"request").await;
    stage.counts(|counts| counts.faults == 1).await;
    stage.server.hang_up();
    client.hears_nothing().await;
    client.send(b"the socket is open still").await;
    assert!(stage.server.received.lock().unwrap().is_empty());

    let mut late = TcpStream::connect(stage.proxy.address()).await.unwrap();
    late.write_all(b"anyone?").await.unwrap();
    stage.counts(|counts| counts.faults == 3).await;

    stage.proxy.heal().unwrap();
    assert_eq!(client.stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_stranded_connection_stays_silent_both_ways_and_those_of_later_work() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    stage.proxy.strand();
    client.send(b"request").await;
    stage.counts(|counts| counts.faults == 1).await;
    let mut late = stage.client().await;
    stage.proxy.heal().unwrap();
    stage.server.hang_up();
    client.hears_nothing().await;
    client.send(b"the socket is open still").await;
    assert!(stage.server.received.lock().unwrap().is_empty());
    assert_eq!(late.stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn the_server_waits_for_a_stranded_client_that_has_left_until_the_proxy_is_healed() {
    let stage = Stage::set().await;
    let (stays, leaves) = (stage.client().await, stage.client().await);
    stage.proxy.strand();
    drop(leaves);
    stage.env.sleep(GLIMPSE).await;
    assert_eq!(stage.proxy.counts().open, 2);
    stage.proxy.heal().unwrap();
    stage.counts(|counts| counts.open == 1).await;
    drop(stays);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_resets_the_client() {
    let stage = Stage::set().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let proxy = Proxy::start(&stage.env, address).unwrap();
    // The reset may come before the client has noticed that it is connected.
    let read = async {
        let mut stream = TcpStream::connect(proxy.address()).await?;
        stream.read(&mut [0]).await
    };
    let error = stage.env.within(DEADLINE, read).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn latency_holds_back_each_way_and_ends_when_it_is_healed() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    stage
        .proxy
        .latency(Duration::from_millis(60), Duration::from_millis(20));
    let start = stage.env.monotonic();
    client.send(b"slow").await;
    assert_eq!(client.receive(4).await.unwrap(), b"slow");
    let spent = stage.env.monotonic().since(start);
    assert!(spent >= Duration::from_millis(120), "{spent:?}");

    stage.proxy.latency(Duration::from_hours(1), Duration::ZERO);
    client.send(b"never").await;
    client.hears_nothing().await;
    stage.proxy.heal().unwrap();
    assert_eq!(client.receive(5).await.unwrap(), b"never");
}

#[tokio::test]
async fn bandwidth_spreads_bytes_over_time() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    stage.proxy.bandwidth(10_000);
    let start = stage.env.monotonic();
    client.send(&[7; 4_000]).await;
    assert_eq!(client.receive(4_000).await.unwrap(), [7; 4_000]);
    let spent = stage.env.monotonic().since(start);
    // All but the last portion, of a twentieth of a second, has been waited for.
    assert!(spent >= Duration::from_millis(340), "{spent:?}");
    stage.proxy.bandwidth(1);
    client.send(&[7; 4_000]).await;
    stage.proxy.heal().unwrap();
    assert_eq!(client.receive(4_000).await.unwrap(), [7; 4_000]);
}

#[tokio::test]
async fn a_cut_after_so_many_bytes_lets_exactly_those_through_and_hits_once() {
    let stage = Stage::set().await;
    let (mut client, mut other) = (stage.client().await, stage.client().await);
    stage.proxy.cut_after(ToServer, 6);
    client.send(b"four").await;
    assert_eq!(client.receive(4).await.unwrap(), b"four");
    client.send(b"four").await;
    client.is_reset().await;
    stage.server.received(b"fourfo").await;
    other.send(b"unharmed").await;
    assert_eq!(other.receive(8).await.unwrap(), b"unharmed");
    assert_eq!(stage.proxy.counts().faults, 1);
}

#[tokio::test]
async fn a_cut_after_no_bytes_waits_for_the_next_and_does_not_pass_it() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    stage.proxy.cut_after(ToClient, 0);
    client.send(b"request").await;
    client.is_reset().await;
    stage.server.received(b"request").await;
}

#[tokio::test]
async fn a_request_whose_reply_is_dropped_reaches_the_server_and_its_client_is_reset() {
    let stage = Stage::set().await;
    let (mut client, mut other) = (stage.client().await, stage.client().await);
    stage.proxy.drop_reply();
    client.send(b"request").await;
    client.is_reset().await;
    stage.server.received(b"request").await;
    other.send(b"unharmed").await;
    assert_eq!(other.receive(8).await.unwrap(), b"unharmed");
    stage.counts(|counts| counts.open == 1).await;
    assert_eq!(stage.proxy.counts().faults, 1);
}

#[tokio::test]
async fn only_the_request_with_the_pattern_loses_its_reply_even_when_it_comes_in_pieces() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    stage.proxy.drop_reply_after(b"*ACK*");
    client.send(b"GET AC").await;
    assert_eq!(client.receive(6).await.unwrap(), b"GET AC");
    // The server answers a part of the request at once; the next part must be on its way only after that.
    client.send(b"*AC").await;
    assert_eq!(client.receive(3).await.unwrap(), b"*AC");
    client.send(b"K*").await;
    client.is_reset().await;
    stage.server.received(b"GET AC*ACK*").await;
}

#[tokio::test]
async fn new_connections_are_refused_while_those_that_exist_stay() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    stage.proxy.refuse_new();
    let refused = TcpStream::connect(stage.proxy.address()).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    client.send(b"still here").await;
    assert_eq!(client.receive(10).await.unwrap(), b"still here");
    stage.proxy.accept_new().unwrap();
    stage.client().await;
    stage.proxy.refuse_new();
    stage.proxy.heal().unwrap();
    stage.client().await;
}

#[tokio::test]
async fn one_bit_arrives_wrong_and_the_next_are_right() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    stage.proxy.corrupt(ToServer, 8);
    client.send(&[0; 3]).await;
    let mut arrived = client.receive(3).await.unwrap();
    client.send(&[0; 20]).await;
    arrived.extend(client.receive(20).await.unwrap());
    let wrong = |bytes: &[u8]| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
    assert_eq!((wrong(&arrived[..8]), wrong(&arrived[8..])), (1, 0));
    assert_eq!(stage.proxy.counts().faults, 1);
}

#[tokio::test]
async fn a_segment_is_duplicated_once() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    stage.proxy.duplicate(ToServer);
    client.send(b"twice").await;
    assert_eq!(client.receive(10).await.unwrap(), b"twicetwice");
    client.send(b"once").await;
    assert_eq!(client.receive(4).await.unwrap(), b"once");
    client.send(b"end").await;
    assert_eq!(client.receive(3).await.unwrap(), b"end");
    assert_eq!(stage.proxy.counts().faults, 1);
}

#[tokio::test]
async fn slices_arrive_complete_and_in_order() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    stage.proxy.slice(ToServer);
    stage.proxy.slice(ToClient);
    let bytes: Vec<u8> = (0..=255).collect();
    client.send(&bytes).await;
    assert_eq!(client.receive(256).await.unwrap(), bytes);
    stage.server.received(&bytes).await;
}

#[tokio::test]
async fn a_proxy_that_is_dropped_closes_its_connections_and_its_port() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    let address = stage.proxy.address();
    drop(stage.proxy);
    let mut byte = [0];
    let read = client.stream.read(&mut byte);
    let read = stage.env.within(DEADLINE, read).await.unwrap();
    assert!(!matches!(read, Ok(1..)));
    assert!(TcpStream::connect(address).await.is_err());
}
