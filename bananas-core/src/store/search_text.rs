//! [`SearchText`]: a text that people look for in jobs, and the one definition of where it is looked for.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{JobId, JobRecord, Tags};

/// A text to look for, wherever it begins and whatever the case of its letters.
///
/// It is looked for in the job's id, the name of its task, each of its tags, its arguments, and the message of
/// its last error. The arguments are searched as they are written in the message: a JSON text in UTF-8, quotes
/// and escapes included; arguments that are no JSON, and bodies of other formats than ours, are not searched.
/// Every character stands for itself; there are no wildcards. The empty text is found everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchText {
    folded: String,
}

/// What of a job is searched.
#[derive(Clone, Copy, Debug)]
pub struct Searched<'a> {
    /// Its id.
    pub id: JobId,
    /// The name of its task.
    pub task: &'a str,
    /// Its tags.
    pub tags: &'a Tags,
    /// The message of its last error.
    pub last_error: Option<&'a str>,
    /// The encoded job, of which the arguments are searched.
    pub body: &'a [u8],
}

impl SearchText {
    /// The text as a person typed it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { folded: fold(text) }
    }

    /// Whether it is found in the job.
    #[must_use]
    pub fn is_in(&self, job: &Searched<'_>) -> bool {
        self.is_in_text(job.task)
            || job.tags.iter().any(|tag| self.is_in_text(tag.as_str()))
            || job.last_error.is_some_and(|error| self.is_in_text(error))
            || self.is_in_text(&job.id.to_string())
            || self.is_in_args(job.body)
    }

    /// Most bodies do not have the text anywhere, so their arguments need not be found.
    fn is_in_args(&self, body: &[u8]) -> bool {
        let Ok(body) = std::str::from_utf8(body) else {
            return false;
        };
        self.is_in_text(body) && args_of(body).is_some_and(|args| self.is_in_text(args))
    }

    fn is_in_text(&self, text: &str) -> bool {
        if text.is_ascii() {
            return is_in_ascii(self.folded.as_bytes(), text.as_bytes());
        }
        fold(text).contains(&self.folded)
    }
}

impl<'a> Searched<'a> {
    /// What of this record is searched.
    #[must_use]
    pub fn of(job: &'a JobRecord) -> Self {
        Self {
            id: job.id,
            task: job.task.as_str(),
            tags: &job.tags,
            last_error: job.errors.last().map(|error| error.message.as_str()),
            body: &job.body,
        }
    }
}

/// Letter by letter, so that a part of a text folds to a part of the folded text.
fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The same without a copy, for texts that have nothing but ASCII.
fn is_in_ascii(folded: &[u8], text: &[u8]) -> bool {
    let Some(first) = folded.first() else {
        return true;
    };
    let starts = |window: &[u8]| {
        window
            .first()
            .is_some_and(|byte| byte.to_ascii_lowercase() == *first)
            && window.eq_ignore_ascii_case(folded)
    };
    text.windows(folded.len()).any(starts)
}

/// The arguments in a message of our format, as they are written there.
fn args_of(body: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        args: Option<&'a RawValue>,
    }
    let message: Message<'_> = serde_json::from_str(body).ok()?;
    message.args.map(RawValue::get)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] =
        br#"{"v":1,"id":"x","task":"t","queue":"q-name","args":{"to":"Ann@Example.com","p":"50%"}}"#;

    fn finds(text: &str, tags: &[&str], last_error: Option<&str>) -> bool {
        SearchText::new(text).is_in(&Searched {
            id: "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap(),
            task: "email.Welcome",
            tags: &Tags::of(tags).unwrap(),
            last_error,
            body: BODY,
        })
    }

    #[test]
    fn id_task_tags_arguments_and_last_error_are_searched_and_nothing_else() {
        for text in [
            "0198F3C2",
            "email.welcome",
            "ann@example.COM",
            "\"to\":",
            "50%",
            "customer:4",
            "timed OUT",
            "",
        ] {
            assert!(finds(text, &["Customer:42"], Some("Timed out")), "{text:?}");
        }
        for text in ["q-name", "created_at", "\"v\"", "5_%", "a%c", "nobody"] {
            assert!(!finds(text, &["customer:42"], Some("no")), "{text:?}");
        }
    }

    #[test]
    fn letters_beyond_ascii_have_cases_too() {
        assert!(finds("GRÖSSE", &["größse", "grösse"], None));
        assert!(finds("ÅNGSTRÖM", &[], Some("ångström")));
        assert!(!finds("GRÖSSE", &["grosse"], None));
    }

    #[test]
    fn a_body_that_is_no_message_of_ours_is_not_searched() {
        for body in [&b"[[1],{\"to\":\"x\"},{}]"[..], b"\xff\xfex", b"x", b""] {
            let job = Searched {
                id: JobId::from_slice(&[0; 16]).unwrap(),
                task: "t",
                tags: &Tags::default(),
                last_error: None,
                body,
            };
            assert!(!SearchText::new("x").is_in(&job), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn the_search_without_a_copy_finds_what_the_other_finds(
            text in "[a-dA-D%_ ]{0,12}", part in "[a-dA-D%_ ]{0,3}"
        ) {
            let quick = is_in_ascii(fold(&part).as_bytes(), text.as_bytes());
            prop_assert_eq!(quick, fold(&text).contains(&fold(&part)));
        }
    }
}
