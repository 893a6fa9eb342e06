//! [`Place`]: where the demo works: the folder it digests, the database, the logs of its workers.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use tempfile::TempDir;

use super::args::DemoArgs;
use super::home;
use super::scope::Scope;
use crate::exit::usage;

/// Where the demo works.
#[derive(Debug)]
pub(super) struct Place {
    /// Which files.
    pub(super) scope: Scope,
    /// The database, and whether it stays.
    pub(super) database: PathBuf,
    /// Whether the jobs stay when the demo ends.
    pub(super) stays: bool,
    folder: TempDir,
    keep: bool,
}

impl Place {
    /// Checks what was asked for, and makes a temporary folder.
    pub(super) fn prepare(args: &DemoArgs) -> anyhow::Result<Self> {
        let given = args.dir.display();
        let root = fs::canonicalize(&args.dir)
            .map_err(|e| usage(format!("the folder {given} cannot be found: {e}")))?;
        if !root.is_dir() {
            return Err(usage(format!(
                "{given} is not a folder; name the folder it is in"
            )));
        }
        if let Err(e) = fs::read_dir(&root) {
            return Err(usage(format!("the folder {given} cannot be read: {e}")));
        }
        let folder = tempfile::Builder::new()
            .prefix("bananas-demo-")
            .tempdir()
            .context("no temporary folder can be made")?;
        let database = match &args.database {
            None => fs::canonicalize(folder.path())
                .context("the temporary folder cannot be found")?
                .join("demo.db"),
            Some(path) => fresh(path)?,
        };
        home::url(&database).map_err(|e| usage(format!("{e:#}")))?;
        let scope = Scope {
            root,
            all: args.all,
            database: database.clone(),
        };
        let stays = args.keep || args.database.is_some();
        Ok(Self {
            scope,
            database,
            stays,
            folder,
            keep: args.keep,
        })
    }

    /// Where the logs of the workers go.
    pub(super) fn logs(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Removes what is not to stay, and says where the rest is.
    pub(super) fn leave(self) -> anyhow::Result<Option<PathBuf>> {
        if self.keep {
            return Ok(Some(self.folder.keep()));
        }
        let path = self.folder.path().to_owned();
        self.folder
            .close()
            .with_context(|| format!("{} cannot be removed", path.display()))?;
        Ok(None)
    }
}

/// An absolute path where nothing is yet: jobs of others must neither run here nor be counted.
fn fresh(path: &std::path::Path) -> anyhow::Result<PathBuf> {
    let given = path.display();
    if fs::symlink_metadata(path).is_ok() {
        let message = format!("{given} exists already; the demo wants a file of its own");
        return Err(usage(message));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => std::path::Path::new("."),
    };
    let folder = fs::canonicalize(folder).map_err(|e| {
        usage(format!(
            "the folder {} for the database cannot be found: {e}",
            folder.display()
        ))
    })?;
    let name = path
        .file_name()
        .ok_or_else(|| usage(format!("{given} names no file")))?;
    Ok(folder.join(name))
}
