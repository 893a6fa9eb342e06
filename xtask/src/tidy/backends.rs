//! The worker, the workflows and the server know contracts, and no backend.

use super::finding::Finding;
use super::tree::Tree;

/// The folders that name no backend.
const PLACES: [&str; 3] = [
    "bananas-worker/src/",
    "bananas-workflow/src/",
    "bananas-server/src/",
];

/// What gives a backend away, in small letters. Memory alone is an ordinary word, so there it is the names of
/// the crate, its objects and its URL.
const NAMES: [&str; 12] = [
    "sqlite",
    "redis",
    "postgres",
    "amqp",
    "rabbitmq",
    "sqs",
    "nats",
    "broker-memory",
    "broker_memory",
    "memorybroker",
    "memorystore",
    "memory:",
];

/// A backend's name in code that must work with all of them.
pub(crate) fn named_where_unknown(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let inside = |path: &str| PLACES.iter().any(|place| path.starts_with(place));
    for file in tree.files.iter().filter(|file| inside(&file.path)) {
        for (number, line) in file.lines() {
            let line = line.to_lowercase();
            if let Some(name) = NAMES.into_iter().find(|name| line.contains(name)) {
                let text = format!(
                    "this knows the backend `{name}`; ask the contract (capabilities) instead, \
                     or move a test that needs one to the crate's tests/"
                );
                findings.push(Finding::at(&file.path, number, text));
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
    fn a_backends_name_in_the_worker_is_found() {
        let tree = Tree::planted(&[
            (
                "bananas-worker/src/a.rs",
                "// Matched in memory.\nuse x::SqliteStore;\n",
            ),
            (
                "bananas-worker/src/b.rs",
                "use bananas_broker_memory::open;\n",
            ),
            (
                "bananas-worker/tests/c.rs",
                "use bananas_broker_memory::open;\n",
            ),
            ("bananas-cli/src/main.rs", "// redis\n"),
        ]);
        let found = texts(&named_where_unknown(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("bananas-worker/src/a.rs:2: this knows the backend `sqlite`"));
        assert!(found[1].starts_with("bananas-worker/src/b.rs:1: "));
    }
}
