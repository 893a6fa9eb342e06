//! Messages as bytes. The body stands last, as it is.
//!
//! A byte that no text begins with, flags, the priority, and then what the flags announce: the id, the time,
//! the key, the properties. Integers are big-endian. Anything else is the message of another program: a body
//! without an id, with the headers of NATS as its properties. A dead message has the reason before all that.

use async_nats::HeaderMap;
use bananas_core::{JobId, Priority, RawMessage, Timestamp};
use bytes::{Buf, BufMut, Bytes};

const FIRST: u8 = 0xBA;
const FIRST_OF_DEAD: u8 = 0xBD;
const ID: u8 = 1;
const TIME: u8 = 2;
const KEY: u8 = 4;
const PROPERTIES: u8 = 8;

/// How many bytes there are at least.
const HEAD: usize = 3;

/// The most of a reason that is kept.
const REASON: usize = 4 * 1024;

pub(super) fn encode(message: &RawMessage) -> Vec<u8> {
    let mut flags = 0;
    flags |= if message.id.is_some() { ID } else { 0 };
    flags |= if message.not_before.is_some() {
        TIME
    } else {
        0
    };
    flags |= if message.key.is_some() { KEY } else { 0 };
    flags |= if message.properties.is_empty() {
        0
    } else {
        PROPERTIES
    };
    let properties = message.properties.iter();
    let extra: usize = properties
        .map(|(name, value)| 8 + name.len() + value.len())
        .sum();
    let mut bytes = Vec::with_capacity(64 + extra + message.body.len());
    bytes.extend([FIRST, flags, message.priority.get()]);
    if let Some(id) = &message.id {
        bytes.extend(id.as_bytes());
    }
    if let Some(time) = message.not_before {
        bytes.put_i64(time.as_micros());
    }
    if let Some(key) = &message.key {
        put(&mut bytes, key.as_bytes());
    }
    if !message.properties.is_empty() {
        bytes.put_u32(length(message.properties.len()));
        for (name, value) in &message.properties {
            put(&mut bytes, name.as_bytes());
            put(&mut bytes, value);
        }
    }
    bytes.extend(&message.body);
    bytes
}

/// A message as a stream keeps it.
pub(super) fn decode(bytes: Bytes, headers: Option<&HeaderMap>) -> RawMessage {
    if let Some(message) = ours(bytes.clone()) {
        return message;
    }
    let mut message = RawMessage::without_id(bytes);
    for (name, values) in headers.into_iter().flat_map(HeaderMap::iter) {
        let values = values.iter().map(|value| value.as_str().to_owned());
        let named = values.map(|value| (name.to_string(), Bytes::from(value)));
        message.properties.extend(named);
    }
    message
}

/// A message that is dead for this reason.
pub(super) fn encode_dead(message: &RawMessage, reason: &str) -> Vec<u8> {
    let reason = &reason[..reason.floor_char_boundary(REASON)];
    let mut bytes = vec![FIRST_OF_DEAD];
    put(&mut bytes, reason.as_bytes());
    bytes.extend(encode(message));
    bytes
}

/// A dead message, and why it is.
pub(super) fn decode_dead(bytes: Bytes) -> (RawMessage, Bytes) {
    let read = |mut bytes: Bytes| {
        let is_ours = taken(&mut bytes, 1)?[..] == [FIRST_OF_DEAD];
        let reason = is_ours.then(|| part(&mut bytes)).flatten()?;
        Some((decode(bytes, None), reason))
    };
    read(bytes.clone()).unwrap_or_else(|| (decode(bytes, None), Bytes::new()))
}

fn ours(mut bytes: Bytes) -> Option<RawMessage> {
    if bytes.len() < HEAD || bytes.get_u8() != FIRST {
        return None;
    }
    let flags = bytes.get_u8();
    let mut message = RawMessage::without_id(Bytes::new());
    message.priority = Priority::new(bytes.get_u8()).ok()?;
    if flags & ID != 0 {
        message.id = Some(JobId::from_slice(&taken(&mut bytes, 16)?)?);
    }
    if flags & TIME != 0 {
        message.not_before = Some(Timestamp::from_micros(taken(&mut bytes, 8)?.get_i64()));
    }
    if flags & KEY != 0 {
        message.key = Some(text(&mut bytes)?);
    }
    if flags & PROPERTIES != 0 {
        for _ in 0..taken(&mut bytes, 4)?.get_u32() {
            let name = text(&mut bytes)?;
            message.properties.push((name, part(&mut bytes)?));
        }
    }
    message.body = bytes;
    Some(message)
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.put_u32(length(part.len()));
    bytes.extend(part);
}

/// Nothing that is longer comes so far: the server takes no request of 4 GiB.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn taken(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

fn part(bytes: &mut Bytes) -> Option<Bytes> {
    let length = taken(bytes, 4)?.get_u32();
    taken(bytes, usize::try_from(length).ok()?)
}

fn text(bytes: &mut Bytes) -> Option<String> {
    String::from_utf8(part(bytes)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> RawMessage {
        let id = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        let mut message = RawMessage::new(id, Bytes::from_static(b"\xba\x00body\xff"));
        message.priority = Priority::new(99).unwrap();
        message.not_before = Some(Timestamp::from_micros(-7));
        message.key = Some("ü".to_owned());
        message.properties = vec![
            ("a".to_owned(), Bytes::from_static(b"\xff\x00")),
            ("a".to_owned(), Bytes::new()),
        ];
        message
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for message in [full(), RawMessage::without_id(Bytes::new())] {
            assert_eq!(decode(encode(&message).into(), None), message);
            let dead = encode_dead(&message, "no good");
            let expected = (message, Bytes::from_static(b"no good"));
            assert_eq!(decode_dead(dead.into()), expected);
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        let (message, reason) = (full(), "ü".repeat(REASON));
        let (kept, cut) = decode_dead(encode_dead(&message, &format!("x{reason}")).into());
        assert_eq!((kept, cut.len()), (message, REASON - 1));
    }

    #[test]
    fn what_another_program_wrote_is_a_body_with_its_headers() {
        let cut = encode(&full())[..30].to_vec();
        for foreign in [b"{\"task\":1}".to_vec(), Vec::new(), vec![FIRST], cut] {
            let mut headers = HeaderMap::new();
            headers.insert("Trace", "abc");
            let message = decode(foreign.clone().into(), Some(&headers));
            assert_eq!((message.id, &message.body[..]), (None, &foreign[..]));
            assert_eq!(message.property("Trace").unwrap(), "abc");
        }
    }
}
