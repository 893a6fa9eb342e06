//! Postgres, which does not run as root: then it runs as the user `postgres`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::record::Export;
use super::start::{Start, missing, program};

/// Says where its database is.
pub(super) const VARIABLE: &str = "BANANAS_TEST_POSTGRES_URL";

/// The user of Debian's package.
const USER: &str = "postgres";

/// A server with a database that everybody on this machine may use.
pub(super) fn start(start: &mut Start<'_>) -> Result<Vec<Export>> {
    let programs = programs()?;
    let is_root = id(&["-u"])? == "0";
    let data = if is_root {
        folder_of_user(start)?
    } else {
        start.make("data")?
    };
    let as_user = |name: &str| {
        let path = programs.join(name);
        if !is_root {
            return Command::new(path);
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"])
            .arg(path);
        // Root's own folder cannot be entered by others.
        command.current_dir("/");
        command
    };
    let mut command = as_user("initdb");
    command.args(["--username", USER, "--auth", "trust", "--encoding", "UTF8"]);
    command
        .args(["--locale", "C", "--no-sync", "--pgdata"])
        .arg(&data);
    start.run(command)?;
    let port = start.port()?.to_string();
    let mut command = as_user("postgres");
    command.arg("-D").arg(&data).args(["-p", &port]);
    command.args([
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
    ]);
    start.spawn(command)?;
    let asks = programs.join("pg_isready");
    start.until(|| {
        let mut command = Command::new(&asks);
        command
            .args(["-q", "-h", "127.0.0.1", "-p", &port])
            .stdin(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })?;
    let url = format!("postgres://{USER}@127.0.0.1:{port}/postgres");
    Ok(vec![(VARIABLE.to_owned(), url)])
}

/// The folder with the server and what belongs to it. Debian keeps each version's apart, off the path.
fn programs() -> Result<PathBuf> {
    if let Ok(initdb) = program("initdb", "postgresql") {
        // A link on the path leads to the folder that has all of them.
        let real = fs::canonicalize(initdb)?;
        if let Some(folder) = real.parent().filter(|folder| is_whole(folder)) {
            return Ok(folder.to_owned());
        }
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .filter_map(|version| {
            let version = version.ok()?;
            let number: u32 = version.file_name().to_str()?.parse().ok()?;
            Some((number, version.path().join("bin")))
        })
        .filter(|(_, folder)| is_whole(folder))
        .max();
    let newest = newest.with_context(|| missing("the server of Postgres", "postgresql"))?;
    Ok(newest.1)
}

fn is_whole(folder: &Path) -> bool {
    let names = ["initdb", "postgres", "pg_isready"];
    names.iter().all(|name| folder.join(name).is_file())
}

/// A folder that belongs to the user. It is not below ours, which may be where only root can go.
fn folder_of_user(start: &mut Start<'_>) -> Result<PathBuf> {
    id(&["-u", USER]).with_context(|| {
        format!("Postgres does not run as root, and there is no user {USER:?} to run it as")
    })?;
    let mut command = Command::new("mktemp");
    command.args(["--directory", "--tmpdir", "bananas-postgres-XXXXXX"]);
    let made = command.output().context("cannot start mktemp")?;
    let folder = String::from_utf8(made.stdout)?;
    let folder = Path::new(folder.trim());
    if !made.status.success() || !folder.is_absolute() {
        bail!("mktemp made no folder");
    }
    start.owns(folder)?;
    let mut command = Command::new("chown");
    command.arg(format!("{USER}:")).arg(folder);
    start.run(command)?;
    Ok(folder.to_owned())
}

fn id(arguments: &[&str]) -> Result<String> {
    let output = Command::new("id")
        .args(arguments)
        .output()
        .context("cannot start id")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
