//! Reading columns of a row, one after the other, into our types.

use std::str::FromStr;

use bananas_core::{QueueName, Timestamp};
use bytes::Bytes;
use rusqlite::Row;
use rusqlite::types::{Type, ValueRef};

/// The columns of a row from some place on.
#[derive(Debug)]
pub(crate) struct Columns<'r, 's> {
    row: &'r Row<'s>,
    next: usize,
}

type Read<T> = rusqlite::Result<T>;

impl<'r, 's> Columns<'r, 's> {
    pub(crate) fn new(row: &'r Row<'s>) -> Self {
        Self::at(row, 0)
    }

    pub(crate) fn at(row: &'r Row<'s>, next: usize) -> Self {
        Self { row, next }
    }

    /// The next value as it is.
    pub(crate) fn raw(&mut self) -> Read<ValueRef<'r>> {
        let value = self.row.get_ref(self.next)?;
        self.next += 1;
        Ok(value)
    }

    /// The next value as a number that must fit.
    pub(crate) fn number<N: TryFrom<i64>>(&mut self) -> Read<N> {
        let index = self.next;
        let number = self.raw()?.as_i64()?;
        N::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, number))
    }

    /// The next value as a number, if there is one.
    pub(crate) fn optional_number(&mut self) -> Read<Option<i64>> {
        Ok(self.raw()?.as_i64_or_null()?)
    }

    /// The next value as a time, if there is one.
    pub(crate) fn time(&mut self) -> Read<Option<Timestamp>> {
        Ok(self.optional_number()?.map(Timestamp::from_micros))
    }

    /// The next value as a word that must be known.
    pub(crate) fn word<W: FromStr<Err = bananas_core::Error>>(&mut self) -> Read<W> {
        let index = self.next;
        let text = self.raw()?.as_str()?;
        text.parse().map_err(|e| broken(index, Type::Text, e))
    }

    /// The next value as a word, if there is one.
    pub(crate) fn optional_word<W: FromStr<Err = bananas_core::Error>>(
        &mut self,
    ) -> Read<Option<W>> {
        let index = self.next;
        match self.raw()?.as_str_or_null()? {
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|e| broken(index, Type::Text, e)),
            None => Ok(None),
        }
    }

    /// The next value as the name of a queue; `expected` is reused when it is that one.
    pub(crate) fn queue(&mut self, expected: &QueueName) -> Read<QueueName> {
        let index = self.next;
        let text = self.raw()?.as_str()?;
        if text == expected.as_str() {
            return Ok(expected.clone());
        }
        QueueName::new(text).map_err(|e| broken(index, Type::Text, e))
    }

    /// The next value as an id, if there is one.
    pub(crate) fn id<I>(&mut self, read: impl FnOnce(&[u8]) -> Option<I>) -> Read<Option<I>> {
        let index = self.next;
        match self.raw()?.as_blob_or_null()? {
            Some(bytes) => match read(bytes) {
                Some(id) => Ok(Some(id)),
                None => Err(broken(
                    index,
                    Type::Blob,
                    format!("{} bytes are no id", bytes.len()),
                )),
            },
            None => Ok(None),
        }
    }

    /// The next value as an id that must be there.
    pub(crate) fn some_id<I>(&mut self, read: impl FnOnce(&[u8]) -> Option<I>) -> Read<I> {
        let index = self.next;
        self.id(read)?
            .ok_or_else(|| broken(index, Type::Null, "an id is missing"))
    }

    /// The next value as text, if there is any.
    pub(crate) fn text(&mut self) -> Read<Option<&'r str>> {
        Ok(self.raw()?.as_str_or_null()?)
    }

    /// The next value as bytes.
    pub(crate) fn bytes(&mut self) -> Read<Bytes> {
        Ok(Bytes::copy_from_slice(self.raw()?.as_blob()?))
    }

    /// The next value as bytes, if there are any.
    pub(crate) fn optional_bytes(&mut self) -> Read<Option<Bytes>> {
        Ok(self.raw()?.as_blob_or_null()?.map(Bytes::copy_from_slice))
    }

    /// The next value as text that `parse` understands; the default where there is none.
    pub(crate) fn parsed<T, E>(&mut self, parse: impl FnOnce(&str) -> Result<T, E>) -> Read<T>
    where
        T: Default,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let index = self.next;
        match self.text()? {
            Some(text) => parse(text).map_err(|e| broken(index, Type::Text, e)),
            None => Ok(T::default()),
        }
    }
}

fn broken(
    index: usize,
    kind: Type,
    why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, kind, why.into())
}

/// A number as SQLite keeps it; what does not fit is kept as the largest there is.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of rows for a `LIMIT`.
pub(crate) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
