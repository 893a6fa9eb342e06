//! The contract on the toy broker: one server for all checks, a namespace for each.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use bananas_core::{
    Broker, BrokerAdmin, Count, Env, Publish, QueueName, RawMessage, Result, TokioEnv,
};
use bytes::Bytes;
use conformance_tests::fault::{Network, Ready, ServerProcess, ServerSpec};
use conformance_tests::{Backend, BrokerHarness, Probe, Probing, Suite};
use examples::toy::{ToyBroker, ToyConfig};
use tempfile::TempDir;

/// Tells a child process where the server of its parent is.
const ADDRESS: &str = "TOY_ADDRESS";

/// How clients come to the server that all checks share, or to another.
#[derive(Clone)]
struct Toy {
    env: Arc<dyn Env>,
    address: SocketAddr,
    folder: Arc<TempDir>,
}

impl Toy {
    async fn client(&self, address: SocketAddr, namespace: &str) -> Result<ToyBroker> {
        let mut config = ToyConfig::new(address.to_string());
        config.namespace = namespace.to_owned();
        ToyBroker::connect(config, &self.env).await
    }
}

/// Starts a server with a folder of its own within this one.
async fn start_server(env: &Arc<dyn Env>, folder: &TempDir) -> Result<ServerProcess> {
    let own = folder.path().join(env.random().to_string());
    let spec = ServerSpec::new(env!("CARGO_BIN_EXE_toy-server"), own)
        .arg("--data")
        .arg("{folder}")
        .arg("--port")
        .arg("{port}")
        .ready_when(Ready::Prints("ready".to_owned()));
    ServerProcess::start(env, spec).await
}

impl Backend for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }

    fn child(&self) -> Option<Vec<(String, String)>> {
        Some(vec![(ADDRESS.to_owned(), self.address.to_string())])
    }
}

#[async_trait]
impl BrokerHarness for Toy {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        self.open_at(self.address, namespace).await
    }

    async fn open_with(
        &self,
        namespace: &str,
        env: Arc<dyn Env>,
    ) -> Result<Option<Arc<dyn Broker>>> {
        let mut toy = self.clone();
        toy.env = env;
        Ok(Some(toy.open(namespace).await?))
    }

    fn network(&self) -> Option<Arc<dyn Network>> {
        Some(Arc::new(self.clone()))
    }

    fn probe(&self, namespace: &str) -> Option<Arc<dyn Probe>> {
        let (toy, namespace) = (self.clone(), namespace.to_owned());
        Some(Arc::new(ToyProbe { toy, namespace }))
    }
}

#[async_trait]
impl Network for Toy {
    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn open_at(&self, address: SocketAddr, namespace: &str) -> Result<Arc<dyn Broker>> {
        Ok(Arc::new(self.client(address, namespace).await?))
    }

    async fn start_server(&self) -> Result<ServerProcess> {
        start_server(&self.env, &self.folder).await
    }
}

/// Asks the server over a connection of its own.
struct ToyProbe {
    toy: Toy,
    namespace: String,
}

impl ToyProbe {
    async fn client(&self) -> Result<ToyBroker> {
        self.toy.client(self.toy.address, &self.namespace).await
    }
}

#[async_trait]
impl Probe for ToyProbe {
    fn offers(&self) -> &'static [Probing] {
        &[Probing::Messages, Probing::Plant, Probing::Clients]
    }

    async fn messages(&self, queue: &QueueName) -> Result<u64> {
        let depths = self
            .client()
            .await?
            .depth(std::slice::from_ref(queue))
            .await?;
        let counts =
            |depth: &bananas_core::Depth| [depth.ready, depth.in_flight, depth.delayed, depth.dead];
        let counts = depths.iter().flat_map(counts).filter_map(Count::value);
        Ok(counts.sum())
    }

    async fn plant(&self, queue: &QueueName, body: Bytes) -> Result<()> {
        let publish = Publish {
            queue: queue.clone(),
            message: RawMessage::without_id(body),
        };
        let mut answers = self.client().await?.publish(vec![publish]).await;
        answers.remove(0).map(drop)
    }

    async fn clients(&self) -> Result<u64> {
        // This client itself is not meant.
        Ok(self.client().await?.clients().await? - 1)
    }
}

fn main() -> ExitCode {
    let suite = Suite::start();
    let env: Arc<dyn Env> = Arc::new(TokioEnv::on(suite.runtime().clone()));
    let folder = Arc::new(TempDir::new().unwrap());
    let of_parent = std::env::var(ADDRESS).ok();
    let started = of_parent.is_none().then(|| {
        let start = start_server(&env, &folder);
        suite.runtime().block_on(start).unwrap()
    });
    let address = match &started {
        Some(server) => server.address(),
        None => of_parent.unwrap().parse().unwrap(),
    };
    let toy = Arc::new(Toy {
        env,
        address,
        folder,
    });
    suite.broker(&toy).run()
}
