//! `cargo xtask brokers`: the servers that tests and developers need, for everybody.
//!
//! Where Docker runs it is `docker compose`, elsewhere private servers on the loopback address from the packages
//! that are installed. Either way the same names give the same variables. The files of this folder: what there
//! is (`servers`), how each is started privately (one file each), and what was started (`record`).

mod borrowed;
mod compose;
mod deadline;
mod env_file;
mod nats;
mod place;
mod postgres;
mod process;
mod rabbitmq;
mod record;
mod redis;
mod servers;
mod sqs;
mod start;
mod status;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context, Result, bail};

pub(crate) use self::borrowed::Borrowed;
use self::place::Place;
use self::process::Process;
use self::record::Record;
pub(crate) use self::servers::SERVERS;
use self::servers::Server;
use self::start::Start;

/// What to do with the servers. No names means all of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Start them.
    Up(Vec<String>),
    /// End them, and remove their data.
    Down(Vec<String>),
    /// Say which run.
    Status,
}

/// Does it, and answers whether all that was asked for is so.
pub(crate) fn run(root: &Path, wish: Wish) -> Result<bool> {
    let place = Place::of(root);
    let _lock = place.lock()?;
    match wish {
        Wish::Up(names) => {
            let wanted = wanted(&names)?;
            let fine = if compose::is_possible() {
                compose::up(root, &place, &wanted)?
            } else {
                println!("xtask: Docker does not answer, so the servers are private ones");
                up(&place, &wanted)?
            };
            env_file::write(&place)?;
            print!("{}", env_file::text(&place)?);
            println!("xtask: `. {}` sets these", place.env_file().display());
            Ok(fine)
        }
        Wish::Down(names) => {
            let wanted = wanted(&names)?;
            compose::down(root, &place, &wanted)?;
            let fine = down(&place, &wanted)?;
            env_file::write(&place)?;
            Ok(fine)
        }
        Wish::Status => status::run(root, &place),
    }
}

/// The servers of these names, in our order.
fn wanted(names: &[String]) -> Result<Vec<&'static Server>> {
    let known = || SERVERS.iter().map(|server| server.name).collect::<Vec<_>>();
    for name in names {
        if !known().contains(&name.as_str()) {
            bail!(
                "there is no server {name:?}; there are {}",
                known().join(", ")
            );
        }
    }
    let is_wanted = |server: &&Server| names.is_empty() || names.iter().any(|n| n == server.name);
    Ok(SERVERS.iter().filter(is_wanted).collect())
}

/// Starts private servers; those that run are left alone. Answers whether all of them run now.
fn up(place: &Place, servers: &[&'static Server]) -> Result<bool> {
    let mut fine = true;
    for server in servers {
        if is_up(place, server)? {
            println!("xtask: {} runs already", server.name);
            continue;
        }
        // What a former start or life has left.
        if !end(place, server)? {
            fine = false;
            continue;
        }
        println!("xtask: {} starts", server.name);
        let mut start = Start::new(place, server.name)?;
        match (server.start)(&mut start) {
            Ok(exports) => start.finish(exports)?,
            Err(error) => {
                println!("xtask: {} was not started: {error:#}", server.name);
                start.show_log();
                drop(start);
                end(place, server)?;
                fine = false;
            }
        }
    }
    Ok(fine)
}

/// Ends private servers and removes their data. Answers whether all are gone.
fn down(place: &Place, servers: &[&'static Server]) -> Result<bool> {
    let mut fine = true;
    for server in servers {
        if Record::is_there(place, server.name) {
            let gone = end(place, server)?;
            let text = if gone { "is down" } else { "does not end" };
            println!("xtask: {} {text}", server.name);
            fine &= gone;
        }
    }
    Ok(fine)
}

/// Whether all its processes run and it was ready once.
fn is_up(place: &Place, server: &Server) -> Result<bool> {
    let record = Record::read(place, server.name)?;
    Ok(!record.exports.is_empty() && record.processes.iter().all(Process::is_running))
}

/// Ends what the record names and forgets it. The record stays when a process does.
fn end(place: &Place, server: &Server) -> Result<bool> {
    let record = Record::read(place, server.name)?;
    // The last started is the first to go: it needs the others for an orderly end.
    for process in record.processes.iter().rev() {
        if !process.end()? {
            return Ok(false);
        }
    }
    for folder in &record.folders {
        place::remove(folder)?;
    }
    place::remove(&place.folder(server.name))
        .with_context(|| format!("cannot remove the data of {}", server.name))?;
    Ok(true)
}
