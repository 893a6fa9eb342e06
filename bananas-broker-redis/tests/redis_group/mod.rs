//! A master and its replicas on the loopback address, and sentinels that watch them.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bananas_core::Env;
use conformance_tests::fault::{ServerProcess, ServerSpec};
use tempfile::TempDir;

/// Far more than anything here takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Servers of which the first was the master when they were started.
pub(crate) struct Group {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) servers: Vec<ServerProcess>,
    pub(crate) sentinels: Vec<ServerProcess>,
    folder: TempDir,
}

impl Group {
    /// `None` where there is no redis-server, unless one must be.
    pub(crate) async fn start(env: &Arc<dyn Env>, replicas: usize, settings: &str) -> Option<Self> {
        if crate::redis_server::is_missing() {
            return None;
        }
        let mut group = Self {
            env: Arc::clone(env),
            servers: Vec::new(),
            sentinels: Vec::new(),
            folder: TempDir::new().unwrap(),
        };
        for number in 0..=replicas {
            group.add_server(number, settings).await;
        }
        // A replica is connected, and even online, seconds before it confirms anything for the first time.
        group.cli(&group.servers[0], "SET started 1");
        let confirmed = |it: &Self| {
            let info = it.cli(&it.servers[0], "INFO replication");
            let offset = |line: &str| {
                line.split("offset=")
                    .nth(1)?
                    .split(',')
                    .next()?
                    .parse()
                    .ok()
            };
            let of_master = |line: &str| line.strip_prefix("master_repl_offset:")?.parse().ok();
            let replicated: Vec<u64> = info.lines().filter_map(offset).collect();
            let written: Option<u64> = info.lines().find_map(of_master);
            replicated.len() == replicas && replicated.iter().all(|it| Some(*it) == written)
        };
        group.until(confirmed).await;
        Some(group)
    }

    async fn add_server(&mut self, number: usize, settings: &str) {
        let own = self.folder.path().join(number.to_string());
        let always = "--port {port} --bind 127.0.0.1 --dir {folder} --repl-diskless-sync-delay 0";
        let words = always.split(' ').chain(settings.split_whitespace());
        let mut spec = words.fold(ServerSpec::new("redis-server", own), ServerSpec::arg);
        if let Some(master) = self.servers.first() {
            let port = master.address().port().to_string();
            spec = spec.arg("--replicaof").arg("127.0.0.1").arg(&port);
        }
        let spec = spec.arg("--save").arg("");
        let server = ServerProcess::start(&self.env, spec).await.unwrap();
        self.servers.push(server);
    }

    /// Starts three sentinels that watch the first server, and waits until they know each other and the replicas.
    #[allow(dead_code, reason = "one of the tests has none")]
    pub(crate) async fn watch(&mut self, name: &str, settings: &str) {
        let master = self.servers[0].address();
        for number in 0..3 {
            let own = self.folder.path().join(format!("sentinel{number}"));
            std::fs::create_dir_all(&own).unwrap();
            let (host, port) = (master.ip(), master.port());
            let text = format!(
                "sentinel monitor {name} {host} {port} 2\nsentinel down-after-milliseconds {name} 1000\n\
                 sentinel failover-timeout {name} 5000\n{settings}\n"
            );
            let file = own.join("sentinel.conf");
            std::fs::write(&file, text).unwrap();
            let words = "--sentinel --port {port} --bind 127.0.0.1 --dir {folder}";
            let spec = ServerSpec::new("redis-server", own).arg(file.to_str().unwrap());
            let spec = words.split(' ').fold(spec, ServerSpec::arg);
            let sentinel = ServerProcess::start(&self.env, spec).await.unwrap();
            self.sentinels.push(sentinel);
        }
        let others = format!("num-slaves\n{}\n", self.servers.len() - 1);
        self.until(|it| {
            it.sentinels.iter().all(|sentinel| {
                let master = it.cli(sentinel, &format!("SENTINEL MASTER {name}"));
                master.contains("num-other-sentinels\n2\n") && master.contains(&others)
            })
        })
        .await;
    }

    /// A URL that names the sentinels.
    #[allow(dead_code, reason = "one of the tests has none")]
    pub(crate) fn url(&self, name: &str, more: &str) -> String {
        let hosts = self.sentinels.iter().map(|it| it.address().to_string());
        let hosts: Vec<_> = hosts.collect();
        format!("redis://{}/0?sentinel={name}{more}", hosts.join(","))
    }

    /// What a server answers.
    pub(crate) fn cli(&self, server: &ServerProcess, words: &str) -> String {
        let port = server.address().port().to_string();
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &port]).args(words.split(' '));
        String::from_utf8(cli.output().unwrap().stdout).unwrap()
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let until = self.env.monotonic() + DEADLINE;
        while !is_so(self) {
            assert!(self.env.monotonic() < until, "not so after {DEADLINE:?}");
            self.env.sleep(Duration::from_millis(20)).await;
        }
    }
}
