//! Sockets to the server: dialled, encrypted if they are to be, and with a way to end them at once.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};

use async_rs::traits::Reactor;
use async_rs::{Runtime, Tokio, TokioRuntime};
use bananas_core::{Error as Seen, ErrorKind, Result as Answer};
use lapin::tcp::{AsyncTcpStream, OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{
    AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism,
};
use lapin::{Connection, ConnectionProperties};

use crate::config::{AmqpConfig, Login, Tls};
use crate::error::Error;

/// A stream to the server, plain or encrypted.
pub(crate) type Stream = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;

/// Makes connections to one server.
pub(crate) struct Dialer {
    pub(crate) config: AmqpConfig,
    pub(crate) url: String,
    tls: OwnedTLSConfig,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialer({})", self.url)
    }
}

/// Ends a socket at once, whoever reads or writes it. The client library would wait for an answer of the server
/// first, which may never come.
#[derive(Debug)]
pub(crate) struct Killer(Option<std::net::TcpStream>);

impl Killer {
    #[cfg(unix)]
    fn of(stream: &tokio::net::TcpStream) -> Self {
        use std::os::fd::AsFd;

        Self(stream.as_fd().try_clone_to_owned().ok().map(Into::into))
    }

    /// Elsewhere a dead connection ends when heartbeats are missed.
    #[cfg(not(unix))]
    fn of(_: &tokio::net::TcpStream) -> Self {
        Self(None)
    }

    pub(crate) fn kill(&self) {
        if let Some(socket) = &self.0 {
            // A socket that is not connected any more is what is wanted.
            socket.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Dialer {
    /// Reads the files that the settings name.
    pub(crate) fn new(config: AmqpConfig) -> Answer<Self> {
        let cert_chain = match &config.tls {
            Tls::Authority(path) => Some(String::from_utf8_lossy(&read(path)?).into_owned()),
            Tls::Off | Tls::System => None,
        };
        let identity = match (&config.certificate, &config.key) {
            (Some(certificate), Some(key)) => Some(OwnedIdentity::PKCS8 {
                pem: read(certificate)?,
                key: read(key)?,
            }),
            _ => None,
        };
        Ok(Self {
            url: config.shown_url(),
            tls: OwnedTLSConfig {
                identity,
                cert_chain,
            },
            config,
        })
    }

    /// A connection to the server on which nothing was said yet.
    pub(crate) async fn dial(&self) -> io::Result<(Stream, Killer)> {
        let address = (self.config.host.clone(), self.config.port);
        let runtime = TokioRuntime::tokio_current();
        let stream = AsyncTcpStream::connect(&runtime, runtime.to_socket_addrs(address)).await?;
        let AsyncTcpStream::Plain(plain) = &stream else {
            return Ok((stream, Killer(None)));
        };
        plain.get_ref().set_nodelay(true).ok();
        let killer = Killer::of(plain.get_ref());
        if self.config.tls == Tls::Off {
            return Ok((stream, killer));
        }
        let encrypted = stream.into_tls(&self.config.host, self.tls.as_ref());
        Ok((encrypted.await?, killer))
    }

    /// A connection that the server has accepted, under a name that it shows to its operator.
    pub(crate) async fn connect(&self, name: &str) -> Result<(Connection, Killer), Error> {
        let unreachable = |e: &io::Error| Error::NotSent {
            url: self.url.clone(),
            why: e.to_string(),
            kind: ErrorKind::Unreachable,
        };
        let (stream, killer) = self.dial().await.map_err(|e| unreachable(&e))?;
        let stream = Mutex::new(Some(stream));
        let handed = async move |_: AMQPUri, _: Runtime<Tokio>| {
            let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
            stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected).into())
        };
        // Its own recovery stays off: ours counts epochs and tells permanent errors apart.
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = TokioRuntime::tokio_current();
        let killer = Arc::new(killer);
        let guard = KillOnDrop(Some(Arc::clone(&killer)));
        let connected = Connection::connector(self.uri(), runtime, handed, properties).await;
        let connection = connected.map_err(|e| Error::of_connecting(&self.url, &e))?;
        guard.disarm();
        Ok((connection, Arc::into_inner(killer).unwrap_or(Killer(None))))
    }

    fn uri(&self) -> AMQPUri {
        let config = &self.config;
        let heartbeat = config.heartbeat.as_secs().clamp(1, 3_600);
        AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: config.username.clone(),
                    password: config.password.clone(),
                },
                host: config.host.clone(),
                port: config.port,
            },
            vhost: config.vhost.clone(),
            query: AMQPQueryString {
                heartbeat: u16::try_from(heartbeat).ok(),
                auth_mechanism: Some(match config.login {
                    Login::Password => SASLMechanism::Plain,
                    Login::External => SASLMechanism::External,
                }),
                ..AMQPQueryString::default()
            },
        }
    }
}

/// Ends a socket when the introduction to the server is given up.
struct KillOnDrop(Option<Arc<Killer>>);

impl KillOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(killer) = &self.0 {
            killer.kill();
        }
    }
}

fn read(path: &std::path::Path) -> Answer<Vec<u8>> {
    std::fs::read(path).map_err(|e| {
        let text = format!("{} cannot be read", path.display());
        Seen::new(ErrorKind::InvalidArgument, text).because(e)
    })
}
