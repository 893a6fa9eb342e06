//! [`Scope`]: which files count.
//!
//! The one thing that producer and census share, for they have to mean the same files. Each walks on its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Folders that are left out unless somebody asks for them: what tools make, not people.
const LEFT_OUT: [&str; 3] = [".git", "target", "node_modules"];

/// Which files count: the regular ones below a folder; symbolic links are not followed.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// The folder, as an absolute path without symbolic links.
    pub(super) root: PathBuf,
    /// Whether [`LEFT_OUT`] is ignored.
    pub(super) all: bool,
    /// The database of the demo, whose files must not be digested where it lies below the folder.
    pub(super) database: PathBuf,
}

impl Scope {
    /// Whether the files of a folder below the root count.
    pub(super) fn enters(&self, name: &OsStr) -> bool {
        self.all || !LEFT_OUT.iter().any(|left_out| name == *left_out)
    }

    /// Whether a file counts: it does unless it is the database, or one of SQLite's files beside that.
    pub(super) fn counts(&self, file: &Path) -> bool {
        if file.parent() != self.database.parent() {
            return true;
        }
        let (Some(file), Some(database)) = (file.file_name(), self.database.file_name()) else {
            return true;
        };
        let rest = file
            .as_encoded_bytes()
            .strip_prefix(database.as_encoded_bytes());
        !rest.is_some_and(|rest| [&b""[..], b"-wal", b"-shm", b"-journal"].contains(&rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(all: bool) -> Scope {
        Scope {
            root: "/d".into(),
            all,
            database: "/d/jobs.db".into(),
        }
    }

    #[test]
    fn what_tools_make_is_left_out_unless_asked_for() {
        assert!(!scope(false).enters(OsStr::new("target")));
        assert!(scope(true).enters(OsStr::new("target")));
        assert!(scope(false).enters(OsStr::new("targets")));
    }

    #[test]
    fn the_database_does_not_count_and_its_neighbours_do() {
        let scope = scope(false);
        assert!(!scope.counts(Path::new("/d/jobs.db")));
        assert!(!scope.counts(Path::new("/d/jobs.db-wal")));
        assert!(scope.counts(Path::new("/d/jobs.db.txt")));
        assert!(scope.counts(Path::new("/d/e/jobs.db")));
    }
}
