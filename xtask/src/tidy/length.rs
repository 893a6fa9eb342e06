//! Rules about how long things may be.

use super::finding::Finding;
use super::tree::{TextFile, Tree};

/// The longest file, tests included.
const FILE: usize = 800;

/// The longest README.
const README: usize = 150;

/// The longest ARCHITECTURE.md.
const ARCHITECTURE: usize = 300;

fn longer_than(limit: usize, file: &TextFile, advice: &str) -> Option<Finding> {
    let lines = file.text.lines().count();
    let text = format!("{lines} lines, and the limit is {limit}; {advice}");
    (lines > limit).then(|| Finding::in_file(&file.path, text))
}

/// A file that a person reads is one idea.
pub(crate) fn long_files(tree: &Tree) -> Vec<Finding> {
    // Written by Cargo, or data.
    let read =
        |file: &&TextFile| file.path != "Cargo.lock" && !file.path.starts_with("sdk/fixtures/");
    let files = tree.files.iter().filter(read);
    let advice = "find the second idea in it and give that its own file";
    files
        .filter_map(|file| longer_than(FILE, file, advice))
        .collect()
}

/// A README says what it is and where to go next.
pub(crate) fn long_readmes(tree: &Tree) -> Vec<Finding> {
    let files = tree.files.iter().filter(|file| file.name() == "README.md");
    let advice = "move what is not a first look to docs/";
    files
        .filter_map(|file| longer_than(README, file, advice))
        .collect()
}

/// A bird's-eye view stays high up.
pub(crate) fn long_architecture(tree: &Tree) -> Vec<Finding> {
    let files = tree
        .files
        .iter()
        .filter(|file| file.path == "ARCHITECTURE.md");
    let advice = "move details to the module docs of the crate they are about";
    files
        .filter_map(|file| longer_than(ARCHITECTURE, file, advice))
        .collect()
}

/// All Markdown together is shorter than the Rust it describes.
pub(crate) fn more_words_than_code(tree: &Tree) -> Vec<Finding> {
    let lines = |extension| -> usize {
        tree.all(extension)
            .map(|file| file.text.lines().count())
            .sum()
    };
    let (markdown, rust) = (lines("md"), lines("rs"));
    if markdown <= rust {
        return Vec::new();
    }
    let text = format!("{markdown} lines of Markdown describe {rust} lines of Rust; shorten them");
    vec![Finding::in_file("README.md", text)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::texts;

    fn lines(count: usize) -> String {
        "x\n".repeat(count)
    }

    #[test]
    fn a_file_over_the_limit_is_found() {
        let tree = Tree::planted(&[
            ("a.rs", &lines(801)),
            ("b.rs", &lines(800)),
            ("Cargo.lock", &lines(2_000)),
        ]);
        let found = texts(&long_files(&tree));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("a.rs:1: 801 lines, and the limit is 800"));
    }

    #[test]
    fn a_readme_over_the_limit_is_found() {
        let tree = Tree::planted(&[("README.md", &lines(150)), ("a/README.md", &lines(151))]);
        let found = texts(&long_readmes(&tree));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("a/README.md:1: 151 lines"));
    }

    #[test]
    fn an_architecture_over_the_limit_is_found() {
        let tree = Tree::planted(&[("ARCHITECTURE.md", &lines(301))]);
        assert!(texts(&long_architecture(&tree))[0].starts_with("ARCHITECTURE.md:1: 301 lines"));
        let tree = Tree::planted(&[("ARCHITECTURE.md", &lines(300))]);
        assert!(long_architecture(&tree).is_empty());
    }

    #[test]
    fn more_markdown_than_rust_is_found() {
        let tree = Tree::planted(&[
            ("a.md", &lines(3)),
            ("b.md", &lines(2)),
            ("a.rs", &lines(4)),
        ]);
        assert!(texts(&more_words_than_code(&tree))[0].contains("5 lines of Markdown"));
        let tree = Tree::planted(&[("a.md", &lines(3)), ("a.rs", &lines(4))]);
        assert!(more_words_than_code(&tree).is_empty());
    }
}
