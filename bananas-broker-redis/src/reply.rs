//! Reading the server's answers. What has not the expected form is `None`.

use redis::Value;

pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

pub(crate) fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

pub(crate) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

pub(crate) fn text(value: Value) -> Option<String> {
    String::from_utf8(bytes(value)?).ok()
}

pub(crate) fn integers(value: Value) -> Option<Vec<i64>> {
    list(value)?.iter().map(integer).collect()
}

pub(crate) fn count(value: &Value) -> Option<u64> {
    integer(value)?.try_into().ok()
}
