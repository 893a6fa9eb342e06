//! How a server is started, and how one knows that it is ready.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How a server is started.
///
/// In arguments and in the values of variables, `{port}` stands for its port on the loopback address and
/// `{folder}` for its folder.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    pub(super) program: OsString,
    pub(super) folder: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) variables: Vec<(String, String)>,
    pub(super) ready: Ready,
    pub(super) deadline: Duration,
}

/// How one knows that a server can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ready {
    /// It accepts a connection.
    Connects,
    /// It prints this, on its output or its error output, and accepts a connection.
    Prints(String),
}

impl ServerSpec {
    /// A server that runs in this folder, keeps its data there, and stays in the foreground. It is ready when
    /// it accepts connections, within a minute.
    pub fn new(program: impl Into<OsString>, folder: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            folder: folder.into(),
            args: Vec::new(),
            variables: Vec::new(),
            ready: Ready::Connects,
            deadline: Duration::from_mins(1),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds a variable to its environment.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Says how one knows that it is ready.
    #[must_use]
    pub fn ready_when(mut self, ready: Ready) -> Self {
        self.ready = ready;
        self
    }

    /// Says how long a start may take, and an orderly end.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Puts the values in the places that stand for them.
    pub(super) fn filled(&self, text: &str, port: u16) -> String {
        let folder = self.folder.to_string_lossy();
        text.replace("{port}", &port.to_string())
            .replace("{folder}", &folder)
    }
}
