//! Reading the file: TOML with places in the errors.

use crate::{Error, ErrorKind, Result};

use super::Config;

/// Parses the text of a configuration file.
pub(super) fn parse(name: &str, text: &str) -> Result<Config> {
    toml::from_str(text).map_err(|e| {
        let place = e.span().map_or_else(String::new, |span| {
            let (line, column) = place(text, span.start);
            format!(":{line}:{column}")
        });
        let message = e.message();
        let hint = nearest_known(message)
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{name}{place}: {message}{hint}"),
        )
    })
}

/// The line and the column, from 1, of a byte in a text.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count())
        + 1;
    (line, column)
}

/// Serde says "unknown field `a`, expected one of `b`, `c`": the expected name that is most like the unknown.
fn nearest_known(message: &str) -> Option<String> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    quoted
        .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(unknown.len()) / 2)
        .map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Config::read("bananas.toml", text, [])
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(
            Config::read("bananas.toml", "", []).unwrap(),
            Config::default()
        );
    }

    #[test]
    fn the_file_of_the_documentation_is_read() {
        let text = r#"
            [broker]
            url = "sqlite://jobs.db"
            namespace = "shop"
            require_durability = "D2"
            [queues.mail]
            concurrency = 50
            track = "full"
            [tasks."email.welcome"]
            max_attempts = 5
            backoff = { base = "1s", factor = 2.0, max = "1h", jitter = true }
            timeout = "30s"
            [tasks.resize.exec]
            argv = ["convert", "{input}"]
            [worker]
            concurrency = 200
            shutdown_grace = "25s"
        "#;
        let config = Config::read("bananas.toml", text, []).unwrap();
        assert_eq!(config.worker.concurrency, 200);
        assert_eq!(config.tasks["email.welcome"].max_attempts, Some(5));
        assert_eq!(config.broker.require_durability.as_deref(), Some("D2"));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        let text = message("[worker]\nconcurency = 5\n");
        assert!(text.starts_with("bananas.toml:2:1: "), "{text}");
        assert!(text.ends_with("did you mean `concurrency`?"), "{text}");
    }

    #[test]
    fn a_wrong_value_says_what_a_right_one_looks_like() {
        let text = message("[tasks.a]\ntimeout = \"soon\"\n");
        assert!(
            text.contains("bananas.toml:2:11") && text.contains("\"30s\""),
            "{text}"
        );
        let text = message("[tasks.a]\nmax_attempts = 0\n");
        assert!(text.contains("tasks.\"a\".max_attempts is 0"), "{text}");
        let text = message("[tasks.a.exec]\n");
        assert!(text.contains("either `argv` or `shell`"), "{text}");
    }

    #[test]
    fn broken_toml_has_a_place() {
        let text = message("[worker\n");
        assert!(text.starts_with("bananas.toml:1:"), "{text}");
    }
}
