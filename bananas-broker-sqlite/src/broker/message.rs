//! Rows of `messages` as messages, and back.

use bananas_core::{JobId, RawMessage, Timestamp};
use bytes::Bytes;
use rusqlite::params;
use serde_json::Value;

use crate::columns::Columns;
use crate::engine::MAX_VALUE;
use crate::error::Error;
use crate::store::priority;
use crate::transaction::Transaction;

/// The columns that [`read`] reads.
macro_rules! message_columns {
    () => {
        "id, priority, not_before, key, properties, body"
    };
}
pub(super) use message_columns;

/// Reads the next columns as a message.
pub(super) fn read(columns: &mut Columns<'_, '_>) -> rusqlite::Result<RawMessage> {
    let id = columns.id(JobId::from_slice)?;
    let priority = priority(columns)?;
    let not_before = columns.time()?;
    let key = columns.text()?.map(str::to_owned);
    let properties = columns.parsed(properties)?;
    let body = columns.bytes()?;
    let mut message = RawMessage::without_id(body);
    message.id = id;
    message.priority = priority;
    message.not_before = not_before;
    message.key = key;
    message.properties = properties;
    Ok(message)
}

const INSERT: &str =
    "INSERT INTO messages (queue, state, id, priority, not_before, due_at, key, properties, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// Adds a message, ready or delayed until `due_at`.
pub(super) fn insert(
    tx: &Transaction<'_>,
    queue: &str,
    message: &RawMessage,
    due_at: Option<Timestamp>,
) -> Result<(), Error> {
    let due_at = due_at.filter(|at| *at > tx.now);
    tx.sql(INSERT)?.execute(params![
        queue,
        if due_at.is_some() { "delayed" } else { "ready" },
        message.id.as_ref().map(JobId::as_bytes),
        message.priority.get(),
        message.not_before.map(Timestamp::as_micros),
        due_at.map(Timestamp::as_micros),
        message.key,
        properties_json(&message.properties),
        &*message.body,
    ])?;
    Ok(())
}

/// B23.
pub(super) fn check_size(message: &RawMessage) -> Result<(), bananas_core::Error> {
    if message.body.len() > MAX_VALUE {
        return Err(Error::TooLarge(message.body.len(), MAX_VALUE).into());
    }
    Ok(())
}

/// Properties as JSON that a person can read: pairs of a name and a text; bytes that are no text are a list
/// of numbers. None is NULL.
pub(super) fn properties_json(properties: &[(String, Bytes)]) -> Option<String> {
    if properties.is_empty() {
        return None;
    }
    let pairs = properties.iter().map(|(name, value)| {
        let value = match std::str::from_utf8(value) {
            Ok(text) => Value::from(text),
            Err(_) => Value::from(value.to_vec()),
        };
        Value::from(vec![Value::from(name.as_str()), value])
    });
    Some(Value::from_iter(pairs).to_string())
}

fn properties(json: &str) -> serde_json::Result<Vec<(String, Bytes)>> {
    let pairs: Vec<(String, Value)> = serde_json::from_str(json)?;
    pairs
        .into_iter()
        .map(|(name, value)| {
            let bytes = match value {
                Value::String(text) => Bytes::from(text),
                other => Bytes::from(serde_json::from_value::<Vec<u8>>(other)?),
            };
            Ok((name, bytes))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_keep_text_bytes_and_repeated_names() {
        let given = vec![
            ("a".to_owned(), Bytes::from_static(b"plain")),
            ("a".to_owned(), Bytes::from_static(&[0xff, 0, 7])),
            ("empty".to_owned(), Bytes::new()),
        ];
        let json = properties_json(&given).unwrap();
        assert!(json.contains("plain"), "{json}");
        assert_eq!(properties(&json).unwrap(), given);
        assert_eq!(properties_json(&[]), None);
    }
}
