//! The contract on the toy broker: one server for all checks, a namespace for each.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "toy_server/mod.rs"]
mod toy_server;

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use bananas_core::{Broker, Env, Result, TokioEnv};
use conformance_tests::{Backend, BrokerHarness, Suite};
use examples::toy::{ToyBroker, ToyConfig};

use self::toy_server::ToyServer;

struct Toy {
    env: Arc<dyn Env>,
    server: ToyServer,
}

impl Backend for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }
}

#[async_trait]
impl BrokerHarness for Toy {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        let mut config = ToyConfig::new(self.server.address());
        config.namespace = namespace.to_owned();
        ToyBroker::connect(config, Arc::clone(&self.env)).await
    }
}

fn main() -> ExitCode {
    let suite = Suite::start();
    let toy = Arc::new(Toy {
        env: Arc::new(TokioEnv::on(suite.runtime().clone())),
        server: ToyServer::start(),
    });
    suite.broker(&toy).run()
}
