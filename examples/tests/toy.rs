//! The contract on the toy broker: one server for all checks, a namespace for each.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod toy_server;

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use bananas_core::{Broker, Env, Result, TokioEnv};
use conformance_tests::{Backend, BrokerHarness, Suite};
use examples::toy::{ToyBroker, ToyConfig};

use self::toy_server::ToyServer;

/// Tells a child process where the server of its parent is.
const ADDRESS: &str = "TOY_ADDRESS";

struct Toy {
    env: Arc<dyn Env>,
    address: String,
}

impl Backend for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }

    fn child(&self) -> Option<Vec<(String, String)>> {
        Some(vec![(ADDRESS.to_owned(), self.address.clone())])
    }
}

#[async_trait]
impl BrokerHarness for Toy {
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Broker>> {
        let mut config = ToyConfig::new(&self.address);
        config.namespace = namespace.to_owned();
        ToyBroker::connect(config, self.env()).await
    }
}

fn main() -> ExitCode {
    let suite = Suite::start();
    let of_parent = std::env::var(ADDRESS).ok();
    let server = of_parent.is_none().then(ToyServer::start);
    let own = server.as_ref().map(|server| server.address().to_string());
    let toy = Arc::new(Toy {
        env: Arc::new(TokioEnv::on(suite.runtime().clone())),
        address: of_parent.or(own).unwrap(),
    });
    suite.broker(&toy).run()
}
