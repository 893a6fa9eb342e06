//! A proxy before an emulator of SQS that knows its language: it makes single messages of a request fail, throttles,
//! delivers twice, and calls receipts stale, all of which the emulator never does by itself.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bananas_core::Env;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The emulator wants to see who asks, and believes anybody.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/sqs/aws4_request, \
     SignedHeaders=host, Signature=any";

/// What is done to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The first so many entries fail with this code; `ours` says whose fault it is called.
    Entries {
        count: usize,
        code: &'static str,
        ours: bool,
    },
    /// It is answered with this code and HTTP status, and not passed on.
    Refuse { code: &'static str, http: u16 },
    /// It is passed on, and answered with this code and HTTP status all the same.
    Break { code: &'static str, http: u16 },
    /// What it receives is received by the next request again.
    Twice,
}

/// One request that was made.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) operation: String,
    pub(crate) body: Value,
}

/// The proxy.
#[derive(Clone, Debug)]
pub(crate) struct SqsProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    faults: VecDeque<(&'static str, Fault)>,
    seen: Vec<Seen>,
    /// Messages that are received again.
    again: Vec<Value>,
}

impl SqsProxy {
    /// Listens on a free port and passes on to the server.
    pub(crate) async fn start(env: &Arc<dyn Env>, server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server,
            state: Mutex::default(),
        });
        let proxy = Self { shared, address };
        let (env, accepting) = (Arc::clone(env), Arc::clone(&proxy.shared));
        let tasks = Arc::clone(&env);
        let accept = async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&accepting);
                let serve = async move { serve(&shared, client).await.unwrap_or_default() };
                tasks.spawn_isolated("sqs-proxy", Box::pin(serve));
            }
        };
        env.spawn_isolated("sqs-proxy", Box::pin(accept));
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does this to the next request of this operation.
    pub(crate) fn next(&self, operation: &'static str, fault: Fault) {
        let mut state = self.shared.state.lock().unwrap();
        state.faults.push_back((operation, fault));
    }

    /// Makes a request as another program would.
    pub(crate) async fn send(&self, operation: &str, body: &Value) {
        let header = |name: &str, value: String| (name.to_owned(), value);
        let request = Message {
            first: "POST / HTTP/1.1\r\n".to_owned(),
            headers: vec![
                header("host", self.shared.server.to_string()),
                header("x-amz-target", format!("AmazonSQS.{operation}")),
                header("content-type", "application/x-amz-json-1.0".to_owned()),
                header("authorization", AUTHORIZATION.to_owned()),
            ],
            body: body.to_string().into_bytes(),
        };
        let answer = self.shared.pass_on(&request).await.unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.first.contains(" 200 "), "{text}");
    }

    /// The requests of this operation so far.
    pub(crate) fn seen(&self, operation: &str) -> Vec<Seen> {
        let state = self.shared.state.lock().unwrap();
        let of_operation = state.seen.iter().filter(|seen| seen.operation == operation);
        of_operation.cloned().collect()
    }
}

/// One message of HTTP: what stands before the headers, the headers, the body.
#[derive(Debug)]
struct Message {
    first: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Self>> {
        let mut first = String::new();
        if stream.read_line(&mut first).await? == 0 {
            return Ok(None);
        }
        let mut headers = Vec::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
            if name == "content-length" {
                length = value.parse().unwrap_or(0);
            }
            headers.push((name, value));
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        Ok(Some(Self {
            first,
            headers,
            body,
        }))
    }

    /// As it is sent, with the length of its body as it is now.
    fn bytes(&self, close: bool) -> Vec<u8> {
        let mut text = self.first.clone();
        for (name, value) in &self.headers {
            if name != "content-length" && name != "connection" {
                text += &format!("{name}: {value}\r\n");
            }
        }
        let connection = if close { "close" } else { "keep-alive" };
        text += &format!(
            "connection: {connection}\r\ncontent-length: {}\r\n\r\n",
            self.body.len()
        );
        let mut bytes = text.into_bytes();
        bytes.extend(&self.body);
        bytes
    }

    fn answer(code: &str, http: u16) -> Self {
        let body = json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": "a fault"});
        Self {
            first: format!("HTTP/1.1 {http} Fault\r\n"),
            headers: vec![(
                "content-type".to_owned(),
                "application/x-amz-json-1.0".to_owned(),
            )],
            body: body.to_string().into_bytes(),
        }
    }
}

async fn serve(shared: &Shared, client: TcpStream) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    while let Some(request) = Message::read(&mut client).await? {
        let answer = shared.handle(request).await?;
        client.write_all(&answer.bytes(false)).await?;
    }
    Ok(())
}

impl Shared {
    async fn handle(&self, mut request: Message) -> std::io::Result<Message> {
        let target = request.headers.iter().find(|(n, _)| n == "x-amz-target");
        let operation = target.map(|(_, target)| target.rsplit('.').next().unwrap().to_owned());
        let operation = operation.unwrap_or_default();
        let mut body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (fault, again) = {
            let mut state = self.state.lock().unwrap();
            state.seen.push(Seen {
                operation: operation.clone(),
                body: body.clone(),
            });
            let place = state.faults.iter().position(|(of, _)| *of == operation);
            let fault = place.and_then(|place| state.faults.remove(place));
            let again = match operation.as_str() {
                "ReceiveMessage" => std::mem::take(&mut state.again),
                _ => Vec::new(),
            };
            (fault.map(|(_, fault)| fault), again)
        };
        if let Some(Fault::Refuse { code, http }) = fault {
            return Ok(Message::answer(code, http));
        }
        if !again.is_empty() {
            let mut answer = Message::answer("", 200);
            answer.body = json!({ "Messages": again }).to_string().into_bytes();
            return Ok(answer);
        }
        let failed = match fault {
            Some(Fault::Entries { count, code, ours }) => fail(&mut body, (count, code, ours)),
            _ => Vec::new(),
        };
        if body["Entries"] == json!([]) {
            // The server would refuse a request without any.
            let mut answer = Message::answer("", 200);
            answer.body = json!({"Successful": [], "Failed": failed})
                .to_string()
                .into_bytes();
            return Ok(answer);
        }
        request.body = body.to_string().into_bytes();
        let mut answer = self.pass_on(&request).await?;
        let mut said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if !failed.is_empty() {
            said["Failed"] = json!(failed);
            answer.body = said.to_string().into_bytes();
        }
        match fault {
            Some(Fault::Break { code, http }) => return Ok(Message::answer(code, http)),
            Some(Fault::Twice) => {
                let received = said["Messages"].as_array().cloned().unwrap_or_default();
                self.state.lock().unwrap().again = received;
            }
            _ => {}
        }
        Ok(answer)
    }

    async fn pass_on(&self, request: &Message) -> std::io::Result<Message> {
        let mut server = BufReader::new(TcpStream::connect(self.server).await?);
        server.write_all(&request.bytes(true)).await?;
        let answer = Message::read(&mut server).await?;
        answer.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }
}

/// Takes entries out of a request; how they failed.
fn fail(body: &mut Value, (count, code, ours): (usize, &str, bool)) -> Vec<Value> {
    let Some(entries) = body["Entries"].as_array_mut() else {
        return Vec::new();
    };
    let count = count.min(entries.len());
    let failed = entries.drain(..count).map(
        |entry| json!({"Id": entry["Id"], "Code": code, "SenderFault": ours, "Message": "a fault"}),
    );
    failed.collect()
}
