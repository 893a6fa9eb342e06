//! Publishes in rounds: all that waits is sent at once, and each message has its answer when all have one.
//!
//! A message that no queue takes comes back before it is confirmed, but the client library hands it to whichever
//! confirmation comes next. So each message bears its number in the round, and the round is judged as a whole.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bananas_core::{Elapsed, QueueName, Spawned, Tick};
use futures::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, PublisherConfirm};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use crate::connection::{Link, Live};
use crate::envelope::{self, Envelope};
use crate::error::Error;
use crate::names::Route;
use crate::server::BATCH;

/// About how many bytes one round has at most.
const ROUND_BYTES: usize = 8 * 1024 * 1024;

/// A message and where it goes.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) queue: QueueName,
    pub(crate) route: Route,
    pub(crate) envelope: Envelope,
}

/// What waits to be sent.
#[derive(Debug)]
struct Waiting {
    letter: Letter,
    since: Tick,
    answer: oneshot::Sender<Result<(), Error>>,
}

/// The answer to one letter, as soon as there is one.
pub(crate) type Answer = oneshot::Receiver<Result<(), Error>>;

/// Publishes over a connection of its own.
#[derive(Debug)]
pub(crate) struct Publisher {
    link: Arc<Link>,
    waiting: mpsc::UnboundedSender<Waiting>,
    is_closed: Arc<AtomicBool>,
    wake: Arc<Notify>,
    task: Mutex<Option<Spawned>>,
}

/// The task's side.
struct Rounds {
    link: Arc<Link>,
    waiting: mpsc::UnboundedReceiver<Waiting>,
    is_closed: Arc<AtomicBool>,
    wake: Arc<Notify>,
    channel: Option<(Live, Channel)>,
    /// When a round was answered last: what waits behind others is late only if these get no answers.
    progress: Tick,
}

impl Publisher {
    pub(crate) fn start(link: &Arc<Link>) -> Self {
        let (sender, waiting) = mpsc::unbounded_channel();
        let is_closed = Arc::new(AtomicBool::new(false));
        let wake = Arc::new(Notify::new());
        let rounds = Rounds {
            link: Arc::clone(link),
            waiting,
            is_closed: Arc::clone(&is_closed),
            wake: Arc::clone(&wake),
            channel: None,
            progress: Tick::default(),
        };
        let task = link
            .env
            .spawn_isolated("amqp publisher", Box::pin(rounds.run()));
        Self {
            link: Arc::clone(link),
            waiting: sender,
            is_closed,
            wake,
            task: Mutex::new(Some(task)),
        }
    }

    /// Hands letters in; they are sent in this order, also if nobody waits for the answers.
    pub(crate) fn post(&self, letters: Vec<Letter>) -> Vec<Answer> {
        let since = self.link.env.monotonic();
        let post = |letter| {
            let (answer, receiver) = oneshot::channel();
            let waiting = Waiting {
                letter,
                since,
                answer,
            };
            // A task that has ended drops it, which is an answer, too.
            self.waiting.send(waiting).ok();
            receiver
        };
        letters.into_iter().map(post).collect()
    }

    /// Refuses what was not sent yet, and waits for the answers to the rest.
    pub(crate) async fn close(&self, deadline: Tick) {
        self.is_closed.store(true, Ordering::Release);
        self.wake.notify_one();
        let mut task = self.task.lock().await;
        let Some(mut task) = task.take() else {
            return;
        };
        if self.link.env.until(deadline, task.ended()).await.is_err() {
            // What was sent fails with its connection, and then it ends.
            self.link.abandon();
        }
    }
}

/// The answer to a letter.
pub(crate) async fn answered(answer: Answer) -> Result<(), Error> {
    answer.await.unwrap_or(Err(Error::Closed { sent: false }))
}

impl Rounds {
    async fn run(mut self) {
        loop {
            let first = tokio::select! {
                biased;
                () = self.wake.notified() => break,
                first = self.waiting.recv() => first,
            };
            let Some(first) = first else {
                break;
            };
            let mut round = vec![first];
            let mut bytes = 0;
            while round.len() < BATCH && bytes < ROUND_BYTES {
                let Ok(next) = self.waiting.try_recv() else {
                    break;
                };
                bytes += next.letter.envelope.body.len();
                round.push(next);
            }
            if self.is_closed.load(Ordering::Acquire) {
                refuse(round, &Error::Closed { sent: false });
                break;
            }
            self.round(round).await;
        }
        self.waiting.close();
        while let Ok(waiting) = self.waiting.try_recv() {
            refuse(vec![waiting], &Error::Closed { sent: false });
        }
    }

    async fn round(&mut self, round: Vec<Waiting>) {
        let now = self.link.env.monotonic();
        let end = |it: &Waiting| it.since.max(self.progress) + self.link.timeout();
        let (late, round): (Vec<_>, Vec<_>) = round.into_iter().partition(|it| end(it) <= now);
        refuse(late, &self.late());
        let Some(deadline) = round.iter().map(end).min() else {
            return;
        };
        let (live, channel) = match self.channel(deadline).await {
            Ok(open) => open,
            Err(e) => return refuse(round, &e),
        };
        if live.is_blocked() {
            return refuse(round, &Error::Blocked(self.link.url().to_owned()));
        }
        let (answers, is_whole) = self.send(&channel, &round).await;
        if is_whole {
            self.progress = self.link.env.monotonic();
        } else {
            // What still comes over this channel belongs to nobody.
            self.channel = None;
            if !live.is_blocked() {
                live.mistrust();
            }
        }
        for (waiting, answer) in round.into_iter().zip(answers) {
            // Nobody may wait for it any more.
            waiting.answer.send(answer).ok();
        }
    }

    fn late(&self) -> Error {
        let trouble = self.link.trouble();
        trouble.unwrap_or_else(|| Error::NotSent {
            url: self.link.url().to_owned(),
            why: "others were before it all the time".to_owned(),
            kind: bananas_core::ErrorKind::Timeout,
        })
    }

    async fn channel(&mut self, deadline: Tick) -> Result<(Live, Channel), Error> {
        if let Some((live, channel)) = &self.channel
            && channel.status().connected()
        {
            return Ok((live.clone(), channel.clone()));
        }
        self.channel = None;
        let live = self.link.live(deadline).await?;
        let channel = self.link.channel(&live).await?;
        let confirmed = channel.confirm_select(ConfirmSelectOptions::default());
        if let Err(e) = self.link.on(&live, confirmed).await {
            return Err(Error::NotSent {
                url: self.link.url().to_owned(),
                why: e.to_string(),
                kind: e.kind(),
            });
        }
        self.channel = Some((live.clone(), channel.clone()));
        Ok((live, channel))
    }

    /// Sends a round and waits for its answers; the flag says whether all of them came.
    async fn send(&self, channel: &Channel, round: &[Waiting]) -> (Vec<Result<(), Error>>, bool) {
        let url = self.link.url();
        let deadline = self.link.env.monotonic() + self.link.timeout();
        let confirmations = round.iter().enumerate().map(|(number, waiting)| {
            let sent = publish(channel, number, &waiting.letter);
            async move {
                let confirmed = async { sent.await?.await };
                match self.link.env.until(deadline, confirmed).await {
                    Ok(confirmed) => confirmed.map_err(|e| Error::of(url, &e)),
                    Err(Elapsed) => Err(self.link.silence()),
                }
            }
        });
        judge(join_all(confirmations).await, round)
    }
}

/// Hands a message to the client library; that happens when the future is first polled.
async fn publish(
    channel: &Channel,
    number: usize,
    letter: &Letter,
) -> lapin::Result<PublisherConfirm> {
    let options = BasicPublishOptions {
        mandatory: true,
        immediate: false,
    };
    let route = &letter.route;
    channel
        .basic_publish(
            route.exchange.as_str().into(),
            route.key.as_str().into(),
            options,
            &letter.envelope.body,
            letter.envelope.numbered(number),
        )
        .await
}

/// What the confirmations of a round say of each message.
fn judge(
    confirmations: Vec<Result<Confirmation, Error>>,
    round: &[Waiting],
) -> (Vec<Result<(), Error>>, bool) {
    let mut returned = HashSet::new();
    let mut answers = Vec::with_capacity(confirmations.len());
    for confirmation in confirmations {
        let (answer, back) = match confirmation {
            Ok(Confirmation::Ack(back)) => (Ok(()), back),
            Ok(Confirmation::Nack(back)) => (Err(Error::Nacked), back),
            Ok(Confirmation::NotRequested) => (Err(Error::Nacked), None),
            Err(e) => (Err(e), None),
        };
        if let Some(back) = back {
            returned.extend(envelope::number(&back.properties));
        }
        answers.push(answer);
    }
    let lost = answers.iter().find_map(|answer| match answer {
        Err(e) if !matches!(e, Error::Nacked) => Some(e.clone()),
        _ => None,
    });
    for (number, (answer, waiting)) in answers.iter_mut().zip(round).enumerate() {
        match (&answer, &lost) {
            _ if returned.contains(&number) => {
                *answer = Err(Error::NoQueue(waiting.letter.queue.clone()));
            }
            // Its own return may be with a confirmation that did not come.
            (Ok(()), Some(lost)) if !returned.is_empty() => *answer = Err(lost.clone()),
            _ => {}
        }
    }
    (answers, lost.is_none())
}

fn refuse(round: Vec<Waiting>, why: &Error) {
    for waiting in round {
        waiting.answer.send(Err(why.clone())).ok();
    }
}

#[cfg(test)]
mod tests {
    use bananas_core::{ErrorKind, JobId, RawMessage};
    use bytes::Bytes;

    use super::*;
    use crate::config::{QueueType, Topology};
    use crate::server::Dialect;

    fn round(size: usize) -> Vec<Waiting> {
        let waiting = |_| {
            let message = RawMessage::new(JobId::from_slice(&[1; 16]).unwrap(), Bytes::new());
            let dialect = Dialect::of_oldest(QueueType::Quorum);
            let envelope = Envelope::encode(&message, Topology::Own, dialect, 1 << 17).unwrap();
            Waiting {
                letter: Letter {
                    queue: QueueName::new("mail").unwrap(),
                    route: Route {
                        exchange: String::new(),
                        key: "bananas:mail".to_owned(),
                    },
                    envelope,
                },
                since: Tick::default(),
                answer: oneshot::channel().0,
            }
        };
        (0..size).map(waiting).collect()
    }

    fn kinds(answers: &[Result<(), Error>]) -> Vec<Option<ErrorKind>> {
        let kind = |answer: &Result<(), Error>| answer.as_ref().err().map(Error::kind);
        answers.iter().map(kind).collect()
    }

    #[test]
    fn a_message_that_the_server_refuses_is_an_error_of_its_own() {
        let confirmations = vec![Ok(Confirmation::Nack(None)), Ok(Confirmation::Ack(None))];
        let (answers, is_whole) = judge(confirmations, &round(2));
        assert_eq!(kinds(&answers), [Some(ErrorKind::Full), None]);
        assert!(is_whole, "the connection is as good as before");
    }

    #[test]
    fn a_confirmation_that_was_not_asked_for_is_none() {
        let (answers, _) = judge(vec![Ok(Confirmation::NotRequested)], &round(1));
        assert_eq!(kinds(&answers), [Some(ErrorKind::Full)]);
    }

    #[test]
    fn what_got_no_answer_leaves_the_answers_of_others() {
        let (url, why) = (String::new(), String::new());
        let lost = Error::Lost { url, why };
        let confirmations = vec![Ok(Confirmation::Ack(None)), Err(lost)];
        let (answers, is_whole) = judge(confirmations, &round(2));
        assert_eq!(kinds(&answers), [None, Some(ErrorKind::Unreachable)]);
        assert!(!is_whole);
    }
}
