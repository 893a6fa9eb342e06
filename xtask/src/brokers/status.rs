//! `cargo xtask brokers status`: which servers run, and where.

use std::path::Path;

use anyhow::Result;

use super::place::Place;
use super::record::Record;
use super::{SERVERS, compose, is_up};

/// Prints a line for each server, and answers whether all that were started run.
pub(super) fn run(root: &Path, place: &Place) -> Result<bool> {
    let composed = compose::started(place)?;
    let running = if composed.is_empty() {
        Vec::new()
    } else {
        compose::running(root)?
    };
    let mut fine = true;
    println!("{:<14} {:<12} {:>8}  URL", "NAME", "STATE", "PID");
    for server in &SERVERS {
        let name = server.name;
        if composed.iter().any(|started| started == name) {
            let runs = running.iter().any(|running| running == name);
            fine &= runs;
            let state = if runs { "in Docker" } else { "ended" };
            println!("{name:<14} {state:<12} {:>8}  {}", "", server.compose_url);
            continue;
        }
        if !Record::is_there(place, name) {
            println!("{name:<14} not started");
            continue;
        }
        let record = Record::read(place, name)?;
        let runs = is_up(place, server)?;
        fine &= runs;
        let state = if runs { "running" } else { "ended" };
        let pid = record.processes.last().map(|process| process.pid);
        let pid = pid.map(|pid| pid.to_string()).unwrap_or_default();
        let url = record.exports.first().map(|(_, url)| url.as_str());
        println!(
            "{name:<14} {state:<12} {pid:>8}  {}",
            url.unwrap_or_default()
        );
    }
    Ok(fine)
}
