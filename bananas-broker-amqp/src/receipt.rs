//! Receipts: which client handed a delivery out, to which of its consumers, and which one it was.

use bananas_core::Receipt;
use bytes::Buf;

use crate::error::Error;

/// What a receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// A number of chance: a delivery belongs to the connection that it came over.
    pub(crate) client: u64,
    pub(crate) consumer: u64,
    pub(crate) number: u64,
}

impl Token {
    pub(crate) fn bytes(self) -> Vec<u8> {
        let parts = [self.client, self.consumer, self.number];
        parts.iter().flat_map(|part| part.to_be_bytes()).collect()
    }

    /// Reads the receipt of this client.
    pub(crate) fn of(receipt: &Receipt, client: u64) -> Result<Self, Error> {
        let mut bytes = receipt.token().clone();
        if bytes.len() != 24 || bytes.get_u64() != client {
            return Err(Error::ForeignReceipt);
        }
        Ok(Self {
            client,
            consumer: bytes.get_u64(),
            number: bytes.get_u64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_by_the_client_that_gave_it() {
        let token = Token {
            client: 7,
            consumer: 1,
            number: u64::MAX,
        };
        let receipt = Receipt::new(token.bytes());
        assert_eq!(Token::of(&receipt, 7).unwrap(), token);
        assert!(matches!(Token::of(&receipt, 8), Err(Error::ForeignReceipt)));
        let short = Receipt::new(&b"no receipt"[..]);
        assert!(matches!(Token::of(&short, 7), Err(Error::ForeignReceipt)));
    }
}
