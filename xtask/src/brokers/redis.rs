//! Redis, alone and as a cluster of three.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::record::Export;
use super::start::{Start, answer, program};

/// Says where the single server is.
pub(super) const VARIABLE: &str = "BANANAS_TEST_REDIS_URL";

/// Says where the nodes of the cluster are.
pub(super) const CLUSTER_VARIABLE: &str = "BANANAS_TEST_REDIS_CLUSTER_URL";

/// A single server that keeps its log of writes, synced each second.
pub(super) fn single(start: &mut Start<'_>) -> Result<Vec<Export>> {
    let redis = program("redis-server", "redis-server")?;
    let port = start.port()?;
    let data = start.make("data")?;
    start.spawn(server(&redis, port, &data))?;
    start.until(|| answers(port, "PING", "+PONG"))?;
    Ok(vec![(VARIABLE.to_owned(), url(&[port]))])
}

/// Three nodes without replicas that share the slots.
pub(super) fn cluster(start: &mut Start<'_>) -> Result<Vec<Export>> {
    let redis = program("redis-server", "redis-server")?;
    let client = program("redis-cli", "redis-tools")?;
    let mut ports = Vec::new();
    for _ in 0..3 {
        let port = start.port()?;
        let data = start.make(&format!("data-{port}"))?;
        let mut command = server(&redis, port, &data);
        command.args([
            "--cluster-enabled",
            "yes",
            "--cluster-config-file",
            "nodes.conf",
        ]);
        start.spawn(command)?;
        ports.push(port);
    }
    start.until(|| ports.iter().all(|port| answers(*port, "PING", "+PONG")))?;
    start.run(join(&client, &ports))?;
    let is_whole = |port: &u16| answers(*port, "CLUSTER INFO", "cluster_state:ok");
    start.until(|| ports.iter().all(is_whole))?;
    Ok(vec![(CLUSTER_VARIABLE.to_owned(), url(&ports))])
}

fn server(redis: &Path, port: u16, data: &PathBuf) -> Command {
    let mut command = Command::new(redis);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    command.args([
        "--appendonly",
        "yes",
        "--appendfsync",
        "everysec",
        "--save",
        "",
    ]);
    command.arg("--dir").arg(data);
    command
}

fn join(client: &Path, ports: &[u16]) -> Command {
    let mut command = Command::new(client);
    command.args(["--cluster", "create"]);
    command.args(ports.iter().map(|port| format!("127.0.0.1:{port}")));
    command.args(["--cluster-replicas", "0", "--cluster-yes"]);
    command
}

fn answers(port: u16, question: &str, expected: &str) -> bool {
    let found = answer(port, format!("{question}\r\n").as_bytes());
    found.is_some_and(|found| String::from_utf8_lossy(&found).contains(expected))
}

/// All addresses, for who looks into a node by itself must know each.
fn url(ports: &[u16]) -> String {
    let addresses = ports.iter().map(|port| format!("127.0.0.1:{port}"));
    format!("redis://{}", addresses.collect::<Vec<_>>().join(","))
}
