//! What a receipt says: which client took the message, and the number of the delivery there.

use bananas_core::Receipt;
use bytes::{Buf, BufMut};

use crate::error::Error;

/// Tells receipts of this backend from others.
const MARK: &[u8; 4] = b"sqs1";

/// The receipt of a delivery of this client.
pub(crate) fn receipt(client: u64, delivery: u64) -> Receipt {
    let mut bytes = Vec::with_capacity(20);
    bytes.extend(MARK);
    bytes.put_u64(client);
    bytes.put_u64(delivery);
    Receipt::new(bytes)
}

/// The number of the delivery; fails for a receipt of anybody else.
pub(crate) fn read(receipt: &Receipt, client: u64) -> Result<u64, Error> {
    let mut bytes = match receipt.token().strip_prefix(MARK) {
        Some(bytes) if bytes.len() == 16 => bytes,
        _ => return Err(Error::ForeignReceipt),
    };
    if bytes.get_u64() == client {
        Ok(bytes.get_u64())
    } else {
        Err(Error::ForeignReceipt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_back_by_its_own_client_only() {
        assert_eq!(read(&receipt(7, 9), 7).unwrap(), 9);
        for (receipt, client) in [(receipt(7, 9), 8), (Receipt::new("x"), 7)] {
            assert!(matches!(read(&receipt, client), Err(Error::ForeignReceipt)));
        }
    }
}
