//! The whole way of a job through both ledgers over this engine: the fused one, and broker and store apart.

#![expect(
    clippy::unwrap_used,
    reason = "tests may unwrap, also in their helpers"
)]

use std::sync::Arc;
use std::time::Duration;

use bananas_broker_memory::MemoryEngine;
use bananas_core::{
    Args, Chore, Env, Job, JobSettled, JobState, Ledger, ManualEnv, Outcome, Owner, Source,
    SourceSpec, SplitLedger, SplitOptions, Timestamp, TokioEnv, Track,
};
use bytes::Bytes;

const SECOND: Duration = Duration::from_secs(1);

struct Rig {
    env: Arc<ManualEnv>,
    engine: Arc<MemoryEngine>,
    ledger: Arc<dyn Ledger>,
    owner: Owner,
}

impl Rig {
    async fn both() -> [Self; 2] {
        let [fused, split] = [(); 2].map(|()| {
            let start = Timestamp::from_micros(1_000_000_000);
            let env = Arc::new(ManualEnv::new(Arc::new(TokioEnv::current()), start, 1));
            let dynamic: Arc<dyn Env> = Arc::clone(&env) as Arc<dyn Env>;
            (env, MemoryEngine::new(dynamic))
        });
        let owner = Owner {
            id: (&*fused.0 as &dyn Env).owner_id(),
            host: "host".to_owned(),
            boot_id: String::new(),
            pid: 1,
            pid_started: 1,
        };
        let options = SplitOptions::new(owner.clone(), |_| false);
        let env: Arc<dyn Env> = Arc::clone(&split.0) as Arc<dyn Env>;
        let apart = SplitLedger::new(split.1.broker(), split.1.store(), env, options);
        let rigs = [
            (fused.1.ledger(), fused),
            (Arc::new(apart) as Arc<dyn Ledger>, split),
        ]
        .map(|(ledger, (env, engine))| Self {
            env,
            engine,
            ledger,
            owner: owner.clone(),
        });
        for rig in &rigs {
            rig.ledger.renew(&rig.owner, 15 * SECOND).await.unwrap();
            rig.ledger
                .ensure(&["default".parse().unwrap()])
                .await
                .unwrap();
        }
        rigs
    }

    async fn enqueue(&self, track: Track) {
        let id = (&*self.env as &dyn Env).job_id();
        let args = Args::from_json("{}").unwrap();
        let mut job = Job::new(id, "email.welcome".parse().unwrap(), args, self.env.now());
        job.track = track;
        let accepted = self.ledger.enqueue(vec![job]).await.remove(0).unwrap();
        assert!(accepted.published && !accepted.duplicate);
    }

    async fn source(&self) -> Box<dyn Source> {
        let spec = SourceSpec::new("default".parse().unwrap(), self.owner.clone());
        self.ledger.open(spec).await.unwrap()
    }
}

fn success() -> Outcome {
    Outcome::Succeeded {
        result: Bytes::from_static(b"1"),
    }
}

#[tokio::test]
async fn a_job_runs_once_and_the_engine_is_drained() {
    for rig in Rig::both().await {
        for track in [Track::Full, Track::Outcome, Track::None] {
            rig.enqueue(track).await;
        }
        let mut source = rig.source().await;
        let (drained, ()) = tokio::join!(rig.engine.drain(3_600 * SECOND), async {
            let claimed = source.next(10, 1, SECOND).await.unwrap();
            assert_eq!(claimed.len(), 3, "{}", rig.ledger.info().backend);
            let batch = claimed.into_iter().map(|job| (job, success())).collect();
            for settled in rig.ledger.settle(batch).await {
                let settled = settled.unwrap();
                assert_eq!(settled, JobSettled::Settled(JobState::Succeeded));
            }
        });
        assert!(drained.unwrap().dead == 0);
        let again = source.next(10, 1, Duration::ZERO).await.unwrap();
        assert!(again.is_empty());
    }
}

#[tokio::test]
async fn a_failed_job_waits_for_its_time_and_runs_again() {
    for rig in Rig::both().await {
        rig.enqueue(Track::Full).await;
        let mut source = rig.source().await;
        let job = source.next(1, 1, SECOND).await.unwrap().remove(0);
        let error = bananas_core::AttemptError::new(
            1,
            rig.env.now(),
            bananas_core::ErrorCause::Failed,
            "no",
        );
        let run_at = rig.env.now() + 10 * SECOND;
        let retry = Outcome::Retry { run_at, error };
        rig.ledger
            .settle(vec![(job, retry)])
            .await
            .remove(0)
            .unwrap();
        rig.ledger.tend(Chore::Promote).await.unwrap();
        let early = source.next(1, 1, Duration::ZERO).await.unwrap();
        assert!(early.is_empty());
        rig.env.advance(10 * SECOND);
        rig.ledger.tend(Chore::Promote).await.unwrap();
        let again = source.next(1, 1, SECOND).await.unwrap().remove(0);
        assert_eq!(again.attempt, 2);
    }
}
