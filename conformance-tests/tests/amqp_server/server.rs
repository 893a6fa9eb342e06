//! The server that all facts share.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bananas_broker_amqp::{AmqpBroker, AmqpConfig};
use bananas_core::{Env, Result};
use conformance_tests::fault::{Authority, ServerProcess, ServerSpec};
use tempfile::TempDir;

use crate::certificates;

/// Runs a node.
const SCRIPT: &str = include_str!("../../servers/rabbitmq.sh");

/// What a user may do, and no more.
const GUIDE: &str = include_str!("../../../docs/guide/rabbitmq.md");

/// Long for a busy machine, and short enough for a test.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// The namespace of a user who may do what the guide says.
pub(crate) const NAMESPACE: &str = "shop";

/// The programs of RabbitMQ.
pub(crate) struct Program {
    control: PathBuf,
}

impl Program {
    /// Debian's ones on the path insist on the user `rabbitmq`, so these are the ones behind them.
    pub(crate) fn find() -> Option<Self> {
        let behind = fs::read_dir("/usr/lib/rabbitmq/lib").into_iter().flatten();
        let behind =
            behind.filter_map(|version| Some(version.ok()?.path().join("sbin/rabbitmqctl")));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).map(|folder| folder.join("rabbitmqctl"));
        let mut all = behind.chain(on_path);
        let control = all.find(|path| Path::is_file(path))?;
        Some(Self { control })
    }
}

/// Says aloud that nothing was tried, where that is allowed.
#[allow(clippy::print_stdout, reason = "a skip is said aloud")]
pub(crate) fn skip() {
    let required = std::env::var_os("BANANAS_TEST_REQUIRED").is_some();
    assert!(!required, "there is no rabbitmq-server here");
    println!("skipped: there is no rabbitmq-server here");
}

/// A server with TLS, users and virtual hosts.
pub(crate) struct Server {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) folder: TempDir,
    pub(crate) authority: Authority,
    process: ServerProcess,
    tls: u16,
    program: Program,
}

impl Server {
    pub(crate) async fn start(env: &Arc<dyn Env>, program: Program) -> Self {
        let folder = TempDir::new().unwrap();
        let authority = Authority::create(folder.path()).unwrap();
        let of_users = certificates::of_users(folder.path(), ["clerk", "nobody"]);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let tls = listener.local_addr().unwrap().port();
        drop(listener);
        let definitions = folder.path().join("definitions.json");
        fs::write(&definitions, definitions_text()).unwrap();
        let settings = [
            format!("listeners.ssl.1 = 127.0.0.1:{tls}"),
            setting("ssl_options.cacertfile", &of_users),
            setting("ssl_options.certfile", &authority.server_certificate),
            setting("ssl_options.keyfile", &authority.server_key),
            "ssl_options.verify = verify_peer".to_owned(),
            "ssl_options.fail_if_no_peer_cert = false".to_owned(),
            "ssl_cert_login_from = common_name".to_owned(),
            "auth_mechanisms.1 = PLAIN".to_owned(),
            "auth_mechanisms.2 = EXTERNAL".to_owned(),
            setting("load_definitions", &definitions),
        ];
        let spec = ServerSpec::new("sh", folder.path().join("server"))
            .arg("-c")
            .arg(SCRIPT)
            .variable("PORT", "{port}")
            .variable("FOLDER", "{folder}")
            .variable("LOGIN", "guest")
            .variable("PASSWORD", "guest")
            .variable("PLUGINS", "rabbitmq_auth_mechanism_ssl")
            .variable("SETTINGS", settings.join("\n"))
            .deadline(Duration::from_mins(4));
        let process = ServerProcess::start(env, spec).await.unwrap();
        // It listens for this a moment later than for the rest.
        let mut looks = 0;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, tls)).is_err() {
            looks += 1;
            assert!(looks < 600, "nothing listens for TLS");
            env.sleep(Duration::from_millis(100)).await;
        }
        Self {
            env: Arc::clone(env),
            process,
            folder,
            authority,
            tls,
            program,
        }
    }

    /// A client of the server at this URL, in which `PORT` and `TLS` stand for its ports.
    pub(crate) async fn open(&self, url: &str) -> Result<Arc<AmqpBroker>> {
        let mut config = AmqpConfig::from_url(&self.url(url))?;
        NAMESPACE.clone_into(&mut config.namespace);
        config.timeout = TIMEOUT;
        let broker = AmqpBroker::open(config, Arc::clone(&self.env)).await?;
        Ok(Arc::new(broker))
    }

    pub(crate) fn url(&self, url: &str) -> String {
        url.replace("PORT", &self.port().to_string())
            .replace("TLS", &self.tls.to_string())
    }

    fn port(&self) -> u16 {
        self.process.address().port()
    }

    /// Asks the node to do something, as its operator does.
    pub(crate) async fn control(&self, words: &[&str]) {
        let mut command = Command::new(&self.program.control);
        command
            .args(["-n", &format!("bananas-{}@localhost", self.port())])
            .args(words)
            .env("HOME", self.folder.path().join("server"))
            .env("ERL_EPMD_PORT", (self.port() - 6_000).to_string())
            .stdout(Stdio::null());
        let ended = tokio::task::spawn_blocking(move || command.status());
        let ended = ended.await.unwrap().unwrap();
        assert!(ended.success(), "{words:?}: {ended}");
    }
}

fn setting(name: &str, path: &Path) -> String {
    format!("{name} = {}", path.display())
}

/// Who there is: `guest`, who may do all; `clerk`, who may do what the guide says, and logs in by a certificate or
/// by a password; `visitor`, who may come in and do nothing; and `stranger`, who may not come in.
fn definitions_text() -> String {
    let rights = GUIDE
        .lines()
        .find_map(|line| line.strip_prefix("A user needs to configure, write and read `"))
        .and_then(|line| line.strip_suffix("`."));
    let rights = rights.unwrap().replace("NAMESPACE", NAMESPACE);
    let user = |name: &str, password: &str| {
        let tags: &[&str] = if name == "guest" {
            &["administrator"]
        } else {
            &[]
        };
        serde_json::json!({ "name": name, "password": password, "tags": tags })
    };
    let may = |name: &str, what: &str| {
        serde_json::json!({
            "user": name, "vhost": "/", "configure": what, "write": what, "read": what,
        })
    };
    let all = serde_json::json!({
        "vhosts": [{ "name": "/" }],
        "users": [
            user("guest", "guest"),
            user("clerk", "of-no-use-to-you"),
            user("visitor", "of-no-use-to-you"),
            user("stranger", "of-no-use-to-you"),
        ],
        "permissions": [may("guest", ".*"), may("clerk", &rights), may("visitor", "^$")],
    });
    all.to_string()
}
