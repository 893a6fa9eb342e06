//! The vocabulary and the contracts of Bananas.
//!
//! A user meets [`Task`], [`Client`] and the configuration types here, re-exported by the crate `bananas`. Who
//! writes a backend implements [`Broker`], or [`StateStore`], or both; the numbered clauses in the
//! documentation of [`broker`], [`store`] and [`ledger`] say what that means.
//!
//! This crate does no I/O and, but for `env/tokio.rs` behind the feature `tokio`, knows no runtime.

mod backoff;
pub mod broker;
mod client;
pub mod codec;
pub mod config;
mod counter;
pub mod env;
mod error;
mod fact;
mod id;
mod job;
pub mod ledger;
mod name;
mod priority;
pub mod store;
mod task;
mod time;
mod track;
pub mod wrapper;

pub use self::backoff::Backoff;
pub use self::broker::{
    Broker, BrokerAdmin, BrokerInfo, Bucket, COPY_PROPERTY, Capabilities, Consumer, ConsumerSpec,
    Count, DEAD_REASON_PROPERTY, Delay, Delivery, DeliveryCount, Depth, Durability, Fencing, Lease,
    LeaseLimits, Ordering, Publish, Published, QueueSpec, RawMessage, Reach, Receipt, Settle,
    Settled, Settlement,
};
pub use self::client::{Client, Enqueue, JobHandle};
pub use self::codec::{Codec, Codecs, JsonCodec, Undecodable};
pub use self::counter::Counter;
#[cfg(feature = "tokio")]
pub use self::env::TokioEnv;
pub use self::env::{BoxFuture, Elapsed, Env, ManualEnv, Running, Spawned};
pub use self::error::{Error, ErrorKind, Result, Status};
pub use self::fact::{Fact, FactLevel};
pub use self::id::{BatchId, BlobId, JobId, OwnerId};
pub use self::job::{
    Args, AttemptError, DeadReason, ErrorCause, Job, JobRef, JobState, MAX_ERROR_BYTES,
    MAX_ERRORS_KEPT, MAX_TAG_BYTES, MAX_TAGS, Tag, Tags, Unique,
};
pub use self::ledger::{
    Accepted, Chore, Claimed, FusedLedger, Ledger, LedgerInfo, Source, SourceSpec, SplitLedger,
    SplitOptions, Tended,
};
pub use self::name::{MAX_NAME_BYTES, QueueName, TaskName};
pub use self::priority::Priority;
pub use self::store::{
    Alteration, Altered, Blob, BlobStore, CRASH_LIMIT, Check, CheckPlace, CheckScope, Checked,
    Claim, ClaimAnswer, ClaimRequest, Claimant, Cursor, Due, DuePage, Finding, FindingKind,
    JobFilter, JobIndex, JobPage, JobRecord, JobSettle, JobSettled, JobStore, Lost, NewRecord,
    Outcome, Owner, OwnerRow, Prune, Publication, Recorded, Renewed, Republish, SearchText,
    Searched, Standing, StateCount, StateStore, StoreInfo, TakeStore, Taken, Taker,
};
pub use self::task::{Task, TaskOptions};
pub use self::time::{Tick, Timestamp};
pub use self::track::Track;
