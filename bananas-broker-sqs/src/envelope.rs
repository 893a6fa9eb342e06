//! Messages as text, for a body on the server must be text of certain characters.
//!
//! A word that no other program begins with, then in base64: flags, the priority, what the flags announce (the
//! id, the time, the key, the properties) and the body. Integers are big-endian. Anything else is the message of
//! another program: its text is the body, and its attributes are the properties.

use bananas_core::{JobId, Priority, RawMessage, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{Buf, BufMut, Bytes};

const FIRST: &str = "bananas1.";
const ID: u8 = 1;
const TIME: u8 = 2;
const KEY: u8 = 4;
const PROPERTIES: u8 = 8;

/// What a message may have beside its body without taking room from it.
pub(crate) const ROOM: usize = 4 * 1024;

/// The largest body that fits with [`ROOM`] into so many bytes on the server.
pub(crate) const fn largest_body(max_bytes: usize) -> usize {
    (max_bytes.saturating_sub(FIRST.len()) / 4 * 3).saturating_sub(ROOM)
}

pub(crate) fn encode(message: &RawMessage) -> String {
    let mut flags = 0;
    flags |= if message.id.is_some() { ID } else { 0 };
    flags |= u8::from(message.not_before.is_some()) * TIME;
    flags |= u8::from(message.key.is_some()) * KEY;
    flags |= u8::from(!message.properties.is_empty()) * PROPERTIES;
    let mut bytes = Vec::with_capacity(64 + message.body.len());
    bytes.extend([flags, message.priority.get()]);
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
    let mut text = String::with_capacity(FIRST.len() + bytes.len() / 3 * 4 + 4);
    text.push_str(FIRST);
    STANDARD_NO_PAD.encode_string(bytes, &mut text);
    text
}

/// A message of ours, or the text of another program.
pub(crate) fn decode(text: &str) -> RawMessage {
    let bytes = text
        .strip_prefix(FIRST)
        .and_then(|text| STANDARD_NO_PAD.decode(text).ok());
    bytes
        .and_then(|bytes| ours(bytes.into()))
        .unwrap_or_else(|| RawMessage::without_id(Bytes::copy_from_slice(text.as_bytes())))
}

fn ours(mut bytes: Bytes) -> Option<RawMessage> {
    let mut head = taken(&mut bytes, 2)?;
    let flags = head.get_u8();
    let mut message = RawMessage::without_id(Bytes::new());
    message.priority = Priority::new(head.get_u8()).ok()?;
    if flags & ID != 0 {
        message.id = Some(JobId::from_slice(&taken(&mut bytes, 16)?)?);
    }
    if flags & TIME != 0 {
        message.not_before = Some(Timestamp::from_micros(taken(&mut bytes, 8)?.get_i64()));
    }
    if flags & KEY != 0 {
        message.key = Some(words(&mut bytes)?);
    }
    if flags & PROPERTIES != 0 {
        for _ in 0..taken(&mut bytes, 4)?.get_u32() {
            let name = words(&mut bytes)?;
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

/// Nothing that is longer comes so far: the server takes no message of 4 GiB.
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

fn words(bytes: &mut Bytes) -> Option<String> {
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
    fn what_was_encoded_is_decoded_and_is_plain_text() {
        for message in [full(), RawMessage::without_id(Bytes::new())] {
            let text = encode(&message);
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
            assert_eq!(decode(&text), message);
        }
    }

    #[test]
    fn what_another_program_wrote_is_a_body() {
        let cut = encode(&full())[..40].to_owned();
        for foreign in ["{\"task\":1}", "", "bananas1.?", "bananas1.", "ü", &cut] {
            let message = decode(foreign);
            assert_eq!((message.id, &message.body[..]), (None, foreign.as_bytes()));
        }
    }

    #[test]
    fn the_largest_body_fits() {
        for max_bytes in [65_536, 262_144, 1_048_576] {
            let body = vec![0; largest_body(max_bytes) + ROOM - 2];
            let text = encode(&RawMessage::without_id(body.into()));
            assert!(text.len() <= max_bytes && text.len() > max_bytes - 8);
        }
    }
}
