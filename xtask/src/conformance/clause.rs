//! [`Clause`]: a numbered sentence of a contract.

use crate::tidy::Tree;

/// Where the contracts are written.
const PLACES: [&str; 3] = [
    "bananas-core/src/broker/",
    "bananas-core/src/ledger/",
    "bananas-core/src/store/",
];

/// A numbered sentence of a contract, in the documentation of its trait.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Clause {
    /// `B40`.
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) line: usize,
}

impl Clause {
    /// All clauses, in the order of the files.
    pub(crate) fn all(tree: &Tree) -> Vec<Self> {
        let mut clauses = Vec::new();
        let inside = |path: &str| PLACES.iter().any(|place| path.starts_with(place));
        for file in tree.all("rs").filter(|file| inside(&file.path)) {
            for (line, text) in file.lines() {
                let text = text.trim_start();
                if !text.starts_with("///") && !text.starts_with("//!") {
                    continue;
                }
                for part in text.split("**").skip(1).step_by(2) {
                    if is_clause(part) {
                        clauses.push(Self {
                            id: part.to_owned(),
                            path: file.path.clone(),
                            line,
                        });
                    }
                }
            }
        }
        clauses
    }
}

/// Whether this is the number of a clause: `B`, `S` or `L`, and digits.
pub(super) fn is_clause(word: &str) -> bool {
    let digits = word.strip_prefix(['B', 'S', 'L']).unwrap_or_default();
    !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
}
