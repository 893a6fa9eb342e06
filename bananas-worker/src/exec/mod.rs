//! `exec` tasks: jobs run by a command, as the configuration file says.
//!
//! The program gets all arguments as JSON on standard input; the words of its command line may contain fields
//! of them. What it writes to standard output is the result: JSON if it is JSON, else a string. Exit code 0
//! is success; every other code, and death by a signal, is a failed attempt by the task's policy, with the
//! end of standard error as its text. When a run is to stop (timeout, cancel, shutdown), its process group
//! gets SIGTERM, and SIGKILL 5 s later; what the program leaves running in its group when it ends is killed.

mod capture;
mod command;
mod fields;
mod group;
mod template;

use std::future::Future;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::config::ExecConfig;
use bananas_core::{BoxFuture, Env};
use bytes::Bytes;
use futures::future::{MaybeDone, maybe_done};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::OwnedSemaphorePermit;

use self::capture::{Head, Tail};
use self::command::Recipe;
use self::group::Group;
use crate::TaskError;
use crate::handler::{Failure, Handler, JobContext, Place, Ran};
use crate::runs::Stop;

/// How long output is awaited after the program has ended, in case others hold its pipes.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

/// How much of standard error is kept.
const STDERR: usize = 4 * 1024;

/// Runs the jobs of one task as child processes.
#[derive(Debug)]
pub(crate) struct ExecHandler {
    recipe: Recipe,
    env: Arc<dyn Env>,
    max_result_bytes: usize,
}

impl ExecHandler {
    pub(crate) fn new(config: &ExecConfig, env: Arc<dyn Env>, max_result_bytes: usize) -> Self {
        Self {
            recipe: Recipe::new(config),
            env,
            max_result_bytes,
        }
    }

    async fn execute(&self, context: &JobContext) -> Ran {
        let (mut command, input) = self.recipe.command(context).map_err(Failure::Arguments)?;
        let mut child = command
            .spawn()
            .map_err(|e| Failure::Task(command::cannot_start(command.as_std(), &e).into()))?;
        let group = Group::of(&child);
        let mut output = Head::new(self.max_result_bytes);
        let mut errors = Tail::new(STDERR);
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let pipes = serve_pipes(streams, input, (&mut output, &mut errors));
        let mut pipes = Box::pin(maybe_done(pipes));
        let token = context.cancel_token();
        let ended = tokio::select! {
            ended = wait(&mut child, pipes.as_mut()) => ended,
            () = token.cancelled() => {
                group.end(&mut child, &self.env).await;
                return Err(Failure::Task(TaskError::from("stopped")));
            }
        };
        // Programs left in the group may hold the pipes open for ever.
        let rest = self.env.within(LAST_OUTPUT, pipes).await;
        drop(group);
        let status = ended.map_err(|e| Failure::Task(e.into()))?;
        if rest.is_err() {
            tracing::warn!(
                "the program has ended, but others held its output open; they were killed"
            );
        }
        if status.success() {
            return output.into_result();
        }
        let what = command::describe(status);
        Err(Failure::Task(errors.describe(&what).into()))
    }
}

impl Handler for ExecHandler {
    fn run(
        self: Arc<Self>,
        context: JobContext,
        _permit: Option<OwnedSemaphorePermit>,
    ) -> BoxFuture<'static, Ran> {
        Box::pin(async move { self.execute(&context).await })
    }

    fn place(&self) -> Place {
        Place::Isolated
    }

    fn patience(&self, why: Stop) -> Option<Duration> {
        match why {
            Stop::No | Stop::Shutdown => None,
            // It obeys at once, but its program may take until the SIGKILL.
            Stop::TimedOut | Stop::Cancelled => Some(group::TERM * 2),
            Stop::Fenced => Some(Duration::from_secs(1)),
        }
    }
}

/// Waits for the program while its pipes are served.
async fn wait(
    child: &mut Child,
    mut pipes: Pin<&mut MaybeDone<impl Future<Output = ()> + Send>>,
) -> std::io::Result<ExitStatus> {
    tokio::select! {
        ended = child.wait() => ended,
        // It may well close its output and go on.
        () = pipes.as_mut(), if pipes.as_mut().output_mut().is_none() => child.wait().await,
    }
}

/// The parent's ends of the pipes.
type Streams = (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>);

/// Writes the input and reads the outputs, all at once so that none blocks another.
async fn serve_pipes(streams: Streams, input: Bytes, into: (&mut Head, &mut Tail)) {
    let (stdin, stdout, stderr) = streams;
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program need not read its input: that the pipe breaks then is no failure.
            drop(stdin.write_all(&input).await);
        }
    };
    let read_output = async {
        if let Some(stdout) = stdout {
            capture::read(stdout, |bytes| into.0.push(bytes)).await;
        }
    };
    let read_errors = async {
        if let Some(stderr) = stderr {
            capture::read(stderr, |bytes| into.1.push(bytes)).await;
        }
    };
    tokio::join!(write, read_output, read_errors);
}
