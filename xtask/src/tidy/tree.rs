//! [`Tree`]: the files of the workspace, read once for all rules.
//!
//! What Git is told to ignore is not part of it. Rules look at it and never at the disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use walkdir::WalkDir;

/// The text files of a workspace.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// What stands at the root, files and folders.
    pub(crate) root: BTreeSet<String>,
    /// All text files, by path.
    pub(crate) files: Vec<TextFile>,
}

/// A file with its text.
#[derive(Debug)]
pub(crate) struct TextFile {
    /// From the root, with `/` between the parts.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
}

impl TextFile {
    /// Its lines, counted from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// Its name without the folders.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether its name ends with `.` and this.
    pub(crate) fn is(&self, extension: &str) -> bool {
        self.name()
            .rsplit_once('.')
            .is_some_and(|(_, found)| found == extension)
    }
}

impl Tree {
    /// Reads all text files below a folder.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let ignored = Ignored::read(root);
        let mut tree = Self::default();
        let walk = WalkDir::new(root).min_depth(1).sort_by_file_name();
        let wanted = |entry: &walkdir::DirEntry| {
            let name = entry.file_name().to_string_lossy();
            !(entry.depth() == 1 && ignored.at_root(&name) || ignored.anywhere(&name))
        };
        for entry in walk.into_iter().filter_entry(wanted) {
            let entry = entry.context("cannot walk through the workspace")?;
            if entry.depth() == 1 {
                tree.root
                    .insert(entry.file_name().to_string_lossy().into_owned());
            }
            if entry.file_type().is_file() {
                let bytes = fs::read(entry.path());
                let bytes =
                    bytes.with_context(|| format!("cannot read {}", entry.path().display()))?;
                // What is not text is an image or a database; no rule concerns it.
                if let Ok(text) = String::from_utf8(bytes) {
                    let path = entry.path().strip_prefix(root)?;
                    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
                    let path = parts.join("/");
                    tree.files.push(TextFile { path, text });
                }
            }
        }
        Ok(tree)
    }

    /// Whether there is a file at this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    /// The files with this extension.
    pub(crate) fn all(&self, extension: &str) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(move |file| file.is(extension))
    }

    /// The folders at the root that hold a crate.
    pub(crate) fn crates(&self) -> impl Iterator<Item = &str> {
        let has_manifest = |name: &&String| self.has(&format!("{name}/Cargo.toml"));
        self.root.iter().filter(has_manifest).map(String::as_str)
    }
}

/// What `.gitignore` says, of which we use two forms: `/name` and `*.extension`.
struct Ignored {
    names: Vec<String>,
    extensions: Vec<String>,
}

impl Ignored {
    fn read(root: &Path) -> Self {
        let text = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let after = |mark: &str| -> Vec<String> {
            let lines = text
                .lines()
                .filter_map(|line| line.trim().strip_prefix(mark));
            lines
                .map(|rest| rest.trim_end_matches('/').to_owned())
                .collect()
        };
        Self {
            names: after("/"),
            extensions: after("*."),
        }
    }

    fn at_root(&self, name: &str) -> bool {
        name == ".git" || self.names.iter().any(|ignored| ignored == name)
    }

    fn anywhere(&self, name: &str) -> bool {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        extension.is_some_and(|found| self.extensions.iter().any(|ignored| ignored == found))
    }
}

#[cfg(test)]
impl Tree {
    /// Writes files into a fresh folder and reads them back.
    pub(crate) fn planted(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self::read(folder.path()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_ignores_is_not_part_of_the_tree() {
        let tree = Tree::planted(&[
            (".gitignore", "/target\n*.db\n"),
            (".git/config", ""),
            ("target/debug/a.rs", ""),
            ("jobs.db", ""),
            ("a/target.rs", ""),
            ("a/Cargo.toml", ""),
        ]);
        let paths: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".gitignore", "a/Cargo.toml", "a/target.rs"]);
        assert_eq!(tree.root.iter().collect::<Vec<_>>(), [".gitignore", "a"]);
        assert_eq!(tree.crates().collect::<Vec<_>>(), ["a"]);
    }
}
