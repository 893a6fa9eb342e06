//! [`FilePath`]: the path of a file as it travels in the arguments of a job.
//!
//! JSON has only Unicode, the names of files are any bytes. A path that is UTF-8 travels as a string, which
//! people can read in `bananas jobs show`; any other travels as the list of its bytes, so nothing is lost.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The path of a file, in a form that JSON can carry without loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum FilePath {
    /// A path that is UTF-8.
    Text(String),
    /// The bytes of any other path.
    Bytes(Vec<u8>),
}

impl From<PathBuf> for FilePath {
    fn from(path: PathBuf) -> Self {
        match path.into_os_string().into_string() {
            Ok(text) => Self::Text(text),
            Err(other) => Self::Bytes(other.into_vec()),
        }
    }
}

impl From<FilePath> for PathBuf {
    fn from(path: FilePath) -> Self {
        match path {
            FilePath::Text(text) => Self::from(text),
            FilePath::Bytes(bytes) => Self::from(OsString::from_vec(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_comes_back_as_it_was() {
        let paths: [&[u8]; 4] = [b"/a/b.txt", "/ä/日".as_bytes(), b"/\xff\xfe", b"/new\nline"];
        for path in paths {
            let path = PathBuf::from(OsString::from_vec(path.to_vec()));
            let json = serde_json::to_string(&FilePath::from(path.clone())).unwrap();
            let back: FilePath = serde_json::from_str(&json).unwrap();
            assert_eq!(PathBuf::from(back), path, "{json}");
        }
    }
}
