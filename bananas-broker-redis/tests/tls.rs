//! What one reads when a server cannot be trusted, does not know us, or does not let us.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bananas_broker_redis::{RedisConfig, RedisEngine};
use bananas_core::{
    Broker, ConsumerSpec, Env, Error, ErrorKind, Publish, QueueName, QueueSpec, RawMessage, Result,
    TokioEnv,
};
use conformance_tests::fault::{Authority, ServerProcess, ServerSpec};
use tempfile::TempDir;

/// What a user may do, and no more.
const GUIDE: &str = include_str!("../../docs/guide/redis.md");

struct Server {
    env: Arc<dyn Env>,
    process: ServerProcess,
    folder: TempDir,
}

impl Server {
    /// A server with the user `ada`; `None` where there is no redis-server, unless one must be.
    async fn start(rights: &[String]) -> Option<Self> {
        let mut ask = Command::new("redis-server");
        if ask.arg("-v").stdout(Stdio::null()).status().is_err() {
            let required = std::env::var_os("BANANAS_TEST_REQUIRED").is_some();
            assert!(!required, "there is no redis-server in PATH");
            println!("skipped: there is no redis-server in PATH");
            return None;
        }
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let folder = TempDir::new().unwrap();
        Authority::create(folder.path()).unwrap();
        let settings = "--port 0 --tls-port {port} --tls-auth-clients no --bind 127.0.0.1 \
            --tls-cert-file server.pem --tls-key-file server.key";
        let mut spec = ServerSpec::new("redis-server", folder.path());
        for word in settings.split_whitespace() {
            spec = spec.arg(word);
        }
        spec = spec.arg("--user").arg("ada");
        for word in rights {
            spec = spec.arg(word);
        }
        let process = ServerProcess::start(&env, spec.arg("--save").arg("")).await;
        Some(Self {
            env,
            process: process.unwrap(),
            folder,
        })
    }

    /// Opens a broker as `ada`, with this scheme, password and authority.
    async fn open(&self, scheme: &str, password: &str, ca: &Path) -> Result<Arc<dyn Broker>> {
        let address = self.process.address();
        let mut url = format!("{scheme}://ada:{password}@{address}?timeout_ms=700");
        if scheme == "rediss" {
            url = format!("{url}&ca={}", ca.display());
        }
        let mut config = RedisConfig::from_url(&url)?;
        config.namespace = "shop".to_owned();
        let engine = RedisEngine::open(config, Arc::clone(&self.env)).await?;
        Ok(engine.broker())
    }

    async fn trusted(&self) -> Result<Arc<dyn Broker>> {
        let ca = self.folder.path().join("authority.pem");
        self.open("rediss", "hidden-one", &ca).await
    }
}

/// The rights in the guide, for the namespace `shop`.
fn rights() -> Vec<String> {
    let line = GUIDE
        .lines()
        .find_map(|line| line.strip_prefix("ACL SETUSER bananas "));
    let words = line.unwrap().split(' ');
    let filled = words.map(|word| word.replace("PASSWORD", "hidden-one"));
    filled
        .map(|word| word.replace("NAMESPACE", "shop"))
        .collect()
}

async fn publish(broker: &Arc<dyn Broker>, env: &Arc<dyn Env>) -> Result<()> {
    let queue = QueueName::new("mail")?;
    broker.ensure(&[QueueSpec::new(queue.clone())]).await?;
    let message = RawMessage::new(env.job_id(), "body".into());
    let mut published = broker.publish(vec![Publish { queue, message }]).await;
    published.remove(0).map(drop)
}

fn says(error: &Error, words: &[&str]) {
    let text = error.to_string();
    for word in words.iter().chain(&["ada:***@"]) {
        assert!(text.contains(word), "no {word:?} in {text:?}");
    }
    assert!(!text.contains("hidden"), "{text}");
}

#[tokio::test]
async fn who_is_trusted_and_let_in_by_the_rights_of_the_guide_works() {
    let Some(server) = Server::start(&rights()).await else {
        return;
    };
    let broker = server.trusted().await.unwrap();
    publish(&broker, &server.env).await.unwrap();
    let spec = ConsumerSpec::new(QueueName::new("mail").unwrap());
    let mut consumer = broker.consume(spec).await.unwrap();
    let wait = std::time::Duration::from_secs(60);
    assert_eq!(consumer.reserve(1, wait).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_and_a_port_without_tls_are_named() {
    let Some(server) = Server::start(&rights()).await else {
        return;
    };
    let other = TempDir::new().unwrap();
    let other = Authority::create(other.path())
        .map(|it| (it.certificate, other))
        .unwrap();
    let error = server
        .open("rediss", "hidden-one", &other.0)
        .await
        .err()
        .unwrap();
    says(&error, &["certificate", "?ca="]);
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    let error = server
        .open("redis", "hidden-one", &other.0)
        .await
        .err()
        .unwrap();
    says(&error, &["ended the connection", "rediss://"]);
}

#[tokio::test]
async fn a_wrong_password_of_a_user_is_told_with_what_to_do() {
    let Some(server) = Server::start(&rights()).await else {
        return;
    };
    let ca = server.folder.path().join("authority.pem");
    let error = server
        .open("rediss", "hidden-two", &ca)
        .await
        .err()
        .unwrap();
    says(&error, &["WRONGPASS", "the right user and password"]);
    assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
}

#[tokio::test]
async fn a_missing_right_is_named_and_where_all_of_them_are_listed() {
    for lacking in ["+evalsha", "+script|load", "+rpush", "~{shop:*"] {
        let mut some = rights();
        some.retain(|word| word != lacking);
        let Some(server) = Server::start(&some).await else {
            return;
        };
        let failed = match server.trusted().await {
            Ok(broker) => publish(&broker, &server.env).await,
            Err(error) => Err(error),
        };
        let error = failed.unwrap_err();
        says(&error, &["docs/guide/redis.md"]);
        assert_eq!(error.kind(), ErrorKind::Auth, "{lacking}: {error}");
    }
}
