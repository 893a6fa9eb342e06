//! The census: a second way to find the files, and to read one, that shares nothing with producer and handler.
//!
//! It is taken before the first job is enqueued and after the last has ended. Whoever proves that nothing was
//! lost must not ask the code that might have lost it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::scope::Scope;

/// What a look at a file without opening it shows; `None` where it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its size.
    pub(super) bytes: Option<u64>,
    /// When it was last written.
    pub(super) modified: Option<SystemTime>,
}

/// All files at one moment.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// The files.
    pub(super) files: Vec<(PathBuf, Seen)>,
    /// Folders that could not be looked into, and why.
    pub(super) closed: Vec<(PathBuf, String)>,
}

/// Counts the files that are there now.
pub(super) fn take(scope: &Scope) -> Census {
    let mut census = Census::default();
    let mut folders = vec![scope.root.clone()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // It went away after its parent was read, and its files with it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => {
                census.closed.push((folder, e.to_string()));
                continue;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => {
                    census.closed.push((folder.clone(), e.to_string()));
                    break;
                }
            };
            // Neither call follows a symbolic link.
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() && scope.enters(&entry.file_name()) {
                folders.push(entry.path());
            } else if kind.is_file() && scope.counts(&entry.path()) {
                census
                    .files
                    .extend(seen(&entry).map(|seen| (entry.path(), seen)));
            }
        }
    }
    census
}

fn seen(entry: &fs::DirEntry) -> Option<Seen> {
    match entry.metadata() {
        Ok(metadata) => Some(Seen {
            bytes: Some(metadata.len()),
            modified: metadata.modified().ok(),
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(_) => Some(Seen::default()),
    }
}

/// Reads a file: its size and digest.
pub(super) fn read(path: &Path) -> io::Result<(u64, blake3::Hash)> {
    let mut hasher = blake3::Hasher::new();
    let bytes = io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok((bytes, hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_files_are_found_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::write(root.join("a/b/c"), "12345").unwrap();
        fs::write(root.join(".git/HEAD"), "x").unwrap();
        std::os::unix::fs::symlink(root.join("a"), root.join("folder")).unwrap();
        std::os::unix::fs::symlink(root.join("a/b/c"), root.join("file")).unwrap();
        let scope = Scope {
            root: root.clone(),
            all: false,
            database: "/elsewhere/x.db".into(),
        };
        let census = take(&scope);
        let [(path, seen)] = census.files.as_slice() else {
            panic!("{census:?}")
        };
        assert_eq!(*path, root.join("a/b/c"));
        assert_eq!(seen.bytes, Some(5));
        assert_eq!(read(path).unwrap(), (5, blake3::hash(b"12345")));
    }
}
