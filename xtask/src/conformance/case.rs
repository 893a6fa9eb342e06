//! [`Case`]: a line of `conformance-tests/cases.toml`.

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::tidy::Tree;

/// The list of cases.
pub(crate) const CASES: &str = "conformance-tests/cases.toml";

/// A situation that brokers are known to get wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// `E05`.
    pub(crate) id: String,
    /// Its line in the list.
    pub(crate) line: usize,
    /// What it is about.
    pub(crate) title: String,
    /// Where it is proved when no check of the suite does, or why it is not.
    pub(crate) elsewhere: Option<String>,
}

impl Case {
    /// All cases, in order; none where there is no list.
    pub(crate) fn all(tree: &Tree) -> Result<Vec<Self>> {
        let Some(file) = tree.files.iter().find(|file| file.path == CASES) else {
            return Ok(Vec::new());
        };
        let table: Table = file.text.parse().context(CASES)?;
        let mut cases = Vec::new();
        for (id, value) in &table {
            let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
            let Some(title) = text("case") else {
                bail!("{CASES}: {id} does not say what its `case` is");
            };
            let start = format!("{id} =");
            let line = file.lines().find(|(_, line)| line.starts_with(&start));
            cases.push(Self {
                id: id.clone(),
                line: line.map_or(1, |(line, _)| line),
                title,
                elsewhere: text("elsewhere"),
            });
        }
        cases.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(cases)
    }
}

/// Whether this is the id of a case: `A` to `S` and two digits.
pub(super) fn is_case(word: &str) -> bool {
    let mut chars = word.chars();
    let group = chars.next().is_some_and(|c| ('A'..='S').contains(&c));
    group && word.len() == 3 && chars.all(|c| c.is_ascii_digit())
}
