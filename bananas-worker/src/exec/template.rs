//! Words with holes: `{name}` for a field of the arguments, `{}` for all of them, `{{` and `}}` for braces.

use super::fields::Fields;

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
    pub(super) fn fill(&self, args: &Fields<'_>) -> Result<String, String> {
        let mut word = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => word.push_str(text),
                Piece::All => word.push_str(&args.all()),
                Piece::Field(name) => match args.get(name) {
                    Some(value) => word.push_str(&value),
                    None => {
                        let has = args.describe();
                        return Err(format!("the arguments have no field `{name}`{has}"));
                    }
                },
            }
        }
        Ok(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(word: &str) -> Result<String, String> {
        let args = br#"{ "name": "a b; rm -rf /", "n": 3, "list": [1,"x"] }"#;
        Template::parse(word)?.fill(&Fields::of(args).unwrap())
    }

    #[test]
    fn fields_are_inserted_as_they_are_or_as_json() {
        assert_eq!(fill("--name={name}").unwrap(), "--name=a b; rm -rf /");
        assert_eq!(fill("{n}/{list}").unwrap(), "3/[1,\"x\"]");
        assert_eq!(fill("{{n}}").unwrap(), "{n}");
        assert_eq!(
            Template::parse("{}")
                .unwrap()
                .fill(&Fields::of(b"[1, 2]").unwrap())
                .unwrap(),
            "[1, 2]"
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
