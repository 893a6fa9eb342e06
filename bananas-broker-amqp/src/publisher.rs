//! Publishes in rounds: all that waits is sent at once, and each message has its answer when all of its round have
//! one. A few rounds are under way at a time, so that the server need not wait for us between them.
//!
//! A message that no queue takes comes back before it is confirmed, but the client library hands it to whichever
//! confirmation comes next. So each message bears a number, and a round is judged as a whole, after all rounds
//! before it. Then all that came back of it is known: messages come back in the order in which they were sent, each
//! confirmation takes at most one of them, and each that came back has a confirmation of its own.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use bananas_core::{QueueName, Spawned, Tick};
use futures::StreamExt;
use futures::future::{BoxFuture, MaybeDone, maybe_done};
use futures::stream::FuturesOrdered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, PublisherConfirm};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::connection::{Link, Live};
use crate::envelope::{self, Envelope};
use crate::error::Error;
use crate::names::Route;
use crate::server::BATCH;

/// About how many bytes one round has at most.
const ROUND_BYTES: usize = 8 * 1024 * 1024;

/// How many rounds are under way at once.
const ROUNDS: usize = 4;

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
    task: tokio::sync::Mutex<Option<Spawned>>,
}

/// The task's side.
struct Rounds {
    link: Arc<Link>,
    waiting: mpsc::UnboundedReceiver<Waiting>,
    is_closed: Arc<AtomicBool>,
    wake: Arc<Notify>,
    channel: Option<Open>,
    under_way: FuturesOrdered<BoxFuture<'static, Confirmed>>,
    /// When a round was answered last: what waits behind others is late only if these get no answers.
    progress: Tick,
}

/// A channel to publish on.
#[derive(Clone)]
struct Open {
    live: Live,
    channel: Channel,
    /// How many messages were sent over it.
    sent: u64,
    /// The numbers of those that came back and were not judged yet.
    returned: Arc<Mutex<HashSet<u64>>>,
}

/// A round with all of its confirmations.
struct Confirmed {
    open: Open,
    round: Vec<Waiting>,
    confirmations: Vec<Result<Confirmation, Error>>,
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
            under_way: FuturesOrdered::new(),
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
            task: tokio::sync::Mutex::new(Some(task)),
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
            // In this order: a round is sent when it is first looked at, and so before there is another.
            tokio::select! {
                biased;
                () = self.wake.notified() => break,
                Some(confirmed) = self.under_way.next() => self.judge(confirmed),
                first = self.waiting.recv(), if self.under_way.len() < ROUNDS => {
                    let Some(first) = first else {
                        break;
                    };
                    let round = self.gather(first);
                    if self.is_closed.load(Ordering::Acquire) {
                        refuse(round, &Error::Closed { sent: false });
                        break;
                    }
                    self.round(round).await;
                }
            }
        }
        self.waiting.close();
        while let Ok(waiting) = self.waiting.try_recv() {
            refuse(vec![waiting], &Error::Closed { sent: false });
        }
        while let Some(confirmed) = self.under_way.next().await {
            self.judge(confirmed);
        }
    }

    /// All that waits, as far as it fits into a round.
    fn gather(&mut self, first: Waiting) -> Vec<Waiting> {
        let mut bytes = first.letter.envelope.body.len();
        let mut round = vec![first];
        while round.len() < BATCH && bytes < ROUND_BYTES {
            let Ok(next) = self.waiting.try_recv() else {
                break;
            };
            bytes += next.letter.envelope.body.len();
            round.push(next);
        }
        round
    }

    /// Puts a round on its way.
    async fn round(&mut self, round: Vec<Waiting>) {
        let now = self.link.env.monotonic();
        let end = |it: &Waiting| it.since.max(self.progress) + self.link.timeout();
        let (late, round): (Vec<_>, Vec<_>) = round.into_iter().partition(|it| end(it) <= now);
        refuse(late, &self.late());
        let Some(deadline) = round.iter().map(end).min() else {
            return;
        };
        let first = match self.open(deadline, round.len()).await {
            Ok(open) if open.live.is_blocked() => {
                return refuse(round, &Error::Blocked(self.link.url().to_owned()));
            }
            Ok(open) => open,
            Err(e) => return refuse(round, &e),
        };
        let link = Arc::clone(&self.link);
        self.under_way.push_back(Box::pin(send(link, first, round)));
    }

    /// Answers a round.
    fn judge(&mut self, confirmed: Confirmed) {
        let Confirmed {
            open,
            round,
            confirmations,
        } = confirmed;
        let mut returned = open.returned();
        let (answers, is_whole) = judge(confirmations, &round, (open.sent, &mut returned));
        drop(returned);
        if is_whole {
            self.progress = self.link.env.monotonic();
        } else {
            // What still comes over this channel belongs to nobody.
            self.channel.take_if(|now| now.is_same(&open));
            if !open.live.is_blocked() {
                open.live.mistrust();
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

    /// A channel that is open, for so many more messages. It answers with what was sent before them.
    async fn open(&mut self, deadline: Tick, more: usize) -> Result<Open, Error> {
        let is_open = |open: &Open| open.channel.status().connected();
        if !self.channel.as_ref().is_some_and(is_open) {
            self.channel = None;
            self.channel = Some(open_anew(&self.link, deadline).await?);
        }
        let Some(open) = &mut self.channel else {
            return Err(Error::Closed { sent: false });
        };
        let before = open.clone();
        open.sent += u64::try_from(more).unwrap_or(u64::MAX);
        Ok(before)
    }
}

/// A channel with confirmations, on which nothing was sent yet.
async fn open_anew(link: &Arc<Link>, deadline: Tick) -> Result<Open, Error> {
    let live = link.live(deadline).await?;
    if live.is_blocked() {
        // It would not answer, and another connection would be no better.
        return Err(Error::Blocked(link.url().to_owned()));
    }
    let channel = link.channel(&live).await?;
    let confirmed = channel.confirm_select(ConfirmSelectOptions::default());
    if let Err(e) = link.on(&live, confirmed).await {
        return Err(Error::NotSent {
            url: link.url().to_owned(),
            why: e.to_string(),
            kind: e.kind(),
        });
    }
    Ok(Open {
        live,
        channel,
        sent: 0,
        returned: Arc::default(),
    })
}

impl Open {
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.returned, &other.returned)
    }

    fn returned(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a round and waits for its answers. When this is first polled, all of it is handed to the client library, so
/// that no round comes in between another.
async fn send(link: Arc<Link>, open: Open, round: Vec<Waiting>) -> Confirmed {
    let deadline = link.env.monotonic() + link.timeout();
    let numbered = (open.sent..).zip(&round);
    let mut answers: Vec<_> = numbered
        .map(|(number, waiting)| {
            let sent = publish(&open.channel, number, &waiting.letter);
            Box::pin(maybe_done(async { sent.await?.await }))
        })
        .collect();
    if unanswered(&mut answers).await > 0 {
        let all = async {
            for answer in &mut answers {
                answer.await;
            }
        };
        // Those that came are answers, also where others are missing.
        link.env.until(deadline, all).await.ok();
        unanswered(&mut answers).await;
    }
    let confirmations = answers.into_iter().map(|mut answer| {
        let confirmed = answer.as_mut().take_output();
        let confirmed = confirmed.ok_or_else(|| link.silence())?;
        confirmed.map_err(|e| Error::of(link.url(), &e))
    });
    let confirmations = confirmations.collect();
    Confirmed {
        open,
        round,
        confirmations,
    }
}

/// Looks at each answer once, and counts those that are not there.
async fn unanswered<F: Future>(answers: &mut [Pin<Box<MaybeDone<F>>>]) -> usize {
    poll_fn(|cx| {
        let looked = answers.iter_mut().map(|answer| answer.as_mut().poll(cx));
        Poll::Ready(looked.filter(Poll::is_pending).count())
    })
    .await
}

/// Hands a message to the client library; that happens when the future is first polled.
async fn publish(
    channel: &Channel,
    number: u64,
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

/// What the confirmations of a round say of each message, when the first one has this number, and these of its and
/// earlier ones are known to have come back.
fn judge(
    confirmations: Vec<Result<Confirmation, Error>>,
    round: &[Waiting],
    (first, returned): (u64, &mut HashSet<u64>),
) -> (Vec<Result<(), Error>>, bool) {
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
    // Its own return may be with a confirmation that did not come.
    let lost_too = lost.as_ref().filter(|_| !returned.is_empty());
    for (number, (answer, waiting)) in (first..).zip(answers.iter_mut().zip(round)) {
        match (&answer, lost_too) {
            _ if returned.remove(&number) => {
                *answer = Err(Error::NoQueue(waiting.letter.queue.clone()));
            }
            (Ok(()), Some(lost)) => *answer = Err(lost.clone()),
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
        let (answers, is_whole) = judge(confirmations, &round(2), (0, &mut HashSet::new()));
        assert_eq!(kinds(&answers), [Some(ErrorKind::Full), None]);
        assert!(is_whole, "the connection is as good as before");
    }

    #[test]
    fn a_confirmation_that_was_not_asked_for_is_none() {
        let (answers, _) = judge(
            vec![Ok(Confirmation::NotRequested)],
            &round(1),
            (0, &mut HashSet::new()),
        );
        assert_eq!(kinds(&answers), [Some(ErrorKind::Full)]);
    }

    #[test]
    fn what_got_no_answer_leaves_the_answers_of_others() {
        let (url, why) = (String::new(), String::new());
        let lost = Error::Lost { url, why };
        let confirmations = vec![Ok(Confirmation::Ack(None)), Err(lost)];
        let (answers, is_whole) = judge(confirmations, &round(2), (0, &mut HashSet::new()));
        assert_eq!(kinds(&answers), [None, Some(ErrorKind::Unreachable)]);
        assert!(!is_whole);
    }

    #[test]
    fn what_came_back_with_a_confirmation_of_an_earlier_round_has_no_queue() {
        let mut returned = HashSet::from([4, 6]);
        let confirmations = vec![Ok(Confirmation::Ack(None)), Ok(Confirmation::Ack(None))];
        let (answers, is_whole) = judge(confirmations, &round(2), (3, &mut returned));
        assert_eq!(kinds(&answers), [None, Some(ErrorKind::NotFound)]);
        assert!(is_whole);
        assert_eq!(
            returned,
            HashSet::from([6]),
            "the round after it is to know"
        );
    }
}
