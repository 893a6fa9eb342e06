//! Messages as bytes, for servers that keep nothing of a message but its bytes. The body stands last, as it is.
//!
//! A byte that no text begins with, flags, the priority, and then what the flags announce: the id, the time, the key,
//! the properties. Integers are big-endian. Anything else is the message of another program.
//!
//! ```
//! use bananas_core::RawMessage;
//! use bananas_core::broker::packed;
//! use bytes::Bytes;
//!
//! let message = RawMessage::without_id(Bytes::from_static(b"body"));
//! assert_eq!(packed::unpack(packed::pack(&message).into()), Some(message));
//! assert_eq!(packed::unpack(Bytes::from_static(b"{}")), None);
//! ```

use bytes::{Buf, BufMut, Bytes};

use crate::{JobId, Priority, RawMessage, Timestamp};

const FIRST: u8 = 0xBA;
const ID: u8 = 1;
const TIME: u8 = 2;
const KEY: u8 = 4;
const PROPERTIES: u8 = 8;

/// What stands before all that the flags announce.
const HEAD: usize = 3;

/// The bytes of a message.
#[must_use]
pub fn pack(message: &RawMessage) -> Vec<u8> {
    let flag = |is_there: bool, flag: u8| u8::from(is_there) * flag;
    let flags = flag(message.id.is_some(), ID)
        | flag(message.not_before.is_some(), TIME)
        | flag(message.key.is_some(), KEY)
        | flag(!message.properties.is_empty(), PROPERTIES);
    let mut bytes = Vec::with_capacity(size(message));
    bytes.extend([FIRST, flags, message.priority.get()]);
    if let Some(id) = &message.id {
        bytes.extend(id.as_bytes());
    }
    if let Some(time) = message.not_before {
        bytes.put_i64(time.as_micros());
    }
    if let Some(key) = &message.key {
        put_part(&mut bytes, key.as_bytes());
    }
    if !message.properties.is_empty() {
        bytes.put_u32(length(message.properties.len()));
        for (name, value) in &message.properties {
            put_part(&mut bytes, name.as_bytes());
            put_part(&mut bytes, value);
        }
    }
    bytes.extend(&message.body);
    bytes
}

/// The message that these bytes are; `None` if another program wrote them.
#[must_use]
pub fn unpack(mut bytes: Bytes) -> Option<RawMessage> {
    let mut head = take(&mut bytes, HEAD)?;
    if head.get_u8() != FIRST {
        return None;
    }
    let flags = head.get_u8();
    let mut message = RawMessage::without_id(Bytes::new());
    message.priority = Priority::new(head.get_u8()).ok()?;
    if flags & ID != 0 {
        message.id = Some(JobId::from_slice(&take(&mut bytes, 16)?)?);
    }
    if flags & TIME != 0 {
        message.not_before = Some(Timestamp::from_micros(take(&mut bytes, 8)?.get_i64()));
    }
    if flags & KEY != 0 {
        message.key = Some(take_text(&mut bytes)?);
    }
    if flags & PROPERTIES != 0 {
        for _ in 0..take(&mut bytes, 4)?.get_u32() {
            let name = take_text(&mut bytes)?;
            message.properties.push((name, take_part(&mut bytes)?));
        }
    }
    message.body = bytes;
    Some(message)
}

/// At least as many bytes as [`pack`] makes of the message, and about as many.
#[must_use]
pub fn size(message: &RawMessage) -> usize {
    let properties = message.properties.iter();
    let extra: usize = properties
        .map(|(name, value)| 8 + name.len() + value.len())
        .sum();
    let key = message.key.as_ref().map_or(0, String::len);
    64 + key + extra + message.body.len()
}

/// The id of a message of which only the first bytes are there.
#[must_use]
pub fn id(head: &[u8]) -> Option<JobId> {
    let has_id = head.first() == Some(&FIRST) && head.get(1)? & ID != 0;
    let id = has_id.then(|| head.get(HEAD..HEAD + 16)).flatten()?;
    JobId::from_slice(id)
}

/// Adds bytes whose length is not known otherwise.
pub fn put_part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.put_u32(length(part.len()));
    bytes.extend(part);
}

/// Takes from the beginning what [`put_part`] has added; `None` if it is not whole.
pub fn take_part(bytes: &mut Bytes) -> Option<Bytes> {
    let length = take(bytes, 4)?.get_u32();
    take(bytes, usize::try_from(length).ok()?)
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

fn take_text(bytes: &mut Bytes) -> Option<String> {
    String::from_utf8(take_part(bytes)?.to_vec()).ok()
}

/// Nothing that is longer comes so far: no server takes a message of 4 GiB.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
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
    fn what_was_packed_is_unpacked() {
        let mut keyed = full();
        keyed.key = Some("k".repeat(1_000));
        for message in [full(), keyed, RawMessage::without_id(Bytes::new())] {
            let bytes = pack(&message);
            assert!(bytes.len() <= size(&message));
            assert_eq!(id(&bytes[..bytes.len().min(HEAD + 16)]), message.id);
            assert_eq!(unpack(bytes.into()), Some(message));
        }
    }

    #[test]
    fn bytes_of_another_program_are_no_message() {
        let cut = pack(&full())[..30].to_vec();
        for foreign in [b"{\"task\":1}".to_vec(), Vec::new(), vec![FIRST], cut] {
            assert_eq!(unpack(foreign.into()), None);
        }
    }

    /// Messages of an older program wait on servers, so these bytes stay as they are.
    #[test]
    fn the_bytes_of_a_message_are_these() {
        let head = [0xBA, 15, 99];
        let id = full().id.unwrap();
        let time = (-7_i64).to_be_bytes();
        let rest = b"\0\0\0\x02\xc3\xbc\0\0\0\x02\0\0\0\x01a\0\0\0\x02\xff\x00\0\0\0\x01a\0\0\0\0\xba\x00body\xff";
        let bytes = [&head[..], id.as_bytes(), &time, rest].concat();
        assert_eq!(pack(&full()), bytes);
    }
}
