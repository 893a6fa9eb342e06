//! A cluster of servers on the loopback address: three masters, and replicas of the first.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Env, Result};
use conformance_tests::fault::{Ready, ServerProcess, ServerSpec};
use futures::future::try_join_all;
use tempfile::TempDir;

/// Far more than anything here takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(20);

const MASTERS: usize = 3;

/// The servers of a cluster; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct ServerCluster {
    env: Arc<dyn Env>,
    pub(crate) nodes: Vec<ServerProcess>,
    _folder: TempDir,
}

/// Whether there is a server to start.
pub(crate) fn is_here() -> bool {
    let mut ask = Command::new("redis-server");
    ask.arg("--version").stdout(Stdio::null());
    ask.status().is_ok()
}

impl ServerCluster {
    /// Starts three masters and so many replicas of the first, and waits until all agree.
    pub(crate) async fn start(env: &Arc<dyn Env>, replicas: usize) -> Result<Self> {
        let folder = TempDir::new().unwrap();
        let starting = (0..MASTERS + replicas).map(async |number| {
            let own = folder.path().join(number.to_string());
            let settings = [
                "--port {port} --bind 127.0.0.1 --daemonize no --dir {folder}",
                "--appendonly yes --appendfsync everysec",
                "--cluster-enabled yes --cluster-node-timeout 2000",
                "--cluster-config-file nodes.conf",
            ];
            let words = settings.iter().flat_map(|line| line.split(' '));
            let spec = words.fold(ServerSpec::new("redis-server", own), ServerSpec::arg);
            // It listens before it has its second port, which can be somebody else's.
            let ready = Ready::Prints("Ready to accept connections".to_owned());
            let spec = spec.arg("--save").arg("").ready_when(ready);
            ServerProcess::start(env, spec).await
        });
        let nodes = try_join_all(starting).await?;
        let cluster = Self {
            env: Arc::clone(env),
            nodes,
            _folder: folder,
        };
        cluster.join().await;
        Ok(cluster)
    }

    async fn join(&self) {
        for (number, slots) in ["0 5460", "5461 10922", "10923 16383"].iter().enumerate() {
            self.cli(number, &format!("CLUSTER ADDSLOTSRANGE {slots}"));
            self.cli(number, &format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
        }
        // A busy machine can be too late for one introduction, so it is repeated.
        let all_met = || {
            let met = self.cli(0, "CLUSTER NODES");
            for node in &self.nodes[1..] {
                let port = node.address().port();
                if !met.contains(&format!(":{port}@")) {
                    self.cli(0, &format!("CLUSTER MEET 127.0.0.1 {port}"));
                }
            }
            met.lines().count() == self.nodes.len() && !met.contains("handshake")
        };
        self.until(all_met).await;
        let first = self.id(0);
        for number in MASTERS..self.nodes.len() {
            let follow = format!("CLUSTER REPLICATE {first}");
            self.until(|| self.cli(number, &follow) == "OK").await;
            let up = "master_link_status:up";
            self.until(|| self.cli(number, "INFO replication").contains(up))
                .await;
        }
        for number in 0..self.nodes.len() {
            let agrees = || {
                let info = self.cli(number, "CLUSTER INFO");
                info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
            };
            self.until(agrees).await;
        }
    }

    /// Waits until it is so.
    ///
    /// # Panics
    ///
    /// When it is not so in time.
    pub(crate) async fn until(&self, mut is_so: impl FnMut() -> bool) {
        let until = self.env.monotonic() + DEADLINE;
        while !is_so() {
            if self.env.monotonic() >= until {
                let all = 0..self.nodes.len();
                let seen: Vec<_> = all.map(|node| self.cli(node, "CLUSTER NODES")).collect();
                panic!("it is not so after {DEADLINE:?}; the nodes say {seen:#?}");
            }
            self.env.sleep(PAUSE).await;
        }
    }

    /// Where all nodes are.
    pub(crate) fn url(&self) -> String {
        let nodes = self.nodes.iter().map(|node| node.address().to_string());
        format!("redis://{}", nodes.collect::<Vec<_>>().join(","))
    }

    /// What a node answers.
    pub(crate) fn cli(&self, node: usize, words: &str) -> String {
        let port = self.nodes[node].address().port().to_string();
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &port]).args(words.split(' '));
        let answer = String::from_utf8(cli.output().unwrap().stdout).unwrap();
        answer.trim().to_owned()
    }

    /// How many clients wait for a key of this node.
    #[allow(dead_code, reason = "one of the tests does not ask")]
    pub(crate) fn waiting(&self, node: usize) -> u64 {
        let info = self.cli(node, "INFO clients");
        let mut lines = info.lines();
        let count = lines.find_map(|line| line.strip_prefix("blocked_clients:"));
        count.unwrap().trim().parse().unwrap()
    }

    pub(crate) fn id(&self, node: usize) -> String {
        self.cli(node, "CLUSTER MYID")
    }
}
