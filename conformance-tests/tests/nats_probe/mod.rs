//! A few words of NATS over a plain socket: what streams hold is seen without the client that is tested.

use std::net::SocketAddr;

use async_trait::async_trait;
use bananas_core::{QueueName, Result};
use bytes::Bytes;
use conformance_tests::{Probe, Probing};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Where an answer is sent to.
const INBOX: &str = "_INBOX.probe";

/// Looks at a namespace of a server.
pub(crate) struct NatsProbe {
    pub(crate) address: SocketAddr,
    /// User and password, where the server asks for them.
    pub(crate) user: Option<(String, String)>,
    pub(crate) namespace: String,
}

#[async_trait]
impl Probe for NatsProbe {
    fn offers(&self) -> &'static [Probing] {
        &[Probing::Messages, Probing::Plant, Probing::Conflict]
    }

    async fn messages(&self, queue: &QueueName) -> Result<u64> {
        let mut all = 0;
        for kind in ["Q", "D"] {
            let subject = format!("$JS.API.STREAM.INFO.{}", self.stream(kind, queue));
            let info = self.ask(&subject, b"").await;
            all += info["state"]["messages"].as_u64().unwrap();
        }
        Ok(all)
    }

    /// Puts a body into a queue, without an envelope.
    async fn plant(&self, queue: &QueueName, body: Bytes) -> Result<()> {
        let lane = format!("bn.{}.{}.p1", plain(&self.namespace), plain(queue.as_str()));
        let answer = self.ask(&lane, &body).await;
        assert!(answer["seq"].is_u64(), "{answer}");
        Ok(())
    }

    /// Makes a stream that throws old messages away.
    async fn make_conflicting(&self, queue: &QueueName) -> Result<()> {
        let stream = self.stream("Q", queue);
        let subject = format!("bn.{}.{}.p1", plain(&self.namespace), plain(queue.as_str()));
        let config = json!({
            "name": stream, "subjects": [subject], "retention": "limits", "storage": "file",
            "max_msgs": 10, "max_bytes": -1, "max_age": 0, "num_replicas": 1,
        });
        let subject = format!("$JS.API.STREAM.CREATE.{stream}");
        let answer = self.ask(&subject, config.to_string().as_bytes()).await;
        assert!(answer["error"].is_null(), "{answer}");
        Ok(())
    }
}

impl NatsProbe {
    fn stream(&self, kind: &str, queue: &QueueName) -> String {
        let (space, queue) = (plain(&self.namespace), plain(queue.as_str()));
        format!("{kind}+{space}+{queue}")
    }

    /// Sends a message and reads the answer.
    async fn ask(&self, subject: &str, payload: &[u8]) -> Value {
        let mut stream = BufReader::new(TcpStream::connect(self.address).await.unwrap());
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        assert!(line.starts_with("INFO "), "{line}");
        let mut connect = json!({ "verbose": false });
        if let Some((user, password)) = &self.user {
            connect["user"] = json!(user);
            connect["pass"] = json!(password);
        }
        let head = format!(
            "CONNECT {connect}\r\nSUB {INBOX} 1\r\nPUB {subject} {INBOX} {}\r\n",
            payload.len()
        );
        let request = [head.as_bytes(), payload, b"\r\n"].concat();
        stream.write_all(&request).await.unwrap();
        loop {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            if let Some(rest) = line.strip_prefix("MSG ") {
                let length = rest.trim().rsplit(' ').next().unwrap().parse().unwrap();
                let mut body = vec![0; length];
                stream.read_exact(&mut body).await.unwrap();
                return serde_json::from_slice(&body).unwrap();
            }
            assert!(!line.starts_with("-ERR") && !line.is_empty(), "{line}");
        }
    }
}

/// A name as a part of a subject.
fn plain(name: &str) -> String {
    name.replace('_', "__")
        .replace('.', "_d")
        .replace(':', "_c")
}
