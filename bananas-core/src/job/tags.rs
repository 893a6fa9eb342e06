//! Tags: short labels of a job, by which people find it again. What runs a job never looks at them.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// The longest allowed tag, in bytes.
pub const MAX_TAG_BYTES: usize = 64;

/// The most tags a job may have.
pub const MAX_TAGS: usize = 16;

/// A short label of a job, such as `customer:42`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

/// The tags of a job: sorted, each once, at most [`MAX_TAGS`].
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Tag>", into = "Vec<Tag>")]
pub struct Tags(Vec<Tag>);

impl Tag {
    /// Checks the tag: 1 to 64 bytes of any text without control characters.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, with the tag and what is wrong with it.
    pub fn new(tag: impl AsRef<str>) -> Result<Self> {
        let tag = tag.as_ref();
        let invalid = |why: String| Err(Error::new(ErrorKind::InvalidArgument, why));
        if tag.is_empty() {
            return invalid("a tag cannot be empty".to_owned());
        }
        if tag.len() > MAX_TAG_BYTES {
            let shown: String = tag.chars().take(40).collect();
            return invalid(format!(
                "tag {shown:?}… has {} bytes, more than the {MAX_TAG_BYTES} allowed",
                tag.len()
            ));
        }
        match tag.chars().find(|c| c.is_control()) {
            Some(bad) => invalid(format!(
                "tag {tag:?} contains {bad:?}; control characters are not allowed"
            )),
            None => Ok(Self(Arc::from(tag))),
        }
    }

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tags {
    /// The set of these tags.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when one of them is no tag, or when they are too many.
    pub fn of(tags: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self> {
        let mut set = Self::default();
        for tag in tags {
            set.insert(Tag::new(tag)?)?;
        }
        Ok(set)
    }

    /// Adds a tag; one that is there already changes nothing.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when there are [`MAX_TAGS`] others.
    pub fn insert(&mut self, tag: Tag) -> Result<()> {
        let Err(place) = self.0.binary_search(&tag) else {
            return Ok(());
        };
        if self.0.len() >= MAX_TAGS {
            let message = format!("tag {tag:?} is one more than the {MAX_TAGS} a job may have");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        self.0.insert(place, tag);
        Ok(())
    }

    /// Whether it is among them.
    #[must_use]
    pub fn contains(&self, tag: &str) -> bool {
        self.0
            .binary_search_by(|known| known.as_str().cmp(tag))
            .is_ok()
    }

    /// All, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Tag> {
        self.0.iter()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Tags {
    type Item = &'a Tag;
    type IntoIter = std::slice::Iter<'a, Tag>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl TryFrom<Vec<Tag>> for Tags {
    type Error = Error;
    fn try_from(tags: Vec<Tag>) -> Result<Self> {
        let mut set = Self::default();
        tags.into_iter().try_for_each(|tag| set.insert(tag))?;
        Ok(set)
    }
}

impl From<Tags> for Vec<Tag> {
    fn from(tags: Tags) -> Self {
        tags.0
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.0).finish()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl FromStr for Tag {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for Tag {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0.as_ref().to_owned()
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_any_short_text_and_an_odd_one_says_why() {
        for good in ["customer:42", "größe XL", &"t".repeat(MAX_TAG_BYTES)] {
            assert_eq!(Tag::new(good).unwrap().as_str(), good);
        }
        let long = "t".repeat(MAX_TAG_BYTES + 1);
        for (bad, word) in [
            ("", "empty"),
            ("a\nb", "'\\n'"),
            ("a\u{7f}", "control"),
            (&long, "65 bytes"),
        ] {
            let error = Tag::new(bad).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn tags_are_sorted_and_each_is_there_once() {
        let tags = Tags::of(["b", "a", "b"]).unwrap();
        let all: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        assert_eq!(all, ["a", "b"]);
        assert!(tags.contains("b") && !tags.contains("c"));
    }

    #[test]
    fn the_seventeenth_tag_is_refused_and_the_sixteenth_may_come_twice() {
        let mut tags = Tags::of((0..MAX_TAGS).map(|n| n.to_string())).unwrap();
        tags.insert(Tag::new("0").unwrap()).unwrap();
        let error = tags.insert(Tag::new("more").unwrap()).unwrap_err();
        assert!(error.to_string().contains("the 16 a job may have"));
        assert_eq!(tags.len(), MAX_TAGS);
    }
}
