//! What the bytes that go one way suffer at present.

use std::time::Duration;

use bananas_core::Tick;
use bytes::{Bytes, BytesMut};

/// A way through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Requests: what the client sends.
    ToServer,
    /// Replies: what the server sends.
    ToClient,
}

impl Direction {
    pub(super) fn opposite(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// The faults of one direction.
#[derive(Debug, Default)]
pub(super) struct Toxic {
    pub(super) swallows: bool,
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
    /// Bytes in a second, on each connection.
    pub(super) bandwidth: Option<u64>,
    pub(super) slices: bool,
    /// So many bytes still pass, over all connections.
    pub(super) cut_after: Option<u64>,
    pub(super) flip: Option<Flip>,
    pub(super) repeats: bool,
}

/// One bit that arrives wrong.
#[derive(Debug)]
pub(super) struct Flip {
    /// So many bytes come before it.
    pub(super) after: u64,
    pub(super) mask: u8,
}

/// What becomes of the bytes at the head of a direction.
#[derive(Debug)]
pub(super) enum Portion {
    /// They go on, as often as this says.
    Passes(Bytes, u8),
    /// They go on, and the connection is reset after them.
    Last(Bytes),
    /// They disappear.
    Swallowed,
}

/// The last write of a direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) at: Tick,
    pub(super) bytes: u64,
}

impl Toxic {
    /// When bytes that arrived at `arrived` may go on. `luck` is a random number of theirs.
    pub(super) fn ready_at(&self, arrived: Tick, luck: u64, sent: Sent) -> Tick {
        if self.swallows {
            return arrived;
        }
        let due = arrived + self.delay + part(self.jitter, luck);
        let Some(bandwidth) = self.bandwidth else {
            return due;
        };
        let micros = sent.bytes.saturating_mul(1_000_000) / bandwidth;
        due.max(sent.at + Duration::from_micros(micros))
    }

    /// Takes what goes next from `waiting`, and says how many faults that was.
    pub(super) fn take(&mut self, waiting: &mut Bytes) -> (Portion, u64) {
        if self.swallows {
            waiting.clear();
            return (Portion::Swallowed, 1);
        }
        let limit = length(self.cut_after.unwrap_or(u64::MAX));
        let size = waiting.len().min(self.longest()).min(limit);
        let (bytes, flipped) = self.flipped(waiting.split_to(size));
        if let Some(left) = &mut self.cut_after {
            *left -= bytes.len() as u64;
            if *left == 0 {
                self.cut_after = None;
                return (Portion::Last(bytes), flipped + 1);
            }
        }
        let repeated = std::mem::take(&mut self.repeats);
        let times = 1 + u8::from(repeated);
        (Portion::Passes(bytes, times), flipped + u64::from(repeated))
    }

    /// The most bytes that go at once.
    fn longest(&self) -> usize {
        // A twentieth of a second's worth, so that a slow connection is slow evenly.
        let paced = self.bandwidth.map_or(usize::MAX, |rate| length(rate / 20));
        if self.slices { 1 } else { paced.max(1) }
    }

    fn flipped(&mut self, bytes: Bytes) -> (Bytes, u64) {
        let Some(flip) = &mut self.flip else {
            return (bytes, 0);
        };
        let mut bytes = BytesMut::from(bytes);
        let Some(byte) = bytes.get_mut(length(flip.after)) else {
            flip.after -= bytes.len() as u64;
            return (bytes.freeze(), 0);
        };
        *byte ^= flip.mask;
        self.flip = None;
        (bytes.freeze(), 1)
    }
}

/// A part of the duration: none of it for luck 0, nearly all for the greatest luck.
fn part(whole: Duration, luck: u64) -> Duration {
    let nanos = (whole.as_nanos() * u128::from(luck >> 32)) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_adds_at_most_itself_to_the_delay() {
        let toxic = Toxic {
            delay: Duration::from_micros(100),
            jitter: Duration::from_micros(50),
            ..Toxic::default()
        };
        let ready_at = |luck| toxic.ready_at(Tick::from_micros(1_000), luck, Sent::default());
        assert_eq!(ready_at(0).as_micros(), 1_100);
        assert_eq!(ready_at(u64::MAX / 2).as_micros(), 1_124);
        assert_eq!(ready_at(u64::MAX).as_micros(), 1_149);
    }

    /// The sizes of the portions that so many bytes go in.
    fn portions(toxic: &mut Toxic, bytes: usize) -> Vec<usize> {
        let mut waiting = Bytes::from(vec![0; bytes]);
        let mut portions = Vec::new();
        while !waiting.is_empty() {
            match toxic.take(&mut waiting).0 {
                Portion::Passes(bytes, 1) => portions.push(bytes.len()),
                other => panic!("{other:?}"),
            }
        }
        portions
    }

    #[test]
    fn a_slow_connection_sends_portions_of_a_twentieth_of_a_second() {
        let mut toxic = Toxic {
            bandwidth: Some(1_000),
            ..Toxic::default()
        };
        assert_eq!(portions(&mut toxic, 120), [50, 50, 20]);
        let sent = Sent {
            at: Tick::from_micros(7),
            bytes: 50,
        };
        let next = toxic.ready_at(Tick::default(), 0, sent);
        assert_eq!(next.as_micros(), 50_007);
    }

    #[test]
    fn slices_are_single_bytes() {
        let mut toxic = Toxic {
            slices: true,
            bandwidth: Some(1_000),
            ..Toxic::default()
        };
        assert_eq!(portions(&mut toxic, 3), [1, 1, 1]);
    }

    #[test]
    fn a_flipped_bit_keeps_its_place_over_several_portions() {
        let mut toxic = Toxic {
            flip: Some(Flip {
                after: 3,
                mask: 0b100,
            }),
            ..Toxic::default()
        };
        let mut arrived = Vec::new();
        for size in [2, 2, 2] {
            match toxic.take(&mut Bytes::from(vec![0; size])).0 {
                Portion::Passes(bytes, 1) => arrived.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(arrived, [0, 0, 0, 0b100, 0, 0]);
    }
}
