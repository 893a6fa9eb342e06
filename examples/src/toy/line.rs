//! One JSON value on one line, behind its checksum: the form of everything on the wire and in the log.
//!
//! A line reads well in `tail -f` and `nc`, and the checksum finds what was torn by a crash or damaged on the
//! way.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// The longest line, in bytes. Nobody reads a longer one, so nobody may send it.
pub(super) const LONGEST: usize = 16 * 1024 * 1024;

/// How many bytes of a line are checksum: hexadecimal digits, without the space behind them.
const DIGITS: usize = 16;

fn checksum(json: &[u8]) -> String {
    let hash = blake3::hash(json).to_hex();
    hash.chars().take(DIGITS).collect()
}

/// Writes a value as a line.
pub(super) fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    Ok([checksum(&json).as_bytes(), b" ", &json, b"\n"].concat())
}

/// Reads the value on a line, which ends with its line feed.
pub(super) fn decode<T: DeserializeOwned>(line: &[u8]) -> io::Result<T> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a line is damaged");
    let (sum, rest) = line.split_at_checked(DIGITS).ok_or_else(damaged)?;
    let json = rest.strip_prefix(b" ").and_then(|r| r.strip_suffix(b"\n"));
    let json = json.ok_or_else(damaged)?;
    if sum != checksum(json).as_bytes() {
        return Err(damaged());
    }
    Ok(serde_json::from_slice(json)?)
}

/// Reads on until `line` is complete. If the future is dropped, what was read so far is in `line`.
///
/// Answers `false` where the other side has ended the connection.
pub(super) async fn read(
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<bool> {
    let room = LONGEST.saturating_sub(line.len()) as u64;
    reader.take(room).read_until(b'\n', line).await?;
    if line.last() == Some(&b'\n') {
        return Ok(true);
    }
    if line.len() >= LONGEST {
        let text = format!("a line is longer than {LONGEST} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_line_is_noticed() {
        let line = encode(&"banana\n").unwrap();
        assert_eq!(decode::<String>(&line).unwrap(), "banana\n");
        for place in 0..line.len() {
            let mut damaged = line.clone();
            damaged[place] ^= 1;
            assert!(decode::<String>(&damaged).is_err(), "byte {place}");
            assert!(decode::<String>(&line[..place]).is_err(), "torn at {place}");
        }
    }
}
