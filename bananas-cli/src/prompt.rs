//! Asking before something that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::exit::usage;

/// Asks on the terminal; without one, says which option to add.
pub(crate) fn confirm(question: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(usage(format!(
            "{question}? there is no terminal to ask on; add --yes"
        )));
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question}? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
