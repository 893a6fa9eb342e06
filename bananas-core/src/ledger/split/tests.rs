//! What the [`SplitLedger`] does when its broker or its store fails half-way. The contract itself is tested by
//! the conformance suite, over real ones.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::FutureExt;

use super::*;
use crate::ledger::fakes::{FakeBroker, FakeStore};
use crate::{
    Args, BrokerAdmin, Bucket, Capabilities, Count, Delay, Delivery, DeliveryCount, Depth, DuePage,
    JobRef, JobState, Lease, ManualEnv, Priority, RawMessage, Receipt, Republish, Settlement,
    StateCount, TaskName, Tick, Timestamp, TokioEnv, Track,
};

struct Rig {
    env: Arc<ManualEnv>,
    store: Arc<FakeStore>,
    broker: Arc<FakeBroker>,
    ledger: SplitLedger,
}

fn rig(admin: Option<Box<dyn BrokerAdmin>>) -> Rig {
    rig_with(admin, Capabilities::exact().delay)
}

fn rig_with(admin: Option<Box<dyn BrokerAdmin>>, delay: Delay) -> Rig {
    let tasks = Arc::new(TokioEnv::current());
    let env = Arc::new(ManualEnv::new(tasks, Timestamp::from_micros(0), 7));
    let broker = FakeBroker::new(Arc::clone(&env), admin, delay);
    let store = FakeStore::new();
    let ledger = SplitLedger::new(
        Arc::clone(&broker) as Arc<dyn Broker>,
        Arc::clone(&store) as Arc<dyn StateStore>,
        Arc::clone(&env) as Arc<dyn Env>,
        SplitOptions::new(owner(&*env), |_| false),
    );
    Rig {
        env,
        store,
        broker,
        ledger,
    }
}

fn owner(env: &dyn Env) -> Owner {
    Owner {
        id: env.owner_id(),
        host: String::new(),
        boot_id: String::new(),
        pid: 1,
        pid_started: 0,
    }
}

impl Rig {
    fn job(&self, track: Track) -> Job {
        let env: &dyn Env = &*self.env;
        let args = Args::Json(Bytes::from_static(b"null"));
        let mut job = Job::new(env.job_id(), TaskName::new("t").unwrap(), args, env.now());
        job.track = track;
        job
    }

    /// A delivery of a new job, the `count`th of it.
    fn deliver(&self, track: Track, count: u32) -> JobId {
        let job = self.job(track);
        let queue = QueueName::default_queue();
        let body = Codecs::default().of(&queue).encode(&job).unwrap();
        let lease = Lease {
            until: Tick::default() + Duration::from_secs(15),
            hard_limit: None,
        };
        let receipt = Receipt::new(job.id.as_bytes().to_vec());
        let message = RawMessage::new(job.id, body);
        let delivery = Delivery::new(queue, message, receipt, lease);
        let delivery = delivery.counted(DeliveryCount::Exact(count));
        self.broker.deliveries.lock().unwrap().push(delivery);
        job.id
    }

    async fn source(&self) -> Box<dyn Source> {
        let queue = QueueName::default_queue();
        let spec = SourceSpec::new(queue, owner(&*self.env));
        self.ledger.open(spec).await.unwrap()
    }

    /// Enqueues a job and lets what runs beside it come to rest.
    async fn enqueue(&self, track: Track) -> Accepted {
        let answers = self.ledger.enqueue(vec![self.job(track)]).await;
        let accepted = answers.into_iter().next().unwrap().unwrap();
        until(|| !self.ledger.shared.unconfirmed.is_under_way()).await;
        accepted
    }

    /// A job runs to its end, and the broker cannot be told.
    async fn end_while_the_broker_is_down(&self) {
        self.deliver(Track::Full, 1);
        let mut source = self.source().await;
        let claimed = source.next(1, 1, Duration::ZERO).await.unwrap();
        self.broker.is_down.store(true, Ordering::SeqCst);
        let ended = claimed.into_iter().map(|run| {
            let outcome = Outcome::Succeeded {
                result: Bytes::from_static(b"null"),
            };
            (run, outcome)
        });
        let answers = self.ledger.settle(ended.collect()).await;
        assert!(answers[0].is_ok(), "the store has recorded it");
    }

    fn settlements(&self) -> usize {
        self.broker.settled.lock().unwrap().len()
    }

    fn time_passes(&self) -> bool {
        self.env.advance(Duration::from_millis(50));
        true
    }

    fn confirmed(&self) -> usize {
        self.store.confirmed.lock().unwrap().len()
    }
}

async fn until(condition: impl Fn() -> bool) {
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let deadline = env.monotonic() + Duration::from_secs(10);
    while !condition() {
        assert!(env.monotonic() < deadline, "it never came");
        env.sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_confirmation_that_failed_is_made_up_for_by_the_next_one() {
    let rig = rig(None);
    rig.store.confirms_to_fail.store(1, Ordering::SeqCst);
    rig.enqueue(Track::Full).await;
    assert_eq!(rig.confirmed(), 0);
    rig.enqueue(Track::Full).await;
    assert_eq!(rig.confirmed(), 2);
}

#[tokio::test]
async fn a_confirmation_that_failed_is_made_up_for_by_the_upkeep() {
    let rig = rig(None);
    rig.store.confirms_to_fail.store(1, Ordering::SeqCst);
    rig.enqueue(Track::Full).await;
    rig.ledger.tend(Chore::Republish).await.unwrap();
    assert_eq!(rig.confirmed(), 1);
}

#[tokio::test]
async fn a_delivery_that_could_not_be_settled_is_settled_when_the_broker_is_back() {
    let rig = rig(None);
    rig.end_while_the_broker_is_down().await;
    assert_eq!(rig.settlements(), 1);
    until(|| rig.time_passes() && rig.settlements() >= 3).await;
    rig.broker.is_down.store(false, Ordering::SeqCst);
    let before = rig.settlements();
    until(|| rig.time_passes() && !rig.ledger.shared.unsettled.is_under_way()).await;
    assert!(rig.settlements() > before);
}

#[tokio::test]
async fn a_delivery_that_cannot_be_settled_is_left_to_its_lease_after_a_minute() {
    let rig = rig(None);
    rig.end_while_the_broker_is_down().await;
    rig.env.advance(Duration::from_secs(61));
    until(|| rig.time_passes() && !rig.ledger.shared.unsettled.is_under_way()).await;
    assert_eq!(rig.settlements(), 2);
}

#[tokio::test]
async fn jobs_that_are_not_recorded_cost_no_write() {
    let rig = rig(None);
    assert!(rig.enqueue(Track::None).await.published);
    assert_eq!(rig.confirmed(), 0);
}

#[tokio::test]
async fn a_queue_that_nobody_made_is_made_by_the_first_job_for_it() {
    let rig = rig(None);
    rig.broker.is_strict.store(true, Ordering::SeqCst);
    assert!(rig.enqueue(Track::Full).await.published);
    assert!(rig.enqueue(Track::None).await.published);
    assert_eq!(rig.broker.ensured.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_dropped_call_claimed_comes_with_later_ones_and_never_more_than_asked_for() {
    let rig = rig(None);
    for _ in 0..3 {
        rig.deliver(Track::Full, 1);
    }
    let mut source = rig.source().await;
    rig.store.gate.store(true, Ordering::SeqCst);
    assert!(source.next(3, 1, Duration::ZERO).now_or_never().is_none());
    rig.store.gate.store(false, Ordering::SeqCst);
    assert_eq!(source.next(2, 1, Duration::ZERO).await.unwrap().len(), 2);
    source.stop().await.unwrap();
    assert_eq!(rig.store.settled.lock().unwrap().len(), 1, "the third one");
}

#[tokio::test]
async fn a_suspect_that_a_dropped_call_claimed_waits_for_a_call_that_may_have_one() {
    let rig = rig(None);
    rig.deliver(Track::Full, 1);
    rig.store.crashes.store(1, Ordering::SeqCst);
    rig.store.gate.store(true, Ordering::SeqCst);
    let mut source = rig.source().await;
    assert!(source.next(1, 1, Duration::ZERO).now_or_never().is_none());
    rig.store.gate.store(false, Ordering::SeqCst);
    assert_eq!(source.next(1, 0, Duration::ZERO).await.unwrap().len(), 0);
    assert_eq!(source.next(1, 1, Duration::ZERO).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_poisoned_job_that_cannot_be_set_aside_takes_no_claimed_job_with_it() {
    let rig = rig(None);
    rig.deliver(Track::None, crate::CRASH_LIMIT + 1);
    let good = rig.deliver(Track::Full, 1);
    rig.broker.is_down.store(true, Ordering::SeqCst);
    let mut source = rig.source().await;
    let claimed = source.next(2, 1, Duration::ZERO).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].job.id, good);
}

#[tokio::test]
async fn a_suspect_waits_for_its_turn_without_a_crash_where_the_broker_has_no_delays() {
    let rig = rig_with(None, Delay::Unsupported);
    rig.deliver(Track::None, 2);
    let mut source = rig.source().await;
    assert_eq!(source.next(1, 0, Duration::ZERO).await.unwrap().len(), 0);
    assert_eq!(rig.settlements(), 0, "it would come again at once");
    until(|| rig.time_passes() && rig.settlements() == 1).await;
    let settled = rig.broker.settled.lock().unwrap();
    let Settlement::Retry { delay, message } = &settled[0].settlement else {
        panic!("its crashes go with it: {:?}", settled[0]);
    };
    assert_eq!(*delay, Duration::ZERO, "the broker can keep no other");
    let crashes = message.property("bananas-crashes");
    assert_eq!(crashes.map(AsRef::as_ref), Some(&b"1"[..]));
}

#[tokio::test]
async fn a_renewed_lease_does_not_wait_for_a_broker_that_hangs() {
    let rig = rig(None);
    rig.deliver(Track::Full, 1);
    let mut source = rig.source().await;
    let claimed = source.next(1, 1, Duration::ZERO).await.unwrap();
    let mut me = owner(&*rig.env);
    me.id = claimed[0].owner;
    rig.broker.is_stuck.store(true, Ordering::SeqCst);
    let lease = Duration::from_secs(15);
    let mut renewal = rig.ledger.renew(&me, lease);
    assert!(futures::poll!(renewal.as_mut()).is_pending());
    rig.env.advance(lease / 4);
    let renewed = renewal.now_or_never().expect("it does not wait longer");
    assert_eq!(renewed.unwrap(), Renewed::Held { lease });
    rig.broker.is_stuck.store(false, Ordering::SeqCst);
}

#[tokio::test]
async fn a_job_that_the_store_published_again_is_settled_there_whatever_its_tracking() {
    let rig = rig(None);
    rig.deliver(Track::Outcome, 1);
    {
        let mut deliveries = rig.broker.deliveries.lock().unwrap();
        let message = deliveries[0].message.clone().copy_is(1);
        deliveries[0].message = message;
    }
    let mut source = rig.source().await;
    let mut claimed = source.next(1, 1, Duration::ZERO).await.unwrap();
    let end = Outcome::Succeeded {
        result: Bytes::from_static(b"1"),
    };
    let settled = rig.ledger.settle(vec![(claimed.remove(0), end)]).await;
    assert!(settled[0].is_ok());
    assert_eq!(rig.store.settled.lock().unwrap().len(), 1);
    let settled = rig.broker.settled.lock().unwrap();
    assert!(matches!(settled[0].settlement, Settlement::Release { .. }));
}

/// The admin side of a broker that came back empty under another incarnation.
#[derive(Debug, Default)]
struct Reborn(std::sync::atomic::AtomicUsize);

#[async_trait]
impl BrokerAdmin for Reborn {
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>> {
        let look = self.0.fetch_add(1, Ordering::SeqCst);
        let depth = |queue: &QueueName| Depth {
            queue: queue.clone(),
            ready: Count::Exact(1),
            in_flight: Count::Exact(0),
            delayed: Count::Exact(0),
            dead: Count::Exact(0),
            incarnation: Some(look.min(1).to_string()),
        };
        Ok(queues.iter().map(depth).collect())
    }

    async fn peek(&self, _: &QueueName, _: Bucket, _: usize) -> Result<Vec<RawMessage>> {
        Ok(Vec::new())
    }

    async fn purge(&self, _: &QueueName, _: Bucket) -> Result<u64> {
        Ok(0)
    }

    async fn redrive(&self, _: &QueueName, _: Option<&[JobId]>) -> Result<u64> {
        Ok(0)
    }

    async fn queues(&self) -> Result<Vec<QueueName>> {
        Ok(Vec::new())
    }

    async fn delete(&self, _: &QueueName) -> Result<()> {
        Ok(())
    }
}

/// A ledger that has seen its broker once, before that one lost its data.
async fn bereft(ready: u64) -> Rig {
    let rig = rig(Some(Box::new(Reborn::default())));
    let queue = QueueName::default_queue();
    rig.ledger
        .ensure(std::slice::from_ref(&queue))
        .await
        .unwrap();
    rig.store.counts.lock().unwrap().push(StateCount {
        queue,
        state: JobState::Ready,
        jobs: ready,
    });
    rig.ledger.tend(Chore::Republish).await.unwrap();
    rig
}

impl Rig {
    fn page(&self, jobs: u64, more: bool) -> DuePage {
        let env: &dyn Env = &*self.env;
        let job = |_| Republish {
            job: JobRef {
                queue: QueueName::default_queue(),
                id: env.job_id(),
            },
            body: Bytes::new(),
            priority: Priority::DEFAULT,
            copy: 1,
        };
        DuePage {
            jobs: (0..jobs).map(job).collect(),
            moved: jobs,
            more,
            next: None,
        }
    }
}

#[tokio::test]
async fn evidence_of_a_loss_stands_until_all_that_was_lost_is_published() {
    let rig = bereft(3).await;
    rig.broker.is_down.store(true, Ordering::SeqCst);
    rig.store.lost.lock().unwrap().push_back(rig.page(1, true));
    assert!(rig.ledger.tend(Chore::Republish).await.is_err());
    rig.broker.is_down.store(false, Ordering::SeqCst);
    rig.store.lost.lock().unwrap().push_back(rig.page(2, false));
    let tended = rig.ledger.tend(Chore::Republish).await.unwrap();
    assert_eq!(tended.jobs, 2, "the loss is not forgotten");
    let asked = rig.store.asked_for_lost.lock().unwrap().len();
    rig.ledger.tend(Chore::Republish).await.unwrap();
    let asked_now = rig.store.asked_for_lost.lock().unwrap().len();
    assert_eq!(asked, asked_now, "it is published, and watched anew");
}

#[tokio::test]
async fn no_more_is_published_again_than_was_waiting_when_the_loss_was_seen() {
    let rig = bereft(4).await;
    // As if another process stamped the same jobs with batches of its own again and again.
    for _ in 0..100 {
        rig.store.lost.lock().unwrap().push_back(rig.page(2, true));
    }
    for _ in 0..10 {
        rig.ledger.tend(Chore::Republish).await.unwrap();
    }
    assert_eq!(rig.broker.published.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn publishing_again_lets_other_upkeep_have_its_turn() {
    let rig = bereft(1_000).await;
    rig.store.lost.lock().unwrap().push_back(rig.page(1, true));
    rig.store.lost.lock().unwrap().push_back(rig.page(1, true));
    rig.broker.takes.store(60, Ordering::SeqCst);
    let tended = rig.ledger.tend(Chore::Republish).await.unwrap();
    assert_eq!((tended.jobs, tended.more), (1, true));
    until(|| rig.confirmed() == 1).await;
    let tended = rig.ledger.tend(Chore::Republish).await.unwrap();
    assert_eq!((tended.jobs, tended.more), (1, true));
    let asked = rig.store.asked_for_lost.lock().unwrap();
    assert_eq!(
        asked[0].publication.id, asked[1].publication.id,
        "one batch, which is not lost to itself"
    );
}
