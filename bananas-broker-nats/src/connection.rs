//! One connection: made once, and never again by the client library itself.
//!
//! The library connects again on its own and would then send what it had taken in before, an acknowledgement
//! for a lease that was lost meanwhile among it. It is led to an address where nobody can be instead, and gives
//! up at once; with it end the answers and subscriptions that still waited.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ReconnectToServer, ServerAddr,
};
use bananas_core::ErrorKind;
use tokio::sync::watch;

use crate::config::{NatsConfig, Tls, address};
use crate::credentials;
use crate::error::Error;
use crate::tls;

/// Port 0 is nobody's.
const NOWHERE: &str = "nats://127.0.0.1:0";

/// How many commands may wait to be written.
const UNWRITTEN: usize = 4_096;

/// How many messages of one subscription may wait to be taken; more than are ever asked for.
const UNTAKEN: usize = 64 * 1024;

/// Makes connections to the servers in turn.
pub(crate) struct Dialer {
    pub(crate) config: NatsConfig,
    pub(crate) url: String,
    tls: Option<async_nats::rustls::ClientConfig>,
    turn: AtomicUsize,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    /// What the server calls itself; each start of one has another name.
    pub(crate) server: Arc<str>,
    /// Says that it has ended, or is given up.
    end: Arc<watch::Sender<bool>>,
    /// What the server complained of last, without saying about what.
    complaint: Arc<Mutex<Option<String>>>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dialer({})", self.url)
    }
}

impl Dialer {
    pub(crate) fn new(config: NatsConfig) -> Result<Self, Error> {
        credentials::check(&config.login).map_err(Error::Refused)?;
        Ok(Self {
            tls: tls::settings(&config)?,
            url: config.shown_url(),
            turn: AtomicUsize::new(0),
            config,
        })
    }

    /// Connects to the next server. The caller sets the deadline.
    pub(crate) async fn dial(&self) -> Result<Connection, Error> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let servers = &self.config.servers;
        let Some((host, port)) = servers.get(turn % servers.len().max(1)) else {
            return Err(self.unreachable(&"no server is named"));
        };
        let real: ServerAddr = format!("nats://{}", address(host, *port))
            .parse()
            .map_err(|e| self.unreachable(&e))?;
        let nowhere: ServerAddr = NOWHERE.parse().map_err(|e| self.unreachable(&e))?;
        let end = Arc::new(watch::Sender::new(false));
        let complaint = Arc::<Mutex<Option<String>>>::default();
        let options = self.options(&real, &nowhere);
        let complained = Arc::clone(&complaint);
        let ends = Arc::clone(&end);
        let options = options.event_callback(move |event| {
            match event {
                Event::Disconnected | Event::Closed => {
                    ends.send_replace(true);
                }
                Event::ServerError(error) => {
                    tracing::warn!(%error, "the NATS server complains");
                    *lock(&complained) = Some(error.to_string());
                }
                // A server in lame-duck mode ends the connection itself; nothing else concerns us.
                _ => {}
            }
            std::future::ready(())
        });
        let pool: &[ServerAddr] = &[real, nowhere];
        let client = options.connect(pool).await.map_err(|e| self.refused(&e))?;
        Ok(Connection {
            server: client.server_info().server_id.into(),
            client,
            end,
            complaint,
        })
    }

    fn options(&self, real: &ServerAddr, nowhere: &ServerAddr) -> ConnectOptions {
        let login = self.config.login.clone();
        let first = AtomicUsize::new(0);
        let (real, nowhere) = (real.clone(), nowhere.clone());
        let options = ConnectOptions::with_auth_callback(move |challenge| {
            std::future::ready(credentials::answer(&login, &challenge))
        });
        let mut options = options
            .name(format!("bananas:{}", self.config.namespace))
            .client_capacity(UNWRITTEN)
            .subscription_capacity(UNTAKEN)
            .connection_timeout(self.config.timeout)
            .request_timeout(None)
            .ping_interval(Duration::from_secs(20))
            .ignore_discovered_servers()
            .retain_servers_order()
            .max_reconnects(1)
            .reconnect_to_server_callback(move |_, _| {
                let addr = match first.fetch_add(1, Ordering::Relaxed) {
                    0 => real.clone(),
                    _ => nowhere.clone(),
                };
                let delay = Some(Duration::ZERO);
                std::future::ready(Some(ReconnectToServer { addr, delay }))
            });
        if let Some(tls) = &self.tls {
            options = options.require_tls(true).tls_client_config(tls.clone());
        }
        options
    }

    fn unreachable(&self, why: &impl ToString) -> Error {
        Error::NotSent {
            url: self.url.clone(),
            why: why.to_string(),
            kind: ErrorKind::Unreachable,
        }
    }

    fn refused(&self, error: &ConnectError) -> Error {
        let is_auth = matches!(
            error.kind(),
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation
        );
        let mut why = error.to_string();
        if self.config.tls == Tls::Off && error.kind() == ConnectErrorKind::Tls {
            why += "; the server wants TLS, so write tls+nats://";
        }
        let kind = match is_auth {
            true => ErrorKind::Auth,
            false => ErrorKind::Unreachable,
        };
        Error::NotSent {
            url: self.url.clone(),
            why,
            kind,
        }
    }
}

impl Connection {
    /// Waits until it has ended.
    pub(crate) async fn ended(&self) {
        let mut ended = self.end.subscribe();
        // The sender lives as long as this does.
        drop(ended.wait_for(|ended| *ended).await);
    }

    /// Waits until it has ended, or until `is_over` holds, which is asked whenever somebody knocks: a timer for each
    /// call would cost more than the rest of it. Answers whether it has ended.
    pub(crate) async fn ended_or(&self, is_over: impl Fn() -> bool) -> bool {
        let mut end = self.end.subscribe();
        loop {
            if *end.borrow_and_update() {
                return true;
            }
            // The sender lives as long as this does.
            if is_over() || end.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Lets those who wait look at the clock.
    pub(crate) fn knock(&self) {
        self.end.send_modify(|_| ());
    }

    /// Is of no more use: whoever waits for something from it need not.
    pub(crate) fn give_up(&self) {
        self.end.send_replace(true);
    }

    /// What the server complained of last, for a call that it did not answer.
    pub(crate) fn hint(&self) -> String {
        let complaint = lock(&self.complaint).clone();
        complaint.map_or_else(String::new, |said| format!("; it said {said:?}"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
