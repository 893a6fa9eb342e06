//! A private emulator of SQS: moto, a Python package, by the script beside this file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bananas_core::{Env, Error, ErrorKind, Result};
use conformance_tests::fault::{ServerProcess, ServerSpec};

const PROGRAM: &str = "moto_server";

/// Starts it so that its threads do not disturb each other.
const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../conformance-tests/tests/sqs_server/serve.py"
);

/// Where moto's own program is, and the Python that has it beside it: in the PATH, or where `cargo xtask brokers up sqs` has put it.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join(PROGRAM));
    let found = installed().into_iter().chain(in_path);
    found.into_iter().find(|program| program.is_file())
}

/// What xtask has installed beside the other output of the compiler.
fn installed() -> Vec<PathBuf> {
    let exe = std::env::current_exe().unwrap_or_default();
    let mut folders = exe
        .ancestors()
        .map(|folder| folder.join("brokers/programs"));
    let Some(entries) = folders.find_map(|programs| programs.read_dir().ok()) else {
        return Vec::new();
    };
    let programs = entries.filter_map(|entry| Some(entry.ok()?.path().join("bin").join(PROGRAM)));
    programs.collect()
}

/// Starts an emulator with a folder of its own within this one.
pub(crate) async fn start(env: &Arc<dyn Env>, folder: &Path) -> Result<ServerProcess> {
    let missing = || Error::new(ErrorKind::Unavailable, "there is no moto_server");
    let program = program().ok_or_else(missing)?;
    let python = program.with_file_name("python3");
    let own = folder.join(env.random().to_string());
    let words = "-H 127.0.0.1 -p {port}".split(' ');
    let spec = ServerSpec::new(python, own).arg(SCRIPT);
    let spec = words.fold(spec, ServerSpec::arg);
    ServerProcess::start(env, spec).await
}
