//! From the configuration and a job's arguments to a command.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use bananas_core::Args;
use bananas_core::config::ExecConfig;
use bytes::Bytes;
use tokio::process::Command;

use super::fields::Fields;
use super::template::Template;
use crate::handler::JobContext;

/// The longest field that becomes an environment variable, in bytes: the system refuses programs whose
/// variables are longer than 128 KiB. Longer ones are on standard input, with all the others.
const LONGEST_VARIABLE: usize = 64 * 1024;

/// How to make the command of a job.
#[derive(Debug)]
pub(super) struct Recipe {
    /// The words of the command, or what is wrong with them.
    words: Result<Vec<Template>, String>,
    shell: Option<String>,
    cwd: Option<PathBuf>,
    env: Vec<(String, Result<Template, String>)>,
}

impl Recipe {
    pub(super) fn new(config: &ExecConfig) -> Self {
        let words = config.argv.iter().map(|word| Template::parse(word));
        let variable = |(name, word): (&String, &String)| (name.clone(), Template::parse(word));
        Self {
            words: words.collect(),
            shell: config.shell.clone(),
            cwd: config.cwd.clone(),
            env: config.env.iter().map(variable).collect(),
        }
    }

    /// The command and its standard input; the error is one that no further attempt can mend.
    pub(super) fn command(&self, context: &JobContext) -> Result<(Command, Bytes), String> {
        let json = match &context.job().args {
            Args::Json(json) => json,
            Args::Data { content_type, .. } => {
                return Err(format!(
                    "the arguments are {content_type}; exec tasks take JSON"
                ));
            }
        };
        let args = Fields::of(json).map_err(|e| format!("the arguments are no JSON: {e}"))?;
        let mut command = self.program(&args)?;
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        for (name, word) in &self.env {
            let word = word.as_ref().map_err(Clone::clone)?;
            command.env(name, checked(name, word.fill(&args)?)?);
        }
        describe_job(&mut command, context);
        for (name, value) in variables(&args) {
            if value.len() <= LONGEST_VARIABLE && !value.contains('\0') {
                command.env(name, value);
            }
        }
        Ok((command, json.clone()))
    }

    fn program(&self, args: &Fields<'_>) -> Result<Command, String> {
        if let Some(script) = &self.shell {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(script);
            return Ok(command);
        }
        let words = self.words.as_ref().map_err(Clone::clone)?;
        let mut words = words.iter().map(|word| word.fill(args));
        let program = words.next().ok_or("exec.argv is empty; name a program")??;
        let mut command = Command::new(checked("the program", program)?);
        for word in words {
            command.arg(checked("a word of the command", word?)?);
        }
        Ok(command)
    }
}

/// What the program can know about the job.
fn describe_job(command: &mut Command, context: &JobContext) {
    command
        .env("BANANAS_JOB_ID", context.id().to_string())
        .env("BANANAS_ATTEMPT", context.attempt().to_string())
        .env("BANANAS_TASK", context.task().as_str())
        .env("BANANAS_QUEUE", context.queue().as_str());
}

/// The fields of the arguments as variables: `BANANAS_ARG_` and the name in capitals, with `_` for what is
/// neither letter nor digit.
fn variables(args: &Fields<'_>) -> impl Iterator<Item = (String, String)> {
    args.iter().map(|(name, value)| {
        let mut variable = "BANANAS_ARG_".to_owned();
        variable.extend(name.chars().map(|c| match c {
            c if c.is_ascii_alphanumeric() => c.to_ascii_uppercase(),
            _ => '_',
        }));
        (variable, value)
    })
}

/// A word that can be handed to a program: the system ends words at a NUL byte.
fn checked(what: &str, word: String) -> Result<String, String> {
    if word.contains('\0') {
        return Err(format!("{what} would contain a NUL byte: {word:?}"));
    }
    Ok(word)
}

/// How a program ended.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Why a program could not be started.
pub(super) fn cannot_start(command: &std::process::Command, error: &io::Error) -> String {
    let program = command.get_program();
    match command.get_current_dir() {
        // The system's error would be the same as for a missing program.
        Some(cwd) if !cwd.is_dir() => {
            format!(
                "cannot start {program:?}: {} is no directory",
                cwd.display()
            )
        }
        _ => format!("cannot start {program:?}: {error}"),
    }
}
