//! `[tasks."NAME"]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use crate::{Backoff, Error, ErrorKind, Priority, QueueName, Result, TaskName, Track};

/// `[tasks."NAME"]`: how jobs of one task are treated, and for `exec` tasks what they run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TaskConfig {
    /// The queue its jobs go to. Default: what the task says, else `default`.
    pub queue: Option<QueueName>,
    /// 0 to 100, higher runs earlier. Default 50.
    pub priority: Option<Priority>,
    /// How many runs may fail before the job is dead. Default 20.
    pub max_attempts: Option<u32>,
    /// How long to wait between attempts.
    pub backoff: Option<Backoff>,
    /// How long one run may take. Default 30 min.
    #[serde(with = "duration::option")]
    pub timeout: Option<Duration>,
    /// What the store keeps. Default `full`.
    pub track: Option<Track>,
    /// A command that runs the jobs of this task; a worker of the CLI needs no line of Rust for it.
    pub exec: Option<ExecConfig>,
}

/// `[tasks."NAME".exec]`: a command that runs a job.
///
/// In the words of `argv` (and of `env`), `{name}` stands for the field of that name of the JSON arguments,
/// `{}` for all arguments as JSON, `{{` and `}}` for braces. A string is inserted as it is, anything else as JSON. No
/// shell looks at the words. All arguments also come as JSON on standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ExecConfig {
    /// The program and its arguments. Either this or `shell`.
    pub argv: Vec<String>,
    /// A script for `/bin/sh -c`. Nothing is inserted into it: it reads the arguments from standard input, and
    /// the fields of the arguments from the environment as `BANANAS_ARG_<NAME>`.
    pub shell: Option<String>,
    /// The working directory. Default: that of the worker.
    pub cwd: Option<PathBuf>,
    /// Environment variables, beside those of the worker.
    pub env: BTreeMap<String, String>,
}

impl TaskConfig {
    pub(super) fn check(&self, name: &TaskName) -> Result<()> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        if self.max_attempts == Some(0) {
            return invalid(format!(
                "tasks.\"{name}\".max_attempts is 0; the first run is attempt 1"
            ));
        }
        if self.timeout == Some(Duration::ZERO) {
            return invalid(format!(
                "tasks.\"{name}\".timeout is 0; leave it out for the default"
            ));
        }
        match &self.exec {
            Some(exec) if exec.argv.is_empty() == exec.shell.is_none() => invalid(format!(
                "tasks.\"{name}\".exec needs either `argv` or `shell`"
            )),
            _ => Ok(()),
        }
    }
}
