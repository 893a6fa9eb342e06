//! What the tests of this crate share: an engine under a clock that they move, and short words for the calls.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{
    Broker, Due, DuePage, Env, JobId, JobRef, JobSettle, JobSettled, JobStore, ManualEnv,
    NewRecord, Outcome, Owner, OwnerId, Priority, Publication, QueueName, Recorded, Standing,
    StateStore, Tags, Taken, TaskName, Timestamp, TokioEnv, Track,
};
use bytes::Bytes;

use crate::MemoryEngine;
use crate::connection::Connection;
use crate::store::MemoryStore;

pub(crate) const LEASE: Duration = Duration::from_secs(15);
pub(crate) const NOW: Duration = Duration::ZERO;

pub(crate) struct Rig {
    pub(crate) env: Arc<ManualEnv>,
    pub(crate) engine: Arc<MemoryEngine>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) broker: Arc<dyn Broker>,
}

impl Rig {
    /// An engine at second 1,000. Needs a Tokio runtime.
    pub(crate) fn new() -> Self {
        let start = Timestamp::from_micros(1_000_000_000);
        let env = Arc::new(ManualEnv::new(Arc::new(TokioEnv::current()), start, 7));
        let engine = MemoryEngine::new(Arc::clone(&env) as Arc<dyn Env>);
        let connection = Connection::new(Arc::clone(&engine.memory));
        Self {
            store: Arc::new(MemoryStore::new(connection)),
            broker: engine.broker(),
            env,
            engine,
        }
    }

    pub(crate) fn jobs(&self) -> &dyn JobStore {
        self.store.jobs()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.env.now()
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.env.advance(Duration::from_secs(seconds));
    }

    pub(crate) async fn record(&self, job: NewRecord) -> Recorded {
        let mut answers = self.jobs().record(vec![job], None).await;
        answers.remove(0).unwrap()
    }

    /// An owner with a valid lease.
    pub(crate) async fn owner(&self, n: u8) -> OwnerId {
        let owner = owner(n);
        self.jobs().renew(&owner, LEASE).await.unwrap();
        owner.id
    }

    pub(crate) async fn take(&self, owner: OwnerId, max: usize) -> Vec<Taken> {
        use bananas_core::TakeStore;
        let mut taker = self.store.taker(&queue(), owner);
        taker.take(max, max, NOW).await.unwrap()
    }

    pub(crate) async fn settle(&self, id: JobId, epoch: u64, outcome: Outcome) -> JobSettled {
        let settle = JobSettle {
            job: reference(id),
            epoch,
            outcome,
        };
        self.jobs().settle(vec![settle]).await.remove(0).unwrap()
    }

    pub(crate) async fn due(&self, publication: Option<Publication>) -> DuePage {
        let due = Due {
            now: self.now(),
            max: 100,
            publication,
        };
        self.jobs().due(due).await.unwrap()
    }
}

/// Waits for what must come without the clock of the test; a bell that nobody rings fails instead of hanging.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    env.within(Duration::from_secs(20), future).await.unwrap()
}

pub(crate) fn queue() -> QueueName {
    QueueName::new("mail").unwrap()
}

/// Ids that sort by their number.
pub(crate) fn id(n: u64) -> JobId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    JobId::from_slice(&bytes).unwrap()
}

pub(crate) fn reference(id: JobId) -> JobRef {
    JobRef { queue: queue(), id }
}

pub(crate) fn owner(n: u8) -> Owner {
    Owner {
        id: OwnerId::from_slice(&[n; 16]).unwrap(),
        host: "host".to_owned(),
        boot_id: "boot".to_owned(),
        pid: u32::from(n),
        pid_started: 1,
    }
}

pub(crate) fn publication(n: u8) -> Publication {
    Publication {
        id: bananas_core::BatchId::from_slice(&[n; 16]).unwrap(),
        owner: owner(n),
    }
}

/// A ready job of default priority that is tracked in full.
pub(crate) fn job(n: u64) -> NewRecord {
    NewRecord {
        id: id(n),
        queue: queue(),
        task: TaskName::new("email.welcome").unwrap(),
        priority: Priority::DEFAULT,
        track: Track::Full,
        tags: Tags::default(),
        body: Bytes::from_static(b"{}"),
        created_at: Timestamp::default(),
        standing: Standing::new(Timestamp::default(), None, None),
        unique: None,
        errors: Vec::new(),
        result: None,
    }
}

pub(crate) fn urgent(n: u64, priority: u8) -> NewRecord {
    NewRecord {
        priority: Priority::new(priority).unwrap(),
        ..job(n)
    }
}

/// A job that is due at a time.
pub(crate) fn later(n: u64, at: Timestamp) -> NewRecord {
    NewRecord {
        standing: Standing::new(Timestamp::default(), Some(at), None),
        ..job(n)
    }
}

pub(crate) fn success() -> Outcome {
    Outcome::Succeeded {
        result: Bytes::from_static(b"1"),
    }
}

pub(crate) fn release() -> Outcome {
    Outcome::Release {
        run_at: None,
        note: None,
    }
}
