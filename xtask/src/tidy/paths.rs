//! Nothing in the repository is true on one machine only.

use super::finding::Finding;
use super::tree::Tree;

/// Folders that people and machines have at the root, each with a name below it.
const FOLDERS: [&str; 4] = ["home", "Users", "root", "work"];

/// An absolute path that exists where it was written and nowhere else.
pub(crate) fn of_one_machine(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for (number, line) in file.lines() {
            if let Some(folder) = FOLDERS.into_iter().find(|folder| names_path(line, folder)) {
                let text = format!(
                    "a path below /{folder} is that of one machine; write it relative to the \
                     workspace or read it from the environment"
                );
                findings.push(Finding::at(&file.path, number, text));
            }
        }
    }
    findings
}

fn names_path(line: &str, folder: &str) -> bool {
    // Behind these a slash goes on with a path or a URL.
    let goes_on = |c: char| c.is_alphanumeric() || "_-.~})]*".contains(c);
    let path = format!("/{folder}/");
    line.match_indices(&path).any(|(start, _)| {
        let (before, from) = line.split_at(start);
        let below = from.get(path.len()..).unwrap_or_default();
        !before.ends_with(goes_on) && below.starts_with(|c: char| c.is_alphanumeric() || c == '.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::texts;

    #[test]
    fn an_absolute_path_of_one_machine_is_found() {
        let [home, users, root, work] = FOLDERS.map(|folder| format!("/{folder}/"));
        let good = format!("https://a.org{home}x\n$HOME{work}x\n/tmp/x\nalways {root} x\n");
        let bad = format!("a\n\"{home}me/x\"\nat {users}me\nfile://{work}x\n`{root}.cargo`\n");
        let tree = Tree::planted(&[("good.md", &good), ("bad.md", &bad)]);
        let found = texts(&of_one_machine(&tree));
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(
            found[0].starts_with("bad.md:2: a path below /home"),
            "{found:?}"
        );
    }
}
