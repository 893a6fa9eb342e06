//! Values on the command line: durations, times, priorities. Each refusal says what a right one looks like.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use bananas::{Priority, Timestamp};
use clap::builder::{OsStringValueParser, TypedValueParser};

/// `10s`, `5m`, `1h 30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("{e}; write 10s, 5m or \"1h 30m\""))
}

/// A duration longer than nothing.
pub(crate) fn some_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than 0".to_owned()),
        duration => Ok(duration),
    }
}

/// An RFC 3339 time.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    text.parse::<jiff::Timestamp>()
        .map(|at| Timestamp::from_micros(at.as_microsecond()))
        .map_err(|e| format!("{e}; write 2031-05-04T09:30:00Z or 2031-05-04T09:30:00+02:00"))
}

/// A path. That of clap calls an empty one missing, which an empty variable is not.
pub(crate) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|path: OsString| {
        if path.is_empty() {
            Err("the path is empty; name a file, or leave out --config and unset BANANAS_CONFIG")
        } else {
            Ok(PathBuf::from(path))
        }
    })
}

/// 0 to 100.
pub(crate) fn priority(text: &str) -> Result<Priority, String> {
    let value = text
        .parse::<u8>()
        .map_err(|_| "it goes from 0 to 100; higher runs earlier")?;
    Priority::new(value).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_answered_with_a_right_one() {
        assert!(duration("soon").unwrap_err().contains("10s"));
        assert!(some_duration("0s").unwrap_err().contains("longer"));
        assert!(
            time("tomorrow")
                .unwrap_err()
                .contains("2031-05-04T09:30:00Z")
        );
        assert!(priority("101").unwrap_err().contains("0 to 100"));
        assert!(priority("high").unwrap_err().contains("0 to 100"));
    }

    #[test]
    fn an_offset_counts() {
        assert_eq!(
            time("1970-01-01T01:00:00+01:00").unwrap(),
            Timestamp::from_micros(0)
        );
    }
}
