//! [`Manifest`]: a crate's `Cargo.toml`, as far as rules ask about it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::tree::TextFile;

/// A crate's `Cargo.toml`.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// What it says is the crate's name, and in which line.
    pub(crate) name: Option<(String, usize)>,
    /// The crates it is built with, and in which lines; not those of its tests.
    pub(crate) dependencies: Vec<(String, usize)>,
}

impl Manifest {
    /// Reads it. What Cargo would not accept is left to Cargo, and is empty here.
    pub(crate) fn read(file: &TextFile) -> Self {
        let text = &file.text;
        let mut manifest = Self::default();
        let Ok(table) = DeTable::parse(text) else {
            return manifest;
        };
        let table = table.get_ref();
        if let Some(name) = table_in(table, "package").and_then(|package| package.get("name")) {
            let line = line_of(text, name.span().start);
            manifest.name = name.get_ref().as_str().map(|name| (name.to_owned(), line));
        }
        manifest.add_dependencies(text, table);
        for (_, target) in table_in(table, "target").into_iter().flatten() {
            if let DeValue::Table(target) = target.get_ref() {
                manifest.add_dependencies(text, target);
            }
        }
        manifest
    }

    fn add_dependencies(&mut self, text: &str, table: &DeTable<'_>) {
        for section in ["dependencies", "build-dependencies"] {
            for (key, value) in table_in(table, section).into_iter().flatten() {
                let renamed = value.get_ref().get("package").map(Spanned::get_ref);
                let name = renamed.and_then(DeValue::as_str).unwrap_or(key.get_ref());
                let line = line_of(text, key.span().start);
                self.dependencies.push((name.to_owned(), line));
            }
        }
    }
}

fn table_in<'t, 'i>(table: &'t DeTable<'i>, key: &str) -> Option<&'t DeTable<'i>> {
    match table.get(key)?.get_ref() {
        DeValue::Table(inner) => Some(inner),
        _ => None,
    }
}

/// The line, from 1, of a byte.
fn line_of(text: &str, byte: usize) -> usize {
    let before = text.get(..byte).unwrap_or(text);
    before.matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_dependencies_are_read_with_their_lines() {
        let text = "[package]\nname = \"a\"\n\n[dependencies]\nb.workspace = true\n\
                    c = { package = \"d\", version = \"1\" }\n[dev-dependencies]\ne = \"1\"\n\
                    [target.'cfg(unix)'.dependencies]\nf = \"1\"\n";
        let manifest = Manifest::read(&TextFile {
            path: "a/Cargo.toml".to_owned(),
            text: text.to_owned(),
        });
        assert_eq!(manifest.name, Some(("a".to_owned(), 2)));
        let expected = [("b", 5), ("d", 6), ("f", 10)];
        let expected = expected.map(|(name, line)| (name.to_owned(), line));
        assert_eq!(manifest.dependencies, expected);
    }
}
