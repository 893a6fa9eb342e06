//! What a receipt says: the file, the row, and the token of this one delivery.

use bananas_core::{Error, ErrorKind, Receipt, Result};

/// A receipt, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) seq: i64,
    pub(super) token: i64,
}

impl Claimed {
    pub(super) fn receipt(self, file_id: u64) -> Receipt {
        let mut bytes = Vec::with_capacity(24);
        bytes.extend(file_id.to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.token.to_be_bytes());
        Receipt::new(bytes)
    }

    /// `InvalidArgument` for the receipt of another broker.
    pub(super) fn read(receipt: &Receipt, file_id: u64) -> Result<Self> {
        let mut words = receipt
            .token()
            .chunks_exact(8)
            .filter_map(|word| word.try_into().ok());
        let fields = (words.next(), words.next(), words.next());
        if let ((Some(file), Some(seq), Some(token)), 24) = (fields, receipt.token().len())
            && u64::from_be_bytes(file) == file_id
        {
            return Ok(Self {
                seq: i64::from_be_bytes(seq),
                token: i64::from_be_bytes(token),
            });
        }
        Err(Error::new(
            ErrorKind::InvalidArgument,
            "the receipt is not of this broker; settle it where it was reserved",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_back_by_its_own_file_only() {
        let claimed = Claimed { seq: 7, token: -3 };
        let receipt = claimed.receipt(42);
        assert_eq!(Claimed::read(&receipt, 42).unwrap(), claimed);
        for (receipt, file) in [(receipt, 43), (Receipt::new("x"), 42)] {
            let error = Claimed::read(&receipt, file).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}
