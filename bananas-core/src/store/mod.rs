//! The contract of a state store: what must happen, and what happened.
//!
//! The numbered clauses are the specification, as in [`crate::broker`].
//!
//! - **S1** Every change of a job is a compare-and-set on its state and epoch, made by [`Standing`]; a store
//!   adds none of its own.
//! - **S2** A change and what belongs to it (result, error, unique key, counts) are stored together or not
//!   at all.
//! - **S3** Batches are answered per item, in order; one bad record never blocks its neighbours.
//! - **S4** Leases of owners are measured on a clock that nobody can set; a wall clock that jumps neither
//!   ends nor prolongs one.
//! - **S5** Every operation ends within its deadline.

mod blob;
mod check;
mod claim;
mod filter;
mod index;
mod jobs;
mod outcome;
mod owner;
mod publication;
mod record;
mod search_text;
mod standing;
mod take;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::blob::{Blob, BlobStore};
pub use self::check::{Check, CheckPlace, CheckScope, Checked, Finding, FindingKind};
pub use self::claim::{Claim, ClaimAnswer, ClaimRequest};
pub use self::filter::{Cursor, JobFilter, JobPage};
pub use self::index::{Alteration, Altered, JobIndex, Prune, StateCount};
pub use self::jobs::{JobStore, Recorded};
pub use self::outcome::{JobSettle, JobSettled, Outcome};
pub use self::owner::{Owner, OwnerRow, Renewed};
pub use self::publication::{Due, DuePage, Lost, Publication, Republish};
pub use self::record::{JobRecord, NewRecord};
pub use self::search_text::{SearchText, Searched};
pub use self::standing::{CRASH_LIMIT, Claimant, Standing};
pub use self::take::{TakeStore, Taken, Taker};

use crate::broker::UNTOLD;
use crate::{Broker, Durability, Env, Fact, Ledger, Result};

/// Who a store is.
#[derive(Clone, Debug)]
pub struct StoreInfo {
    /// The backend's name: `sqlite`.
    pub backend: &'static str,
    /// Where it is, without secrets.
    pub url: String,
    /// What survives once a write was confirmed.
    pub durability: Durability,
    /// The largest body or result it takes, in bytes.
    pub max_value: usize,
}

/// Remembers jobs and their results, attempts, schedules, owners.
#[async_trait]
pub trait StateStore: Send + Sync + fmt::Debug + 'static {
    /// Who it is. Costs nothing.
    fn info(&self) -> &StoreInfo;

    /// The life of jobs: what ledger and worker need.
    fn jobs(&self) -> &dyn JobStore;

    /// Looking at jobs and changing them from outside: what people need.
    fn index(&self) -> &dyn JobIndex;

    /// Large bodies, where it keeps such.
    fn blobs(&self) -> Option<&dyn BlobStore> {
        None
    }

    /// A ledger of its own, when `broker` is the same engine and a job's record can be its message.
    fn fused(self: Arc<Self>, broker: &dyn Broker, env: &Arc<dyn Env>) -> Option<Arc<dyn Ledger>>;

    /// What about the server or the disk decides what is kept, as it is now. MAY ask the server, and is for
    /// people.
    ///
    /// - **S80** Among the facts is the class of [`info`](Self::info), as [`Fact::durability`]; each setting
    ///   that loses or refuses jobs is a warning or a danger, and says what to change. Nothing is changed.
    async fn facts(&self) -> Result<Vec<Fact>> {
        Ok(vec![Fact::durability(self.info().durability, UNTOLD)])
    }

    /// Finishes what is under way and closes. Closing again is `Ok`.
    async fn close(&self, deadline: Duration) -> Result<()>;
}
