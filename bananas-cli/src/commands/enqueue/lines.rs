//! Standard input as chunks of lines, with bounded memory whatever comes.
//!
//! A thread reads ahead. A chunk ends when it is large enough or when no more input is there yet, so that a
//! slow producer's lines become jobs at once and a fast one's travel in batches.

use std::io::{self, BufRead, BufReader, Read};

use bananas::ledger::MAX_MESSAGE;
use tokio::sync::mpsc;

/// The most lines in a chunk.
const MAX_LINES: usize = 1_000;

/// The most bytes in a chunk, beside its last line.
const MAX_BYTES: usize = 1024 * 1024;

/// How much is read from the system at once.
const BUFFER: usize = 256 * 1024;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its bytes without the line break, or their number when there are more than a job may hold.
    pub(super) content: Result<Vec<u8>, u64>,
}

/// Lines that were there at once.
pub(super) type Chunk = io::Result<Vec<Line>>;

/// Reads lines on a thread of its own, at most two chunks ahead.
pub(super) fn read_ahead(source: impl Read + Send + 'static) -> io::Result<mpsc::Receiver<Chunk>> {
    let (sender, receiver) = mpsc::channel(2);
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut lines = Lines {
                source: BufReader::with_capacity(BUFFER, source),
                number: 0,
            };
            loop {
                let chunk = lines.chunk();
                let is_last = chunk.as_ref().map_or(true, Vec::is_empty);
                // Nobody listens any more: the command is ending.
                if sender.blocking_send(chunk).is_err() || is_last {
                    return;
                }
            }
        })?;
    Ok(receiver)
}

struct Lines<R> {
    source: BufReader<R>,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// The next lines; none at the end of the input.
    fn chunk(&mut self) -> Chunk {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while let Some(line) = self.line()? {
            bytes += line.content.as_ref().map_or(0, Vec::len);
            chunk.push(line);
            if chunk.len() >= MAX_LINES || bytes >= MAX_BYTES || !self.has_whole_line() {
                break;
            }
        }
        Ok(chunk)
    }

    /// Whether another line can be had without waiting.
    fn has_whole_line(&self) -> bool {
        self.source.buffer().contains(&b'\n')
    }

    fn line(&mut self) -> io::Result<Option<Line>> {
        let mut content = Vec::new();
        let mut len: u64 = 0;
        let mut is_there = false;
        loop {
            let buffer = match self.source.fill_buf() {
                Ok(buffer) => buffer,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if buffer.is_empty() {
                break;
            }
            is_there = true;
            let (part, used, ends) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(at) => (buffer.get(..at).unwrap_or_default(), at + 1, true),
                None => (buffer, buffer.len(), false),
            };
            len += part.len() as u64;
            if len <= MAX_MESSAGE as u64 {
                content.extend_from_slice(part);
            } else {
                content = Vec::new();
            }
            self.source.consume(used);
            if ends {
                break;
            }
        }
        if !is_there {
            return Ok(None);
        }
        self.number += 1;
        let content = if len <= MAX_MESSAGE as u64 {
            Ok(content)
        } else {
            Err(len)
        };
        Ok(Some(Line {
            number: self.number,
            content,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(source: impl Read) -> Lines<impl Read> {
        Lines {
            source: BufReader::with_capacity(BUFFER, source),
            number: 0,
        }
    }

    #[test]
    fn lines_are_numbered_and_the_last_needs_no_break() {
        let mut lines = lines(&b"a\n\nb"[..]);
        let all: Vec<Line> = std::iter::from_fn(|| lines.line().unwrap()).collect();
        let expected = [b"a".to_vec(), Vec::new(), b"b".to_vec()];
        for (at, (line, content)) in all.iter().zip(expected).enumerate() {
            assert_eq!(
                line,
                &Line {
                    number: at as u64 + 1,
                    content: Ok(content)
                }
            );
        }
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn a_line_too_long_is_counted_and_not_kept() {
        let long = 3 * MAX_MESSAGE as u64;
        let source = io::repeat(b'x').take(long).chain(&b"\nnext\n"[..]);
        let mut lines = lines(source);
        assert_eq!(lines.line().unwrap().unwrap().content, Err(long));
        assert_eq!(lines.line().unwrap().unwrap().content, Ok(b"next".to_vec()));
    }

    #[test]
    fn a_chunk_is_bounded_in_lines() {
        let text = "1\n".repeat(MAX_LINES + 1);
        let mut lines = lines(text.as_bytes());
        assert_eq!(lines.chunk().unwrap().len(), MAX_LINES);
        assert_eq!(lines.chunk().unwrap().len(), 1);
        assert!(lines.chunk().unwrap().is_empty());
    }
}
