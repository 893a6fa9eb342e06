//! What a receipt says: the namespace, the consumer, and the number of the delivery.

use bananas_core::Receipt;
use bytes::{Buf, BufMut};

use crate::error::Error;

/// A receipt, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) consumer: u64,
    pub(super) key: u64,
}

impl Claimed {
    pub(super) fn receipt(self, namespace: &str) -> Receipt {
        let mut bytes = Vec::with_capacity(24);
        bytes.put_u64(mark(namespace));
        bytes.put_u64(self.consumer);
        bytes.put_u64(self.key);
        Receipt::new(bytes)
    }

    /// Fails for the receipt of another broker.
    pub(super) fn read(receipt: &Receipt, namespace: &str) -> Result<Self, Error> {
        let mut bytes = &receipt.token()[..];
        if bytes.len() != 24 || bytes.get_u64() != mark(namespace) {
            return Err(Error::ForeignReceipt);
        }
        Ok(Self {
            consumer: bytes.get_u64(),
            key: bytes.get_u64(),
        })
    }
}

/// Tells the receipts of one namespace from those of another (FNV-1a).
fn mark(namespace: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let text = b"nats ".iter().chain(namespace.as_bytes());
    text.copied().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_back_in_its_own_namespace_only() {
        let claimed = Claimed {
            consumer: 7,
            key: 8,
        };
        let receipt = claimed.receipt("shop");
        assert_eq!(Claimed::read(&receipt, "shop").unwrap(), claimed);
        for (receipt, namespace) in [(receipt, "other"), (Receipt::new("x"), "shop")] {
            let error = Claimed::read(&receipt, namespace).unwrap_err();
            assert!(matches!(error, Error::ForeignReceipt));
        }
    }
}
