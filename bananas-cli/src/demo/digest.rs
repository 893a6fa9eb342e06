//! The task of the demo: read one file, and answer with its size, its lines and its BLAKE3 digest.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bananas::prelude::*;
use bananas::{Env, QueueName};

use super::file_path::FilePath;

/// Digest one file.
#[derive(Clone, Debug, Serialize, Deserialize, Task)]
#[task(name = "demo.digest", queue = "demo", max_attempts = 3, timeout = "1h", output = Digested)]
pub(super) struct Digest {
    /// Which one.
    pub(super) path: FilePath,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digested {
    /// Its size.
    pub(super) bytes: u64,
    /// How many line ends are in it, as `wc -l` counts.
    pub(super) lines: u64,
    /// Its digest, in hexadecimal.
    pub(super) blake3: String,
}

/// What the handler knows: the least time that a job takes.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// The least time that a job takes.
    pub(super) least: Duration,
    /// The clock for it.
    pub(super) env: Arc<dyn Env>,
}

/// The queue of the demo.
pub(super) fn queue() -> bananas::Result<QueueName> {
    QueueName::new("demo")
}

/// The handler.
pub(super) async fn digest(task: Digest, State(pace): State<Pace>) -> TaskResult<Digested> {
    let until = pace.env.monotonic() + pace.least;
    let path = PathBuf::from(task.path);
    // Reading blocks, so it is done on a thread that may block.
    let read = tokio::task::spawn_blocking(move || read(&path)).await?;
    if !pace.least.is_zero() {
        pace.env.sleep_until(until).await;
    }
    read
}

fn read(path: &Path) -> TaskResult<Digested> {
    digested(path).map_err(|e| {
        let gone = e.kind() == io::ErrorKind::NotFound;
        let message = format!("{} cannot be read: {e}", path.display());
        // A file that is gone stays gone; anything else may be better at the next attempt.
        if gone {
            TaskError::fatal(message)
        } else {
            TaskError::from(message)
        }
    })
}

fn digested(path: &Path) -> io::Result<Digested> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 64 * 1024];
    let (mut bytes, mut lines) = (0, 0);
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let chunk = buffer.get(..count).unwrap_or_default();
        hasher.update(chunk);
        bytes += u64::try_from(count).unwrap_or(u64::MAX);
        let ends = chunk.iter().filter(|byte| **byte == b'\n').count();
        lines += u64::try_from(ends).unwrap_or(u64::MAX);
    }
    Ok(Digested {
        bytes,
        lines,
        blake3: hasher.finalize().to_hex().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        let content = b"one line\n".repeat(20_000);
        std::fs::write(&path, &content).unwrap();
        let digested = digested(&path).unwrap();
        assert_eq!(digested.bytes, 180_000);
        assert_eq!(digested.lines, 20_000);
        assert_eq!(digested.blake3, blake3::hash(&content).to_string());
    }
}
