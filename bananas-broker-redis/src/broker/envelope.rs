//! Messages as entries of the server: the number of the entry in decimal digits, which the server puts there, and
//! then the message, [packed]. Anything else is the message of another program: a body without an id.

use bananas_core::broker::packed;
use bananas_core::{JobId, RawMessage};
use bytes::Bytes;

pub(super) fn decode(bytes: Vec<u8>) -> RawMessage {
    let bytes = Bytes::from(bytes);
    let message = bytes.slice(bytes.len() - unnumbered(&bytes).len()..);
    packed::unpack(message).unwrap_or_else(|| RawMessage::without_id(bytes))
}

/// The id of a message of which only the first bytes are there.
pub(super) fn id(head: &[u8]) -> Option<JobId> {
    packed::id(unnumbered(head))
}

/// What stands behind the number.
fn unnumbered(bytes: &[u8]) -> &[u8] {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    bytes.get(digits.count()..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_behind_its_number_or_without_one() {
        let id = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        let message = RawMessage::new(id, Bytes::from_static(b"7 and more"));
        let bytes = packed::pack(&message);
        let numbered = [b"99999999999999", &bytes[..]].concat();
        assert_eq!(super::id(&numbered[..48.min(numbered.len())]), Some(id));
        for bytes in [bytes, numbered] {
            assert_eq!(decode(bytes), message);
        }
    }

    #[test]
    fn what_another_program_wrote_is_a_body() {
        for foreign in ["{\"task\":1}", "12", ""] {
            let message = decode(foreign.into());
            assert_eq!((message.id, &message.body[..]), (None, foreign.as_bytes()));
        }
    }
}
