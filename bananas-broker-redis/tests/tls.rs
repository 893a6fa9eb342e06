//! What one reads when a server cannot be trusted, does not know us, or does not let us.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

use std::path::Path;
use std::sync::Arc;

use bananas_broker_redis::{RedisConfig, RedisEngine};
use bananas_core::{
    Broker, ConsumerSpec, Env, Error, ErrorKind, Publish, QueueName, QueueSpec, RawMessage, Result,
    TokioEnv,
};
use conformance_tests::fault::{Authority, ServerProcess, ServerSpec};
use tempfile::TempDir;

mod redis_server;

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
        if redis_server::is_missing() {
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

    /// A sentinel that watches this server, with a user who may do what the guide says.
    async fn sentinel(&self) -> ServerProcess {
        let folder = self.folder.path().join("sentinel");
        std::fs::create_dir_all(&folder).unwrap();
        let (address, rights) = (self.process.address(), rights_of("watcher").join(" "));
        let (host, port) = (address.ip(), address.port());
        let text = format!(
            "user watcher {rights}\nuser default off\nsentinel monitor main {host} {port} 1\n"
        );
        let file = folder.join("sentinel.conf");
        std::fs::write(&file, text).unwrap();
        let settings = "--sentinel --port 0 --tls-port {port} --tls-auth-clients no --tls-replication yes \
            --bind 127.0.0.1 --tls-ca-cert-file ../authority.pem --tls-cert-file ../server.pem \
            --tls-key-file ../server.key --dir {folder}";
        let spec = ServerSpec::new("redis-server", folder).arg(file.to_str().unwrap());
        let spec = settings.split_whitespace().fold(spec, ServerSpec::arg);
        ServerProcess::start(&self.env, spec).await.unwrap()
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
    rights_of("bananas")
}

/// The rights of this user in the guide.
fn rights_of(user: &str) -> Vec<String> {
    let line = GUIDE
        .lines()
        .find_map(|line| line.strip_prefix(&format!("ACL SETUSER {user} ")));
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

#[tokio::test]
async fn users_with_the_rights_of_the_guide_find_the_server_through_a_sentinel_by_tls() {
    let mut rights = rights();
    rights.extend(["+role".to_owned(), "+wait".to_owned()]);
    let Some(server) = Server::start(&rights).await else {
        return;
    };
    let sentinel = server.sentinel().await;
    let of = async |user: &str, more: &str| {
        let url = format!(
            "rediss://ada:hidden-one@{}?sentinel=main&sentinel_username={user}&sentinel_password=hidden-one&ca={}{more}",
            sentinel.address(),
            server.folder.path().join("authority.pem").display()
        );
        let mut config = RedisConfig::from_url(&url)?;
        config.namespace = "shop".to_owned();
        let engine = RedisEngine::open(config, Arc::clone(&server.env)).await?;
        Ok::<_, Error>(engine.broker())
    };
    let broker = of("watcher", "").await.unwrap();
    publish(&broker, &server.env).await.unwrap();
    let broker = of("watcher", "&confirm=replicas:1&timeout_ms=2000")
        .await
        .unwrap();
    let error = publish(&broker, &server.env).await.unwrap_err();
    assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
    let facts = broker.facts().await.unwrap();
    let fact = facts.iter().find(|fact| fact.name == "sentinels").unwrap();
    assert!(fact.value.starts_with("1 of 1 answer"), "{}", fact.value);
    let error = of("stranger", "&timeout_ms=700").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    assert!(!error.to_string().contains("hidden"), "{error}");
}
