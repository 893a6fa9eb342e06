//! What a receipt of ours says: which broker, which message, which delivery of it.

use bananas_core::Receipt;
use bytes::Bytes;

use crate::error::Error;

/// The three numbers in a receipt. The number of the delivery is the fence: each has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) broker: u64,
    pub(super) message: u64,
    pub(super) delivery: u64,
}

impl Token {
    pub(super) fn receipt(self) -> Receipt {
        let numbers = [self.broker, self.message, self.delivery];
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
        Receipt::new(Bytes::from(bytes))
    }

    /// Reads a receipt that `broker` gave.
    pub(super) fn read(receipt: &Receipt, broker: u64) -> Result<Self, Error> {
        let (numbers, rest) = receipt.token().as_chunks::<8>();
        let &[ours, message, delivery] = numbers else {
            return Err(Error::ForeignReceipt);
        };
        if !rest.is_empty() || u64::from_be_bytes(ours) != broker {
            return Err(Error::ForeignReceipt);
        }
        Ok(Self {
            broker,
            message: u64::from_be_bytes(message),
            delivery: u64::from_be_bytes(delivery),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_by_its_own_broker_only() {
        let token = Token {
            broker: 7,
            message: 1,
            delivery: 2,
        };
        assert_eq!(Token::read(&token.receipt(), 7).unwrap(), token);
        assert!(Token::read(&token.receipt(), 8).is_err());
        assert!(Token::read(&Receipt::new("no"), 7).is_err());
        assert!(Token::read(&Receipt::new(vec![0; 25]), 0).is_err());
    }
}
