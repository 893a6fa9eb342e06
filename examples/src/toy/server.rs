//! The server: one process, one log, any number of connections.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bananas_core::Env;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::board::{Board, Event, Now};
use super::connection::Connection;
use super::line;
use super::log::Log;
use super::protocol::{Answer, Hello, Reply};

/// How many answers of one connection may wait to be written; then no more requests are read from it.
const ANSWERS: usize = 1_000;

/// How long to wait before accepting again after that failed, for want of file descriptors say.
const PAUSE: Duration = Duration::from_millis(100);

/// The server, with its data in one folder. A clone is the same server.
#[derive(Clone, Debug)]
pub struct ToyServer(Arc<Server>);

#[derive(Debug)]
pub(super) struct Server {
    pub(super) env: Arc<dyn Env>,
    pub(super) log: Log,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) board: Board,
    clients: HashMap<u64, Current>,
}

/// The newest connection of a client.
#[derive(Debug)]
struct Current {
    connection: u64,
    namespace: Arc<str>,
    /// Dropping it ends the connection.
    _end: oneshot::Sender<()>,
}

impl State {
    /// A client connected, and its older connection ends. Answers with what this one's end is told by.
    fn arrive(&mut self, hello: &Hello, namespace: &Arc<str>) -> oneshot::Receiver<()> {
        let (end, ended) = oneshot::channel();
        let known = self.clients.get(&hello.client);
        if known.is_none_or(|current| current.connection < hello.connection) {
            let current = Current {
                connection: hello.connection,
                namespace: Arc::clone(namespace),
                _end: end,
            };
            self.clients.insert(hello.client, current);
        }
        ended
    }

    pub(super) fn is_newest(&self, client: u64, connection: u64) -> bool {
        let current = self.clients.get(&client);
        current.is_some_and(|current| current.connection == connection)
    }

    /// How many clients of a namespace are connected.
    pub(super) fn clients_of(&self, namespace: &str) -> usize {
        let current = self.clients.values();
        current
            .filter(|current| &*current.namespace == namespace)
            .count()
    }
}

/// An answer, and the end of the log that must be on disk before it is given.
pub(super) type Ready = (Answer, u64);

impl ToyServer {
    /// Reads the log in this folder, or begins one.
    ///
    /// # Errors
    ///
    /// When the log cannot be opened, or another server has it.
    pub fn open(folder: &Path, env: Arc<dyn Env>) -> io::Result<Self> {
        let (wall, tick) = (env.now(), env.monotonic());
        let mut board = Board::default();
        let log = Log::open(folder, |at, event| {
            let age = wall.since(at);
            board.apply(event, Now { wall, tick, age });
        })?;
        if board.birth == 0 {
            let born = Event::Born(env.random().max(1));
            log.append(wall, &born);
            let age = Duration::ZERO;
            board.apply(born, Now { wall, tick, age });
        }
        let clients = HashMap::new();
        let state = Mutex::new(State { board, clients });
        Ok(Self(Arc::new(Server { env, log, state })))
    }

    /// Serves connections for ever.
    pub async fn serve(&self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let server = Arc::clone(&self.0);
                    let connection = async move {
                        // Whatever ends a connection, the client sees its end and comes again.
                        drop(server.connection(stream).await);
                    };
                    self.0.env.spawn("connection", Box::pin(connection));
                }
                Err(_) => self.0.env.sleep(PAUSE).await,
            }
        }
    }
}

impl Server {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a connection until its end.
    async fn connection(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        line::read(&mut reader, &mut line).await?;
        let hello: Hello = line::decode(&line)?;
        let namespace: Arc<str> = Arc::from(hello.namespace.as_str());
        let mut replaced = self.state().arrive(&hello, &namespace);
        let (answers, waiting) = mpsc::channel(ANSWERS);
        let (client, connection) = (hello.client, hello.connection);
        let ours = Connection {
            server: self,
            namespace,
            client,
            connection,
        };
        drop(answers.try_send(ours.answered(0, Ok(Reply::Done))));
        let ended = tokio::select! {
            ended = ours.read(reader, answers) => ended,
            ended = self.write(writer, waiting) => ended,
            _ = &mut replaced => Ok(()),
        };
        let mut state = self.state();
        if state.is_newest(client, connection) {
            state.clients.remove(&client);
        }
        ended
    }

    /// Writes answers, as many at once as there are, when what they say is on disk.
    async fn write(
        &self,
        mut writer: OwnedWriteHalf,
        mut waiting: mpsc::Receiver<Ready>,
    ) -> io::Result<()> {
        let mut ready = Vec::new();
        while waiting.recv_many(&mut ready, ANSWERS).await > 0 {
            let end = ready.iter().map(|(_, end)| *end).max();
            self.log.synced(end.unwrap_or(0)).await;
            let lines: io::Result<Vec<_>> = ready
                .drain(..)
                .map(|(answer, _)| line::encode(&answer))
                .collect();
            writer.write_all(&lines?.concat()).await?;
        }
        Ok(())
    }
}
