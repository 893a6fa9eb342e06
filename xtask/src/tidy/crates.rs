//! Rules about crates: where they are, and on which of our own they may depend.

use super::finding::Finding;
use super::manifest::Manifest;
use super::tree::Tree;

/// The crates there are, each with those of ours that it may be built with. A `*` stands for any ending.
///
/// A new line, or a new name in one, is a decision and has its record in `docs/decisions/`.
const ALLOWED: [(&str, &[&str]); 13] = [
    ("bananas-core", &[]),
    ("bananas-macros", &[]),
    ("bananas-broker-*", &["bananas-core"]),
    ("bananas-worker", &["bananas-core"]),
    ("bananas-workflow", &["bananas-core", "bananas-worker"]),
    (
        "bananas",
        &[
            "bananas-core",
            "bananas-macros",
            "bananas-worker",
            "bananas-workflow",
            "bananas-broker-*",
        ],
    ),
    ("bananas-cli", &["bananas", "bananas-*"]),
    ("bananas-server", &["bananas-core"]),
    (
        "conformance-tests",
        &["bananas-core", "bananas-broker-memory"],
    ),
    (
        "examples",
        &["bananas", "bananas-core", "conformance-tests"],
    ),
    ("benches", &["bananas", "bananas-core", "bananas-broker-*"]),
    ("torture", &["bananas", "bananas-core", "conformance-tests"]),
    ("xtask", &[]),
];

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Whether this is the name of one of our crates.
pub(crate) fn is_ours(name: &str) -> bool {
    ALLOWED.iter().any(|(pattern, _)| matches(pattern, name))
}

/// A crate stands at the root, in a folder that is named like it.
pub(crate) fn misnamed_folders(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.files.iter().filter(|file| file.name() == "Cargo.toml");
    let wrong = manifests.filter_map(|file| {
        let (name, line) = Manifest::read(file).name?;
        let text = format!("crate `{name}` must be in the folder `{name}/` at the root; move it");
        (file.path != format!("{name}/Cargo.toml")).then(|| Finding::at(&file.path, line, text))
    });
    wrong.collect()
}

/// Our crates depend on each other in one direction, down to the core.
pub(crate) fn forbidden_edges(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        let Some(folder) = file.path.strip_suffix("/Cargo.toml") else {
            continue;
        };
        let row = ALLOWED.iter().find(|(pattern, _)| matches(pattern, folder));
        let allowed = row.map_or(&[] as &[&str], |(_, allowed)| allowed);
        for (name, line) in Manifest::read(file).dependencies {
            let may = allowed.iter().any(|pattern| matches(pattern, &name));
            if is_ours(&name) && !may {
                let text = format!(
                    "`{folder}` may not depend on `{name}`; if it must, write a record in \
                     docs/decisions/ and add the edge to ALLOWED in xtask/src/tidy/crates.rs"
                );
                findings.push(Finding::at(&file.path, line, text));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::texts;

    fn manifest(name: &str, dependency: &str) -> String {
        format!("[package]\nname = \"{name}\"\n[dependencies]\n{dependency}.workspace = true\n")
    }

    #[test]
    fn a_folder_with_another_name_than_its_crate_is_found() {
        let text = manifest("bananas-core", "bytes");
        let tree = Tree::planted(&[
            ("bananas-core/Cargo.toml", &text),
            ("core/Cargo.toml", &text),
        ]);
        let found = texts(&misnamed_folders(&tree));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("core/Cargo.toml:2: crate `bananas-core`"),
            "{found:?}"
        );
    }

    #[test]
    fn an_edge_that_leads_upwards_is_found() {
        let edges = [
            ("bananas-worker", "bananas-core", true),
            ("bananas-worker", "bananas-broker-sqlite", false),
            ("bananas-broker-redis", "bananas-core", true),
            ("bananas-broker-redis", "bananas-broker-sqlite", false),
            ("bananas-core", "bananas-macros", false),
            ("bananas", "bananas-broker-redis", true),
            ("bananas-cli", "bananas-broker-redis", true),
            ("conformance-tests", "bananas-broker-redis", false),
            ("xtask", "bananas-core", false),
            ("unheard-of", "bananas-core", false),
        ];
        for (from, to, allowed) in edges {
            let path = format!("{from}/Cargo.toml");
            let tree = Tree::planted(&[(&path, &manifest(from, to))]);
            let found = texts(&forbidden_edges(&tree));
            assert_eq!(found.is_empty(), allowed, "{from} -> {to}: {found:?}");
            let place = format!("{path}:4: ");
            assert!(
                found.iter().all(|text| text.starts_with(&place)),
                "{found:?}"
            );
        }
    }
}
