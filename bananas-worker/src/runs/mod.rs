//! What is under way in this process: runs, the slots they take, and the lease they stand on.

mod run;
mod slots;
mod suspects;
mod table;
mod tenure;

pub(crate) use self::run::{Busy, Run, Stop};
pub(crate) use self::slots::{Lane, Slots};
pub(crate) use self::suspects::{Permit, Suspects};
pub(crate) use self::table::Running;
pub(crate) use self::tenure::{Tenancy, Tenure};
