//! RabbitMQ with its management side, as a node of its own with an own port mapper.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::record::Export;
use super::start::{Start, answer, program};

/// Says where it is.
pub(super) const VARIABLE: &str = "BANANAS_TEST_AMQP_URL";

/// Says where its management side is.
const MANAGEMENT_VARIABLE: &str = "BANANAS_TEST_AMQP_MANAGEMENT_URL";

/// A node with the plug-in `rabbitmq_management`.
pub(super) fn start(start: &mut Start<'_>) -> Result<Vec<Export>> {
    let rabbit = server()?;
    let epmd = program("epmd", "rabbitmq-server")?;
    let (port, management) = (start.port()?, start.port()?);
    let (distribution, mapper) = (start.port()?, start.port()?);
    let data = start.make("data")?;
    let plugins = data.join("enabled_plugins");
    fs::write(&plugins, "[rabbitmq_management].\n")?;
    fs::write(data.join("rabbitmq.conf"), configuration(port, management))?;
    // Erlang would start one of its own, outside of our group, and leave it behind.
    let mut command = Command::new(epmd);
    command.args(["-port", &mapper.to_string(), "-address", "127.0.0.1"]);
    start.spawn(command)?;
    let mut command = Command::new(rabbit);
    // The cookie that lets nodes talk to each other is kept in the home folder.
    command.env("HOME", &data);
    command.env("RABBITMQ_NODENAME", format!("bananas-{port}@localhost"));
    command.env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
    command.env("RABBITMQ_NODE_PORT", port.to_string());
    command.env("RABBITMQ_DIST_PORT", distribution.to_string());
    command.env("ERL_EPMD_ADDRESS", "127.0.0.1");
    command.env("ERL_EPMD_PORT", mapper.to_string());
    command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG);
    command.env("RABBITMQ_MNESIA_BASE", data.join("mnesia"));
    command.env("RABBITMQ_LOG_BASE", data.join("log"));
    command.env("RABBITMQ_PID_FILE", data.join("pid"));
    command.env("RABBITMQ_ENABLED_PLUGINS_FILE", &plugins);
    command.env("RABBITMQ_CONFIG_FILE", data.join("rabbitmq"));
    command.env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
    start.spawn(command)?;
    // Protocol 0.9.1; the first frame of the answer is of type 1. It listens when all else is done.
    let greets = |found: Vec<u8>| found.first() == Some(&1);
    start.until(|| answer(port, b"AMQP\x00\x00\x09\x01").is_some_and(greets))?;
    Ok(vec![
        (
            VARIABLE.to_owned(),
            format!("amqp://guest:guest@127.0.0.1:{port}/%2f"),
        ),
        (
            MANAGEMENT_VARIABLE.to_owned(),
            format!("http://guest:guest@127.0.0.1:{management}"),
        ),
    ])
}

/// Only loopback between nodes, and no thread that spins while it has nothing to do.
const ERLANG: &str = "-kernel inet_dist_use_interface {127,0,0,1} \
                      +sbwt none +sbwtdcpu none +sbwtdio none";

fn configuration(port: u16, management: u16) -> String {
    format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {management}\n\
         vm_memory_high_watermark.absolute = 3GB\n\
         disk_free_limit.absolute = 500MB\n\
         log.console = true\n\
         log.console.level = warning\n"
    )
}

/// The start script. Debian's one on the path insists on the user `rabbitmq` and on its folders, so it is the one
/// behind it.
fn server() -> Result<PathBuf> {
    let behind = fs::read_dir("/usr/lib/rabbitmq/lib").into_iter().flatten();
    let behind = behind
        .filter_map(|version| Some(version.ok()?.path().join("sbin/rabbitmq-server")))
        .filter(|path| Path::is_file(path))
        .max();
    match behind {
        Some(path) => Ok(path),
        None => program("rabbitmq-server", "rabbitmq-server"),
    }
}
