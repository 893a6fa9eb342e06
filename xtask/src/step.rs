//! [`Step`]: one call of a tool, which a person can repeat.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// One call of Cargo.
#[derive(Debug)]
pub(crate) struct Step {
    /// What it checks, in a word or two.
    pub(crate) name: &'static str,
    /// The arguments behind `cargo`.
    pub(crate) arguments: Vec<String>,
    /// Variables set for it.
    pub(crate) environment: Vec<(String, String)>,
}

impl Step {
    /// A step whose arguments have no spaces in them.
    pub(crate) fn new(name: &'static str, arguments: &str) -> Self {
        Self {
            name,
            arguments: arguments.split_whitespace().map(str::to_owned).collect(),
            environment: Vec::new(),
        }
    }

    /// The line to type in a shell to run this step alone.
    pub(crate) fn line(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        for (name, value) in &self.environment {
            words.push(format!("{name}='{value}'"));
        }
        words.push("cargo".to_owned());
        words.extend(self.arguments.iter().cloned());
        words.join(" ")
    }

    /// Runs it, with its output going where ours goes, and answers whether it passed.
    pub(crate) fn run(&self, root: &Path) -> Result<bool> {
        let status = self.command(root).status();
        let status = status.with_context(|| format!("cannot start `{}`", self.line()))?;
        Ok(status.success())
    }

    /// Runs it in the same way, and answers with its exit code, if it ended with one.
    pub(crate) fn exit_code(&self, root: &Path) -> Result<Option<u8>> {
        let status = self.command(root).status();
        let status = status.with_context(|| format!("cannot start `{}`", self.line()))?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()))
    }

    /// Whether it can be run at all, tried without a sound.
    pub(crate) fn is_possible(&self, root: &Path) -> bool {
        let mut command = self.command(root);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    fn command(&self, root: &Path) -> Command {
        // The Cargo that started us, so that all steps use one toolchain.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(root);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_repeat_a_step_has_its_variables_and_arguments() {
        let mut step = Step::new("documentation", "doc --no-deps");
        step.environment
            .push(("RUSTDOCFLAGS".to_owned(), "-D warnings".to_owned()));
        assert_eq!(
            step.line(),
            "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps"
        );
    }

    #[test]
    fn a_step_passes_or_fails_as_its_tool_does() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(Step::new("version", "--version").is_possible(here));
        assert!(!Step::new("nonsense", "no-such-command").is_possible(here));
    }
}
