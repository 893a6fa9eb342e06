//! A receipt with what the broker underneath does not know: which queue, which lane, whose credit.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::wrapper::foreign_receipt;
use crate::{QueueName, Receipt, Result};

/// How a receipt of ours begins.
const MARK: &[u8] = b"lane";

/// Mark, consumer, lease, and the lengths of two names.
const HEAD: usize = MARK.len() + 8 + 8 + 1 + 1;

/// A receipt of the broker underneath, with the queue it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LaneReceipt {
    /// The consumer's number, in the process that has it.
    pub(super) consumer: u64,
    /// How long the consumer's leases are.
    pub(super) lease: Duration,
    pub(super) queue: QueueName,
    pub(super) lane: QueueName,
    pub(super) inner: Receipt,
}

impl LaneReceipt {
    pub(super) fn receipt(&self) -> Receipt {
        let (queue, lane) = (self.queue.as_str(), self.lane.as_str());
        let inner = self.inner.token();
        let mut bytes = BytesMut::with_capacity(HEAD + queue.len() + lane.len() + inner.len());
        bytes.put_slice(MARK);
        bytes.put_u64(self.consumer);
        bytes.put_u64(u64::try_from(self.lease.as_micros()).unwrap_or(u64::MAX));
        for name in [queue, lane] {
            // At most `MAX_NAME_BYTES`.
            bytes.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
            bytes.put_slice(name.as_bytes());
        }
        bytes.put_slice(inner);
        Receipt::new(bytes.freeze())
    }

    pub(super) fn read(receipt: &Receipt) -> Result<Self> {
        Self::parse(receipt.token().clone()).ok_or_else(foreign_receipt)
    }

    fn parse(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < HEAD || !bytes.starts_with(MARK) {
            return None;
        }
        bytes.advance(MARK.len());
        let consumer = bytes.get_u64();
        let lease = Duration::from_micros(bytes.get_u64());
        let mut name = || {
            let length = usize::from(bytes.first().copied()?);
            bytes.advance(1);
            let name = (length <= bytes.len()).then(|| bytes.split_to(length))?;
            QueueName::new(std::str::from_utf8(&name).ok()?).ok()
        };
        let (queue, lane) = (name()?, name()?);
        Some(Self {
            consumer,
            lease,
            queue,
            lane,
            inner: Receipt::new(bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_receipt_is_read_as_it_was_written_and_no_other_bytes_are() {
        let written = LaneReceipt {
            consumer: 7,
            lease: Duration::from_millis(15_250),
            queue: QueueName::new("mail").unwrap(),
            lane: QueueName::new("mail:high1").unwrap(),
            inner: Receipt::new(&b"of the broker underneath"[..]),
        };
        let receipt = written.receipt();
        assert_eq!(LaneReceipt::read(&receipt).unwrap(), written);
        let bytes = receipt.token();
        for end in 0..bytes.len() - written.inner.token().len() {
            assert!(LaneReceipt::read(&Receipt::new(bytes.slice(..end))).is_err());
        }
        let foreign = Receipt::new(vec![0_u8; 64]);
        let error = LaneReceipt::read(&foreign).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
