//! Brings deliveries to a consumer, as many as it asks for, and takes back those whose lease is over.
//!
//! The server pushes. So that nothing lies in a buffer while others wait for it, a *tap* is opened for as many
//! deliveries as a reserve would take, or a few times as many where those are many, and shut soon after the last
//! reserve; what came unasked goes back.
//! Opening one is two writes for the server, so one that is used up stays for a moment: acknowledgements on their
//! way make room in it.
//! A lease is the channel's: when its time is over, the pump gives the delivery back, and when this process
//! dies, the server does.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::Tick;
use futures::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;

use crate::connection::Link;
use crate::desk::{Arrived, Desk, Need};
use crate::envelope;
use crate::error::Error;
use crate::session::{End, Session, by_channel};

/// How long to wait after trouble before the next try.
const PAUSE: Duration = Duration::from_millis(50);

/// The most deliveries that one tap may let out; the protocol has sixteen bits for it.
const WIDEST: usize = 60_000;

/// A reserve of so many or more gets a tap for a multiple of them, so that the next ones are on their way while these are
/// being settled. Fewer are brought one by one, as it were: none of them lies in a buffer while others wait for it or
/// a more urgent one comes.
const MANY: usize = 16;

/// That multiple.
const AHEAD: usize = 4;

/// How long a tap that is used up may stay while somebody waits.
const USED_UP: Duration = Duration::from_millis(2);

/// Brings deliveries to one consumer.
pub(crate) struct Pump {
    desk: Arc<Desk>,
    link: Arc<Link>,
    /// The queue, as the server calls it.
    queue: String,
    session: Option<Arc<Session>>,
    tap: Option<Tap>,
}

/// An open consumer on the server.
struct Tap {
    deliveries: lapin::Consumer,
    /// How many of its deliveries may be out at once.
    width: usize,
    /// Since when it lets too little through for somebody who waits.
    used_up: Option<Tick>,
}

/// What woke the pump.
enum Woken {
    Delivered(Box<Delivery>),
    TapEnded,
    Other,
}

impl Pump {
    pub(crate) fn new(desk: Arc<Desk>, link: Arc<Link>, queue: String) -> Self {
        Self {
            desk,
            link,
            queue,
            session: None,
            tap: None,
        }
    }

    /// Runs until the consumer has stopped and nothing that it handed out is held any more.
    pub(crate) async fn run(mut self) {
        while self.step().await {}
        if let Some(session) = self.session.take() {
            let closing = session
                .channel
                .close(200, "the consumer has stopped".into());
            self.link.on(&session.live, closing).await.ok();
        }
    }

    /// One round; `false` when all is done.
    async fn step(&mut self) -> bool {
        let now = self.desk.env.monotonic();
        self.take_back_lapsed(now).await;
        let mut wake = self.desk.next_end();
        match self.desk.need(now) {
            Need::Take(more) => match self.open(more, now).await {
                Ok(again) => {
                    self.desk.has_trouble(None);
                    wake = [wake, again].into_iter().flatten().min();
                }
                Err(e) => {
                    let again = self.desk.env.monotonic() + PAUSE;
                    self.desk.has_trouble(Some(e));
                    wake = Some(wake.map_or(again, |tick| tick.min(again)));
                }
            },
            Need::Wait(until) => {
                wake = [wake, until].into_iter().flatten().min();
            }
            Need::Rest => self.rest().await,
            Need::Stop { is_held } => {
                self.rest().await;
                self.desk.has_given_back();
                if !is_held || !self.is_alive() {
                    return false;
                }
            }
        }
        match self.wait(wake).await {
            Woken::Delivered(first) => self.deliver(*first).await,
            Woken::TapEnded => self.tap_ended().await,
            Woken::Other => {}
        }
        true
    }

    async fn wait(&mut self, wake: Option<Tick>) -> Woken {
        let env = Arc::clone(&self.desk.env);
        let timer = async {
            match wake {
                Some(tick) => env.sleep_until(tick).await,
                None => std::future::pending().await,
            }
        };
        let delivery = async {
            match &mut self.tap {
                Some(tap) => tap.deliveries.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            delivery = delivery => match delivery {
                Some(Ok(delivery)) => Woken::Delivered(Box::new(delivery)),
                Some(Err(_)) | None => Woken::TapEnded,
            },
            () = self.desk.pump.notified() => Woken::Other,
            () = timer => Woken::Other,
        }
    }

    fn is_alive(&self) -> bool {
        self.session.as_ref().is_some_and(|it| it.is_alive())
    }

    /// Takes a delivery in, and what came with it.
    async fn deliver(&mut self, first: Delivery) {
        let mut next = Some(first);
        while let Some(delivery) = next {
            self.take_in(delivery).await;
            let tap = self.tap.as_mut();
            let more = tap.and_then(|tap| tap.deliveries.next().now_or_never());
            next = match more {
                Some(Some(Ok(delivery))) => Some(delivery),
                Some(Some(Err(_)) | None) => {
                    self.tap_ended().await;
                    None
                }
                None => None,
            };
        }
        self.desk.taker.notify_one();
    }

    async fn take_in(&self, delivery: Delivery) {
        let Some(session) = &self.session else {
            return;
        };
        let tag = delivery.delivery_tag;
        let missed = session.arrived(tag).await;
        if !missed.is_empty() {
            // What the client library kept to itself is nobody's.
            let missed: Vec<_> = missed.iter().map(|tag| (*tag, End::GivenBack)).collect();
            session.send(&missed).await.ok();
        }
        self.desk.arrived(Arrived {
            session: Arc::clone(session),
            tag,
            message: envelope::decode(&delivery.properties, delivery.data),
            at: self.desk.env.monotonic(),
        });
    }

    /// Lets so many more deliveries come, on a channel that is alive. Answers when to look at it again.
    async fn open(&mut self, more: usize, now: Tick) -> Result<Option<Tick>, Error> {
        let session = self.session().await?;
        let Some(tap) = &mut self.tap else {
            return self.tap(&session, self.width(more)).await.map(|()| None);
        };
        let still = tap.width.saturating_sub(session.out_of_tap().await);
        // A tap that lets a little less through than is wanted is not worth another one.
        if still > 0 && more < still * 2 {
            tap.used_up = None;
            return Ok(None);
        }
        let end = *tap.used_up.get_or_insert(now) + USED_UP;
        if now < end && more <= tap.width {
            return Ok(Some(end));
        }
        self.shut().await?;
        // What came meanwhile may be enough.
        if let Need::Take(more) = self.desk.need(self.desk.env.monotonic()) {
            self.tap(&session, self.width(more)).await?;
        }
        Ok(None)
    }

    /// How many deliveries a tap lets out for a reserve of so many.
    fn width(&self, more: usize) -> usize {
        if more < MANY {
            return more;
        }
        (more * AHEAD).min(self.desk.room()).max(more)
    }

    async fn tap(&mut self, session: &Arc<Session>, width: usize) -> Result<(), Error> {
        let width = width.min(WIDEST);
        session.next_tap().await;
        let prefetch = u16::try_from(width).unwrap_or(u16::MAX);
        let of_consumer = BasicQosOptions { global: false };
        let qos = session.channel.basic_qos(prefetch, of_consumer);
        let consume = session.channel.basic_consume(
            self.queue.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let opened = async {
            let (limited, consumer) = futures::join!(qos, consume);
            limited?;
            consumer
        };
        match self.link.on(&session.live, opened).await {
            Ok(deliveries) => {
                self.tap = Some(Tap {
                    deliveries,
                    width,
                    used_up: None,
                });
                self.desk.is_tapped(Some(self.desk.env.monotonic()));
                Ok(())
            }
            Err(e) => {
                // It may have been opened all the same.
                self.drop_session();
                Err(self.named(e))
            }
        }
    }

    fn named(&self, error: Error) -> Error {
        if error.is_not_found() {
            return Error::NoQueue(self.desk.queue().clone());
        }
        error
    }

    /// The channel, made anew if it has ended. What came over an earlier one is lost to us.
    async fn session(&mut self) -> Result<Arc<Session>, Error> {
        if let Some(session) = self.session.as_ref().filter(|it| it.is_alive()) {
            return Ok(Arc::clone(session));
        }
        self.drop_session();
        let deadline = self.desk.env.monotonic() + self.link.timeout();
        let live = self.link.live(deadline).await?;
        let channel = self.link.channel(&live).await?;
        let session = Session::new(&self.link, live, channel, self.queue.clone());
        let session = Arc::new(session);
        self.session = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Its end makes the server give all of it to others.
    fn drop_session(&mut self) {
        self.tap = None;
        self.desk.is_tapped(None);
        let Some(session) = self.session.take() else {
            return;
        };
        if session.is_alive() {
            let link = Arc::clone(&self.link);
            let close = async move {
                let closing = session.channel.close(200, "given up".into());
                link.on(&session.live, closing).await.ok();
            };
            self.desk.env.spawn_isolated("amqp close", Box::pin(close));
        }
    }

    /// Lets nothing more come.
    async fn shut(&mut self) -> Result<(), Error> {
        let (Some(mut tap), Some(session)) = (self.tap.take(), self.session.clone()) else {
            return Ok(());
        };
        self.desk.is_tapped(None);
        let tag = tap.deliveries.tag();
        let cancel = session
            .channel
            .basic_cancel(tag, BasicCancelOptions::default());
        if let Err(e) = self.link.on(&session.live, cancel).await {
            self.drop_session();
            return Err(e);
        }
        // All that the server sent before it said that this is the end.
        while let Some(Some(Ok(delivery))) = tap.deliveries.next().now_or_never() {
            self.take_in(delivery).await;
        }
        self.desk.taker.notify_one();
        Ok(())
    }

    /// Shuts the tap and gives back what came unasked.
    async fn rest(&mut self) {
        self.shut().await.ok();
        let unasked = self.desk.unasked();
        self.give_back(unasked.into_iter().map(|one| (one.session, one.tag)))
            .await;
    }

    async fn take_back_lapsed(&self, now: Tick) {
        self.give_back(self.desk.lapsed(now).into_iter()).await;
    }

    async fn give_back(&self, deliveries: impl Iterator<Item = (Arc<Session>, u64)>) {
        for (session, tags) in by_channel(deliveries) {
            let ends: Vec<_> = tags.iter().map(|tag| (*tag, End::GivenBack)).collect();
            if session.is_alive() {
                // If that fails, the channel has ended, and they are ready again by that.
                session.send(&ends).await.ok();
            }
        }
    }

    /// The server ended the tap, or the channel or the connection did end: is the queue still there?
    async fn tap_ended(&mut self) {
        self.tap = None;
        self.desk.is_tapped(None);
        let Some(session) = self.session.clone().filter(|it| it.is_alive()) else {
            return;
        };
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let name = self.queue.as_str().into();
        let asked = session
            .channel
            .queue_declare(name, passive, FieldTable::default());
        if let Err(e) = self.link.on(&session.live, asked).await {
            self.desk.has_trouble(Some(self.named(e)));
            self.drop_session();
        }
    }
}
