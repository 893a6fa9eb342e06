//! Where the workspace begins.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The nearest folder, from `start` upwards, whose `Cargo.toml` is that of a workspace.
///
/// Looked for at run time: a path compiled in would lead elsewhere when two clones share a target folder.
pub(crate) fn find(start: &Path) -> Result<PathBuf> {
    for folder in start.ancestors() {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        if manifest.lines().any(|line| line.trim() == "[workspace]") {
            return Ok(folder.to_owned());
        }
    }
    bail!(
        "no workspace in {} or above; run it inside a clone of Bananas",
        start.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_from_deep_inside() {
        let root = find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(root.join("xtask").is_dir());
        assert_eq!(find(&root.join("xtask/src/tidy")).unwrap(), root);
    }

    #[test]
    fn outside_of_a_clone_it_says_so() {
        let outside = tempfile::tempdir().unwrap();
        let text = find(outside.path()).unwrap_err().to_string();
        assert!(text.contains("inside a clone"), "{text}");
    }
}
