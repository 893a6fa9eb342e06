//! One connection, on the server's side: requests come in, answers go out.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::io::BufReader;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot};

use super::board::Now;
use super::desk::Desk;
use super::error::Error;
use super::line;
use super::protocol::{Answer, Ask, Poll, Reply, Request};
use super::server::{Ready, Server};

/// One connection of one client.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    pub(super) server: &'a Server,
    pub(super) namespace: Arc<str>,
    pub(super) client: u64,
    pub(super) connection: u64,
}

impl Connection<'_> {
    /// Reads requests and answers them; polls are answered beside the others, when their time comes.
    pub(super) async fn read(
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
        let reply = match request {
            Request::Clients => {
                let clients = self.server.state().clients_of(&self.namespace);
                Ok(Reply::Count(clients as u64))
            }
            request => self.with(|desk| desk.answer(request))?,
        };
        Some(self.answered(number, reply))
    }

    pub(super) fn answered(&self, number: u64, reply: Result<Reply, Error>) -> Ready {
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
