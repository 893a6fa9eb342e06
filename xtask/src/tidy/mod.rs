//! `cargo xtask tidy`: the rules of the house that no compiler knows.
//!
//! Each rule is a small function from the tree of files to what it found there; the files of this folder hold
//! them by what they look at.

mod backends;
mod clauses;
mod compose;
mod crates;
mod finding;
mod layout;
mod length;
mod manifest;
mod modules;
mod paths;
mod todo;
mod tree;

use std::path::Path;

use anyhow::Result;

use self::finding::Finding;
pub(crate) use self::tree::{TextFile, Tree};
use crate::conformance::Record;

/// A rule of the house.
type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: [Rule; 19] = [
    layout::unlisted_root_entries,
    layout::forbidden_names,
    layout::missing_skeleton,
    crates::misnamed_folders,
    crates::forbidden_edges,
    backends::named_where_unknown,
    clauses::unproved,
    clauses::unmade_cases,
    clauses::stale_page,
    compose::unlike_private_servers,
    compose::careless_services,
    length::long_files,
    length::long_readmes,
    length::long_architecture,
    length::more_words_than_code,
    modules::undocumented,
    modules::ignored_examples,
    todo::unnumbered,
    paths::of_one_machine,
];

/// Prints all breaches, and answers whether there are none. After a run of the conformance suite its record is
/// compared with the page about it.
pub(crate) fn run(root: &Path, record: Option<&Record>) -> Result<bool> {
    let tree = Tree::read(root)?;
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    if let Some(record) = record {
        findings.extend(clauses::stale_answers(&tree, record));
    }
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    let (rules, files) = (RULES.len(), tree.files.len());
    match findings.len() {
        0 => println!("xtask: {rules} rules hold in {files} files"),
        1 => println!("xtask: 1 breach of the house rules, see above"),
        count => println!("xtask: {count} breaches of the house rules, see above"),
    }
    Ok(findings.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_makes_tidy_fail() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        assert!(run(folder.path(), None).unwrap());
        std::fs::write(folder.path().join("notes.txt"), "").unwrap();
        assert!(!run(folder.path(), None).unwrap());
    }
}
