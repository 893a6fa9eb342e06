//! Ids as times: where the id of a job says when it was created, a range of times is a range of ids.

use bananas_core::{JobId, Timestamp};

/// How far the time in an id may be from that of creation, in microseconds. Both are read one after the other.
const APART: i64 = 1_000_000;

/// Whether the id says when the job was created.
pub(super) fn is_dated(id: JobId, created_at: Timestamp) -> bool {
    millis_of(id).is_some_and(|millis| {
        let apart = (millis * 1_000).checked_sub(created_at.as_micros());
        apart.is_some_and(|apart| (-APART..=APART).contains(&apart))
    })
}

/// No dated job created at this time or later has a smaller id.
pub(super) fn lowest(created_after: Timestamp) -> [u8; 16] {
    id_at(created_after.as_micros().saturating_sub(APART) / 1_000)
}

/// All dated jobs created before this time have smaller ids; `None` where ids end before.
pub(super) fn beyond(created_before: Timestamp) -> Option<[u8; 16]> {
    let millis = created_before.as_micros().saturating_add(APART) / 1_000 + 1;
    (millis < 1 << 48).then(|| id_at(millis))
}

/// The milliseconds in an id of version 7.
fn millis_of(id: JobId) -> Option<i64> {
    let [a, b, c, d, e, f, version, ..] = *id.as_bytes();
    (version >> 4 == 7).then(|| i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

/// The first id with these milliseconds.
fn id_at(millis: i64) -> [u8; 16] {
    let [_, _, bytes @ ..] = millis.clamp(0, (1 << 48) - 1).to_be_bytes();
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(bytes) {
        *to = from;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(millis: i64, version: u8, rest: u8) -> JobId {
        let mut bytes = id_at(millis);
        bytes[6..].fill(rest);
        bytes[6] = version << 4;
        JobId::from_slice(&bytes).unwrap()
    }

    #[test]
    fn an_id_of_another_version_or_another_time_is_not_dated() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let millis = 1_800_000_000_000;
        assert!(is_dated(id(millis, 7, 0), now));
        assert!(is_dated(id(millis - 1_000, 7, 0xff), now));
        assert!(!is_dated(id(millis, 4, 0), now));
        assert!(!is_dated(id(millis + 1_001, 7, 0), now));
        assert!(!is_dated(
            id(millis, 7, 0),
            Timestamp::from_micros(i64::MIN)
        ));
    }

    proptest! {
        #[test]
        fn a_dated_id_is_in_the_range_of_its_time(
            created in prop_oneof![-3_000_000_i64..3_000_000, 0_i64..4_000_000_000_000_000],
            off in -1_000_i64..1_000, rest: u8, before in 0_i64..5_000_000
        ) {
            let made = id((created / 1_000 + off).max(0), 7, rest);
            prop_assume!(is_dated(made, Timestamp::from_micros(created)));
            prop_assert!(lowest(Timestamp::from_micros(created - before)) <= *made.as_bytes());
            let beyond = beyond(Timestamp::from_micros(created + 1 + before)).unwrap();
            prop_assert!(*made.as_bytes() < beyond);
        }
    }
}
