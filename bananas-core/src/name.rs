//! Names that users choose: queues and tasks. Both are checked once, when they are made.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// The longest allowed name, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the name: 1 to 128 bytes of `A-Z a-z 0-9 _ . : -`.
            ///
            /// # Errors
            ///
            /// `InvalidArgument`, with the name and the first character that is not allowed.
            pub fn new(name: impl AsRef<str>) -> Result<Self, Error> {
                check($what, name.as_ref())?;
                Ok(Self(Arc::from(name.as_ref())))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A queue: the name workers compete on.
    QueueName,
    "queue"
);
name!(
    /// A task: the kind of work, by its stable name on the wire.
    TaskName,
    "task"
);

impl QueueName {
    /// The queue of tasks that name none: `default`.
    #[must_use]
    pub fn default_queue() -> Self {
        Self(Arc::from("default"))
    }
}

impl Default for QueueName {
    fn default() -> Self {
        Self::default_queue()
    }
}

fn check(what: &str, name: &str) -> Result<(), Error> {
    let invalid = |why: String| Err(Error::new(ErrorKind::InvalidArgument, why));
    if name.is_empty() {
        return invalid(format!("a {what} name cannot be empty"));
    }
    if name.len() > MAX_NAME_BYTES {
        let shown: String = name.chars().take(40).collect();
        return invalid(format!(
            "{what} name \"{shown}…\" has {} bytes, more than the {MAX_NAME_BYTES} allowed",
            name.len()
        ));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    match name.chars().find(|c| !allowed(*c)) {
        Some(bad) => invalid(format!(
            "{what} name {name:?} contains {bad:?}; letters, digits and _ . : - are allowed"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass_and_odd_ones_say_why() {
        assert_eq!(
            TaskName::new("email.welcome").unwrap().as_str(),
            "email.welcome"
        );
        for (bad, word) in [
            ("", "empty"),
            ("a b", "' '"),
            ("a\nb", "'\\n'"),
            ("ü", "'ü'"),
        ] {
            let error = QueueName::new(bad).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let long = "q".repeat(MAX_NAME_BYTES + 1);
        assert!(
            QueueName::new(&long)
                .unwrap_err()
                .to_string()
                .contains("129 bytes")
        );
    }
}
