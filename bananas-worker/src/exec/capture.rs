//! What a program writes, kept within bounds while it is read.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::handler::{Failure, Ran};

/// The beginning of an output, and how long all of it was.
#[derive(Debug)]
pub(super) struct Head {
    kept: Vec<u8>,
    limit: usize,
    total: usize,
}

/// The end of an output.
#[derive(Debug)]
pub(super) struct Tail {
    kept: VecDeque<u8>,
    limit: usize,
    total: usize,
}

/// Reads to the end and hands on what comes. A broken pipe is an end like any other.
pub(super) async fn read(mut from: impl AsyncRead + Unpin, mut take: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        match buffer.get(..read) {
            Some(bytes) if !bytes.is_empty() => take(bytes),
            _ => return,
        }
    }
}

impl Head {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            kept: Vec::new(),
            limit,
            total: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len();
        let room = self.limit.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend(bytes.iter().take(room));
    }

    /// The result of the job: `null` for nothing, JSON as it is, anything else as a string without the line
    /// end at its end.
    pub(super) fn into_result(self) -> Ran {
        if self.total > self.limit {
            return Err(Failure::Large(self.total));
        }
        let bytes = self.kept.trim_ascii_end();
        if bytes.is_empty() {
            return Ok(Bytes::from_static(b"null"));
        }
        if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() {
            return Ok(Bytes::copy_from_slice(bytes.trim_ascii_start()));
        }
        if std::str::from_utf8(bytes).is_err() {
            tracing::warn!("the output is no UTF-8; what is not was replaced by U+FFFD");
        }
        let text = String::from_utf8_lossy(bytes);
        let encoded = serde_json::to_vec(&text).map_err(|e| Failure::Fatal(e.to_string()))?;
        Ok(encoded.into())
    }
}

impl Tail {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            kept: VecDeque::new(),
            limit,
            total: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len();
        self.kept.extend(bytes);
        let excess = self.kept.len().saturating_sub(self.limit);
        self.kept.drain(..excess);
    }

    /// The text of the failure: how the program ended, and what it last wrote to standard error.
    pub(super) fn describe(mut self, what: &str) -> String {
        let text = String::from_utf8_lossy(self.kept.make_contiguous());
        match (text.trim(), self.total > self.limit) {
            ("", _) => what.to_owned(),
            (text, false) => format!("{what}: {text}"),
            (text, true) => format!("{what}: … {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(output: &[u8]) -> String {
        let mut head = Head::new(100);
        head.push(output);
        String::from_utf8(head.into_result().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn json_stays_json_and_the_rest_becomes_a_string() {
        assert_eq!(result(b"{\"a\": 1}\n"), "{\"a\": 1}");
        assert_eq!(result(b"12\n"), "12");
        assert_eq!(result(b"two words\n"), "\"two words\"");
        assert_eq!(result(b"\xff!"), "\"\u{fffd}!\"");
        assert_eq!(result(b"\n"), "null");
    }

    #[test]
    fn too_much_output_is_counted_and_not_kept() {
        let mut head = Head::new(10);
        head.push(b"0123456");
        head.push(b"0123456");
        assert_eq!(head.kept.len(), 10);
        assert!(matches!(head.into_result(), Err(Failure::Large(14))));
    }

    #[test]
    fn the_end_of_an_output_is_kept_and_marked_as_such() {
        let mut tail = Tail::new(4);
        tail.push(b"ab");
        assert_eq!(Tail::new(4).describe("exit code 1"), "exit code 1");
        tail.push(b"cdefgh");
        assert_eq!(tail.describe("exit code 1"), "exit code 1: … efgh");
    }
}
