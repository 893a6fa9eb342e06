//! What is true of the store on Redis alone: that Lua starts jobs as the core would, what a queue leaves behind, and
//! what becomes of answers that get lost.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bananas_broker_redis::{RedisConfig, RedisEngine};
use bananas_core::{
    Args, Claimed, Codec, DeadReason, Env, Job, JobRecord, JobSettled, JobState, JsonCodec, Ledger,
    NewRecord, Outcome, Owner, Priority, Prune, QueueName, Recorded, Source, SourceSpec, Standing,
    StateStore, Status, Timestamp, TokioEnv, Track,
};
use conformance_tests::fault::{Direction, Proxy, ServerProcess, ServerSpec};
use tempfile::TempDir;

mod redis_server;

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// A server of its own for each test.
struct Server {
    env: Arc<dyn Env>,
    process: ServerProcess,
    _folder: TempDir,
}

impl Server {
    /// `None` where there is no redis-server, unless one must be.
    async fn start() -> Option<Self> {
        if redis_server::is_missing() {
            return None;
        }
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let folder = TempDir::new().unwrap();
        let words = "--port {port} --bind 127.0.0.1 --dir {folder}".split(' ');
        let spec = words.fold(
            ServerSpec::new("redis-server", folder.path()),
            ServerSpec::arg,
        );
        let process = ServerProcess::start(&env, spec.arg("--save").arg(""));
        Some(Self {
            process: process.await.unwrap(),
            env,
            _folder: folder,
        })
    }

    async fn rig(&self) -> Rig {
        let url = format!("redis://{}", self.process.address());
        Rig::open(&self.env, &url).await
    }

    /// What `redis-cli` answers.
    fn cli(&self, words: &str) -> String {
        let port = self.process.address().port().to_string();
        let mut cli = Command::new("redis-cli");
        let output = cli.args(["-p", &port]).args(words.split(' ')).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }
}

/// A client whose owner has a lease.
struct Rig {
    env: Arc<dyn Env>,
    queue: QueueName,
    owner: Owner,
    store: Arc<dyn StateStore>,
    ledger: Arc<dyn Ledger>,
}

impl Rig {
    async fn open(env: &Arc<dyn Env>, url: &str) -> Self {
        let config = RedisConfig::from_url(url).unwrap();
        let engine = RedisEngine::open(config, Arc::clone(env)).await.unwrap();
        let rig = Self {
            env: Arc::clone(env),
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
        };
        rig.ledger.renew(&rig.owner, DEADLINE * 10).await.unwrap();
        rig
    }

    fn job(&self, track: Track) -> Job {
        let args = Args::from_json("null").unwrap();
        let task = "redis.task".parse().unwrap();
        let mut job = Job::new(self.env.job_id(), task, args, self.env.now());
        job.queue = self.queue.clone();
        job.track = track;
        job
    }

    async fn source(&self) -> Box<dyn Source> {
        let spec = SourceSpec::new(self.queue.clone(), self.owner.clone());
        self.ledger.open(spec).await.unwrap()
    }

    async fn enqueue(&self, jobs: Vec<Job>) {
        for accepted in self.ledger.enqueue(jobs).await {
            accepted.unwrap();
        }
    }

    async fn succeed(&self, claimed: Vec<Claimed>) {
        let result = b"true".as_slice();
        let ends = claimed.into_iter().map(|claimed| {
            let result = result.into();
            (claimed, Outcome::Succeeded { result })
        });
        for settled in self.ledger.settle(ends.collect()).await {
            assert_eq!(settled.unwrap(), JobSettled::Settled(JobState::Succeeded));
        }
    }

    /// What the first of the answers to these is.
    async fn refusal(&self, jobs: Vec<Job>) -> bananas_core::Error {
        self.ledger.enqueue(jobs).await.remove(0).unwrap_err()
    }

    async fn record_of(&self, job: &NewRecord) -> Option<JobRecord> {
        self.store.index().get(&[job.id]).await.unwrap().remove(0)
    }
}

/// A standing as it could be of a ready job, and some that could not.
fn any_standing(env: &Arc<dyn Env>) -> Standing {
    let mut standing = Standing::new(Timestamp::default(), None, None);
    let number = || u32::try_from(env.random() >> 32).unwrap();
    let some_time = || Some(Timestamp::from_micros(i64::from(number()) * 1_000_000));
    let maybe = |at: Option<Timestamp>| at.filter(|_| env.random().is_multiple_of(2));
    standing.epoch = env.random() >> 12;
    standing.failed_attempts = number() >> 1;
    standing.crashes = [0, 0, 1, number()][usize::try_from(env.random() % 4).unwrap()];
    standing.copy = number();
    standing.claimed_with = (number(), number());
    standing.expires_at = match env.random() % 3 {
        0 => None,
        1 => Some(Timestamp::from_micros(1)),
        _ => Some(Timestamp::from_micros(i64::MAX)),
    };
    standing.cancel_requested = env.random().is_multiple_of(2);
    standing.run_at = maybe(some_time());
    standing.finished_at = maybe(some_time());
    standing.reason = Some(DeadReason::Fatal).filter(|_| env.random().is_multiple_of(2));
    standing
}

#[tokio::test]
async fn a_job_is_started_or_expires_exactly_as_the_core_says() {
    let Some(server) = Server::start().await else {
        return;
    };
    let rig = server.rig().await;
    let mut jobs = Vec::new();
    for n in 0..400 {
        let track = [Track::None, Track::Outcome, Track::Full][n % 3];
        let mut job = rig.job(track);
        job.priority = Priority::new(u8::try_from(n % 101).unwrap()).unwrap();
        let mut record = NewRecord::of(&job, JsonCodec.encode(&job).unwrap(), rig.env.now());
        record.standing = any_standing(&rig.env);
        jobs.push(record);
    }
    for recorded in rig.store.jobs().record(jobs.clone(), None).await {
        assert_eq!(recorded.unwrap(), Recorded::New);
    }
    let mut source = rig.source().await;
    let mut started = 0;
    loop {
        let taken = source.next(100, 100, Duration::ZERO).await.unwrap();
        if taken.is_empty() {
            break;
        }
        started += taken.len();
    }
    let mut runs = 0;
    for job in jobs {
        let record = rig.record_of(&job).await;
        let mut expected = job.standing.clone();
        let times = record
            .as_ref()
            .and_then(|it| it.started_at.or(it.standing.finished_at));
        let now = times.unwrap_or_else(|| rig.env.now());
        let copy = expected.copy;
        let runs_now = expected.start(rig.owner.id, (copy, 1), now);
        runs += usize::from(runs_now);
        match record {
            Some(record) => assert_eq!(record.standing, expected),
            None => assert!(!runs_now && job.track == Track::None, "{job:?}"),
        }
    }
    assert_eq!(started, runs);
    assert!((100..350).contains(&runs), "{runs} of 400 is no mixture");
}

#[tokio::test]
async fn a_queue_that_was_emptied_leaves_a_few_keys_however_many_jobs_it_had() {
    let Some(server) = Server::start().await else {
        return;
    };
    let rig = server.rig().await;
    let mut source = rig.source().await;
    let mut left = Vec::new();
    for round in [1, 4] {
        for track in [Track::None, Track::Full] {
            rig.enqueue((0..100 * round).map(|_| rig.job(track)).collect())
                .await;
            for _ in 0..round {
                rig.succeed(source.next(100, 0, DEADLINE).await.unwrap())
                    .await;
            }
        }
        let prune = Prune {
            finished_before: rig.env.now() + DEADLINE,
            dead_before: rig.env.now(),
            max: 1_000,
        };
        assert_eq!(rig.store.index().prune(prune).await.unwrap(), 100 * round);
        // The marker for who waits comes and goes.
        server.cli("DEL {bananas:mail}:wake");
        let mut keys: Vec<String> = server.cli("KEYS *").lines().map(str::to_owned).collect();
        keys.sort();
        left.push(keys);
    }
    assert_eq!(left[0], left[1]);
    let names = ["job-counts", "job-numbers", "owners"].map(|it| format!("{{bananas:mail}}:{it}"));
    let mut names = names.to_vec();
    names.extend(["job-queues", "owners"].map(|it| format!("{{bananas}}:{it}")));
    names.sort();
    assert_eq!(left[0], names);
}

#[tokio::test]
async fn what_was_started_by_a_call_whose_answer_was_lost_comes_with_the_next_call() {
    let Some(server) = Server::start().await else {
        return;
    };
    let rig = server.rig().await;
    let proxy = Proxy::start(&server.env, server.process.address()).unwrap();
    let url = format!("redis://{}?timeout_ms=1000", proxy.address());
    let cut = Rig::open(&server.env, &url).await;
    let mut source = cut.source().await;
    rig.enqueue(vec![rig.job(Track::Full)]).await;
    let first = source.next(1, 0, DEADLINE).await.unwrap();
    cut.succeed(first).await;
    let job = rig.job(Track::Full);
    rig.enqueue(vec![job.clone()]).await;
    proxy.blackhole(Direction::ToClient);
    // The server starts the job for it, and it does not hear so.
    let error = source.next(1, 0, Duration::ZERO).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let states = rig.store.index().counts().await.unwrap();
    assert!(
        states.iter().any(|count| count.state == JobState::Running),
        "{states:?}"
    );
    proxy.heal().unwrap();
    let back = source.next(1, 0, DEADLINE).await.unwrap();
    assert_eq!((back[0].job.id, back[0].epoch), (job.id, 1));
    cut.succeed(back).await;
}

#[tokio::test]
async fn a_source_that_is_dropped_gives_back_what_a_lost_answer_had_started() {
    let Some(server) = Server::start().await else {
        return;
    };
    let rig = server.rig().await;
    let proxy = Proxy::start(&server.env, server.process.address()).unwrap();
    let url = format!("redis://{}?timeout_ms=1000", proxy.address());
    let cut = Rig::open(&server.env, &url).await;
    let mut source = cut.source().await;
    rig.enqueue(vec![rig.job(Track::Full)]).await;
    let first = source.next(1, 0, DEADLINE).await.unwrap();
    cut.succeed(first).await;
    let job = rig.job(Track::Full);
    rig.enqueue(vec![job.clone()]).await;
    proxy.blackhole(Direction::ToClient);
    source.next(1, 0, Duration::ZERO).await.unwrap_err();
    proxy.heal().unwrap();
    drop(source);
    let mut other = rig.source().await;
    let back = other.next(1, 0, DEADLINE).await.unwrap();
    assert_eq!((back[0].job.id, back[0].epoch), (job.id, 2));
}

#[tokio::test]
async fn jobs_are_found_and_looked_after_although_the_server_has_lost_all_data() {
    let Some(server) = Server::start().await else {
        return;
    };
    let rig = server.rig().await;
    rig.enqueue(vec![rig.job(Track::Full)]).await;
    server.cli("FLUSHALL");
    let job = rig.job(Track::Full);
    rig.enqueue(vec![job.clone()]).await;
    let counts = rig.store.index().counts().await.unwrap();
    assert_eq!(counts.len(), 1, "{counts:?}");
    rig.ledger.renew(&rig.owner, DEADLINE).await.unwrap();
    let mut source = rig.source().await;
    let taken = source.next(10, 0, DEADLINE).await.unwrap();
    assert_eq!(taken.len(), 1);
    rig.succeed(taken).await;
}

#[tokio::test]
async fn a_job_that_too_few_replicas_have_is_recorded_and_reported_as_doubtful() {
    let Some(server) = Server::start().await else {
        return;
    };
    let url = format!(
        "redis://{}?confirm=replicas:1&timeout_ms=2000",
        server.process.address()
    );
    let rig = Rig::open(&server.env, &url).await;
    let job = rig.job(Track::Full);
    let id = job.id;
    let error = rig.refusal(vec![job]).await;
    assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
    assert_eq!(error.status(), Status::MayBeApplied);
    let found = rig.store.index().get(&[id]).await.unwrap();
    assert!(found[0].is_some(), "it is there all the same");
}
