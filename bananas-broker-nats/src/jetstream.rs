//! The requests of JetStream that we make, as JSON, and how its answers are read.
//!
//! Written here and not taken from the client library: what a server ignores must be read back from its answer,
//! whatever version it is, and of each request it must be known whether it was sent.

use std::sync::Arc;

use async_nats::Message;
use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use bananas_core::{Tick, Timestamp};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::Error;
use crate::link::{Call, Wire};

/// Makes a request and answers what JetStream says; an error that it says is one.
pub(crate) async fn api(
    wire: &Wire,
    what: &str,
    request: &Value,
    until: Tick,
) -> Result<Value, Error> {
    let _under_way = wire.begin()?;
    let payload = match request.is_null() {
        true => Bytes::new(),
        false => request.to_string().into(),
    };
    let call = Call {
        subject: format!("$JS.API.{what}"),
        headers: None,
        payload,
        of: None,
    };
    let (message, sent) = wire.ask(call, until).await?;
    let answer = read(wire, &message)?;
    // Newer servers say when it was.
    let time = answer["ts"]
        .as_str()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok());
    if let Some(time) = time {
        wire.heard_time(Timestamp::from_micros(time.as_microsecond()), sent);
    }
    Ok(answer)
}

/// Publishes into a stream, as a part of something that has begun; whether it was there already, by the id
/// that its headers name.
pub(crate) async fn publish(
    wire: &Wire,
    subject: String,
    headers: Option<HeaderMap>,
    payload: Bytes,
    until: Tick,
) -> Result<bool, Error> {
    let call = Call {
        subject,
        headers,
        payload,
        of: None,
    };
    let (message, _) = wire.ask(call, until).await?;
    match serde_json::from_slice(&message.payload) {
        Ok(Kept { duplicate, .. }) => Ok(duplicate),
        Err(_) => Err(read(wire, &message).map_or_else(|e| e, |_| wire.mistrust())),
    }
}

/// What a stream says of a message that it keeps. Read so, for there is one for each message.
#[derive(Deserialize)]
struct Kept {
    #[serde(rename = "seq")]
    _seq: u64,
    #[serde(default)]
    duplicate: bool,
}

/// Where a server hears of a delivery.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) subject: String,
    /// Which start of a server made the delivery.
    pub(crate) server: Arc<str>,
}

/// Says something of a delivery and waits until the server has heard it; when it was said. `LeaseLost` when a server
/// that has started since then does not know it.
pub(crate) async fn tell(
    wire: &Wire,
    reply: &Reply,
    words: Bytes,
    until: Tick,
) -> Result<Tick, Error> {
    let call = Call {
        subject: reply.subject.clone(),
        headers: None,
        payload: words,
        of: Some(Arc::clone(&reply.server)),
    };
    let (message, sent) = wire.ask(call, until).await?;
    match message.payload.is_empty() {
        true => Ok(sent),
        false => read(wire, &message).map(|_| sent),
    }
}

fn read(wire: &Wire, message: &Message) -> Result<Value, Error> {
    let answer: Value = serde_json::from_slice(&message.payload).map_err(|_| wire.mistrust())?;
    let Some(error) = answer.get("error") else {
        return Ok(answer);
    };
    let code = error["err_code"].as_u64().or(error["code"].as_u64());
    Err(Error::Server {
        url: wire.url(),
        code: code.unwrap_or(0),
        detail: error["description"].as_str().unwrap_or_default().to_owned(),
    })
}

/// The message with this number in a stream, or the first on the subject from it on: number, subject, headers
/// and body. `None` if there is none.
pub(crate) async fn message(
    wire: &Wire,
    stream: &str,
    request: &Value,
) -> Result<Option<Stored>, Error> {
    let what = format!("STREAM.MSG.GET.{stream}");
    let answer = match api(wire, &what, request, wire.deadline()).await {
        Err(e) if e.is_missing() => return Ok(None),
        answer => answer?,
    };
    let found = &answer["message"];
    let stored = found["seq"].as_u64().map(|sequence| Stored {
        sequence,
        subject: found["subject"].as_str().unwrap_or_default().to_owned(),
        headers: headers(&decoded(&found["hdrs"])),
        payload: decoded(&found["data"]).into(),
    });
    stored.map(Some).ok_or_else(|| wire.mistrust())
}

/// A message as a stream keeps it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) subject: String,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
}

/// Removes a message from a stream; whether it was there.
pub(crate) async fn remove(wire: &Wire, stream: &str, sequence: u64) -> Result<bool, Error> {
    let what = format!("STREAM.MSG.DELETE.{stream}");
    let request = json!({ "seq": sequence, "no_erase": true });
    match api(wire, &what, &request, wire.deadline()).await {
        Ok(_) => Ok(true),
        // 10057 is all that a server says when the message is not there.
        Err(Error::Server { code: 10_057, .. }) => Ok(false),
        Err(e) if e.is_missing() => Ok(false),
        Err(e) => Err(e),
    }
}

fn decoded(value: &Value) -> Vec<u8> {
    use base64::Engine as _;
    let text = value.as_str().unwrap_or_default();
    let standard = &base64::engine::general_purpose::STANDARD;
    standard.decode(text).unwrap_or_default()
}

/// Reads headers as they are on the wire: a line for the version, then a line for each.
fn headers(bytes: &[u8]) -> Option<HeaderMap> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut headers = HeaderMap::new();
    for line in text.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if let (Ok(name), Ok(value)) = (name.trim().parse::<HeaderName>(), value.trim().parse()) {
            headers.append::<_, HeaderValue>(name, value);
        }
    }
    (!headers.is_empty()).then_some(headers)
}
