//! Handlers: how an `async fn` with a task and extractors becomes something the executor can run.
//!
//! The types are erased at registration. Each trait here has one impl per number of arguments and asks one
//! question, so that the compiler's answer to a mistake names the mistake and not the machinery.

mod arguments;
mod blocking;
mod context;
mod erased;
mod extract;
mod returns;
mod signature;
mod state;
mod typed;

pub use self::arguments::Arguments;
pub(crate) use self::blocking::{BlockingHandler, BlockingPool};
pub use self::context::{Attempt, CancelToken, JobContext};
pub(crate) use self::erased::{Failure, Handler, Place, Ran};
pub use self::extract::FromJob;
pub use self::returns::HandlerReturn;
pub use self::signature::Signature;
pub use self::state::{FromRef, State};
pub(crate) use self::typed::AsyncHandler;
