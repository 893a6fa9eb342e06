//! Messages as text, for a body on the server must be text of certain characters.
//!
//! A word that no other program begins with, then in base64 the message, [packed]. Anything else is the message of
//! another program: its text is the body, and its attributes are the properties.

use bananas_core::RawMessage;
use bananas_core::broker::packed;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;

const FIRST: &str = "bananas1.";

/// What a message may have beside its body without taking room from it.
pub(crate) const ROOM: usize = 4 * 1024;

/// The largest body that fits with [`ROOM`] into so many bytes on the server.
pub(crate) const fn largest_body(max_bytes: usize) -> usize {
    (max_bytes.saturating_sub(FIRST.len()) / 4 * 3).saturating_sub(ROOM)
}

pub(crate) fn encode(message: &RawMessage) -> String {
    let bytes = packed::pack(message);
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
        .and_then(|bytes| packed::unpack(bytes.into()))
        .unwrap_or_else(|| RawMessage::without_id(Bytes::copy_from_slice(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> RawMessage {
        let id = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        RawMessage::new(id, Bytes::from_static(b"\xba\x00body\xff"))
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
        let cut = encode(&full())[..20].to_owned();
        for foreign in ["{\"task\":1}", "", "bananas1.?", "bananas1.", "ü", &cut] {
            let message = decode(foreign);
            assert_eq!((message.id, &message.body[..]), (None, foreign.as_bytes()));
        }
    }

    #[test]
    fn the_largest_body_fits() {
        for max_bytes in [65_536, 262_144, 1_048_576] {
            let body = vec![0; largest_body(max_bytes) + ROOM - 3];
            let text = encode(&RawMessage::without_id(body.into()));
            assert!(text.len() <= max_bytes && text.len() > max_bytes - 8);
        }
    }
}
