//! What cannot be read of a job on the server holds up no other, and a check finds and mends it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bananas_broker_redis::{RedisConfig, RedisEngine};
use bananas_core::{
    Args, Check, CheckScope, Claimed, DeadReason, Env, Finding, FindingKind, Job, JobFilter, JobId,
    JobRecord, JobSettled, JobState, Ledger, Outcome, Owner, QueueName, SourceSpec, StateStore,
    TokioEnv, Track,
};
use conformance_tests::fault::{ServerProcess, ServerSpec};
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

mod redis_server;

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// A server, a client whose owner has a lease, and a stranger who knows none of our rules.
struct Rig {
    env: Arc<dyn Env>,
    queue: QueueName,
    owner: Owner,
    store: Arc<dyn StateStore>,
    ledger: Arc<dyn Ledger>,
    stranger: MultiplexedConnection,
    _process: ServerProcess,
    _folder: TempDir,
}

impl Rig {
    /// `None` where there is no redis-server, unless one must be.
    async fn open() -> Option<Self> {
        if redis_server::is_missing() {
            return None;
        }
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let folder = TempDir::new().unwrap();
        let words = "--port {port} --bind 127.0.0.1 --dir {folder}".split(' ');
        let spec = ServerSpec::new("redis-server", folder.path());
        let spec = words.fold(spec, ServerSpec::arg).arg("--save").arg("");
        let process = ServerProcess::start(&env, spec).await.unwrap();
        let url = format!("redis://{}", process.address());
        let config = RedisConfig::from_url(&url).unwrap();
        let engine = RedisEngine::open(config, Arc::clone(&env)).await.unwrap();
        let stranger = redis::Client::open(url).unwrap();
        let rig = Self {
            queue: QueueName::new("mail").unwrap(),
            owner: Owner {
                id: env.owner_id(),
                host: "here".to_owned(),
                boot_id: String::new(),
                pid: 1,
                pid_started: 1,
            },
            store: engine.store(),
            ledger: engine.ledger(),
            stranger: stranger.get_multiplexed_async_connection().await.unwrap(),
            env,
            _process: process,
            _folder: folder,
        };
        rig.ledger.renew(&rig.owner, DEADLINE * 10).await.unwrap();
        Some(rig)
    }

    async fn enqueue(&self, count: usize) -> Vec<JobId> {
        let job = |_| {
            let args = Args::from_json("null").unwrap();
            let task = "redis.task".parse().unwrap();
            let mut job = Job::new(self.env.job_id(), task, args, self.env.now());
            job.queue = self.queue.clone();
            job.track = Track::Full;
            job
        };
        let accepted = self.ledger.enqueue((0..count).map(job).collect()).await;
        accepted.into_iter().map(|one| one.unwrap().id).collect()
    }

    /// Takes jobs until so many have come.
    async fn take(&self, count: usize) -> Vec<Claimed> {
        let spec = SourceSpec::new(self.queue.clone(), self.owner.clone());
        let mut source = self.ledger.open(spec).await.unwrap();
        let mut taken = Vec::new();
        let end = self.env.monotonic() + DEADLINE;
        while taken.len() < count {
            let most = (count - taken.len()).min(100);
            let more = source.next(most, 1, Duration::from_millis(500)).await;
            taken.extend(more.unwrap());
            assert!(
                self.env.monotonic() < end,
                "{} of {count} came",
                taken.len()
            );
        }
        taken
    }

    async fn succeed(&self, claimed: Vec<Claimed>) {
        let ends = claimed.into_iter().map(|claimed| {
            let result = b"true".as_slice().into();
            (claimed, Outcome::Succeeded { result })
        });
        for settled in self.ledger.settle(ends.collect()).await {
            assert_eq!(settled.unwrap(), JobSettled::Settled(JobState::Succeeded));
        }
    }

    /// The key of our queue that ends like this.
    async fn key(&self, end: &str) -> Vec<u8> {
        let mut stranger = self.stranger.clone();
        let all: Vec<Vec<u8>> = redis::cmd("KEYS")
            .arg(format!("*mail*:{end}"))
            .query_async(&mut stranger)
            .await
            .unwrap();
        assert_eq!(all.len(), 1, "{end}");
        all.into_iter().next().unwrap()
    }

    async fn get(&self, hash: &str, id: JobId) -> Vec<u8> {
        let key = self.key(hash).await;
        let mut command = redis::cmd("HGET");
        command.arg(key).arg(id.as_bytes());
        command
            .query_async(&mut self.stranger.clone())
            .await
            .unwrap()
    }

    async fn put(&self, hash: &str, id: JobId, value: &[u8]) {
        let key = self.key(hash).await;
        let mut command = redis::cmd("HSET");
        command.arg(key).arg(id.as_bytes()).arg(value);
        let _: i64 = command
            .query_async(&mut self.stranger.clone())
            .await
            .unwrap();
    }

    async fn run(&self, words: &[&[u8]]) {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        let changed: i64 = command
            .query_async(&mut self.stranger.clone())
            .await
            .unwrap();
        assert_eq!(changed, 1);
    }

    /// All pages of a check.
    async fn check(&self, repair: bool) -> (u64, Vec<Finding>) {
        let mut check = Check {
            repair,
            scope: CheckScope::Everything,
            ..Check::default()
        };
        let (mut records, mut findings) = (0, Vec::new());
        loop {
            let page = self.store.index().check(check.clone()).await.unwrap();
            records += page.records;
            findings.extend(page.findings);
            check.after = page.next;
            if check.after.is_none() {
                return (records, findings);
            }
        }
    }

    async fn record(&self, id: JobId) -> JobRecord {
        self.store
            .index()
            .get(&[id])
            .await
            .unwrap()
            .remove(0)
            .unwrap()
    }

    async fn in_state(&self, state: JobState) -> u64 {
        let counts = self.store.index().counts().await.unwrap();
        let of_state = counts.iter().filter(|count| count.state == state);
        of_state.map(|count| count.jobs).sum()
    }
}

fn kinds(findings: &[Finding]) -> HashSet<FindingKind> {
    findings.iter().map(|finding| finding.kind).collect()
}

/// What becomes of a value.
type Spoil = fn(&[u8]) -> Vec<u8>;

/// Ways to spoil a job: what is spoilt, and how.
const DAMAGES: [(&str, Spoil); 8] = [
    ("jobs", |bytes| bytes[..20].to_vec()),
    ("jobs", |bytes| [bytes, bytes].concat()),
    ("jobs", |_| Vec::new()),
    ("jobs", |bytes| with(bytes, 0, 99)),
    ("jobs", |bytes| with(bytes, 59, 77)),
    ("jobs", |bytes| with(bytes, 81, 200)),
    ("job-bodies", |bytes| bytes[..3].to_vec()),
    ("job-bodies", |_| b"nothing of ours".to_vec()),
];

fn with(bytes: &[u8], place: usize, byte: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[place] = byte;
    bytes
}

#[tokio::test]
async fn a_record_that_cannot_be_read_becomes_a_dead_job_and_holds_up_no_other() {
    for (n, (hash, spoil)) in DAMAGES.iter().enumerate() {
        let Some(rig) = Rig::open().await else { return };
        let ids = rig.enqueue(3).await;
        let spoilt = spoil(&rig.get(hash, ids[0]).await);
        rig.put(hash, ids[0], &spoilt).await;
        let (records, found) = rig.check(false).await;
        assert_eq!((records, found.len()), (3, 1), "{n}: {found:?}");
        assert_eq!(
            (found[0].kind, found[0].job),
            (FindingKind::Unreadable, Some(ids[0]))
        );
        let taken = rig.take(2).await;
        let came: HashSet<JobId> = taken.iter().map(|claimed| claimed.job.id).collect();
        assert_eq!(came, HashSet::from([ids[1], ids[2]]), "{n}");
        rig.succeed(taken).await;
        let dead = rig.record(ids[0]).await;
        assert_eq!(dead.standing.state, JobState::Dead, "{n}");
        assert_eq!(dead.standing.reason, Some(DeadReason::Undecodable));
        assert!(
            dead.errors[0]
                .message
                .starts_with("the record was damaged: its ")
        );
        if *hash == "job-bodies" {
            assert_eq!(dead.body, spoilt, "{n}");
        } else {
            assert_eq!(dead.task.as_str(), "redis.task", "{n}");
        }
        let states = [JobState::Ready, JobState::Running, JobState::Dead];
        let mut counts = Vec::new();
        for state in states {
            counts.push(rig.in_state(state).await);
        }
        assert_eq!(counts, [0, 0, 1], "{n}");
        assert_eq!(rig.check(false).await, (3, Vec::new()), "{n}");
    }
}

#[tokio::test]
async fn errors_that_cannot_be_read_set_a_waiting_job_aside_and_delay_no_other() {
    let Some(rig) = Rig::open().await else { return };
    let ids = rig.enqueue(2).await;
    let taken = rig.take(2).await;
    let fail = |claimed: Claimed| {
        let error = bananas_core::AttemptError::new(
            1,
            rig.env.now(),
            bananas_core::ErrorCause::Failed,
            "no",
        );
        let run_at = rig.env.now();
        (claimed, Outcome::Retry { run_at, error })
    };
    for settled in rig
        .ledger
        .settle(taken.into_iter().map(fail).collect())
        .await
    {
        settled.unwrap();
    }
    rig.put("job-stories", ids[0], b"no JSON").await;
    let taken = rig.take(2).await;
    assert_eq!(taken.len(), 2, "a story is not needed to run");
    let sound = taken.into_iter().filter(|claimed| claimed.job.id == ids[1]);
    rig.succeed(sound.collect()).await;
    assert_eq!(
        kinds(&rig.check(true).await.1),
        HashSet::from([FindingKind::Unreadable])
    );
    assert_eq!(rig.record(ids[0]).await.standing.state, JobState::Dead);
    assert_eq!(rig.check(false).await.1, []);
}

#[tokio::test]
async fn what_was_deleted_in_part_is_found_and_put_in_order() {
    let Some(rig) = Rig::open().await else { return };
    let ids = rig.enqueue(4).await;
    let standings = rig.key("jobs").await;
    let bodies = rig.key("job-bodies").await;
    let ready = rig.key("jobs-ready").await;
    // One without a standing, one out of its line, one of which only its place in the line is left.
    rig.run(&[b"HDEL", &standings, ids[0].as_bytes()]).await;
    rig.run(&[b"ZREM", &ready, ids[1].as_bytes()]).await;
    rig.run(&[b"HDEL", &standings, ids[2].as_bytes()]).await;
    rig.run(&[b"HDEL", &bodies, ids[2].as_bytes()]).await;
    let (_, found) = rig.check(false).await;
    let expected = [
        FindingKind::Unreadable,
        FindingKind::Index,
        FindingKind::Count,
    ];
    assert_eq!(kinds(&found), HashSet::from(expected), "{found:?}");
    let (_, mended) = rig.check(true).await;
    assert!(mended.iter().all(|finding| finding.repaired));
    assert_eq!(rig.check(false).await.1, []);
    assert_eq!(rig.record(ids[0]).await.standing.state, JobState::Dead);
    let came: HashSet<JobId> = rig.take(2).await.iter().map(|one| one.job.id).collect();
    assert_eq!(came, HashSet::from([ids[1], ids[3]]));
    assert_eq!(
        (
            rig.in_state(JobState::Ready).await,
            rig.in_state(JobState::Running).await
        ),
        (0, 2)
    );
}

#[tokio::test]
async fn a_job_that_is_due_and_has_no_record_delays_no_other() {
    let Some(rig) = Rig::open().await else { return };
    let ids = rig.enqueue(2).await;
    let taken = rig.take(2).await;
    let release = |claimed| {
        let run_at = Some(rig.env.now());
        (claimed, Outcome::Release { run_at, note: None })
    };
    for settled in rig
        .ledger
        .settle(taken.into_iter().map(release).collect())
        .await
    {
        settled.unwrap();
    }
    let standings = rig.key("jobs").await;
    rig.run(&[b"HDEL", &standings, ids[0].as_bytes()]).await;
    assert_eq!(rig.take(1).await[0].job.id, ids[1]);
}

#[tokio::test]
async fn a_thousand_damaged_records_among_others_keep_none_of_them_from_running() {
    let Some(rig) = Rig::open().await else { return };
    let ids = rig.enqueue(2_000).await;
    for (n, id) in ids.iter().enumerate().filter(|(n, _)| n % 2 == 0) {
        let (hash, spoil) = DAMAGES[n / 2 % DAMAGES.len()];
        let spoilt = spoil(&rig.get(hash, *id).await);
        rig.put(hash, *id, &spoilt).await;
    }
    let taken = rig.take(1_000).await;
    rig.succeed(taken).await;
    rig.check(true).await;
    assert_eq!(rig.check(false).await.1, []);
    let mut filter = JobFilter::default();
    filter.states = vec![JobState::Dead];
    let dead = rig
        .store
        .index()
        .query(&filter, None, 2_000)
        .await
        .unwrap()
        .jobs;
    assert_eq!(dead.len(), 1_000);
    assert_eq!(rig.in_state(JobState::Succeeded).await, 1_000);
    assert_eq!(rig.in_state(JobState::Dead).await, 1_000);
}
