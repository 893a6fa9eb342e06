//! Times for people: local RFC 3339, "3 min ago", "4.2 s".

use std::time::Duration;

use bananas::Timestamp;
use jiff::tz::TimeZone;

/// A time with the offset of this machine's time zone, to the second.
pub(crate) fn local(at: Timestamp) -> String {
    match jiff::Timestamp::from_microsecond(at.as_micros()) {
        Ok(at) => at
            .to_zoned_datetime(TimeZone::system())
            .strftime("%Y-%m-%dT%H:%M:%S%:z")
            .to_string(),
        Err(_) => format!("{} µs since 1970", at.as_micros()),
    }
}

/// A time for programs: UTC, to the microsecond.
pub(crate) fn utc(at: Timestamp) -> String {
    match jiff::Timestamp::from_microsecond(at.as_micros()) {
        Ok(at) => format!("{at:.6}"),
        Err(_) => format!("{} µs since 1970", at.as_micros()),
    }
}

/// How long ago, or how soon.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        return format!("in {}", coarse(at.since(now)));
    }
    let past = now.since(at);
    if past < Duration::from_secs(1) {
        "just now".to_owned()
    } else {
        format!("{} ago", coarse(past))
    }
}

/// Both.
pub(crate) fn full(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", local(at), relative(at, now))
}

/// One number and one unit, rounded down.
fn coarse(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How long something took: "850 µs", "120 ms", "4.2 s", "3 min 5 s".
pub(crate) fn humane(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.as_millis() == 0 => format!("{} µs", duration.as_micros()),
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        60..3_600 => pair(seconds, 60, ("min", "s")),
        3_600..86_400 => pair(seconds / 60, 60, ("h", "min")),
        _ => pair(seconds / 3_600, 24, ("d", "h")),
    }
}

fn pair(small: u64, per_large: u64, (large_unit, small_unit): (&str, &str)) -> String {
    match small % per_large {
        0 => format!("{} {large_unit}", small / per_large),
        rest => format!("{} {large_unit} {rest} {small_unit}", small / per_large),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_or_two_units() {
        let text = |millis| humane(Duration::from_millis(millis));
        assert_eq!(humane(Duration::from_micros(850)), "850 µs");
        assert_eq!(text(120), "120 ms");
        assert_eq!(text(4_250), "4.2 s");
        assert_eq!(text(185_000), "3 min 5 s");
        assert_eq!(text(3_600_000), "1 h");
        assert_eq!(text(90_000_000), "1 d 1 h");
    }

    #[test]
    fn times_are_told_from_now() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        assert_eq!(relative(now - Duration::from_secs(200), now), "3 min ago");
        assert_eq!(relative(now + Duration::from_secs(7_300), now), "in 2 h");
        assert_eq!(relative(now, now), "just now");
        assert_eq!(utc(now), "2023-11-14T22:13:20.000000Z");
    }
}
