//! [`TaskAttribute`]: what `#[task(..)]` says, read and checked.
//!
//! All mistakes in it are reported at once. What the values may be is in `value`.

use std::time::Duration;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::meta::ParseNestedMeta;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Error, ExprArray, Lit, Result, Token, Type};

use crate::value::{self, Refused};

/// What `#[task(..)]` may say, each with an example for the error texts.
const KEYS: [(&str, &str); 8] = [
    ("name", "name = \"email.welcome\""),
    ("queue", "queue = \"mail\""),
    ("max_attempts", "max_attempts = 5"),
    ("timeout", "timeout = \"30s\""),
    ("priority", "priority = 70"),
    ("track", "track = \"outcome\""),
    ("tags", "tags = [\"mail\", \"onboarding\"]"),
    ("output", "output = Receipt"),
];

/// What `#[task(..)]` says.
#[derive(Default)]
pub(crate) struct TaskAttribute {
    pub(crate) name: String,
    pub(crate) queue: Option<String>,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) priority: Option<u8>,
    pub(crate) track: Option<&'static str>,
    pub(crate) tags: Vec<String>,
    pub(crate) output: Option<Type>,
}

impl TaskAttribute {
    /// Reads the attributes of a type. Several `#[task(..)]` count as one.
    pub(crate) fn of(input: &DeriveInput) -> Result<Self> {
        let mut reader = Reader::default();
        let mut place = None;
        for attribute in input.attrs.iter().filter(|a| a.path().is_ident("task")) {
            place.get_or_insert(attribute);
            reader.attribute(attribute);
        }
        // Where reading stopped early, the name may stand behind that place.
        if !reader.stopped && !reader.seen.iter().any(|key| key == "name") {
            reader.report(nameless(input, place));
        }
        match reader.error {
            Some(error) => Err(error),
            None => Ok(reader.read),
        }
    }
}

/// Reads entry by entry, and goes on after a wrong one.
#[derive(Default)]
struct Reader {
    read: TaskAttribute,
    seen: Vec<String>,
    error: Option<Error>,
    stopped: bool,
}

impl Reader {
    fn report(&mut self, error: Error) {
        match &mut self.error {
            Some(earlier) => earlier.combine(error),
            None => self.error = Some(error),
        }
    }

    /// Reads one `#[task(..)]`.
    fn attribute(&mut self, attribute: &Attribute) {
        let read = match attribute.parse_args::<Lit>() {
            Ok(lit) => {
                let text = "a value needs its key: `name = \"email.welcome\"`";
                Err(Error::new_spanned(lit, text))
            }
            Err(_) => attribute.parse_nested_meta(|meta| self.entry(&meta)),
        };
        if let Err(e) = read {
            self.stopped = true;
            self.report(e);
        }
    }

    /// Reads one `key = value`. Fails only where the place of the next entry is unknown.
    fn entry(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let key = meta.path.to_token_stream().to_string();
        let Some((_, example)) = KEYS.iter().find(|(known, _)| *known == key) else {
            self.report(unknown(meta, &key));
            rest_of_entry(meta.input)?;
            return Ok(());
        };
        if !meta.input.peek(Token![=]) {
            return Err(meta.error(format!("`{key}` needs a value: `{example}`")));
        }
        let values = meta.value()?;
        if self.seen.contains(&key) {
            let text = format!("`{key}` is given twice; keep one");
            self.report(Error::new_spanned(&meta.path, text));
            rest_of_entry(values)?;
            return Ok(());
        }
        if key == "output" {
            self.read.output = Some(values.parse()?);
        } else {
            let tokens = if key == "tags" {
                self.tags(example, values)?
            } else {
                self.value(&key, example, values)?
            };
            if tokens.is_empty() {
                return Err(meta.error(format!("`{key}` needs a value: `{example}`")));
            }
        }
        self.seen.push(key);
        Ok(())
    }

    /// Reads one literal, and answers what stands in its place.
    fn value(&mut self, key: &str, example: &str, values: ParseStream<'_>) -> Result<TokenStream> {
        let (tokens, set) = match values.fork().parse::<Lit>() {
            // A literal ends an entry, so that a forgotten comma is found where it belongs.
            Ok(_) => {
                let lit: Lit = values.parse()?;
                (lit.to_token_stream(), self.set(key, &lit))
            }
            Err(_) => (rest_of_entry(values)?, Err(Refused::Kind)),
        };
        if let (Err(refused), false) = (set, tokens.is_empty()) {
            self.refuse(key, example, &tokens, refused);
        }
        Ok(tokens)
    }

    /// Reads a list of tags, and answers what stands in its place.
    fn tags(&mut self, example: &str, values: ParseStream<'_>) -> Result<TokenStream> {
        let tokens = rest_of_entry(values)?;
        let list: std::result::Result<ExprArray, _> = syn::parse2(tokens.clone());
        let read = match &list {
            Ok(list) => value::tags(list),
            Err(_) => Err(Refused::Kind),
        };
        match read {
            Ok(tags) => self.read.tags = tags,
            Err(refused) if !tokens.is_empty() => self.refuse("tags", example, &tokens, refused),
            Err(_) => {}
        }
        Ok(tokens)
    }

    fn refuse(&mut self, key: &str, example: &str, tokens: &TokenStream, refused: Refused) {
        let text = match refused {
            Refused::Value(why) => why,
            Refused::Kind => format!("`{key}` is written like this: `{example}`"),
        };
        self.report(Error::new_spanned(tokens, text));
    }

    fn set(&mut self, key: &str, lit: &Lit) -> std::result::Result<(), Refused> {
        match key {
            "name" => self.read.name = value::name("task", lit)?,
            "queue" => self.read.queue = Some(value::name("queue", lit)?),
            "max_attempts" => self.read.max_attempts = Some(value::max_attempts(lit)?),
            "timeout" => self.read.timeout = Some(value::timeout(lit)?),
            "priority" => self.read.priority = Some(value::priority(lit)?),
            _ => self.read.track = Some(value::track(lit)?),
        }
        Ok(())
    }
}

/// Takes what stands before the next comma.
fn rest_of_entry(input: ParseStream<'_>) -> Result<TokenStream> {
    let mut tokens = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        tokens.extend([input.parse::<TokenTree>()?]);
    }
    Ok(tokens)
}

fn nameless(input: &DeriveInput, place: Option<&Attribute>) -> Error {
    let advice = "write `#[task(name = \"…\")]`: it is how workers find the handler, \
                  so it must outlive a renamed type";
    let ident = &input.ident;
    match place {
        Some(attribute) => Error::new_spanned(
            attribute,
            format!("the name of task `{ident}` is missing; {advice}"),
        ),
        None => Error::new_spanned(ident, format!("`{ident}` has no `#[task(..)]`; {advice}")),
    }
}

fn unknown(meta: &ParseNestedMeta<'_>, key: &str) -> Error {
    let near = KEYS
        .iter()
        .map(|(known, _)| (strsim::damerau_levenshtein(key, known), *known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(key.len()) / 2);
    let advice = match near {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None => format!("it has {}", KEYS.map(|(known, _)| known).join(", ")),
    };
    let text = format!("`#[task(..)]` has no key `{key}`; {advice}");
    Error::new(meta.path.span(), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    fn read(attributes: &TokenStream) -> Result<TaskAttribute> {
        TaskAttribute::of(&syn::parse2(quote! { #attributes struct Welcome; }).unwrap())
    }

    /// The errors of an attribute, one a line.
    fn errors(attributes: &TokenStream) -> String {
        let error = read(attributes).err().expect("it must be refused");
        let lines: Vec<String> = error.into_iter().map(|e| e.to_string()).collect();
        lines.join("\n")
    }

    #[test]
    fn all_keys_are_read() {
        let task = read(&quote! {
            #[task(name = "email.welcome", queue = "mail", max_attempts = 5, timeout = "30s")]
            #[task(priority = 70, track = "none", output = HashMap<String, u32>,)]
            #[task(tags = ["mail", "a b"])]
        })
        .unwrap();
        assert_eq!(task.name, "email.welcome");
        assert_eq!(task.queue.as_deref(), Some("mail"));
        assert_eq!(task.max_attempts, Some(5));
        assert_eq!(task.timeout, Some(Duration::from_secs(30)));
        assert_eq!(task.priority, Some(70));
        assert_eq!(task.track, Some("None"));
        assert_eq!(task.tags, ["mail", "a b"]);
        assert!(task.output.is_some());
    }

    #[test]
    fn a_task_without_a_name_is_refused_with_the_line_to_write() {
        for attributes in [
            quote! {},
            quote! { #[task()] },
            quote! { #[task(queue = "a b")] },
        ] {
            let text = errors(&attributes);
            assert!(text.contains("#[task(name = \"…\")]"), "{text}");
        }
        assert!(errors(&quote! {}).contains("`Welcome` has no `#[task(..)]`"));
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_known_one() {
        let text = errors(&quote! { #[task(name = "a", max_attempt = 5)] });
        assert!(text.contains("did you mean `max_attempts`?"), "{text}");
        let text = errors(&quote! { #[task(name = "a", colour(red = 1))] });
        assert!(text.contains("it has name, queue, "), "{text}");
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let text = errors(&quote! {
            #[task(name = "a b", queue = "", max_attempts = 0, timeout = "soon", priority = 101)]
            #[task(track = "some", tags = ["ok", ""], nam = "c", name = "d")]
        });
        let words = [
            "task name \"a b\" contains ' '",
            "a queue name cannot be empty",
            "max_attempts is 0",
            "\"soon\" is not a duration",
            "priority 101 is out of range",
            "track \"some\" is unknown",
            "a tag cannot be empty",
            "did you mean `name`?",
            "`name` is given twice",
        ];
        assert_eq!(text.lines().count(), words.len(), "{text}");
        for (line, word) in text.lines().zip(words) {
            assert!(line.contains(word), "{line}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_answered_with_an_example() {
        for (entry, example) in [
            (quote! { name = 5 }, "`name = \"email.welcome\"`"),
            (quote! { timeout = 30 }, "`timeout = \"30s\"`"),
            (quote! { timeout = Duration::from_secs(3) }, "\"30s\""),
            (quote! { max_attempts = "5" }, "`max_attempts = 5`"),
            (
                quote! { tags = "mail" },
                "`tags = [\"mail\", \"onboarding\"]`",
            ),
            (quote! { tags = [5] }, "`tags = [\"mail\", \"onboarding\"]`"),
            (quote! { tags = }, "`tags = [\"mail\", \"onboarding\"]`"),
            (quote! { priority }, "`priority = 70`"),
            (quote! { priority = }, "`priority = 70`"),
            (quote! { "email.welcome" }, "`name = \"email.welcome\"`"),
        ] {
            let text = errors(&quote! { #[task(#entry)] });
            assert!(text.contains(example), "{text}");
        }
    }

    #[test]
    fn a_forgotten_comma_is_named() {
        let text = errors(&quote! { #[task(name = "a" queue = "b")] });
        assert_eq!(text, "expected `,`");
    }

    #[test]
    fn a_negative_number_is_out_of_range() {
        let text = errors(&quote! { #[task(name = "a", priority = -1, max_attempts = -5)] });
        assert!(text.contains("priority -1 is out of range"), "{text}");
        assert!(text.contains("max_attempts -5 is out of range"), "{text}");
    }
}
