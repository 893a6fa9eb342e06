//! Failures that a backend's author knows of.

/// A check that fails, and why that is accepted for now. It is run all the same: when it passes, that is a
/// failure, so that the declaration goes when its reason has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFailure {
    /// The check, with its side: `broker::a_mixed_batch_is_settled_each_as_it_says`.
    pub check: &'static str,
    /// Why it fails, and where that is followed.
    pub reason: &'static str,
}
