//! The client library, with a deadline and a count for every request.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{
    BehaviorVersion, Credentials, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use bananas_core::Env;
use futures::future::{Either, select, select_ok};

use crate::config::SqsConfig;
use crate::error::Error;
use crate::held::lock;
use crate::requests::{Meter, Operation};

/// An answer that is owed for longer makes its connection suspect, and all that were opened with it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Makes requests, one connection for each that is under way.
///
/// The library neither retries nor measures time: a publish must not be sent twice behind the caller's back, and
/// a dead line would keep it for ever. Nor does it know that the connections it keeps for later are as dead as the
/// one that has just shown to be: when an answer is late, later requests get new connections.
pub(crate) struct Wire {
    line: Mutex<Line>,
    loaded: SdkConfig,
    env: Arc<dyn Env>,
    url: String,
    timeout: Duration,
    pub(crate) meter: Meter,
}

/// Connections that were opened in the same period.
#[derive(Clone)]
struct Line {
    client: Client,
    /// Which period it is.
    number: u64,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Wire {
    pub(crate) async fn open(config: &SqsConfig, env: Arc<dyn Env>) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(connections())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(region) = &config.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &config.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let (Some(key), Some(secret)) = (&config.access_key, &config.secret_key) {
            let keys = Credentials::new(key, secret, None, None, "the URL of the broker");
            loader = loader.credentials_provider(keys);
        }
        let loaded = loader.load().await;
        Self {
            line: Mutex::new(Line {
                client: Client::new(&loaded),
                number: 0,
            }),
            loaded,
            env,
            url: config.shown_url(),
            timeout: config.timeout,
            meter: Meter::default(),
        }
    }

    pub(crate) fn client(&self) -> Client {
        lock(&self.line).client.clone()
    }

    /// Later requests get new connections, unless somebody has seen to that since this period.
    fn renew(&self, number: u64) {
        let mut line = lock(&self.line);
        if line.number == number {
            let loaded = self.loaded.to_builder().http_client(connections());
            *line = Line {
                client: Client::new(&loaded.build()),
                number: number + 1,
            };
        }
    }

    /// Makes a request that does the same if it is made twice: once more by a new connection when the answer is
    /// late. The first answer that is no error counts.
    pub(crate) async fn repeat<T, E, F>(
        &self,
        operation: Operation,
        bytes: usize,
        make: impl Fn(Client) -> F,
    ) -> Result<T, Error>
    where
        E: ProvideErrorMetadata + StdError + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let number = lock(&self.line).number;
        let first = Box::pin(self.call(operation, bytes, make(self.client())));
        let first = match select(first, self.env.sleep(PATIENCE)).await {
            Either::Left((answer, _)) => return answer,
            Either::Right(((), first)) => first,
        };
        self.renew(number);
        let second = Box::pin(self.call(operation, bytes, make(self.client())));
        select_ok([first, second]).await.map(|(answer, _)| answer)
    }

    /// Makes a request that carries so many bytes. The futures of the library are large and come in a box.
    pub(crate) async fn call<T, E>(
        &self,
        operation: Operation,
        bytes: usize,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Error>
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        self.wait(operation, bytes, Duration::ZERO, request).await
    }

    /// The same, of a request that asks the server to wait so long.
    pub(crate) async fn wait<T, E>(
        &self,
        operation: Operation,
        bytes: usize,
        wait: Duration,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Error>
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        self.meter.count(operation, bytes);
        let within = wait + self.timeout;
        let number = lock(&self.line).number;
        let deadline = self.env.monotonic() + within;
        let mut request = pin!(request);
        let soon = self.env.within(wait + PATIENCE, request.as_mut()).await;
        let answer = match soon {
            Ok(answer) => Ok(answer),
            Err(_) => {
                self.renew(number);
                self.env.until(deadline, request).await
            }
        };
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Error::of(&self.url, &error)),
            Err(_) => Err(Error::Silence {
                url: self.url.clone(),
                waited: within,
            }),
        }
    }

    /// An answer that does not say what was asked.
    pub(crate) fn wrong_answer(&self) -> Error {
        Error::WrongAnswer(self.url.clone())
    }
}

/// A place for connections, with none in it yet.
fn connections() -> SharedHttpClient {
    // One provider of cryptography in the whole program, and it is ring.
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}
