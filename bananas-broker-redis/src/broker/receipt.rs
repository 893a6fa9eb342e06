//! What a receipt says: the namespace, the consumer, the queue, and the entry with the token of its delivery.

use bananas_core::{QueueName, Receipt};
use bytes::{Buf, BufMut};

use crate::error::Error;

/// A receipt, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    /// The consumer that took it, whose credit it uses.
    pub(super) consumer: u64,
    pub(super) queue: QueueName,
    /// The entry and the eight bytes of the token, as the server keeps them.
    pub(super) held: Vec<u8>,
}

impl Claimed {
    pub(super) fn receipt(&self, namespace: &str) -> Receipt {
        let queue = self.queue.as_str();
        let mut bytes = Vec::with_capacity(20 + queue.len() + self.held.len());
        bytes.put_u64(mark(namespace));
        bytes.put_u64(self.consumer);
        bytes.put_u32(u32::try_from(queue.len()).unwrap_or(u32::MAX));
        bytes.extend(queue.as_bytes());
        bytes.extend(&self.held);
        Receipt::new(bytes)
    }

    /// Fails for the receipt of another broker.
    pub(super) fn read(receipt: &Receipt, namespace: &str) -> Result<Self, Error> {
        Self::parse(receipt.token(), namespace).ok_or(Error::ForeignReceipt)
    }

    fn parse(mut bytes: &[u8], namespace: &str) -> Option<Self> {
        if bytes.len() < 20 || bytes.get_u64() != mark(namespace) {
            return None;
        }
        let consumer = bytes.get_u64();
        let length = usize::try_from(bytes.get_u32()).ok()?;
        let (queue, held) = bytes.split_at_checked(length)?;
        let queue = QueueName::new(std::str::from_utf8(queue).ok()?).ok()?;
        (held.len() > 8).then(|| Self {
            consumer,
            queue,
            held: held.to_vec(),
        })
    }
}

/// Tells the receipts of one namespace from those of another (FNV-1a).
fn mark(namespace: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let text = b"redis ".iter().chain(namespace.as_bytes());
    text.copied().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_back_in_its_own_namespace_only() {
        let claimed = Claimed {
            consumer: 7,
            queue: "mail".parse().unwrap(),
            held: b"17p80\x00\x01\x02\x03\x04\x05\x06\xff".to_vec(),
        };
        let receipt = claimed.receipt("shop");
        assert_eq!(Claimed::read(&receipt, "shop").unwrap(), claimed);
        for (receipt, namespace) in [(receipt, "other"), (Receipt::new("x"), "shop")] {
            let error = Claimed::read(&receipt, namespace).unwrap_err();
            assert!(matches!(error, Error::ForeignReceipt));
        }
    }
}
