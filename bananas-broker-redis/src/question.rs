//! What a server is asked: a script, or a plain command.

use redis::{Arg, Cmd};

use crate::script::Script;

/// A script, its keys and its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) script: Script,
    pub(crate) keys: Vec<String>,
    pub(crate) args: Vec<Vec<u8>>,
}

impl Call {
    pub(crate) fn command(&self, hash: &str) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(hash).arg(self.keys.len());
        for key in &self.keys {
            command.arg(key);
        }
        for arg in &self.args {
            command.arg(arg.as_slice());
        }
        command
    }
}

/// What a server is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question<'a> {
    Call(&'a Call),
    /// A command whose first argument is its first key.
    Command(&'a Cmd),
}

impl Question<'_> {
    /// The first key, which decides about the node of a cluster; all others have its slot.
    pub(crate) fn key(&self) -> &[u8] {
        let key = match self {
            Self::Call(call) => call.keys.first().map(String::as_bytes),
            Self::Command(command) => match command.args_iter().nth(1) {
                Some(Arg::Simple(key)) => Some(key),
                _ => None,
            },
        };
        key.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_is_found() {
        let mut command = redis::cmd("ZADD");
        command.arg("{shop:mail}:wake").arg(0).arg("");
        assert_eq!(Question::Command(&command).key(), b"{shop:mail}:wake");
        let call = Call {
            script: Script::Ring,
            keys: vec!["a".to_owned(), "b".to_owned()],
            args: Vec::new(),
        };
        assert_eq!(Question::Call(&call).key(), b"a");
        assert_eq!(Question::Command(&redis::cmd("PING")).key(), b"");
    }
}
