//! Bodies that are kept in the store: when they are put, and when they go.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bananas_broker_memory::MemoryEngine;
use bananas_core::wrapper::ClaimCheck;
use bananas_core::wrapper::claim_check::BLOB_PROPERTY;
use bananas_core::{
    Args, Blob, BlobId, BlobStore, Broker, Bucket, Chore, Consumer, ConsumerSpec, Delivery, Env,
    Error, ErrorKind, Job, JobId, JobIndex, JobStore, Ledger, ManualEnv, NewRecord, Outcome, Owner,
    Publish, QueueName, QueueSpec, RawMessage, Recorded, Result, Settle, Settled, Settlement,
    SplitLedger, SplitOptions, StateStore, StoreInfo, TaskName, Timestamp, TokioEnv, Track,
};
use bytes::Bytes;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Bodies of more bytes are kept in the store.
const LARGE: usize = 1_000;

/// A broker with bodies in a store, and both without it.
struct Case {
    clock: Arc<ManualEnv>,
    inner: Arc<dyn Broker>,
    store: Arc<dyn StateStore>,
    broker: Arc<dyn Broker>,
}

impl Case {
    async fn open() -> Self {
        Self::open_with(|store| store).await
    }

    /// The same, with what this makes of the store.
    async fn open_with(make: impl FnOnce(Arc<dyn StateStore>) -> Arc<dyn StateStore>) -> Self {
        let start = Timestamp::from_micros(1_790_000_000_000_000);
        let clock = Arc::new(ManualEnv::new(Arc::new(TokioEnv::current()), start, 7));
        let env: Arc<dyn Env> = Arc::<ManualEnv>::clone(&clock);
        let engine = MemoryEngine::new(Arc::clone(&env));
        let (inner, store) = (engine.broker(), make(engine.store()));
        let beyond =
            ClaimCheck::beyond(LARGE, Arc::clone(&inner), Arc::clone(&store), env).unwrap();
        let broker: Arc<dyn Broker> = Arc::new(beyond);
        let queue = QueueSpec::new(QueueName::default());
        broker.ensure(&[queue]).await.unwrap();
        Self {
            clock,
            inner,
            store,
            broker,
        }
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::<ManualEnv>::clone(&self.clock)
    }

    fn ledger(&self) -> SplitLedger {
        let options = SplitOptions::new(owner(&self.env()), |_| false);
        let (broker, store) = (Arc::clone(&self.broker), Arc::clone(&self.store));
        SplitLedger::new(broker, store, self.env(), options)
    }

    fn message(&self, bytes: usize) -> RawMessage {
        RawMessage::new(self.env().job_id(), vec![b'x'; bytes].into())
    }

    async fn publish(&self, broker: &Arc<dyn Broker>, message: RawMessage) {
        let queue = QueueName::default();
        let batch = vec![Publish { queue, message }];
        broker.publish(batch).await.remove(0).unwrap();
    }

    async fn consumer(&self) -> Box<dyn Consumer> {
        let spec = ConsumerSpec::new(QueueName::default());
        self.broker.consume(spec).await.unwrap()
    }

    async fn next(&self) -> Vec<Delivery> {
        let mut consumer = self.consumer().await;
        consumer.reserve(10, Duration::ZERO).await.unwrap()
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Settled {
        let receipt = delivery.receipt.clone();
        let settle = Settle {
            receipt,
            settlement,
        };
        self.broker.settle(vec![settle]).await.remove(0).unwrap()
    }

    /// The blobs that the store keeps.
    async fn blobs(&self) -> Vec<BlobId> {
        let later = self.clock.now() + DAY;
        let blobs = self.store.blobs().unwrap();
        blobs.list(later, None, 1_000).await.unwrap()
    }

    async fn forget_all(&self) {
        let blobs = self.store.blobs().unwrap();
        blobs.delete(&self.blobs().await).await.unwrap();
    }

    async fn peek(&self, broker: &Arc<dyn Broker>, bucket: Bucket) -> Vec<RawMessage> {
        let admin = broker.admin().unwrap();
        admin.peek(&QueueName::default(), bucket, 10).await.unwrap()
    }
}

fn owner(env: &Arc<dyn Env>) -> Owner {
    Owner {
        id: env.owner_id(),
        host: "here".to_owned(),
        boot_id: String::new(),
        pid: 1,
        pid_started: 0,
    }
}

#[tokio::test]
async fn a_large_body_is_in_the_store_until_its_message_is_acknowledged() {
    let case = Case::open().await;
    let message = case.message(LARGE + 1);
    case.publish(&case.broker, message.clone()).await;
    let blobs = case.blobs().await;
    assert_eq!((blobs.len(), blobs[0].job()), (1, message.id));
    let beneath = case.peek(&case.inner, Bucket::Ready).await.remove(0);
    assert!(beneath.body.len() < 200, "{beneath:?}");
    assert!(beneath.property(BLOB_PROPERTY).is_some(), "{beneath:?}");
    let seen = case.peek(&case.broker, Bucket::Ready).await;
    assert_eq!(seen, std::slice::from_ref(&message));
    let delivery = case.next().await.remove(0);
    assert_eq!(delivery.message, message);
    assert_eq!(case.blobs().await, blobs);
    assert_eq!(case.settle(&delivery, Settlement::Ack).await, Settled::Done);
    assert_eq!(case.blobs().await, []);
}

#[tokio::test]
async fn a_body_that_the_broker_takes_is_in_no_store() {
    let case = Case::open().await;
    let message = case.message(LARGE);
    case.publish(&case.broker, message.clone()).await;
    assert_eq!(case.blobs().await, []);
    assert_eq!(case.peek(&case.inner, Bucket::Ready).await, [message]);
}

#[tokio::test]
async fn a_message_that_the_broker_refuses_leaves_no_body_behind() {
    let case = Case::open().await;
    let queue = QueueName::new("never.made").unwrap();
    let message = case.message(LARGE * 5);
    let refused = case.broker.publish(vec![Publish { queue, message }]).await;
    assert_eq!(refused[0].as_ref().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(case.blobs().await, []);
}

#[tokio::test]
async fn a_replacement_has_a_body_of_its_own_and_the_old_one_goes() {
    let case = Case::open().await;
    case.publish(&case.broker, case.message(LARGE * 2)).await;
    let delivery = case.next().await.remove(0);
    let before = case.blobs().await;
    let mut message = delivery.message.clone();
    message.body = vec![b'y'; LARGE * 3].into();
    let retry = Settlement::Retry {
        delay: Duration::ZERO,
        message: Box::new(message.clone()),
    };
    assert_eq!(case.settle(&delivery, retry.clone()).await, Settled::Done);
    let after = case.blobs().await;
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
    assert_ne!(case.settle(&delivery, retry).await, Settled::Done);
    assert_eq!(case.blobs().await, after, "what was not sent is not kept");
    assert_eq!(case.next().await.remove(0).message.body, message.body);
}

#[tokio::test]
async fn a_dead_letter_shows_its_body_and_comes_back_with_it() {
    let case = Case::open().await;
    let message = case.message(LARGE * 2);
    case.publish(&case.broker, message.clone()).await;
    let delivery = case.next().await.remove(0);
    let dead = Settlement::DeadLetter {
        reason: "broken".to_owned(),
        message: None,
    };
    case.settle(&delivery, dead).await;
    let shown = case.peek(&case.broker, Bucket::Dead).await.remove(0);
    assert_eq!(shown, message.clone().dead_because("broken"));
    let admin = case.broker.admin().unwrap();
    let queue = QueueName::default();
    assert_eq!(admin.redrive(&queue, None).await.unwrap(), 1);
    let delivery = case.next().await.remove(0);
    assert_eq!(delivery.message.body, message.body);
    case.settle(&delivery, Settlement::Ack).await;
    assert_eq!(case.blobs().await, []);
}

#[tokio::test]
async fn a_message_whose_body_is_gone_is_set_aside_and_holds_up_no_other() {
    let case = Case::open().await;
    case.publish(&case.broker, case.message(LARGE * 2)).await;
    case.forget_all().await;
    let other = case.message(LARGE * 2);
    case.publish(&case.broker, other.clone()).await;
    let next = case.next().await;
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].message, other);
    let dead = case.peek(&case.broker, Bucket::Dead).await;
    assert_eq!(dead.len(), 1, "{dead:?}");
}

#[tokio::test]
async fn a_message_whose_body_is_gone_has_that_of_its_record() {
    let case = Case::open().await;
    let job = large_job(&case, Track::Full);
    let body = Bytes::from(vec![b'z'; LARGE * 2]);
    let record = NewRecord::of(&job, body.clone(), case.clock.now());
    let recorded = case.store.jobs().record(vec![record], None).await;
    assert_eq!(*recorded[0].as_ref().unwrap(), Recorded::New);
    case.publish(&case.broker, RawMessage::new(job.id, body.clone()))
        .await;
    case.forget_all().await;
    let next = case.next().await.remove(0);
    assert_eq!(next.message, RawMessage::new(job.id, body));
}

#[tokio::test]
async fn a_property_by_the_name_of_ours_is_data_unless_it_names_a_blob() {
    let case = Case::open().await;
    let mut message = case.message(3);
    message.properties = vec![(BLOB_PROPERTY.to_owned(), Bytes::from_static(b"mine"))];
    case.publish(&case.broker, message.clone()).await;
    assert_eq!(case.next().await.remove(0).message, message);
    let name = case.env().blob_id(None).to_string();
    message.properties = vec![(BLOB_PROPERTY.to_owned(), name.into())];
    let queue = QueueName::default();
    let refused = case.broker.publish(vec![Publish { queue, message }]).await;
    let error = refused[0].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

#[tokio::test]
async fn what_a_dropped_call_took_comes_with_the_next_and_what_a_stopped_one_took_goes_back() {
    let case = Case::open().await;
    for _ in 0..40 {
        case.publish(&case.broker, case.message(LARGE * 2)).await;
    }
    let mut consumer = case.consumer().await;
    let mut ids: Vec<JobId> = Vec::new();
    // More than are fetched at once.
    let first = consumer.reserve(40, Duration::ZERO).await.unwrap();
    assert!(!first.is_empty() && first.len() < 40, "{}", first.len());
    ids.extend(first.iter().filter_map(|delivery| delivery.message.id));
    consumer.stop().await.unwrap();
    loop {
        let rest = case.next().await;
        if rest.is_empty() {
            break;
        }
        ids.extend(rest.iter().filter_map(|delivery| delivery.message.id));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 40);
}

fn large_job(case: &Case, track: Track) -> Job {
    let args = Args::from_json(&format!("\"{}\"", "x".repeat(LARGE * 2))).unwrap();
    let env = case.env();
    let mut job = Job::new(env.job_id(), TaskName::new("t").unwrap(), args, env.now());
    job.track = track;
    job
}

async fn prune(ledger: &SplitLedger) {
    let chore = Chore::Prune {
        finished: DAY,
        dead: DAY * 30,
    };
    ledger.tend(chore).await.unwrap();
}

#[tokio::test]
async fn a_sweep_forgets_bodies_whose_job_has_ended_and_no_others() {
    let case = Case::open().await;
    let ledger = case.ledger();
    let jobs = [Track::Full, Track::Full, Track::None].map(|track| large_job(&case, track));
    for answer in ledger.enqueue(jobs.to_vec()).await {
        answer.unwrap();
    }
    assert_eq!(case.blobs().await.len(), 3);
    // Its message is lost with the broker's data, and its body is left.
    let ids = [jobs[0].id];
    let cancel = bananas_core::Alteration::Cancel;
    case.store.index().alter(&ids, cancel).await.unwrap();
    prune(&ledger).await;
    assert_eq!(case.blobs().await.len(), 3, "all of them are young");
    case.clock.advance(HOUR * 2);
    prune(&ledger).await;
    let left: HashSet<_> = case.blobs().await.iter().filter_map(BlobId::job).collect();
    assert_eq!(left, HashSet::from([jobs[1].id, jobs[2].id]));
    // One without a record may be in a queue for long, but not for ever.
    case.clock.advance(DAY * 31);
    prune(&ledger).await;
    let left: Vec<_> = case.blobs().await.iter().map(BlobId::job).collect();
    assert_eq!(left, [Some(jobs[1].id)]);
}

#[tokio::test]
async fn sweeps_go_on_where_the_last_one_ended() {
    let case = Case::open().await;
    let ledger = case.ledger();
    for _ in 0..200 {
        case.publish(&case.broker, case.message(LARGE * 2)).await;
    }
    case.clock.advance(DAY * 31);
    for _ in 0..8 {
        prune(&ledger).await;
    }
    assert_eq!(case.blobs().await, []);
}

#[tokio::test]
async fn a_large_job_of_any_tracking_runs_and_leaves_no_body_behind() {
    for track in [Track::Full, Track::Outcome, Track::None] {
        let case = Case::open().await;
        let ledger = case.ledger();
        let job = large_job(&case, track);
        let accepted = ledger.enqueue(vec![job.clone()]).await.remove(0).unwrap();
        assert!(accepted.published);
        let owner = owner(&case.env());
        ledger.renew(&owner, Duration::from_secs(15)).await.unwrap();
        let spec = bananas_core::SourceSpec::new(QueueName::default(), owner);
        let mut source = ledger.open(spec).await.unwrap();
        let claimed = source.next(1, 1, Duration::ZERO).await.unwrap().remove(0);
        assert_eq!(claimed.job.args, job.args);
        let result = Bytes::from_static(b"null");
        let end = Outcome::Succeeded { result };
        ledger.settle(vec![(claimed, end)]).await.remove(0).unwrap();
        assert_eq!(case.blobs().await, []);
    }
}

/// A store whose bodies can be out of reach.
#[derive(Debug)]
struct Flaky {
    inner: Arc<dyn StateStore>,
    away: Arc<AtomicBool>,
}

#[async_trait]
impl StateStore for Flaky {
    fn info(&self) -> &StoreInfo {
        self.inner.info()
    }

    fn jobs(&self) -> &dyn JobStore {
        self.inner.jobs()
    }

    fn index(&self) -> &dyn JobIndex {
        self.inner.index()
    }

    fn blobs(&self) -> Option<&dyn BlobStore> {
        Some(self)
    }

    fn fused(self: Arc<Self>, _: &dyn Broker, _: &Arc<dyn Env>) -> Option<Arc<dyn Ledger>> {
        None
    }

    async fn close(&self, deadline: Duration) -> Result<()> {
        self.inner.close(deadline).await
    }
}

#[async_trait]
impl BlobStore for Flaky {
    async fn put(&self, blobs: Vec<Blob>) -> Vec<Result<()>> {
        self.inner.blobs().unwrap().put(blobs).await
    }

    async fn get(&self, ids: &[BlobId]) -> Vec<Result<Option<Bytes>>> {
        if self.away.load(Ordering::Relaxed) {
            let away = |_| Err(Error::new(ErrorKind::Unreachable, "the store is away"));
            return ids.iter().map(away).collect();
        }
        self.inner.blobs().unwrap().get(ids).await
    }

    async fn delete(&self, ids: &[BlobId]) -> Result<()> {
        self.inner.blobs().unwrap().delete(ids).await
    }

    async fn list(
        &self,
        before: Timestamp,
        after: Option<BlobId>,
        max: usize,
    ) -> Result<Vec<BlobId>> {
        self.inner.blobs().unwrap().list(before, after, max).await
    }
}

#[tokio::test]
async fn a_store_that_is_away_for_long_makes_no_message_look_like_one_that_kills_its_workers() {
    let away = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&away);
    let case = Case::open_with(|inner| Arc::new(Flaky { inner, away: flag })).await;
    let message = case.message(LARGE * 2);
    case.publish(&case.broker, message.clone()).await;
    away.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let mut consumer = case.consumer().await;
        for _ in 0..5 {
            let refused = consumer.reserve(1, Duration::ZERO).await.unwrap_err();
            assert!(refused.is_retryable(), "{refused}");
            case.clock.advance(Duration::from_secs(10));
        }
        consumer.stop().await.unwrap();
    }
    away.store(false, Ordering::Relaxed);
    let delivery = case.next().await.remove(0);
    assert_eq!(delivery.message, message);
    assert_eq!(delivery.count.known(), 1);
}
