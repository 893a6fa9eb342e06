//! A few words of Redis over a plain socket: what the keys hold is seen without the client that is tested.

use std::net::SocketAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use bananas_core::{BoxFuture, QueueName, Result};
use bytes::Bytes;
use conformance_tests::{Probe, Probing};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};

/// Where one comes in without a password.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "each test program has doors of one kind")]
pub(crate) enum Door {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Looks at a namespace of a server, or of all servers of a cluster.
#[derive(Debug)]
pub(crate) struct RedisProbe {
    doors: Vec<Door>,
    namespace: String,
}

impl RedisProbe {
    pub(crate) fn new(doors: Vec<Door>, namespace: &str) -> Self {
        let namespace = namespace.to_owned();
        Self { doors, namespace }
    }

    /// Asks for something about a part of a queue, wherever that is kept.
    async fn ask(&self, queue: &QueueName, [command, part]: [&str; 2], words: &[&[u8]]) -> String {
        let key = format!("{{{}:{queue}}}:{part}", self.namespace);
        let mut request = vec![command.as_bytes(), key.as_bytes()];
        request.extend(words);
        let mut door = self.doors[0].clone();
        loop {
            let answer = ask(&door, &request).await;
            // `-MOVED 3999 127.0.0.1:6381`
            let Some(moved) = answer.strip_prefix("-MOVED ") else {
                assert!(!answer.starts_with('-'), "{answer}");
                return answer;
            };
            door = Door::Tcp(moved.split_whitespace().nth(1).unwrap().parse().unwrap());
        }
    }
}

#[async_trait]
impl Probe for RedisProbe {
    fn offers(&self) -> &'static [Probing] {
        &[Probing::Messages, Probing::Plant, Probing::Clients]
    }

    async fn messages(&self, queue: &QueueName) -> Result<u64> {
        let mut all = 0;
        for (command, part) in [
            ("LLEN", "normal"),
            ("ZCARD", "high"),
            ("ZCARD", "low"),
            ("ZCARD", "delayed"),
            ("ZCARD", "leased"),
            ("ZCARD", "dead"),
        ] {
            let count = self.ask(queue, [command, part], &[]).await;
            all += count[1..].trim().parse::<u64>().unwrap();
        }
        Ok(all)
    }

    /// Puts a body into a queue, without an envelope.
    async fn plant(&self, queue: &QueueName, body: Bytes) -> Result<()> {
        self.ask(queue, ["RPUSH", "normal"], &[&body]).await;
        self.ask(queue, ["ZADD", "wake"], &[b"0", b""]).await;
        Ok(())
    }

    /// How many connections have the name of this namespace.
    async fn clients(&self) -> Result<u64> {
        let name = format!(" name=bananas:{} ", self.namespace);
        let mut all = 0;
        for door in &self.doors {
            let list = ask(door, &[b"CLIENT", b"LIST"]).await;
            all += list.lines().filter(|line| line.contains(&name)).count() as u64;
        }
        Ok(all)
    }
}

/// Sends a command; its answer is a text or, with its mark before it, what fits in a line.
async fn ask(door: &Door, words: &[&[u8]]) -> String {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend(format!("${}\r\n", word.len()).into_bytes());
        request.extend(*word);
        request.extend(b"\r\n");
    }
    match door {
        Door::Tcp(address) => {
            let stream = TcpStream::connect(address).await.unwrap();
            talk(stream, &request).await
        }
        Door::Unix(path) => talk(UnixStream::connect(path).await.unwrap(), &request).await,
    }
}

fn talk<'a, S>(stream: S, request: &'a [u8]) -> BoxFuture<'a, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'a,
{
    Box::pin(async move {
        let mut stream = BufReader::new(stream);
        stream.write_all(request).await.unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let Some(length) = line.strip_prefix('$') else {
            return line;
        };
        let mut text = vec![0; length.trim().parse().unwrap()];
        stream.read_exact(&mut text).await.unwrap();
        String::from_utf8(text).unwrap()
    })
}
