//! [`Place`]: the folder that holds all that private servers write.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::deadline::{Deadline, pause};

/// How long to wait for another call that is at work: it may be installing a server.
const PATIENCE_S: u64 = 900;

/// `brokers` below Cargo's target folder, where nothing is part of the clone.
#[derive(Clone, Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    /// That of a workspace.
    pub(crate) fn of(root: &Path) -> Self {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        Self::at(&root.join(target).join("brokers"))
    }

    /// A folder of one's own.
    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// What one server writes.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The variables of all servers that run, for a shell to read.
    pub(crate) fn env_file(&self) -> PathBuf {
        self.0.join("env")
    }

    /// Which servers run under Docker, a name a line.
    pub(crate) fn compose_file(&self) -> PathBuf {
        self.0.join("compose")
    }

    /// Programs that were installed for us; they stay when servers go.
    pub(crate) fn programs(&self) -> PathBuf {
        self.0.join("programs")
    }

    /// Makes the folder, and waits until no other call is at work in it.
    pub(crate) fn lock(&self) -> Result<File> {
        let text = || format!("cannot use the folder {}", self.0.display());
        fs::create_dir_all(&self.0).with_context(text)?;
        let file = File::create(self.0.join("lock")).with_context(text)?;
        let deadline = Deadline::in_seconds(PATIENCE_S);
        let mut waits = false;
        while file.try_lock().is_err() {
            if !std::mem::replace(&mut waits, true) {
                println!("xtask: waits for another `cargo xtask brokers`");
            }
            if deadline.is_over() {
                bail!("another `cargo xtask brokers` is at work for {PATIENCE_S} s");
            }
            pause();
        }
        Ok(file)
    }
}

/// Writes a file at once or not at all.
pub(super) fn replace(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    let written = File::create(&new).and_then(|mut file| file.write_all(text.as_bytes()));
    let written = written.and_then(|()| fs::rename(&new, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// What a file says; nothing when it is not there.
pub(super) fn read(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Removes a folder that may not be there.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
