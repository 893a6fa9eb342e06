//! The arguments of a job, kept as bytes until a handler wants them.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, ErrorKind};

/// Encoded arguments: JSON, or other bytes with the name of their type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Args {
    /// One JSON value, as text.
    Json(Bytes),
    /// Bytes that are no JSON.
    Data {
        /// Their media type, such as `application/x-protobuf`.
        content_type: String,
        /// The bytes.
        bytes: Bytes,
    },
}

impl Args {
    /// Encodes a value as JSON.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when the value has no JSON form (a map with keys that are no strings, say).
    pub fn encode<T: Serialize>(value: &T) -> Result<Self, Error> {
        match serde_json::to_vec(value) {
            Ok(json) => Ok(Self::Json(json.into())),
            Err(e) => Err(
                Error::new(ErrorKind::InvalidArgument, "arguments have no JSON form").because(e),
            ),
        }
    }

    /// Checks that the text is one JSON value and keeps it as it is.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, with the place of the mistake.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let raw: &serde_json::value::RawValue = serde_json::from_str(text).map_err(|e| {
            Error::new(ErrorKind::InvalidArgument, "arguments are not JSON").because(e)
        })?;
        Ok(Self::Json(Bytes::copy_from_slice(raw.get().as_bytes())))
    }

    /// Decodes JSON arguments.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when they are no JSON or have another shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        match self {
            Self::Json(json) => serde_json::from_slice(json).map_err(|e| {
                Error::new(ErrorKind::InvalidArgument, "arguments do not fit the task").because(e)
            }),
            Self::Data { content_type, .. } => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("arguments are {content_type}, not JSON"),
            )),
        }
    }

    /// How many bytes they take.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Json(bytes) | Self::Data { bytes, .. } => bytes.len(),
        }
    }

    /// Whether there is not one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
