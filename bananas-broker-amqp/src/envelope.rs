//! Messages as the server keeps them: a body as it is, and properties around it.
//!
//! A message of ours bears a version, and all of its properties as one header: there their names mean nothing to
//! the server, and their order and number stay. A message of another application has each header as a property,
//! and the fields of the protocol as properties whose names begin with `amqp.`; to a queue of another
//! application they are written that way, too.

use bananas_core::{DEAD_REASON_PROPERTY, JobId, Priority, RawMessage, Timestamp};
use bytes::{Buf, BufMut, Bytes};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ByteArray, FieldTable, ShortString};

use crate::config::Topology;
use crate::error::Error;
use crate::server::{Dialect, MAX_MESSAGE};

const VERSION: &str = "bananas:version";
const PRIORITY: &str = "bananas:priority";
const NOT_BEFORE: &str = "bananas:not-before";
const KEY: &str = "bananas:key";
const PROPERTIES: &str = "bananas:properties";
const REASON: &str = "bananas:dead-reason";

/// Which message of its channel it is, so that one that comes back is known.
const NUMBER: &str = "bananas:number";

/// All headers must fit into one frame, with what the server adds when it moves a message.
const MARGIN: usize = 16 * 1024;

/// Fields of the protocol that another application may have set.
const FIELDS: [&str; 8] = [
    "amqp.content_type",
    "amqp.content_encoding",
    "amqp.correlation_id",
    "amqp.reply_to",
    "amqp.type",
    "amqp.app_id",
    "amqp.message_id",
    "amqp.expiration",
];

/// A message on its way to the server.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) properties: BasicProperties,
    headers: FieldTable,
    pub(crate) body: Bytes,
}

impl Envelope {
    /// Encodes a message, or says why the server would not take it.
    pub(crate) fn encode(
        message: &RawMessage,
        topology: Topology,
        dialect: Dialect,
        frame_max: usize,
    ) -> Result<Self, Error> {
        let bytes = message.body.len();
        if bytes > MAX_MESSAGE {
            let limit = MAX_MESSAGE;
            return Err(Error::TooLarge { bytes, limit });
        }
        let limit = frame_max.saturating_sub(MARGIN);
        let around = size(message);
        if around > limit {
            return Err(Error::Properties(format!(
                "properties of {around} bytes exceed the limit of {limit} bytes"
            )));
        }
        let mut properties = BasicProperties::default().with_delivery_mode(2);
        if let Some(id) = message.id {
            properties = properties.with_message_id(id.to_string().into());
        }
        if let Some(priority) = dialect.priority(message.priority.get()) {
            properties = properties.with_priority(priority);
        }
        let mut headers = FieldTable::default();
        match topology {
            Topology::Own => ours(message, &mut headers),
            Topology::Foreign => properties = native(message, properties, &mut headers)?,
        }
        Ok(Self {
            properties,
            headers,
            body: message.body.clone(),
        })
    }

    /// Says why it is dead, beside all that the message says itself.
    pub(crate) fn dead_because(mut self, reason: &str) -> Self {
        // A reason is for a person, and has to fit beside the rest.
        let shown: String = reason.chars().take(1_000).collect();
        self.headers.insert(REASON.into(), text(shown.as_bytes()));
        self
    }

    /// With its number on its channel.
    pub(crate) fn numbered(&self, number: u64) -> BasicProperties {
        let mut headers = self.headers.clone();
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        headers.insert(NUMBER.into(), AMQPValue::LongLongInt(number));
        self.properties.clone().with_headers(headers)
    }
}

/// The number of a message that came back.
pub(crate) fn number(properties: &BasicProperties) -> Option<u64> {
    let header = properties.headers().as_ref()?.inner().get(NUMBER)?;
    u64::try_from(integer(header)?).ok()
}

/// About how many bytes all but the body is.
fn size(message: &RawMessage) -> usize {
    let properties = message.properties.iter();
    let properties: usize = properties
        .map(|(name, value)| 8 + name.len() + value.len())
        .sum();
    256 + properties + message.key.as_deref().map_or(0, str::len)
}

fn ours(message: &RawMessage, headers: &mut FieldTable) {
    headers.insert(VERSION.into(), AMQPValue::LongInt(1));
    let priority = message.priority.get();
    headers.insert(PRIORITY.into(), AMQPValue::LongInt(priority.into()));
    if let Some(time) = message.not_before {
        let micros = AMQPValue::LongLongInt(time.as_micros());
        headers.insert(NOT_BEFORE.into(), micros);
    }
    if let Some(key) = &message.key {
        headers.insert(KEY.into(), text(key.as_bytes()));
    }
    if !message.properties.is_empty() {
        let packed = ByteArray::from(pack(&message.properties));
        headers.insert(PROPERTIES.into(), AMQPValue::ByteArray(packed));
    }
}

/// For readers that know nothing of Bananas.
fn native(
    message: &RawMessage,
    mut fields: BasicProperties,
    headers: &mut FieldTable,
) -> Result<BasicProperties, Error> {
    let wrong = |name: &str, why: &str| Error::Properties(format!("property {name:?} {why}"));
    for (name, value) in &message.properties {
        if FIELDS.contains(&name.as_str()) {
            let value = std::str::from_utf8(value).ok();
            let value = value.and_then(|value| ShortString::try_new(value).ok());
            let value = value.ok_or_else(|| wrong(name, "is no text of at most 255 bytes"))?;
            fields = with_field(fields, name, value);
            continue;
        }
        // These two would send the message to other queues as well.
        if matches!(name.as_str(), "CC" | "BCC") || name.starts_with("x-") {
            return Err(wrong(name, "is a header of the server"));
        }
        let name = ShortString::try_new(name.as_str())
            .map_err(|_| wrong(name, "has a name of more than 255 bytes"))?;
        if headers.contains_key(name.as_str()) {
            return Err(wrong(name.as_str(), "is there twice"));
        }
        headers.insert(name, text(value));
    }
    Ok(fields)
}

fn with_field(fields: BasicProperties, name: &str, value: ShortString) -> BasicProperties {
    match name {
        "amqp.content_type" => fields.with_content_type(value),
        "amqp.content_encoding" => fields.with_content_encoding(value),
        "amqp.correlation_id" => fields.with_correlation_id(value),
        "amqp.reply_to" => fields.with_reply_to(value),
        "amqp.type" => fields.with_type(value),
        "amqp.app_id" => fields.with_app_id(value),
        "amqp.message_id" => fields.with_message_id(value),
        // An expiration is over once the message was taken; a new one would be another promise.
        _ => fields,
    }
}

/// The message in what the server delivered.
pub(crate) fn decode(properties: &BasicProperties, body: Vec<u8>) -> RawMessage {
    let mut message = RawMessage::without_id(body.into());
    let id = properties.message_id().as_ref();
    message.id = id.and_then(|id| id.as_str().parse::<JobId>().ok());
    let none = FieldTable::default();
    let headers = properties.headers().as_ref().unwrap_or(&none).inner();
    if headers.get(VERSION).and_then(integer) != Some(1) {
        foreign(properties, &mut message);
        return message;
    }
    let priority = headers.get(PRIORITY).and_then(integer);
    let priority = priority.and_then(|it| Priority::new(u8::try_from(it).ok()?).ok());
    message.priority = priority.unwrap_or_default();
    let time = headers.get(NOT_BEFORE).and_then(integer);
    message.not_before = time.map(Timestamp::from_micros);
    let key = headers.get(KEY).and_then(bytes);
    message.key = key.and_then(|key| String::from_utf8(key).ok());
    if let Some(AMQPValue::ByteArray(packed)) = headers.get(PROPERTIES) {
        let packed = Bytes::copy_from_slice(packed.as_slice());
        message.properties = unpack(packed).unwrap_or_default();
    }
    message
}

/// The same of a message in a dead queue, which shows why it is there.
pub(crate) fn decode_dead(properties: &BasicProperties, body: Vec<u8>) -> RawMessage {
    let message = decode(properties, body);
    let headers = properties.headers().as_ref();
    let of = |name: &str| headers?.inner().get(name);
    let given = of(REASON).and_then(bytes);
    // Set aside by the server itself, which says why in a header of its own.
    let reason = given.or_else(|| of("x-first-death-reason").and_then(bytes));
    match reason {
        Some(reason) => message.dead_because(reason),
        None => message,
    }
}

/// All that a message of another application says, by name.
fn foreign(properties: &BasicProperties, message: &mut RawMessage) {
    let texts = [
        properties.content_type(),
        properties.content_encoding(),
        properties.correlation_id(),
        properties.reply_to(),
        properties.kind(),
        properties.app_id(),
        properties.message_id(),
        properties.expiration(),
    ];
    for (name, value) in FIELDS.iter().zip(texts) {
        if let Some(value) = value {
            let value = Bytes::copy_from_slice(value.as_str().as_bytes());
            message.properties.push(((*name).to_owned(), value));
        }
    }
    if let Some(headers) = properties.headers() {
        for (name, value) in headers.inner() {
            let is_ours = name.as_str() == NUMBER || name.as_str() == DEAD_REASON_PROPERTY;
            if let (false, Some(value)) = (is_ours, bytes(value)) {
                message
                    .properties
                    .push((name.as_str().to_owned(), value.into()));
            }
        }
    }
}

fn text(bytes: &[u8]) -> AMQPValue {
    AMQPValue::LongString(bytes.to_vec().into())
}

fn integer(value: &AMQPValue) -> Option<i64> {
    match value {
        AMQPValue::ShortShortInt(it) => Some((*it).into()),
        AMQPValue::ShortShortUInt(it) => Some((*it).into()),
        AMQPValue::ShortInt(it) => Some((*it).into()),
        AMQPValue::ShortUInt(it) => Some((*it).into()),
        AMQPValue::LongInt(it) => Some((*it).into()),
        AMQPValue::LongUInt(it) => Some((*it).into()),
        AMQPValue::LongLongInt(it) => Some(*it),
        AMQPValue::Timestamp(it) => i64::try_from(*it).ok(),
        _ => None,
    }
}

/// A header as bytes: text as it is, numbers in digits. What is built of several has no such form.
fn bytes(value: &AMQPValue) -> Option<Vec<u8>> {
    match value {
        AMQPValue::LongString(it) => Some(it.as_bytes().to_vec()),
        AMQPValue::ShortString(it) => Some(it.as_str().as_bytes().to_vec()),
        AMQPValue::ByteArray(it) => Some(it.as_slice().to_vec()),
        AMQPValue::Boolean(it) => Some(it.to_string().into()),
        AMQPValue::Float(it) => Some(it.to_string().into()),
        AMQPValue::Double(it) => Some(it.to_string().into()),
        AMQPValue::Void => Some(Vec::new()),
        other => Some(integer(other)?.to_string().into()),
    }
}

/// Names and values, each after its length.
fn pack(properties: &[(String, Bytes)]) -> Vec<u8> {
    let mut packed = Vec::new();
    for (name, value) in properties {
        for part in [name.as_bytes(), value] {
            packed.put_u32(u32::try_from(part.len()).unwrap_or(u32::MAX));
            packed.extend_from_slice(part);
        }
    }
    packed
}

fn unpack(mut packed: Bytes) -> Option<Vec<(String, Bytes)>> {
    let mut properties = Vec::new();
    while !packed.is_empty() {
        let name = String::from_utf8(part(&mut packed)?.to_vec()).ok()?;
        properties.push((name, part(&mut packed)?));
    }
    Some(properties)
}

fn part(packed: &mut Bytes) -> Option<Bytes> {
    let length = (packed.len() >= 4).then(|| packed.get_u32())?;
    let length = usize::try_from(length).ok()?;
    (packed.len() >= length).then(|| packed.split_to(length))
}

#[cfg(test)]
mod tests {
    use bananas_core::ErrorKind;

    use super::*;
    use crate::config::QueueType;

    const FRAME: usize = 131_072;

    fn encoded(message: &RawMessage, topology: Topology) -> Result<Envelope, Error> {
        let dialect = Dialect::of_oldest(QueueType::Classic);
        Envelope::encode(message, topology, dialect, FRAME)
    }

    fn full() -> RawMessage {
        let id = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        let mut message = RawMessage::new(id, Bytes::from_static(b"body\xff"));
        message.priority = Priority::new(99).unwrap();
        message.not_before = Some(Timestamp::from_micros(-7));
        message.key = Some("ü".to_owned());
        message.properties = vec![
            ("z".to_owned(), Bytes::from_static(b"\xff\x00")),
            ("CC".to_owned(), Bytes::from_static(b"another queue")),
            ("z".to_owned(), Bytes::new()),
        ];
        message
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for message in [full(), RawMessage::without_id(Bytes::new())] {
            let envelope = encoded(&message, Topology::Own).unwrap();
            let properties = envelope.numbered(7);
            assert_eq!(number(&properties), Some(7));
            assert_eq!(decode(&properties, envelope.body.to_vec()), message);
        }
        let envelope = encoded(&full(), Topology::Own).unwrap();
        assert_eq!(*envelope.properties.priority(), Some(10));
    }

    #[test]
    fn no_name_of_a_property_is_a_header_of_the_server() {
        let envelope = encoded(&full(), Topology::Own).unwrap();
        let names = envelope.headers.inner().keys();
        for name in names {
            assert!(name.as_str().starts_with("bananas:"), "{name:?}");
        }
        let refused = encoded(&full(), Topology::Foreign).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn headers_and_fields_of_another_application_are_properties_and_go_back_as_such() {
        let mut headers = FieldTable::default();
        headers.insert("lang".into(), text(b"py"));
        headers.insert("retries".into(), AMQPValue::LongInt(3));
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_headers(headers);
        let message = decode(&properties, b"{}".to_vec());
        let property = |name: &str| message.property(name).map(|value| &value[..]);
        assert_eq!(property("lang"), Some(&b"py"[..]));
        assert_eq!(property("retries"), Some(&b"3"[..]));
        assert_eq!(
            property("amqp.content_type"),
            Some(&b"application/json"[..])
        );
        let envelope = encoded(&message, Topology::Foreign).unwrap();
        let content_type = envelope.properties.content_type().as_ref();
        assert_eq!(
            content_type.map(ShortString::as_str),
            Some("application/json")
        );
        assert!(envelope.headers.contains_key("lang"));
        assert_eq!(decode(&envelope.numbered(0), b"{}".to_vec()), message);
    }

    #[test]
    fn a_dead_message_shows_why_and_comes_back_without_it() {
        let envelope = encoded(&full(), Topology::Own).unwrap();
        let properties = envelope.dead_because("no good").numbered(0);
        let shown = decode_dead(&properties, b"body\xff".to_vec());
        let reason = shown.property(DEAD_REASON_PROPERTY).map(|it| &it[..]);
        assert_eq!(reason, Some(&b"no good"[..]));
        assert_eq!(decode(&properties, b"body\xff".to_vec()), full());
    }

    #[test]
    fn what_the_server_would_not_take_is_refused_before() {
        let mut large = full();
        large.body = vec![0; MAX_MESSAGE + 1].into();
        let refused = encoded(&large, Topology::Own).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TooLarge);
        let mut long = full();
        long.properties
            .push(("long".to_owned(), vec![0; FRAME].into()));
        let refused = encoded(&long, Topology::Own).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    }
}
