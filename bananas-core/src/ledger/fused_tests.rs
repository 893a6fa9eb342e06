//! What the [`FusedLedger`] does when a call is dropped, or its store fails, half-way.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::FutureExt;

use super::*;
use crate::ledger::fakes::FakeStore;
use crate::{Args, Capabilities, Priority, TaskName, TokioEnv};

/// Hands out what it was given, once.
#[derive(Debug)]
struct Given(Mutex<Vec<Taken>>);

#[derive(Debug)]
struct OneTaker(Vec<Taken>);

impl TakeStore for Given {
    fn taker(&self, _: &QueueName, _: OwnerId) -> Box<dyn Taker> {
        Box::new(OneTaker(std::mem::take(&mut *self.0.lock().unwrap())))
    }
}

#[async_trait]
impl Taker for OneTaker {
    async fn take(&mut self, _: usize, _: usize, _: Duration) -> Result<Vec<Taken>> {
        Ok(std::mem::take(&mut self.0))
    }

    async fn stop(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A source of one good job and one that cannot be decoded.
async fn source(store: &Arc<FakeStore>) -> Box<dyn Source> {
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let args = Args::Json(Bytes::from_static(b"null"));
    let task = TaskName::new("t").unwrap();
    let job = Job::new(env.job_id(), task, args, env.now());
    let good = Codecs::default().of(&job.queue).encode(&job).unwrap();
    let taken = |body: Bytes| Taken {
        id: env.job_id(),
        body,
        priority: Priority::DEFAULT,
        epoch: 1,
        attempt: 1,
        crashes: 0,
    };
    let given = Given(Mutex::new(vec![taken(good), taken("no job".into())]));
    let info = LedgerInfo {
        backend: "fake".to_owned(),
        url: String::new(),
        capabilities: Capabilities::exact(),
    };
    let store = Arc::clone(store) as Arc<dyn StateStore>;
    let owner = Owner {
        id: env.owner_id(),
        host: String::new(),
        boot_id: String::new(),
        pid: 1,
        pid_started: 0,
    };
    let ledger = FusedLedger::new(info, store, Arc::new(given), env);
    let spec = SourceSpec::new(QueueName::default_queue(), owner);
    ledger.open(spec).await.unwrap()
}

#[tokio::test]
async fn a_job_that_cannot_be_set_aside_takes_no_claimed_job_with_it_and_is_tried_again() {
    let store = FakeStore::new();
    let mut source = source(&store).await;
    store.settles_to_fail.store(1, Ordering::SeqCst);
    let claimed = source.next(2, 1, Duration::ZERO).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(store.settled.lock().unwrap().len(), 0);
    source.next(2, 1, Duration::ZERO).await.unwrap();
    assert_eq!(store.settled.lock().unwrap().len(), 1, "the other one");
}

#[tokio::test]
async fn what_a_dropped_call_has_claimed_comes_with_the_next_one() {
    let store = FakeStore::new();
    let mut source = source(&store).await;
    store.gate.store(true, Ordering::SeqCst);
    let dropped = source.next(2, 1, Duration::ZERO).now_or_never();
    assert!(dropped.is_none(), "it waits for the store");
    store.gate.store(false, Ordering::SeqCst);
    let claimed = source.next(2, 1, Duration::ZERO).await.unwrap();
    assert_eq!(claimed.len(), 1);
}

#[tokio::test]
async fn what_a_dropped_call_has_claimed_is_given_back_at_the_end() {
    let store = FakeStore::new();
    let mut source = source(&store).await;
    store.gate.store(true, Ordering::SeqCst);
    assert!(source.next(2, 1, Duration::ZERO).now_or_never().is_none());
    store.gate.store(false, Ordering::SeqCst);
    source.stop().await.unwrap();
    let settled = store.settled.lock().unwrap();
    assert_eq!(settled.len(), 2);
    assert!(matches!(settled[1].outcome, Outcome::Release { .. }));
}
