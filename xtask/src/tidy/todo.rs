//! A note for later belongs to the issue tracker, and the code names the issue.

use super::finding::Finding;
use super::tree::Tree;

/// The words, put together here so that this file is not its own first finding.
const WORDS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// A note for later without the number of its issue.
pub(crate) fn unnumbered(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for (number, line) in file.lines() {
            if let Some(word) = WORDS.into_iter().find(|word| is_unnumbered(line, word)) {
                let text = format!("do it now, or open an issue and write `{word}(#12)`");
                findings.push(Finding::at(&file.path, number, text));
            }
        }
    }
    findings
}

fn is_unnumbered(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let (before, from) = line.split_at(start);
        let after = from.get(word.len()..).unwrap_or_default();
        let whole = !before.ends_with(joins) && !after.starts_with(joins);
        let number = after.trim_start_matches(['(', ' ']).strip_prefix('#');
        whole && !number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::texts;

    #[test]
    fn a_note_without_a_number_is_found() {
        let [todo, fixme] = WORDS;
        let good = format!("// {todo}(#12): a\n// {fixme} #3\n// X{todo}\n");
        let bad = format!("//! A.\n// {todo}: b\n// {fixme}(me)\n");
        let tree = Tree::planted(&[("good.rs", &good), ("bad.rs", &bad)]);
        let found = texts(&unnumbered(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("bad.rs:2: ") && found[1].starts_with("bad.rs:3: "));
    }
}
