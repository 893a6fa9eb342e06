//! Words with holes: `{name}` for a field of the arguments, `{}` for all of them, `{{` and `}}` for braces.

use std::fmt::Write as _;

use serde_json::Value;

/// A word, cut at its holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(String),
    All,
}

impl Template {
    /// Cuts a word; a brace without its partner is an error that shows the word.
    pub(super) fn parse(word: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut chars = word.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.peek() == Some(&c) => {
                    chars.next();
                    text.push(c);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some(c) if c != '{' => name.push(c),
                            _ => {
                                return Err(format!(
                                    "`{{` without `}}` in {word:?}; write `{{{{` for a brace"
                                ));
                            }
                        }
                    }
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                    pieces.push(match name.as_str() {
                        "" => Piece::All,
                        _ => Piece::Field(name),
                    });
                }
                '}' => {
                    return Err(format!(
                        "`}}` without `{{` in {word:?}; write `}}}}` for a brace"
                    ));
                }
                c => text.push(c),
            }
        }
        pieces.push(Piece::Text(text));
        Ok(Self(pieces))
    }

    /// Fills the holes; a field that is not there is an error that names it.
    pub(super) fn fill(&self, args: &Value) -> Result<String, String> {
        let mut word = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => word.push_str(text),
                Piece::All => push(&mut word, args),
                Piece::Field(name) => match args.get(name) {
                    Some(value) => push(&mut word, value),
                    None => {
                        return Err(format!("the arguments have no field `{name}`{}", has(args)));
                    }
                },
            }
        }
        Ok(word)
    }
}

/// A string as it is, anything else as JSON.
pub(super) fn push(word: &mut String, value: &Value) {
    match value {
        Value::String(text) => word.push_str(text),
        // Writing to a string cannot fail.
        value => drop(write!(word, "{value}")),
    }
}

/// What there is instead of the field that is not.
fn has(args: &Value) -> String {
    let Value::Object(fields) = args else {
        return "; they are no object".to_owned();
    };
    let names: Vec<&str> = fields.keys().map(String::as_str).collect();
    match names.as_slice() {
        [] => "; they have none".to_owned(),
        names => format!("; they have {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fill(word: &str) -> Result<String, String> {
        let args = json!({ "name": "a b; rm -rf /", "n": 3, "list": [1, "x"] });
        Template::parse(word)?.fill(&args)
    }

    #[test]
    fn fields_are_inserted_as_they_are_or_as_json() {
        assert_eq!(fill("--name={name}").unwrap(), "--name=a b; rm -rf /");
        assert_eq!(fill("{n}/{list}").unwrap(), "3/[1,\"x\"]");
        assert_eq!(fill("{{n}}").unwrap(), "{n}");
        assert_eq!(
            Template::parse("{}").unwrap().fill(&json!([1, 2])).unwrap(),
            "[1,2]"
        );
    }

    #[test]
    fn mistakes_are_named() {
        let error = fill("{size}").unwrap_err();
        assert!(
            error.contains("`size`") && error.contains("list, n, name"),
            "{error}"
        );
        assert!(fill("{n").unwrap_err().contains("\"{n\""));
        assert!(fill("n}").unwrap_err().contains("\"n}\""));
        assert!(fill("{a{b}}").is_err());
    }
}
