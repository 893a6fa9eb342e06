//! The servers as containers: `docker compose` with the file at the root.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::deadline::Deadline;
use super::place::{self, Place};
use super::servers::Server;

/// How long Docker may take to say that it is there.
const ANSWER_S: u64 = 20;

/// How long containers may take to be healthy, the download of their images included.
const HEALTHY: &str = "600";

/// Whether Docker answers and knows `compose`.
pub(super) fn is_possible() -> bool {
    [&["info"][..], &["compose", "version"]]
        .into_iter()
        .all(|arguments| {
            let mut command = Command::new("docker");
            command.args(arguments).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let Ok(mut child) = command.spawn() else {
                return false;
            };
            let status = Deadline::in_seconds(ANSWER_S).wait(&mut child);
            matches!(status, Ok(Some(status)) if status.success())
        })
}

/// Starts them, and waits until they are healthy.
pub(super) fn up(root: &Path, place: &Place, servers: &[&Server]) -> Result<bool> {
    let mut names = started(place)?;
    for server in servers {
        if !names.iter().any(|name| name == server.name) {
            names.push(server.name.to_owned());
        }
    }
    // Before the start: `down` must know them even when this call is interrupted.
    note(place, &names)?;
    let mut command = compose(root);
    command.args(["up", "--detach", "--wait", "--wait-timeout", HEALTHY]);
    command.args(servers.iter().map(|server| server.name));
    let fine = command.status().context("cannot start `docker`")?.success();
    if !fine {
        let mut command = compose(root);
        command
            .args(["logs", "--tail", "20"])
            .args(servers.iter().map(|server| server.name));
        command.status().context("cannot start `docker`")?;
    }
    Ok(fine)
}

/// Ends those of them that were started here, with their data.
pub(super) fn down(root: &Path, place: &Place, servers: &[&Server]) -> Result<()> {
    let (gone, left): (Vec<String>, Vec<String>) = started(place)?
        .into_iter()
        .partition(|name| servers.iter().any(|server| server.name == name));
    if gone.is_empty() {
        return Ok(());
    }
    let mut command = compose(root);
    command
        .args(["rm", "--force", "--stop", "--volumes"])
        .args(&gone);
    if !command.status().context("cannot start `docker`")?.success() {
        bail!("`docker compose rm` failed");
    }
    note(place, &left)
}

/// The names of those that were started here.
pub(super) fn started(place: &Place) -> Result<Vec<String>> {
    let text = place::read(&place.compose_file())?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The names of those that run.
pub(super) fn running(root: &Path) -> Result<Vec<String>> {
    let mut command = compose(root);
    command.args(["ps", "--services", "--status", "running"]);
    let shown = command.output().context("cannot start `docker`")?.stdout;
    Ok(String::from_utf8_lossy(&shown)
        .lines()
        .map(str::to_owned)
        .collect())
}

/// Whether it was started here and runs.
pub(super) fn runs(root: &Path, place: &Place, name: &str) -> Result<bool> {
    let is_it = |found: &String| found == name;
    Ok(started(place)?.iter().any(is_it) && running(root)?.iter().any(is_it))
}

fn note(place: &Place, names: &[String]) -> Result<()> {
    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
    place::replace(&place.compose_file(), &lines)
}

fn compose(root: &Path) -> Command {
    let mut command = Command::new("docker");
    command
        .arg("compose")
        .current_dir(root)
        .stdin(Stdio::null());
    command
}
