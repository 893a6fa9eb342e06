//! Messages as bytes. The body stands last, as it is.
//!
//! The number of its entry in decimal digits, which the server puts there; a byte that no text begins with, flags, the priority, and then what the flags announce: the id, the time,
//! the key, the properties. Integers are big-endian. Anything else is the message of another program: a body
//! without an id.

use bananas_core::{JobId, Priority, RawMessage, Timestamp};
use bytes::{Buf, BufMut, Bytes};

const FIRST: u8 = 0xBA;
const ID: u8 = 1;
const TIME: u8 = 2;
const KEY: u8 = 4;
const PROPERTIES: u8 = 8;

/// Where the id is, if there is one.
const HEAD: usize = 3;

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

/// About how many bytes a message is on the wire.
pub(super) fn size(message: &RawMessage) -> usize {
    let properties = message.properties.iter();
    let extra: usize = properties
        .map(|(name, value)| 8 + name.len() + value.len())
        .sum();
    64 + extra + message.body.len()
}

pub(super) fn decode(bytes: Vec<u8>) -> RawMessage {
    let bytes = Bytes::from(bytes);
    let message = bytes.slice(bytes.len() - unnumbered(&bytes).len()..);
    ours(message).unwrap_or_else(|| RawMessage::without_id(bytes))
}

/// The id of a message of which only the first bytes are there.
pub(super) fn id(head: &[u8]) -> Option<JobId> {
    let head = unnumbered(head);
    let has_id = head.first() == Some(&FIRST) && head.get(1)? & ID != 0;
    let id = has_id.then(|| head.get(HEAD..HEAD + 16)).flatten()?;
    JobId::from_slice(id)
}

/// What stands behind the number.
fn unnumbered(bytes: &[u8]) -> &[u8] {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    bytes.get(digits.count()..).unwrap_or_default()
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
            let bytes = encode(&message);
            assert!(bytes.len() <= size(&message));
            let numbered = [b"99999999999999", &bytes[..]].concat();
            assert_eq!(id(&numbered[..numbered.len().min(48)]), message.id);
            for bytes in [bytes, numbered] {
                assert_eq!(decode(bytes), message);
            }
        }
    }

    #[test]
    fn what_another_program_wrote_is_a_body() {
        let cut = encode(&full())[..30].to_vec();
        for foreign in [
            b"{\"task\":1}".to_vec(),
            b"12".to_vec(),
            Vec::new(),
            vec![FIRST],
            cut,
        ] {
            let message = decode(foreign.clone());
            assert_eq!((message.id, &message.body[..]), (None, &foreign[..]));
        }
    }
}
