//! A child process: this very program again, with a role to play until it is killed.

use std::fmt;
use std::io;
use std::process::Stdio;
use std::sync::Arc;

use bananas_core::{Env, JobId};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{self, ChildStdout, Command};

use crate::patience::DEADLINE;

/// The variable that tells a process to play a role: `backend side namespace role number`.
const PART: &str = "BANANAS_CONFORMANCE_PART";

/// Which role a process plays, where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) backend: String,
    pub(crate) side: String,
    pub(crate) namespace: String,
    pub(crate) role: String,
    pub(crate) number: usize,
}

impl Part {
    /// The part of this process, if it was started to play one on this side of this backend.
    pub(crate) fn of_this_process(backend: &str, side: &str) -> Option<Self> {
        let text = std::env::var(PART).ok()?;
        let words: Vec<&str> = text.split(' ').collect();
        let [of, on, namespace, role, number] = words.as_slice() else {
            panic!("{PART}={text:?} has {} words and not 5", words.len())
        };
        (*of == backend && *on == side).then(|| Self {
            backend: (*of).to_owned(),
            side: (*on).to_owned(),
            namespace: (*namespace).to_owned(),
            role: (*role).to_owned(),
            number: number.parse().expect("the last word is a number"),
        })
    }

    /// The role of this name among `all`.
    pub(crate) fn role<R: Copy + fmt::Debug>(&self, all: &[R]) -> R {
        let found = all.iter().find(|role| format!("{role:?}") == self.role);
        *found.unwrap_or_else(|| panic!("{:?} is none of {all:?}", self.role))
    }
}

/// A child process and what it prints.
pub(crate) struct Child {
    env: Arc<dyn Env>,
    process: process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts this program again. Its input ends when this process does, however that ends, and it with it.
    pub(crate) fn start(env: &Arc<dyn Env>, part: &Part, variables: Vec<(String, String)>) -> Self {
        let Part {
            backend,
            side,
            namespace,
            role,
            number,
        } = part;
        let program = std::env::current_exe().expect("the path of this program");
        let mut command = Command::new(program);
        command
            .env(
                PART,
                format!("{backend} {side} {namespace} {role} {number}"),
            )
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn().expect("a child process");
        let output = process.stdout.take().expect("its output is piped");
        Self {
            env: Arc::clone(env),
            process,
            lines: BufReader::new(output).lines(),
        }
    }

    /// Waits until it has printed so many ids.
    pub(crate) async fn ids(&mut self, count: usize) -> Vec<JobId> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.push(self.line().await.parse().expect("an id"));
        }
        ids
    }

    /// Waits until it is at this point, and answers the ids that it printed before.
    pub(crate) async fn ids_until(&mut self, point: &str) -> Vec<JobId> {
        let mut ids = Vec::new();
        loop {
            let line = self.line().await;
            match line.strip_prefix("at ") {
                Some(at) if at == point => return ids,
                Some(_) => {}
                None => ids.push(line.parse().expect("an id")),
            }
        }
    }

    /// Kills it, and answers the ids that it had printed by then and nobody has read.
    pub(crate) async fn kill(mut self) -> Vec<JobId> {
        self.process.start_kill().expect("it can be killed");
        self.process.wait().await.expect("it ends");
        let mut ids = Vec::new();
        while let Ok(Some(line)) = self.lines.next_line().await {
            // The last line may be torn.
            ids.extend(line.parse::<JobId>());
        }
        ids
    }

    async fn line(&mut self) -> String {
        let line = self.env.within(DEADLINE, self.lines.next_line()).await;
        let line: io::Result<Option<String>> =
            line.unwrap_or_else(|_| panic!("the child was silent for {DEADLINE:?}"));
        let line = line.expect("the output of the child can be read");
        line.expect("the child goes on until it is killed; its errors are above")
    }
}
