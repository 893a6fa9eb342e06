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

/// A time, said in one of two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// This time.
    At(Timestamp),
    /// So long ago.
    Ago(Duration),
}

impl When {
    /// The time, when it is `now`.
    pub(crate) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now - ago,
        }
    }
}

/// An RFC 3339 time, or how long ago.
pub(crate) fn when(text: &str) -> Result<When, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(When::Ago(ago));
    }
    let at = text.parse::<jiff::Timestamp>().map_err(|_| {
        "it is neither a time nor a duration; write 2031-05-04T09:30:00Z, or 2h for two hours ago"
    })?;
    Ok(When::At(Timestamp::from_micros(at.as_microsecond())))
}

/// A text that is not empty.
pub(crate) fn some_text(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the text is empty; leave the option out to find all jobs".to_owned());
    }
    Ok(text.to_owned())
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
    fn when_is_a_time_or_how_long_ago() {
        let now = Timestamp::from_micros(7_200_000_000);
        assert_eq!(when("2h").unwrap().at(now), Timestamp::from_micros(0));
        let at = when("1970-01-01T01:00:00Z").unwrap().at(now);
        assert_eq!(at, Timestamp::from_micros(3_600_000_000));
        for bad in ["yesterday", "2", ""] {
            assert!(when(bad).unwrap_err().contains("2h for two hours ago"));
        }
        assert!(some_text("").unwrap_err().contains("leave the option out"));
    }

    #[test]
    fn an_offset_counts() {
        assert_eq!(
            time("1970-01-01T01:00:00+01:00").unwrap(),
            Timestamp::from_micros(0)
        );
    }
}
