//! The small message that goes to the broker instead of a large one.

use bytes::Bytes;

use crate::{BlobId, Error, ErrorKind, RawMessage, Result};

/// The property that names the blob in which a message has its body.
pub const BLOB_PROPERTY: &str = "bananas-blob";

/// The message with its body left in a blob. What it carries instead is for people who look into the queue.
pub(super) fn reference(message: &RawMessage, blob: BlobId) -> RawMessage {
    let mut reference = message.clone();
    let text = format!("{} bytes in blob {blob} of the store", message.body.len());
    reference.body = text.into();
    let property = (BLOB_PROPERTY.to_owned(), blob.to_string().into());
    reference.properties.push(property);
    reference
}

/// The blob that a message has its body in, if it is a reference.
pub(super) fn blob_of(message: &RawMessage) -> Option<BlobId> {
    let value = message.property(BLOB_PROPERTY)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The message that a reference stands for.
pub(super) fn whole(mut reference: RawMessage, body: Bytes) -> RawMessage {
    reference
        .properties
        .retain(|(name, _)| name != BLOB_PROPERTY);
    reference.body = body;
    reference
}

/// Refuses a message that would be taken for a reference.
pub(super) fn check(message: &RawMessage) -> Result<()> {
    if blob_of(message).is_none() {
        return Ok(());
    }
    let text = format!("the property {BLOB_PROPERTY:?} with the name of a blob is not for callers");
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::JobId;

    #[test]
    fn a_reference_stands_for_the_message_that_it_was_made_of() {
        let id: JobId = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        let mut message = RawMessage::new(id, vec![b'x'; 5_000].into()).copy_is(3);
        message.key = Some("key".to_owned());
        let blob = BlobId::new(uuid::Uuid::nil(), Some(id));
        let small = reference(&message, blob);
        assert_eq!(blob_of(&small), Some(blob));
        assert!(check(&small).is_err() && check(&message).is_ok());
        assert!(small.body.len() < 200, "{:?}", small.body);
        assert_eq!(whole(small, message.body.clone()), message);
    }

    #[test]
    fn a_property_that_names_no_blob_makes_no_reference() {
        let mut message = RawMessage::without_id(Bytes::new());
        for value in [&b""[..], b"\xff", b"42"] {
            message.properties = vec![(BLOB_PROPERTY.to_owned(), Bytes::from_static(value))];
            assert_eq!(blob_of(&message), None);
            check(&message).unwrap();
        }
    }
}
