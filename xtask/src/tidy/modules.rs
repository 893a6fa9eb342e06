//! Rules about the documentation inside Rust files.

use super::finding::Finding;
use super::tree::{TextFile, Tree};

/// Every file says what it is for.
pub(crate) fn undocumented(tree: &Tree) -> Vec<Finding> {
    let findings = tree
        .all("rs")
        .filter(|file| !has_module_doc(file))
        .map(|file| {
            let text = "begin the file with `//!` and what it is for and leaves to others";
            Finding::in_file(&file.path, text)
        });
    findings.collect()
}

fn has_module_doc(file: &TextFile) -> bool {
    let mut in_attribute = false;
    for line in file.text.lines().map(str::trim) {
        if line.starts_with("//!") {
            return true;
        }
        if in_attribute || line.starts_with("#![") {
            in_attribute = !line.ends_with(']');
            continue;
        }
        if !line.is_empty() && !line.starts_with("#!") {
            return false;
        }
    }
    false
}

/// Every example in the documentation is compiled.
pub(crate) fn ignored_examples(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree
        .files
        .iter()
        .filter(|file| file.is("rs") || file.is("md"))
    {
        for (number, line) in file.lines() {
            let line = line.trim_start();
            let line = ["///", "//!"]
                .into_iter()
                .find_map(|mark| line.strip_prefix(mark))
                .or(
                    // In Markdown a fence begins the line.
                    file.is("md").then_some(line),
                );
            let fence = line.and_then(|line| line.trim().strip_prefix("```"));
            if fence.is_some_and(is_ignored) {
                let text = "an ignored example rots; let it compile, or use `no_run` where it \
                            needs a server and `text` where it is no Rust";
                findings.push(Finding::at(&file.path, number, text));
            }
        }
    }
    findings
}

/// Whether the words behind a fence keep the compiler away.
fn is_ignored(words: &str) -> bool {
    let mut words = words.split([',', ' ', '{', '}']);
    words.any(|word| word == "ignore" || word.starts_with("ignore-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::texts;

    #[test]
    fn a_file_without_a_module_doc_is_found() {
        let tree = Tree::planted(&[
            ("a.rs", "use x;\n//! Too late.\n"),
            ("b.rs", "//! Here.\n"),
            ("c.rs", "#![allow(\n    dead_code,\n)]\n\n//! Here.\n"),
            ("d.rs", ""),
        ]);
        let found = texts(&undocumented(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.rs:1: ") && found[1].starts_with("d.rs:1: "));
    }

    #[test]
    fn an_ignored_doc_example_is_found() {
        let tree = Tree::planted(&[
            (
                "a.rs",
                "//! A.\n\n/// ```ignore\n/// x\n/// ```\nfn x() {}\n",
            ),
            ("b.rs", "//! ```no_run\n//! ```\nlet x = \"```ignore\";\n"),
            ("c.md", "# C\n```rust,ignore\n```\n"),
        ]);
        let found = texts(&ignored_examples(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.rs:3: ") && found[1].starts_with("c.md:2: "));
    }
}
