//! Rules about where files are and what they are called.

use super::crates::is_ours;
use super::finding::Finding;
use super::tree::Tree;

/// What may stand at the root beside the crates.
const ROOT: [&str; 20] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "docker-compose.yml",
    "clippy.toml",
    "rustfmt.toml",
    "deny.toml",
    "rust-toolchain.toml",
    "docs",
    "sdk",
    ".ci",
    ".github",
    ".cargo",
    ".config",
    ".gitignore",
];

/// Names that say nothing about what is inside.
const FORBIDDEN: [&str; 5] = ["utils", "common", "helpers", "types", "misc"];

/// What every broker crate has, so that who has read one can open any other.
const SKELETON: [&str; 6] = [
    "src/lib.rs",
    "src/config.rs",
    "src/broker.rs",
    "src/connection.rs",
    "src/error.rs",
    "README.md",
];

/// Memory has nothing to configure: no address, no file, no settings.
const NOT_NEEDED: [&str; 1] = ["bananas-broker-memory/src/config.rs"];

/// The root is the table of contents: our crates, and a fixed list of files.
pub(crate) fn unlisted_root_entries(tree: &Tree) -> Vec<Finding> {
    let listed = |name: &&String| !(ROOT.contains(&name.as_str()) || is_ours(name));
    let unlisted = tree.root.iter().filter(listed).map(|name| {
        let text = "this does not belong at the root; move it, remove it, or add it to ROOT \
                    in xtask/src/tidy/layout.rs with a record in docs/decisions/";
        Finding::in_file(name, text)
    });
    unlisted.collect()
}

/// One file, one noun.
pub(crate) fn forbidden_names(tree: &Tree) -> Vec<Finding> {
    let said_by = |path: &str| {
        let parts = path.split('/').map(|part| part.trim_end_matches(".rs"));
        FORBIDDEN
            .into_iter()
            .find(|name| parts.clone().any(|part| part == *name))
    };
    let findings = tree.all("rs").filter_map(|file| {
        let name = said_by(&file.path)?;
        let text = format!("`{name}` says nothing; name the file after the one thing in it");
        Some(Finding::in_file(&file.path, text))
    });
    findings.collect()
}

/// Broker crates have the same files.
pub(crate) fn missing_skeleton(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in tree
        .crates()
        .filter(|name| name.starts_with("bananas-broker-"))
    {
        for part in SKELETON {
            let path = format!("{folder}/{part}");
            // A part that has grown may be a folder.
            let as_folder = path.replace(".rs", "/mod.rs");
            let needed = !NOT_NEEDED.contains(&path.as_str());
            if needed && !tree.has(&path) && !tree.has(&as_folder) {
                let text = "a broker crate has this file; add it";
                findings.push(Finding::in_file(&path, text));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::texts;

    #[test]
    fn an_unlisted_root_entry_is_found() {
        let tree = Tree::planted(&[
            ("Cargo.toml", ""),
            ("bananas-broker-redis/Cargo.toml", ""),
            ("docs/guide/a.md", ""),
            ("notes.txt", ""),
            ("scripts/a.sh", ""),
        ]);
        let found = texts(&unlisted_root_entries(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("notes.txt:1: ") && found[1].starts_with("scripts:1: "));
    }

    #[test]
    fn a_name_that_says_nothing_is_found() {
        let tree = Tree::planted(&[
            ("a/src/utils.rs", ""),
            ("a/tests/common/mod.rs", ""),
            ("a/src/lease.rs", ""),
            ("a/src/typesetter.rs", ""),
        ]);
        let found = texts(&forbidden_names(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a/src/utils.rs:1: `utils`"));
        assert!(found[1].starts_with("a/tests/common/mod.rs:1: `common`"));
    }

    #[test]
    fn a_broker_crate_without_a_part_of_the_skeleton_is_found() {
        let tree = Tree::planted(&[
            ("bananas-broker-x/Cargo.toml", ""),
            ("bananas-broker-x/README.md", ""),
            ("bananas-broker-x/src/lib.rs", ""),
            ("bananas-broker-x/src/config.rs", ""),
            ("bananas-broker-x/src/broker/mod.rs", ""),
            ("bananas-broker-x/src/connection.rs", ""),
            ("bananas-worker/Cargo.toml", ""),
        ]);
        let found = texts(&missing_skeleton(&tree));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("bananas-broker-x/src/error.rs:1: "));
    }
}
