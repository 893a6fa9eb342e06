//! A receipt that also names the blob, so that whoever settles the delivery can forget it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::wrapper::foreign_receipt;
use crate::{BlobId, Receipt, Result};

/// How a receipt of ours begins.
const MARK: &[u8] = b"blob";

/// Mark, and the length of the name.
const HEAD: usize = MARK.len() + 1;

/// A receipt of the broker underneath, with the blob that the delivery has its body in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CheckReceipt {
    pub(super) blob: Option<BlobId>,
    pub(super) inner: Receipt,
}

impl CheckReceipt {
    pub(super) fn receipt(&self) -> Receipt {
        let name = self.blob.map(|blob| blob.to_string()).unwrap_or_default();
        let inner = self.inner.token();
        let mut bytes = BytesMut::with_capacity(HEAD + name.len() + inner.len());
        bytes.put_slice(MARK);
        // A name is two UUIDs at most.
        bytes.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.put_slice(name.as_bytes());
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
        let length = usize::from(bytes.get_u8());
        let name = (length <= bytes.len()).then(|| bytes.split_to(length))?;
        let blob = match name.as_ref() {
            b"" => None,
            name => Some(std::str::from_utf8(name).ok()?.parse().ok()?),
        };
        let inner = Receipt::new(bytes);
        Some(Self { blob, inner })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::JobId;

    #[test]
    fn a_receipt_is_read_as_it_was_written_and_no_other_bytes_are() {
        let job: JobId = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        let blob = |job| Some(BlobId::new(uuid::Uuid::nil(), job));
        for blob in [None, blob(None), blob(Some(job))] {
            let written = CheckReceipt {
                blob,
                inner: Receipt::new(&b"of the broker underneath"[..]),
            };
            let receipt = written.receipt();
            assert_eq!(CheckReceipt::read(&receipt).unwrap(), written);
            let bytes = receipt.token();
            for end in 0..bytes.len() - written.inner.token().len() {
                assert!(CheckReceipt::read(&Receipt::new(bytes.slice(..end))).is_err());
            }
        }
        let error = CheckReceipt::read(&Receipt::new(vec![0_u8; 64])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
