//! A few words of Redis over a plain socket: what the keys hold is seen without the client that is tested.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Looks at a namespace of a server.
#[derive(Debug)]
pub(crate) struct RedisProbe {
    address: SocketAddr,
    namespace: String,
}

impl RedisProbe {
    pub(crate) fn new(address: SocketAddr, namespace: &str) -> Self {
        Self {
            address,
            namespace: namespace.to_owned(),
        }
    }

    /// Puts a body into a queue, without an envelope.
    pub(crate) async fn plant(&self, queue: &str, body: &[u8]) {
        let key = |part: &str| format!("{{{}:{queue}}}:{part}", self.namespace).into_bytes();
        self.ask(&[b"RPUSH".to_vec(), key("normal"), body.to_vec()])
            .await;
        self.ask(&[b"ZADD".to_vec(), key("wake"), b"0".to_vec(), Vec::new()])
            .await;
    }

    /// How many connections have the name of this namespace.
    pub(crate) async fn clients(&self) -> u64 {
        let list = self.ask(&[b"CLIENT".to_vec(), b"LIST".to_vec()]).await;
        let name = format!(" name=bananas:{} ", self.namespace);
        list.lines().filter(|line| line.contains(&name)).count() as u64
    }

    /// Sends a command; its answer, if it is a text.
    async fn ask(&self, words: &[Vec<u8>]) -> String {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).into_bytes());
            request.extend(word);
            request.extend(b"\r\n");
        }
        let mut stream = BufReader::new(TcpStream::connect(self.address).await.unwrap());
        stream.write_all(&request).await.unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        assert!(!line.starts_with('-'), "{line}");
        let Some(length) = line.strip_prefix('$') else {
            return line;
        };
        let mut text = vec![0; length.trim().parse().unwrap()];
        stream.read_exact(&mut text).await.unwrap();
        String::from_utf8(text).unwrap()
    }
}
