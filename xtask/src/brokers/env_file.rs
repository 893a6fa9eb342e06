//! The variables of all servers that run, as lines for a shell.

use anyhow::Result;

use super::place::{self, Place};
use super::record::Record;
use super::{SERVERS, compose, is_up};

/// Writes the lines to `env` in the folder of the servers.
pub(super) fn write(place: &Place) -> Result<()> {
    place::replace(&place.env_file(), &text(place)?)
}

/// A line for each variable.
pub(super) fn text(place: &Place) -> Result<String> {
    let composed = compose::started(place)?;
    let mut text = String::new();
    for server in &SERVERS {
        if composed.iter().any(|name| name == server.name) {
            text.push_str(&line(server.variable, server.compose_url));
        } else if is_up(place, server)? {
            for (name, value) in Record::read(place, server.name)?.exports {
                text.push_str(&line(&name, &value));
            }
        }
    }
    Ok(text)
}

fn line(name: &str, value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:/@%,".contains(c);
    if value.chars().all(plain) {
        format!("export {name}={value}\n")
    } else {
        format!("export {name}='{}'\n", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_a_shell_would_take_apart_is_quoted() {
        assert_eq!(line("A", "redis://h:1"), "export A=redis://h:1\n");
        assert_eq!(
            line("A", "x://h?a=1&b=it's"),
            "export A='x://h?a=1&b=it'\\''s'\n"
        );
    }
}
