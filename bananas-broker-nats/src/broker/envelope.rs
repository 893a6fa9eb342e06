//! Messages as a stream keeps them: [packed]. Anything else is the message of another program: a body without an id,
//! with the headers of NATS as its properties. A dead message has the reason before all that.

use async_nats::HeaderMap;
use bananas_core::RawMessage;
use bananas_core::broker::packed;
use bytes::{Buf, Bytes};

const FIRST_OF_DEAD: u8 = 0xBD;

/// The most of a reason that is kept.
const REASON: usize = 4 * 1024;

/// A message as a stream keeps it.
pub(super) fn decode(bytes: Bytes, headers: Option<&HeaderMap>) -> RawMessage {
    if let Some(message) = packed::unpack(bytes.clone()) {
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
    packed::put_part(&mut bytes, reason.as_bytes());
    bytes.extend(packed::pack(message));
    bytes
}

/// A dead message, and why it is.
pub(super) fn decode_dead(bytes: Bytes) -> (RawMessage, Bytes) {
    let read = |mut bytes: Bytes| {
        let is_ours = bytes.try_get_u8().ok()? == FIRST_OF_DEAD;
        let reason = is_ours.then(|| packed::take_part(&mut bytes)).flatten()?;
        Some((decode(bytes, None), reason))
    };
    read(bytes.clone()).unwrap_or_else(|| (decode(bytes, None), Bytes::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> RawMessage {
        let id = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        RawMessage::new(id, Bytes::from_static(b"\xba\x00body\xff"))
    }

    #[test]
    fn a_dead_message_is_kept_with_its_reason() {
        let dead = encode_dead(&message(), "no good");
        let expected = (message(), Bytes::from_static(b"no good"));
        assert_eq!(decode_dead(dead.into()), expected);
    }

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        let reason = "ü".repeat(REASON);
        let (kept, cut) = decode_dead(encode_dead(&message(), &format!("x{reason}")).into());
        assert_eq!((kept, cut.len()), (message(), REASON - 1));
    }

    #[test]
    fn what_another_program_wrote_is_a_body_with_its_headers() {
        for foreign in ["{\"task\":1}", ""] {
            let mut headers = HeaderMap::new();
            headers.insert("Trace", "abc");
            let message = decode(foreign.into(), Some(&headers));
            assert_eq!((message.id, &message.body[..]), (None, foreign.as_bytes()));
            assert_eq!(message.property("Trace").unwrap(), "abc");
            let (message, reason) = decode_dead(foreign.into());
            assert_eq!(
                (&message.body[..], &reason[..]),
                (foreign.as_bytes(), &b""[..])
            );
        }
    }
}
