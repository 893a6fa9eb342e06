//! Which node of a cluster keeps which key.

use std::collections::BTreeMap;

use redis::Value;

use crate::address::Address;
use crate::reply;

/// How many slots there are.
const SLOTS: u16 = 16_384;

/// The slot of a key: that of what stands in its first braces, if anything does.
pub(crate) fn slot(key: &[u8]) -> u16 {
    let tag = || {
        let start = key.iter().position(|byte| *byte == b'{')? + 1;
        let length = key.get(start..)?.iter().position(|byte| *byte == b'}')?;
        key.get(start..start + length).filter(|tag| !tag.is_empty())
    };
    crc16(tag().unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    let shift = |crc: u16, _| match crc & 0x8000 {
        0 => crc << 1,
        _ => (crc << 1) ^ 0x1021,
    };
    let step = |crc: u16, byte: &u8| (0..8).fold(crc ^ (u16::from(*byte) << 8), shift);
    bytes.iter().fold(0, step)
}

/// Which master has which slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotMap {
    /// By their first slot: the last one, and who has them.
    ranges: BTreeMap<u16, (u16, Address)>,
    /// Slots that were seen elsewhere since.
    moved: BTreeMap<u16, Address>,
}

impl SlotMap {
    /// Reads the answer to `CLUSTER SLOTS`; `None` if it makes no sense or names nobody.
    pub(crate) fn read(answer: Value, asked: &Address) -> Option<Self> {
        let mut ranges = BTreeMap::new();
        for range in reply::list(answer)? {
            let mut parts = reply::list(range)?.into_iter();
            let first = u16::try_from(reply::integer(&parts.next()?)?).ok()?;
            let last = u16::try_from(reply::integer(&parts.next()?)?).ok()?;
            let mut master = reply::list(parts.next()?)?.into_iter();
            let host = master.next()?;
            let port = u16::try_from(reply::integer(&master.next()?)?).ok()?;
            let host = match host {
                Value::Nil => asked.host.clone(),
                host => reply::text(host)?,
            };
            let host = match host.as_str() {
                "" => asked.host.clone(),
                // The node itself does not know.
                "?" => continue,
                _ => host,
            };
            ranges.insert(first, (last, Address::new(host, port)));
        }
        (!ranges.is_empty()).then(|| Self {
            ranges,
            moved: BTreeMap::new(),
        })
    }

    pub(crate) fn master(&self, slot: u16) -> Option<&Address> {
        let known = || {
            let (_, (last, address)) = self.ranges.range(..=slot).next_back()?;
            (slot <= *last).then_some(address)
        };
        self.moved.get(&slot).or_else(known)
    }

    /// Notes that a slot is elsewhere.
    pub(crate) fn is_at(&mut self, slot: u16, address: Address) {
        self.moved.insert(slot, address);
    }

    /// All who have slots, each once.
    pub(crate) fn masters(&self) -> Vec<Address> {
        let ranges = self.ranges.values().map(|(_, address)| address);
        let mut masters: Vec<_> = ranges.chain(self.moved.values()).cloned().collect();
        masters.sort();
        masters.dedup();
        masters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_that_of_what_stands_in_braces() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"{foo}:bar"), 12_182);
        assert_eq!(slot(b"x{foo}{bar}"), 12_182);
        assert_eq!(slot(b"{}foo"), crc16(b"{}foo") % SLOTS);
    }

    fn node(first: i64, last: i64, host: Value, port: i64) -> Value {
        let id = Value::BulkString(b"id".to_vec());
        let master = Value::Array(vec![host, Value::Int(port), id]);
        Value::Array(vec![Value::Int(first), Value::Int(last), master])
    }

    #[test]
    fn the_map_says_who_has_a_slot_until_it_was_seen_elsewhere() {
        let text = |text: &str| Value::BulkString(text.into());
        let asked = Address::new("asked", 1);
        let answer = Value::Array(vec![
            node(0, 99, text("a"), 7000),
            node(200, 16_383, Value::Nil, 7001),
            node(100, 150, text("?"), 7002),
        ]);
        let mut map = SlotMap::read(answer, &asked).unwrap();
        let (a, b) = (Address::new("a", 7000), Address::new("asked", 7001));
        assert_eq!(map.master(99), Some(&a));
        assert_eq!(map.master(100), None, "nobody is known to have it");
        assert_eq!(map.master(16_383), Some(&b));
        let c = Address::new("c", 7002);
        map.is_at(99, c.clone());
        assert_eq!(map.master(99), Some(&c));
        assert_eq!(map.masters(), [a, b, c]);
    }

    #[test]
    fn what_is_no_map_is_none() {
        let asked = Address::new("asked", 1);
        for answer in [
            Value::Nil,
            Value::Array(vec![]),
            Value::Array(vec![Value::Int(1)]),
        ] {
            assert_eq!(SlotMap::read(answer, &asked), None);
        }
    }
}
