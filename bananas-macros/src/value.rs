//! The values in `#[task(..)]`, one check each.
//!
//! The rules for names, priorities and durations are those of the core, which checks again at run time; a test
//! holds the two together.

use std::time::Duration;

use syn::{Expr, ExprArray, Lit, LitInt};

/// The longest allowed name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// The longest allowed tag, in bytes.
const MAX_TAG_BYTES: usize = 64;

/// The most tags a job may have.
const MAX_TAGS: usize = 16;

/// The most urgent priority.
const MAX_PRIORITY: u8 = 100;

/// The words for `track`, each with the variant it stands for.
const TRACKS: [(&str, &str); 3] = [("none", "None"), ("outcome", "Outcome"), ("full", "Full")];

/// Why a value is not accepted.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is no literal of the right kind.
    Kind,
    /// It is, and this is wrong with it.
    Value(String),
}

type Checked<T> = Result<T, Refused>;

fn refuse<T>(why: String) -> Checked<T> {
    Err(Refused::Value(why))
}

fn text(lit: &Lit) -> Checked<String> {
    match lit {
        Lit::Str(text) => Ok(text.value()),
        _ => Err(Refused::Kind),
    }
}

fn whole(lit: &Lit) -> Checked<&LitInt> {
    match lit {
        Lit::Int(number) => Ok(number),
        _ => Err(Refused::Kind),
    }
}

/// The name of a task or a queue; `what` says which.
pub(crate) fn name(what: &str, lit: &Lit) -> Checked<String> {
    let name = text(lit)?;
    if name.is_empty() {
        return refuse(format!("a {what} name cannot be empty"));
    }
    if name.len() > MAX_NAME_BYTES {
        return refuse(format!(
            "this {what} name has {} bytes, more than the {MAX_NAME_BYTES} allowed",
            name.len()
        ));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    match name.chars().find(|c| !allowed(*c)) {
        Some(bad) => refuse(format!(
            "{what} name {name:?} contains {bad:?}; letters, digits and _ . : - are allowed"
        )),
        None => Ok(name),
    }
}

/// The tags of its jobs.
pub(crate) fn tags(list: &ExprArray) -> Checked<Vec<String>> {
    let mut tags = Vec::new();
    for element in &list.elems {
        let Expr::Lit(element) = element else {
            return Err(Refused::Kind);
        };
        tags.push(tag(&element.lit)?);
    }
    if tags.len() > MAX_TAGS {
        return refuse(format!(
            "{} tags are more than the {MAX_TAGS} a job may have",
            tags.len()
        ));
    }
    Ok(tags)
}

fn tag(lit: &Lit) -> Checked<String> {
    let tag = text(lit)?;
    if tag.is_empty() {
        return refuse("a tag cannot be empty".to_owned());
    }
    if tag.len() > MAX_TAG_BYTES {
        return refuse(format!(
            "this tag has {} bytes, more than the {MAX_TAG_BYTES} allowed",
            tag.len()
        ));
    }
    match tag.chars().find(|c| c.is_control()) {
        Some(bad) => refuse(format!(
            "tag {tag:?} contains {bad:?}; control characters are not allowed"
        )),
        None => Ok(tag),
    }
}

/// How many runs may fail.
pub(crate) fn max_attempts(lit: &Lit) -> Checked<u32> {
    let number = whole(lit)?;
    match number.base10_parse() {
        Ok(0) => refuse("max_attempts is 0; the first run is attempt 1".to_owned()),
        Ok(attempts) => Ok(attempts),
        Err(_) => refuse(format!(
            "max_attempts {number} is out of range; it goes from 1 to {}",
            u32::MAX
        )),
    }
}

/// How urgent its jobs are.
pub(crate) fn priority(lit: &Lit) -> Checked<u8> {
    let number = whole(lit)?;
    match number.base10_parse() {
        Ok(priority) if priority <= MAX_PRIORITY => Ok(priority),
        _ => refuse(format!(
            "priority {number} is out of range; it goes from 0 to {MAX_PRIORITY}, higher runs earlier"
        )),
    }
}

/// How long one run may take.
pub(crate) fn timeout(lit: &Lit) -> Checked<Duration> {
    let text = text(lit)?;
    match humantime::parse_duration(&text) {
        Ok(Duration::ZERO) => refuse("timeout is 0; leave it out for the default".to_owned()),
        Ok(timeout) => Ok(timeout),
        Err(e) => refuse(format!(
            "{text:?} is not a duration: {e}; write \"30s\", \"5m\" or \"1h 30m\""
        )),
    }
}

/// What the store keeps, as the name of a variant of `bananas::Track`.
pub(crate) fn track(lit: &Lit) -> Checked<&'static str> {
    let text = text(lit)?;
    match TRACKS.iter().find(|(word, _)| *word == text) {
        Some((_, variant)) => Ok(variant),
        None => refuse(format!(
            "track {text:?} is unknown; it is one of \"none\", \"outcome\", \"full\""
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proc_macro2::Span;
    use syn::LitStr;

    fn string(text: &str) -> Lit {
        Lit::Str(LitStr::new(text, Span::call_site()))
    }

    #[test]
    fn names_are_those_that_the_core_accepts() {
        let longest = "q".repeat(MAX_NAME_BYTES);
        let too_long = "q".repeat(MAX_NAME_BYTES + 1);
        let all = ["email.welcome", "a", "A:b-c_9", &longest, "", "a b", "ü"];
        for text in all.into_iter().chain(["a\nb", "a/b", &too_long]) {
            let ours = name("task", &string(text)).is_ok();
            assert_eq!(ours, bananas_core::TaskName::new(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn tags_are_those_that_the_core_accepts() {
        let longest = "t".repeat(MAX_TAG_BYTES);
        let too_long = "t".repeat(MAX_TAG_BYTES + 1);
        for text in ["customer:42", "größe XL", &longest, "", "a\nb", &too_long] {
            let ours = tag(&string(text)).is_ok();
            assert_eq!(ours, bananas_core::Tag::new(text).is_ok(), "{text:?}");
        }
        assert_eq!(MAX_TAGS, bananas_core::MAX_TAGS);
    }

    #[test]
    fn priorities_are_those_that_the_core_accepts() {
        for number in 0..=u8::MAX {
            let lit = Lit::Int(LitInt::new(&number.to_string(), Span::call_site()));
            let ours = priority(&lit).is_ok();
            assert_eq!(ours, bananas_core::Priority::new(number).is_ok());
        }
    }

    #[test]
    fn track_words_are_those_of_the_core() {
        for (word, variant) in TRACKS {
            let track = word.parse::<bananas_core::Track>().unwrap();
            assert_eq!(format!("{track:?}"), variant);
        }
    }

    #[test]
    fn a_timeout_is_written_as_in_the_configuration() {
        let read = |text: &str| timeout(&string(text));
        assert_eq!(read("1h 30m").unwrap(), Duration::from_secs(5_400));
        assert_eq!(read("250ms").unwrap(), Duration::from_millis(250));
        for (bad, word) in [("soon", "duration"), ("30", "unit"), ("0s", "is 0")] {
            match read(bad).unwrap_err() {
                Refused::Value(why) => assert!(why.contains(word), "{why}"),
                Refused::Kind => panic!("{bad:?} is a text"),
            }
        }
    }
}
