//! [`Ground`]: all that a run has set up, where its faults strike.

use std::sync::Arc;

use bananas::Env;

use crate::fleet::Fleet;
use crate::target::Target;
use crate::witness::Witness;

/// Where faults strike.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) target: Target,
    pub(crate) fleet: Fleet,
    pub(crate) witness: Arc<Witness>,
}
