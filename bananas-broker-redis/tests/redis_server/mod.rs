//! Whether there is a server to start.

use std::process::{Command, Stdio};

/// Whether a test has to be left out for want of a server, which it then says.
///
/// # Panics
///
/// When there is none and one must be.
pub(crate) fn is_missing() -> bool {
    let mut ask = Command::new("redis-server");
    ask.arg("--version").stdout(Stdio::null());
    if ask.status().is_ok() {
        return false;
    }
    let required = std::env::var_os("BANANAS_TEST_REQUIRED").is_some();
    assert!(!required, "there is no redis-server in PATH");
    println!("skipped: there is no redis-server in PATH");
    true
}
