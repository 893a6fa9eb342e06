//! One connection: dialled, encrypted if it is to be, introduced to the server.
//!
//! The socket is owned by the [`Driver`], a future of the client library that somebody must run; when it is
//! dropped, the connection ends and with it every call that waits for an answer.

use std::sync::Arc;

use bananas_core::{BoxFuture, ErrorKind};
use futures::future::join_all;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tokio_rustls::{TlsConnector, rustls};

use crate::config::{RedisConfig, Tls};
use crate::error::Error;
use crate::script::Script;

/// How many calls may wait to be written.
const UNWRITTEN: usize = 1_024;

/// Runs a connection; it ends when this does, or is dropped.
pub(crate) type Driver = BoxFuture<'static, ()>;

/// Makes connections to one server.
pub(crate) struct Dialer {
    pub(crate) config: RedisConfig,
    pub(crate) url: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Scripts and all else that is answered at once.
    Calls,
    /// One command after the other that waits at the server.
    Waiting,
}

/// One connection. A clone is the same connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    redis: MultiplexedConnection,
    /// By the number of the script.
    hashes: Arc<[String]>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dialer({})", self.url)
    }
}

impl Dialer {
    pub(crate) fn new(config: RedisConfig) -> Result<Self, Error> {
        let tls = match &config.tls {
            Tls::Off => None,
            Tls::System => Some(connector(&config, None)?),
            Tls::Authority(path) => Some(connector(&config, Some(path))?),
        };
        Ok(Self {
            url: config.shown_url(),
            config,
            tls,
        })
    }

    /// Connects and introduces itself. The caller sets the deadline.
    pub(crate) async fn dial(&self, used_for: Use) -> Result<(Connection, Driver), Error> {
        let address = (self.config.host.as_str(), self.config.port);
        let stream = TcpStream::connect(address)
            .await
            .map_err(|e| self.unreachable(&e))?;
        stream.set_nodelay(true).map_err(|e| self.unreachable(&e))?;
        match &self.tls {
            None => self.introduce(stream, used_for).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await;
                let stream = stream.map_err(|e| self.unreachable(&untrusted(&e)))?;
                self.introduce(stream, used_for).await
            }
        }
    }

    /// Makes a connection that hears what is told on a channel. The caller sets the deadline.
    pub(crate) async fn subscribe(&self, channel: &str) -> Result<PubSub, Error> {
        let address = (self.config.host.as_str(), self.config.port);
        let stream = TcpStream::connect(address)
            .await
            .map_err(|e| self.unreachable(&e))?;
        match &self.tls {
            None => self.hear(stream, channel).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await;
                let stream = stream.map_err(|e| self.unreachable(&untrusted(&e)))?;
                self.hear(stream, channel).await
            }
        }
    }

    async fn hear<S>(&self, stream: S, channel: &str) -> Result<PubSub, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(password) = &self.config.password {
            info = info.set_password(password);
            if let Some(username) = &self.config.username {
                info = info.set_username(username);
            }
        }
        let heard = async {
            let mut heard = PubSub::new(&info, stream).await?;
            heard.subscribe(channel).await?;
            Ok::<_, redis::RedisError>(heard)
        };
        heard.await.map_err(|e| self.unreachable(&e))
    }

    async fn introduce<S>(&self, stream: S, used_for: Use) -> Result<(Connection, Driver), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // The library's own introduction hides what the server says to a wrong password. Its timeout of
        // half a second is off: every call has a deadline of ours.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let settings = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(UNWRITTEN);
        let (redis, driver) = MultiplexedConnection::new_with_config(&info, stream, settings)
            .await
            .map_err(|e| self.unreachable(&e))?;
        let mut driver: Driver = Box::pin(driver);
        let connection = tokio::select! {
            () = &mut driver => return Err(self.unreachable(&self.hung_up())),
            connection = self.greet(redis, used_for) => connection?,
        };
        Ok((connection, driver))
    }

    async fn greet(
        &self,
        redis: MultiplexedConnection,
        used_for: Use,
    ) -> Result<Connection, Error> {
        let mut connection = Connection {
            redis,
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
                Value::ServerError(error) => return Err(Error::server(&self.url, &error)),
                Value::BulkString(hash) => hashes.push(String::from_utf8_lossy(&hash).into_owned()),
                _ => {}
            }
        }
        if hashes.len() != scripts.len() {
            return Err(Error::WrongAnswer(self.url.clone()));
        }
        connection.hashes = hashes.into();
        Ok(connection)
    }

    fn hung_up(&self) -> &'static str {
        match self.tls {
            None => "the server ended the connection; if its port is one for TLS, write rediss://",
            Some(_) => "the server ended the connection",
        }
    }

    fn unreachable(&self, why: &impl ToString) -> Error {
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

fn connector(
    config: &RedisConfig,
    authority: Option<&std::path::PathBuf>,
) -> Result<(TlsConnector, ServerName<'static>), Error> {
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
    let name = ServerName::try_from(config.host.clone())
        .map_err(|_| refused(format!("{:?} is no host name for TLS", config.host)))?;
    Ok((TlsConnector::from(Arc::new(client)), name))
}
