//! The client library, with a deadline and a count for every request.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use bananas_core::Env;

use crate::config::SqsConfig;
use crate::error::Error;
use crate::requests::{Meter, Operation};

/// Makes requests, one connection for each that is under way.
///
/// The library neither retries nor measures time: a publish must not be sent twice behind the caller's back, and
/// a dead line would keep it for ever.
pub(crate) struct Wire {
    client: Client,
    env: Arc<dyn Env>,
    url: String,
    timeout: Duration,
    pub(crate) meter: Meter,
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
        // One provider of cryptography in the whole program, and it is ring.
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
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
            client: Client::new(&loaded),
            env,
            url: config.shown_url(),
            timeout: config.timeout,
            meter: Meter::default(),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
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
        match self.env.within(within, request).await {
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
