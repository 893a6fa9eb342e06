//! [`Confirmer`]: publishes over a connection of its own, and waits there until they are confirmed.
//!
//! A server confirms what *this connection* has written, so the write and the wait go over the same one, and a
//! wait holds up only those who wait as well. Whoever comes while one lasts is sent with the others who came, and
//! all of them wait once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bananas_core::{BoxFuture, Env, ErrorKind, Tick};
use redis::{Cmd, Value};
use tokio::sync::{mpsc, oneshot};

use crate::confirm::Confirm;
use crate::connection::{Connection, Dialer, Driver, Use, load};
use crate::debt::SUSPICION;
use crate::error::Error;
use crate::link::{Asking, Silences, not_sent, reconnecting};
use crate::question::Call;
use crate::scout::NextMove;

/// The most calls that wait together.
const ROUND: usize = 256;

/// How many calls may stand in line.
const LINE: usize = 1_024;

/// How long a connection is not used before it is asked whether it still works.
const IDLE: Duration = Duration::from_secs(1);

/// How much later than asked for the answer to a wait may come.
const SLACK: Duration = Duration::from_millis(500);

type Answer = Result<(Value, Tick), Error>;

/// Publishes to one server, each with a confirmation. Its connection ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Confirmer {
    env: Arc<dyn Env>,
    url: String,
    timeout: Duration,
    line: Mutex<Option<mpsc::Sender<Item>>>,
}

/// A call that stands in line.
#[derive(Debug)]
struct Item {
    call: Call,
    asking: Asking,
    /// Set by whoever comes first: who sends it, or who does not want to wait any longer.
    taken: Arc<AtomicBool>,
    answer: oneshot::Sender<Answer>,
}

/// Sends what stands in line, to the end.
struct Desk {
    env: Arc<dyn Env>,
    dialer: Arc<Dialer>,
    silences: Silences,
    confirm: Confirm,
    wait: Duration,
}

impl Confirmer {
    /// `None` if nothing is to be confirmed.
    pub(crate) fn new(dialer: &Arc<Dialer>, silences: &Silences) -> Option<Self> {
        let (confirm, timeout) = (dialer.config.confirm, dialer.config.timeout);
        if confirm == Confirm::Server {
            return None;
        }
        let (line, items) = mpsc::channel(LINE);
        let desk = Desk {
            env: Arc::clone(&dialer.env),
            dialer: Arc::clone(dialer),
            silences: silences.clone(),
            confirm,
            // Who comes while others wait has to wait twice.
            wait: timeout * 2 / 5,
        };
        let work = Box::pin(async move { desk.work(items).await });
        dialer.env.spawn_isolated("redis-confirm", work);
        Some(Self {
            env: Arc::clone(&dialer.env),
            url: dialer.url.clone(),
            timeout,
            line: Mutex::new(Some(line)),
        })
    }

    /// Runs a script and waits for the confirmation of what it wrote.
    pub(crate) async fn answer(&self, call: &Call, asking: Asking, until: Tick) -> Answer {
        let line = {
            let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            line.clone().ok_or(Error::Closed { sent: false })?
        };
        let (answer, answered) = oneshot::channel();
        let taken = Arc::<AtomicBool>::default();
        let item = Item {
            call: call.clone(),
            asking,
            taken: Arc::clone(&taken),
            answer,
        };
        let waiting = async {
            // That nobody is at the desk any more shows below.
            drop(line.send(item).await);
            answered.await
        };
        match self.env.until(until, waiting).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Closed {
                sent: taken.swap(true, Ordering::AcqRel),
            }),
            Err(_) if taken.swap(true, Ordering::AcqRel) => Err(Error::Silence {
                url: self.url.clone(),
                waited: self.timeout,
            }),
            Err(_) => Err(Error::NotSent {
                url: self.url.clone(),
                why: "others waited for their confirmation, and its turn did not come in time"
                    .to_owned(),
                kind: ErrorKind::Timeout,
            }),
        }
    }

    /// Takes no more calls.
    pub(crate) fn end(&self) {
        self.line
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

/// The connection of a desk.
struct Held {
    connection: Connection,
    driver: Driver,
    moves: NextMove,
    /// Others that came the same way went silent; this one may be, too.
    silence: BoxFuture<'static, ()>,
    /// When it was last known to work.
    worked: Tick,
}

impl Held {
    /// Waits until it should not be used any more.
    async fn ends(&mut self) {
        tokio::select! {
            () = &mut self.driver => {}
            () = self.moves.comes() => {}
            () = &mut self.silence => {}
        }
    }
}

impl Desk {
    async fn work(&self, mut items: mpsc::Receiver<Item>) {
        let mut held: Option<Held> = None;
        let mut failures = 0;
        loop {
            let first = match &mut held {
                None => items.recv().await,
                Some(in_use) => tokio::select! {
                    biased;
                    () = in_use.ends() => {
                        held = None;
                        continue;
                    }
                    first = items.recv() => first,
                },
            };
            let Some(first) = first else { return };
            let ready = match held.take() {
                Some(idle) => self.still_works(idle).await,
                None => None,
            };
            let ready = match ready {
                Some(ready) => Ok(ready),
                None => self.dial().await,
            };
            match ready {
                Ok(mut ready) => {
                    failures = 0;
                    let together = round(first, &mut items);
                    let is_good = self
                        .serve(together, &ready.connection, &mut ready.driver)
                        .await;
                    ready.worked = self.env.monotonic();
                    held = is_good.then_some(ready);
                }
                Err(why) => {
                    let error = not_sent(&why, &self.dialer.url);
                    refuse(round(first, &mut items), &error);
                    failures += 1;
                    let pause = reconnecting().delay(failures, self.env.random());
                    self.env.sleep(pause).await;
                }
            }
        }
    }

    async fn dial(&self) -> Result<Held, Error> {
        let moves = self.dialer.moves.next();
        let silence = Box::pin(self.silences.next());
        let (connection, driver) = self.dialer.dial(Use::Calls).await?;
        Ok(Held {
            connection,
            driver,
            moves,
            silence,
            worked: self.env.monotonic(),
        })
    }

    /// Asks a connection that nobody used for a while whether it works, before something is sent over it whose fate
    /// would be in doubt.
    async fn still_works(&self, mut held: Held) -> Option<Held> {
        if self.env.monotonic().since(held.worked) < IDLE {
            return Some(held);
        }
        let question = redis::cmd("PING");
        let asking = self.env.within(SUSPICION, held.connection.send(&question));
        let works = tokio::select! {
            answer = asking => matches!(answer, Ok(Ok(_))),
            () = &mut held.driver => false,
        };
        works.then_some(held)
    }

    /// Sends these together and answers them. Says whether the connection is still good.
    async fn serve(&self, items: Vec<Item>, connection: &Connection, driver: &mut Driver) -> bool {
        let sent = self.env.monotonic();
        let url = &self.dialer.url;
        let answered = match self.send(&items, connection, driver).await {
            Ok((answers, _)) if answers.iter().any(is_unknown) => {
                self.teach_and_repeat(&items, answers, connection, driver)
                    .await
            }
            other => other,
        };
        let (answers, confirmed) = match answered {
            Ok(answered) => answered,
            Err(error) => {
                refuse(items, &error);
                return false;
            }
        };
        let verdict = self.confirm.judge(&confirmed, url, self.wait);
        let mut good = !matches!(verdict, Err(Error::WrongAnswer(_)));
        for (item, answer) in items.into_iter().zip(answers) {
            let answer = match answer {
                Value::ServerError(error) => Err(Error::server(url, &error)),
                answer => verdict.clone().map(|()| (answer, sent)),
            };
            good &= !matches!(&answer, Err(e) if e.wants_another_server());
            // Who asked may have gone.
            drop(item.answer.send(answer));
        }
        good
    }

    /// The scripts that were unknown are made known and run, now for the first time.
    async fn teach_and_repeat(
        &self,
        items: &[Item],
        mut answers: Vec<Value>,
        connection: &Connection,
        driver: &mut Driver,
    ) -> Result<(Vec<Value>, Value), Error> {
        let places: Vec<_> = (0..answers.len())
            .filter(|place| answers.get(*place).is_some_and(is_unknown))
            .collect();
        let unknown: Vec<_> = places
            .iter()
            .filter_map(|place| items.get(*place))
            .collect();
        let lessons = unknown.iter().map(|item| load(item.call.script)).collect();
        self.exchange(lessons, connection, driver).await?;
        let (again, confirmed) = self.send(unknown, connection, driver).await?;
        for (place, answer) in places.into_iter().zip(again) {
            if let Some(slot) = answers.get_mut(place) {
                *slot = answer;
            }
        }
        Ok((answers, confirmed))
    }

    /// What each of these answers, and what the wait behind them does.
    async fn send<'a>(
        &self,
        items: impl IntoIterator<Item = &'a Item>,
        connection: &Connection,
        driver: &mut Driver,
    ) -> Result<(Vec<Value>, Value), Error> {
        let mut commands = Vec::new();
        let mut places = Vec::new();
        for item in items {
            if item.asking == Asking::Yes {
                commands.push(redis::cmd("ASKING"));
            }
            places.push(commands.len());
            let hash = connection.hash(item.call.script);
            commands.push(item.call.command(hash));
        }
        commands.extend(self.confirm.command(self.wait));
        let mut answers = self.exchange(commands, connection, driver).await?;
        let wrong = || Error::WrongAnswer(self.dialer.url.clone());
        let confirmed = answers.pop().ok_or_else(wrong)?;
        let mut picked = Vec::with_capacity(places.len());
        for place in places {
            let answer = answers.get_mut(place).ok_or_else(wrong)?;
            picked.push(std::mem::replace(answer, Value::Nil));
        }
        Ok((picked, confirmed))
    }

    async fn exchange(
        &self,
        commands: Vec<Cmd>,
        connection: &Connection,
        driver: &mut Driver,
    ) -> Result<Vec<Value>, Error> {
        let url = self.dialer.url.clone();
        let patience = self.wait + SLACK;
        tokio::select! {
            answered = self.env.within(patience, connection.send_all(&commands)) => match answered {
                Ok(Ok(answers)) if answers.len() == commands.len() => Ok(answers),
                Ok(Ok(_)) => Err(Error::WrongAnswer(url)),
                Ok(Err(why)) => Err(Error::Lost { url, why }),
                Err(_) => Err(Error::Silence { url, waited: patience }),
            },
            () = driver => Err(Error::Lost { url, why: "the server ended it".to_owned() }),
        }
    }
}

/// Whether the server does not know the script that it was asked to run.
fn is_unknown(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(e) if e.code() == "NOSCRIPT")
}

/// This one and those behind it who still want it.
fn round(first: Item, items: &mut mpsc::Receiver<Item>) -> Vec<Item> {
    let mut together = vec![first];
    while together.len() < ROUND
        && let Ok(item) = items.try_recv()
    {
        together.push(item);
    }
    together.retain(|item| !item.taken.swap(true, Ordering::AcqRel));
    together
}

/// Answers all of these with an error.
fn refuse(items: Vec<Item>, error: &Error) {
    for item in items {
        // Who asked may have gone.
        drop(item.answer.send(Err(error.clone())));
    }
}
