//! The server: one process, one log, any number of connections.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bananas_core::Env;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::board::{Board, Event, Now};
use super::desk::Desk;
use super::error::Error;
use super::line;
use super::log::Log;
use super::protocol::{Answer, Ask, Hello, Poll, Reply, Request};

/// How many answers of one connection may wait to be written; then no more requests are read from it.
const ANSWERS: usize = 1_000;

/// How long to wait before accepting again after that failed, for want of file descriptors say.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves connections for ever.
///
/// # Errors
///
/// When the log cannot be opened.
pub async fn serve(listener: TcpListener, folder: &Path, env: Arc<dyn Env>) -> io::Result<()> {
    let server = Arc::new(Server::open(folder, env)?);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let ours = Arc::clone(&server);
                let connection = async move {
                    // Whatever ends a connection, the client sees its end and comes again.
                    drop(ours.connection(stream).await);
                };
                server.env.spawn("connection", Box::pin(connection));
            }
            Err(_) => server.env.sleep(PAUSE).await,
        }
    }
}

#[derive(Debug)]
struct Server {
    env: Arc<dyn Env>,
    log: Log,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    board: Board,
    /// The newest connection of each client. Dropping the sender ends the connection.
    newest: HashMap<u64, (u64, oneshot::Sender<()>)>,
}

impl State {
    fn arrive(&mut self, client: u64, connection: u64, current: oneshot::Sender<()>) {
        if self
            .newest
            .get(&client)
            .is_none_or(|(newest, _)| *newest < connection)
        {
            self.newest.insert(client, (connection, current));
        }
    }

    fn is_newest(&self, client: u64, connection: u64) -> bool {
        self.newest
            .get(&client)
            .is_some_and(|(newest, _)| *newest == connection)
    }
}

/// An answer, and the end of the log that must be on disk before it is given.
type Ready = (Answer, u64);

impl Server {
    fn open(folder: &Path, env: Arc<dyn Env>) -> io::Result<Self> {
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
        let newest = HashMap::new();
        let state = Mutex::new(State { board, newest });
        Ok(Self { env, log, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
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
        let (client, connection) = (hello.client, hello.connection);
        let (current, mut replaced) = oneshot::channel();
        self.state().arrive(client, connection, current);
        let (answers, waiting) = mpsc::channel(ANSWERS);
        let ours = Connection {
            server: self,
            namespace: hello.namespace.into(),
            client,
            connection,
        };
        drop(answers.try_send(ours.answered(0, Ok(Reply::Done))));
        let ended = tokio::select! {
            ended = ours.read(reader, answers) => ended,
            ended = self.write(writer, waiting) => ended,
            _ = &mut replaced => return Ok(()),
        };
        let mut state = self.state();
        if state.is_newest(client, connection) {
            state.newest.remove(&client);
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

/// One connection of one client.
#[derive(Debug)]
struct Connection<'a> {
    server: &'a Server,
    namespace: Arc<str>,
    client: u64,
    connection: u64,
}

impl Connection<'_> {
    /// Reads requests and answers them; polls are answered beside the others, when their time comes.
    async fn read(
        &self,
        mut reader: BufReader<OwnedReadHalf>,
        answers: mpsc::Sender<Ready>,
    ) -> io::Result<()> {
        let mut polls = FuturesUnordered::new();
        // The other end of each is with the poll of a consumer; dropping this one ends the poll.
        let mut waiting: HashMap<u64, oneshot::Sender<()>> = HashMap::new();
        let mut line = Vec::new();
        let mut last = 0;
        loop {
            let answer = tokio::select! {
                more = line::read(&mut reader, &mut line) => {
                    if !more? {
                        return Ok(());
                    }
                    let Ask { number, request } = line::decode(&line)?;
                    line.clear();
                    if number <= std::mem::replace(&mut last, number) {
                        // Nobody asks twice; something on the way has said it again.
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    if let Request::Poll(poll) = request {
                        let (sender, ended) = oneshot::channel();
                        waiting.insert(poll.consumer, sender);
                        polls.push(self.poll(number, poll, ended));
                        continue;
                    }
                    request.ended_poll().map(|consumer| waiting.remove(&consumer));
                    self.answer(number, request)
                }
                Some((consumer, answer)) = polls.next() => {
                    waiting.retain(|other, sender| *other != consumer || !sender.is_closed());
                    answer
                }
            };
            let Some(answer) = answer else {
                return Ok(());
            };
            if answers.send(answer).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Does something with the board, unless a newer connection of this client has taken over.
    fn with<T>(&self, act: impl FnOnce(&mut Desk<'_>) -> T) -> Option<T> {
        let env = &self.server.env;
        let mut state = self.server.state();
        if !state.is_newest(self.client, self.connection) {
            return None;
        }
        let mut desk = Desk {
            board: &mut state.board,
            log: &self.server.log,
            namespace: &self.namespace,
            now: Now {
                wall: env.now(),
                tick: env.monotonic(),
                age: Duration::ZERO,
            },
            random: env.random(),
        };
        Some(act(&mut desk))
    }

    fn answer(&self, number: u64, request: Request) -> Option<Ready> {
        let reply = self.with(|desk| desk.answer(request))?;
        Some(self.answered(number, reply))
    }

    fn answered(&self, number: u64, reply: Result<Reply, Error>) -> Ready {
        let tick = self.server.env.monotonic().as_micros();
        let answer = Answer {
            number,
            tick,
            reply,
        };
        (answer, self.server.log.end())
    }

    /// Waits for messages, until the wait is over or the poll is ended. No answer means that the connection is.
    async fn poll(
        &self,
        number: u64,
        mut poll: Poll,
        mut ended: oneshot::Receiver<()>,
    ) -> (u64, Option<Ready>) {
        let env = &self.server.env;
        let until = env.monotonic() + poll.wait;
        let reply = loop {
            let now = env.monotonic();
            let cancelled = ended.try_recv() == Err(oneshot::error::TryRecvError::Closed);
            if cancelled {
                // It takes nothing new, but its answer says all that was lost before: the next poll will not.
                poll.max = 0;
            }
            let look = |desk: &mut Desk<'_>| {
                // The bell is heard from here on, so nothing that comes after this look is missed.
                let rung = Arc::clone(&desk.queue(&poll.queue)?.bell).notified_owned();
                Ok((desk.take(&poll)?, rung, desk.next_in(&poll.queue)))
            };
            let (taken, rung, next) = match self.with(look) {
                Some(Ok(seen)) => seen,
                Some(Err(e)) => break Err(e),
                None => return (poll.consumer, None),
            };
            if !taken.is_empty() || cancelled || now >= until {
                break Ok(Reply::Delivered(taken));
            }
            let again = next.map_or(until, |next| until.min(now + next));
            tokio::select! {
                _ = &mut ended => {}
                () = rung => {}
                () = env.sleep_until(again) => {}
            }
        };
        (poll.consumer, Some(self.answered(number, reply)))
    }
}
