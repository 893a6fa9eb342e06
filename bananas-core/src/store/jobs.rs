//! The life of jobs in the store.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    BatchId, ClaimAnswer, ClaimRequest, Due, DuePage, JobId, JobSettle, JobSettled, Lost,
    NewRecord, Owner, OwnerId, OwnerRow, Publication, Renewed, Result,
};

/// The answer to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is accepted and durable.
    New,
    /// A job with this id, or with this unique key, was there before: this one.
    Duplicate(JobId),
}

/// The life of jobs: recorded, claimed, settled, published again when it must be.
///
/// All methods MAY be called concurrently, from any task and process.
#[async_trait]
pub trait JobStore: Send + Sync + fmt::Debug {
    /// Records jobs, and opens `publication` in the same transaction when one is given.
    ///
    /// - **S10** `Ok` means that the record is durable: the job is accepted.
    /// - **S11** The same id, or the same unique key within its time, is `Duplicate` and changes nothing.
    /// - **S12** If the future is dropped, each job was recorded whole or not at all.
    async fn record(
        &self,
        jobs: Vec<NewRecord>,
        publication: Option<Publication>,
    ) -> Vec<Result<Recorded>>;

    /// Closes batches: the broker has confirmed their messages. **S20** Closing twice is `Ok`.
    async fn confirm(&self, batches: &[BatchId]) -> Result<()>;

    /// Answers claims, in order.
    ///
    /// - **S30** `Run` is answered once per epoch, and only to an owner whose lease is valid; to others every
    ///   claim is an error of kind `Closed`.
    /// - **S31** At most `suspects` answers are `Run` for jobs with a crash behind them.
    async fn claim(&self, request: ClaimRequest) -> Vec<Result<ClaimAnswer>>;

    /// Records outcomes, in order.
    ///
    /// - **S40** At most one outcome per epoch is `Settled`; result, error and state are stored together.
    /// - **S41** The run of an owner that was retired, or whose lease lapsed and was acted upon, is `Stale` at
    ///   once.
    async fn settle(&self, batch: Vec<JobSettle>) -> Vec<Result<JobSettled>>;

    /// Makes due jobs and those of dead owners ready, and returns them for publication.
    ///
    /// - **S50** With many schedulers at once, each job is returned to one of them.
    /// - **S51** The move and the open batch are one transaction: a scheduler that dies before publishing
    ///   leaves the batch open for [`lost`](Self::lost).
    async fn due(&self, due: Due) -> Result<DuePage>;

    /// Finds ready jobs that the broker has lost. **S52** Never by age alone: a long backlog is not a loss.
    async fn lost(&self, lost: Lost) -> Result<DuePage>;

    /// Batches that are open, with their owners. **S53** Closed ones are left out.
    async fn open_batches(&self) -> Result<Vec<Publication>>;

    /// Enlists an owner, or renews its lease.
    ///
    /// - **S54** An owner that was retired, or whose lease lapsed and was acted upon, is `Lost` for ever.
    /// - **S55** While the lease is valid none of its running jobs is given to another.
    async fn renew(&self, owner: &Owner, lease: Duration) -> Result<Renewed>;

    /// The owners with their leases, and the running jobs of `cancels_of` that somebody asked to cancel.
    async fn owners(&self, cancels_of: Option<OwnerId>) -> Result<(Vec<OwnerRow>, Vec<JobId>)>;

    /// Ends the leases of owners that are known to be gone, or that leave. **S56** Their running jobs are
    /// found by the next [`due`](Self::due), as crashes; an owner that leaves cleanly has none.
    async fn retire(&self, owners: &[OwnerId]) -> Result<()>;
}
