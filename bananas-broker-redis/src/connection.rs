//! One connection: dialled, encrypted if it is to be, introduced to the server.
//!
//! The socket is owned by the [`Driver`], a future of the client library that somebody must run; when it is
//! dropped, the connection ends and with it every call that waits for an answer.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{BoxFuture, Env, ErrorKind};
use futures::future::join_all;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, ServerError, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tokio_rustls::{TlsConnector, rustls};

use crate::address::Address;
use crate::config::{RedisConfig, Tls};
use crate::error::Error;
use crate::pulse::Pulse;
use crate::scout::Moves;
use crate::script::Script;
use crate::sentinel::{self, Sentinel};

/// How many calls may wait to be written.
const UNWRITTEN: usize = 1_024;

/// Runs a connection; it ends when this does, or is dropped.
pub(crate) type Driver = BoxFuture<'static, ()>;

/// What bytes go through, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Makes connections to one server: the first of those in the configuration that answers.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) config: RedisConfig,
    pub(crate) url: String,
    pub(crate) env: Arc<dyn Env>,
    /// When a server should be left for another.
    pub(crate) moves: Moves,
    tls: Option<TlsConnector>,
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Scripts and all else that is answered at once.
    Calls,
    /// One command after the other that waits at the server.
    Waiting,
    /// A question about the servers.
    Asking,
}

/// One connection. A clone is the same connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    redis: MultiplexedConnection,
    pub(crate) pulse: Pulse,
    /// By the number of the script.
    hashes: Arc<[String]>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dialer({})", self.url)
    }
}

impl Dialer {
    pub(crate) fn new(config: RedisConfig, env: &Arc<dyn Env>) -> Result<Self, Error> {
        let tls = match &config.tls {
            Tls::Off => None,
            Tls::System => Some(connector(None)?),
            Tls::Authority(path) => Some(connector(Some(path))?),
        };
        Ok(Self {
            url: config.shown_url(),
            config,
            env: Arc::clone(env),
            moves: Moves::default(),
            tls,
        })
    }

    /// Makes connections to this server, the same way.
    pub(crate) fn to(&self, address: &Address) -> Self {
        let mut dialer = self.clone();
        dialer.config.hosts = vec![address.clone()];
        dialer.url = dialer.config.shown_url();
        dialer
    }

    /// Makes connections to this sentinel, the same way.
    pub(crate) fn to_sentinel(&self, sentinel: &Sentinel, address: &Address) -> Self {
        let mut dialer = self.clone();
        let config = &mut dialer.config;
        config.hosts = vec![address.clone()];
        config.database = 0;
        config.username.clone_from(&sentinel.username);
        config.password.clone_from(&sentinel.password);
        config.sentinel = None;
        dialer.url = dialer.config.shown_url();
        dialer
    }

    /// Connects and introduces itself, in the time that an operation may take.
    pub(crate) async fn dial(&self, used_for: Use) -> Result<(Connection, Driver), Error> {
        let (connection, _, driver) = self.dial_any(used_for).await?;
        Ok((connection, driver))
    }

    /// The same; also says which of the hosts answered.
    pub(crate) async fn dial_any(
        &self,
        used_for: Use,
    ) -> Result<(Connection, Address, Driver), Error> {
        let share = self.share();
        let mut error = self.unreachable(&"the URL names no host");
        for address in &self.places(share).await? {
            let dialled = self.env.within(share, self.reach(address, used_for)).await;
            match dialled {
                Ok(Ok((connection, driver))) => return Ok((connection, address.clone(), driver)),
                Ok(Err(e)) => error = e,
                Err(_) => error = self.silent(share),
            }
        }
        Err(error)
    }

    /// Makes a connection that hears what is told on a channel, in the time that an operation may take.
    pub(crate) async fn subscribe(&self, channel: &str) -> Result<PubSub, Error> {
        let share = self.share();
        let mut error = self.unreachable(&"the URL names no host");
        for address in &self.places(share).await? {
            match self.env.within(share, self.hear(address, &[channel])).await {
                Ok(Ok(heard)) => return Ok(heard),
                Ok(Err(e)) => error = e,
                Err(_) => error = self.silent(share),
            }
        }
        Err(error)
    }

    /// Where the server may be: at one of the hosts, or where the sentinels say.
    async fn places(&self, share: Duration) -> Result<Vec<Address>, Error> {
        match &self.config.sentinel {
            None => Ok(self.config.hosts.clone()),
            Some(sentinel) => Ok(vec![sentinel::find(self, sentinel, share).await?]),
        }
    }

    /// How long one host may take, or each of sentinels and master.
    fn share(&self) -> Duration {
        let shares = match &self.config.sentinel {
            None => self.config.hosts.len().max(1),
            Some(_) => 2,
        };
        self.config.timeout / u32::try_from(shares).unwrap_or(1)
    }

    fn silent(&self, share: Duration) -> Error {
        self.unreachable(&format!("it did not answer within {share:?}"))
    }

    async fn socket(&self, address: &Address) -> Result<Box<dyn Stream>, Error> {
        let socket = TcpStream::connect((address.host.as_str(), address.port));
        let stream = socket.await.map_err(|e| self.unreachable(&e))?;
        stream.set_nodelay(true).map_err(|e| self.unreachable(&e))?;
        let Some(connector) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(address.host.clone())
            .map_err(|_| Error::Refused(format!("{:?} is no host name for TLS", address.host)))?;
        let stream = connector.connect(name, stream).await;
        let stream = stream.map_err(|e| self.unreachable(&untrusted(&e)))?;
        Ok(Box::new(stream))
    }

    /// The same, of this server, on several channels.
    pub(crate) async fn hear(&self, address: &Address, channels: &[&str]) -> Result<PubSub, Error> {
        let stream = self.socket(address).await?;
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(password) = &self.config.password {
            info = info.set_password(password);
            if let Some(username) = &self.config.username {
                info = info.set_username(username);
            }
        }
        let heard = async {
            let mut heard = PubSub::new(&info, stream).await?;
            heard.subscribe(channels).await?;
            Ok::<_, redis::RedisError>(heard)
        };
        heard.await.map_err(|e| self.unreachable(&e))
    }

    pub(crate) async fn reach(
        &self,
        address: &Address,
        used_for: Use,
    ) -> Result<(Connection, Driver), Error> {
        let stream = self.socket(address).await?;
        // The library's own introduction hides what the server says to a wrong password. Its timeout of
        // half a second is off: every call has a deadline of ours.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let settings = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(UNWRITTEN);
        let (pulse, stream) = Pulse::of(stream, &self.env);
        let (redis, driver) = MultiplexedConnection::new_with_config(&info, stream, settings)
            .await
            .map_err(|e| self.unreachable(&e))?;
        let mut driver: Driver = Box::pin(driver);
        let connection = tokio::select! {
            () = &mut driver => return Err(self.unreachable(&self.hung_up())),
            connection = self.greet(redis, pulse, used_for) => connection?,
        };
        Ok((connection, driver))
    }

    async fn greet(
        &self,
        redis: MultiplexedConnection,
        pulse: Pulse,
        used_for: Use,
    ) -> Result<Connection, Error> {
        let mut connection = Connection {
            redis,
            pulse,
            hashes: Arc::new([]),
        };
        let config = &self.config;
        let mut greeting = Vec::new();
        if let Some(password) = &config.password {
            let mut auth = redis::cmd("AUTH");
            if let Some(username) = &config.username {
                auth.arg(username);
            }
            auth.arg(password);
            greeting.push(auth);
        }
        if config.database != 0 {
            let mut select = redis::cmd("SELECT");
            select.arg(config.database);
            greeting.push(select);
        }
        // How `CLIENT LIST` shows us.
        let mut name = redis::cmd("CLIENT");
        name.arg("SETNAME")
            .arg(format!("bananas:{}", config.namespace));
        let needed = greeting.len();
        greeting.push(name);
        let scripts = if used_for == Use::Calls {
            Script::ALL
        } else {
            &[]
        };
        greeting.extend(scripts.iter().map(|script| load(*script)));
        let answers = join_all(greeting.iter().map(|command| connection.send(command))).await;
        let mut hashes = Vec::new();
        for (n, answer) in answers.into_iter().enumerate() {
            let answer = answer.map_err(|why| self.unreachable(&why))?;
            match answer {
                // Not to be allowed to have a name does no harm.
                Value::ServerError(_) if n == needed => {}
                Value::ServerError(error) => return Err(self.refused(&error)),
                Value::BulkString(hash) => hashes.push(String::from_utf8_lossy(&hash).into_owned()),
                _ => {}
            }
        }
        if hashes.len() != scripts.len() {
            return Err(Error::WrongAnswer(self.url.clone()));
        }
        connection.hashes = hashes.into();
        if config.sentinel.is_some() {
            sentinel::check_role(self, &connection).await?;
        }
        Ok(connection)
    }

    fn refused(&self, error: &ServerError) -> Error {
        let is_of_cluster = |detail: &str| detail.contains("not allowed in cluster mode");
        if error.details().is_some_and(is_of_cluster) {
            return Error::Refused(format!(
                "{} is of a cluster, which has database 0 alone; leave out the number",
                self.url
            ));
        }
        Error::server(&self.url, error)
    }

    fn hung_up(&self) -> &'static str {
        match self.tls {
            None => "the server ended the connection; if its port is one for TLS, write rediss://",
            Some(_) => "the server ended the connection",
        }
    }

    pub(crate) fn unreachable(&self, why: &impl ToString) -> Error {
        Error::NotSent {
            url: self.url.clone(),
            why: why.to_string(),
            kind: ErrorKind::Unreachable,
        }
    }
}

impl Connection {
    /// Sends a command and waits for the answer, which may be an error of the server. Fails with the reason
    /// when the connection ends before.
    pub(crate) async fn send(&self, command: &Cmd) -> Result<Value, String> {
        let mut redis = self.redis.clone();
        redis
            .send_packed_command(command)
            .await
            .map_err(|e| e.to_string())
    }

    /// Sends a command to the node that is about to get its key.
    pub(crate) async fn send_asking(&self, command: &Cmd) -> Result<Value, String> {
        let mut both = redis::pipe();
        both.cmd("ASKING").add_command(command.clone());
        let mut redis = self.redis.clone();
        let answers = redis.send_packed_commands(&both, 1, 1).await;
        let mut answers = answers.map_err(|e| e.to_string())?;
        answers.pop().ok_or_else(|| "no answer".to_owned())
    }

    /// Sends commands in one go, and waits for the answers to all.
    pub(crate) async fn send_all(&self, commands: &[Cmd]) -> Result<Vec<Value>, String> {
        let mut all = redis::pipe();
        for command in commands {
            all.add_command(command.clone());
        }
        let mut redis = self.redis.clone();
        let answers = redis.send_packed_commands(&all, 0, commands.len()).await;
        answers.map_err(|e| e.to_string())
    }

    /// The name under which this server knows a script.
    pub(crate) fn hash(&self, script: Script) -> &str {
        let number = Script::ALL.iter().position(|other| *other == script);
        number
            .and_then(|number| self.hashes.get(number))
            .map_or("", String::as_str)
    }
}

/// The command that makes the server know a script.
pub(crate) fn load(script: Script) -> Cmd {
    let mut command = redis::cmd("SCRIPT");
    command.arg("LOAD").arg(script.source());
    command
}

/// Why TLS did not come about, and what to do.
fn untrusted(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let advice = match inner {
        Some(rustls::Error::InvalidCertificate(_)) => {
            "; name the PEM file of its authority with ?ca= in the URL, and the host as its certificate does"
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "; name a port for TLS, or write redis:// for one without"
        }
        _ => "",
    };
    format!("{error}{advice}")
}

fn connector(authority: Option<&std::path::PathBuf>) -> Result<TlsConnector, Error> {
    let refused = |what: String| Error::Refused(what);
    let mut roots = RootCertStore::empty();
    if let Some(path) = authority {
        let certificates = CertificateDer::pem_file_iter(path)
            .map_err(|e| refused(format!("the file {path:?} named by ca cannot be read: {e}")))?;
        for certificate in certificates {
            certificate
                .map_err(|e| e.to_string())
                .and_then(|it| roots.add(it).map_err(|e| e.to_string()))
                .map_err(|e| {
                    refused(format!("the file {path:?} named by ca is no PEM file: {e}"))
                })?;
        }
    } else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
    }
    if roots.is_empty() {
        return Err(refused(
            "no certificate of an authority was found; name a PEM file with ?ca= in the URL"
                .to_owned(),
        ));
    }
    // The provider is named, so that nothing depends on who installed which as the default of the process.
    let client = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| refused(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(client)))
}
