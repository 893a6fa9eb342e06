//! The log: every event on a line of one file, on disk before anybody is told of it.
//!
//! A thread of its own writes and syncs. What comes while it syncs goes into the next write, so that many
//! clients share one sync.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bananas_core::Timestamp;
use tokio::sync::watch;

use super::board::Event;
use super::line;

/// The end of the log that is not yet on disk.
#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
    /// How many bytes were ever appended.
    end: u64,
}

#[derive(Debug)]
pub(super) struct Log {
    tail: Arc<(Mutex<Tail>, Condvar)>,
    synced: watch::Receiver<u64>,
}

impl Log {
    /// Opens the log in a folder and gives each event in it, with its time, to `replay`.
    pub(super) fn open(folder: &Path, replay: impl FnMut(Timestamp, Event)) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let mut file = options.open(folder.join("toy.log"))?;
        if file.try_lock().is_err() {
            let text = "another server has this log open";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
        }
        File::open(folder)?.sync_all()?;
        let good = read(&file, replay)?;
        cut(&mut file, good, folder)?;
        let tail = Arc::new((Mutex::default(), Condvar::new()));
        let (sender, synced) = watch::channel(0);
        let theirs = Arc::clone(&tail);
        let writer = move || write(file, &theirs, &sender);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(writer)?;
        Ok(Self { tail, synced })
    }

    pub(super) fn append(&self, at: Timestamp, event: &Event) {
        let (tail, appended) = &*self.tail;
        match line::encode(&(at, event)) {
            Ok(line) => {
                let mut tail = lock(tail);
                tail.bytes.extend(&line);
                tail.end += line.len() as u64;
                appended.notify_one();
            }
            Err(e) => fail(&e),
        }
    }

    /// What to wait for so that all events up to now are on disk.
    pub(super) fn end(&self) -> u64 {
        lock(&self.tail.0).end
    }

    /// Waits until the log is on disk up to this end.
    pub(super) async fn synced(&self, end: u64) {
        let mut synced = self.synced.clone();
        if synced.wait_for(|to| *to >= end).await.is_err() {
            // The thread that writes is gone; what is not on disk must not be confirmed.
            std::future::pending().await
        }
    }
}

fn lock(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads events up to the first line that is torn or damaged, and answers where that is.
fn read(file: &File, mut replay: impl FnMut(Timestamp, Event)) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    let mut good = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let bytes = reader.read_until(b'\n', &mut line)?;
        match line::decode(&line) {
            Ok((at, event)) => replay(at, event),
            Err(_) => return Ok(good),
        }
        good += bytes as u64;
    }
}

/// Cuts off what follows the last good line: a crash tore it before anybody was told of it. It is kept beside
/// the log, in case that it is not that but a damaged disk.
fn cut(file: &mut File, good: u64, folder: &Path) -> io::Result<()> {
    file.seek(SeekFrom::Start(good))?;
    if file.metadata()?.len() > good {
        io::copy(file, &mut File::create(folder.join("toy.log.torn"))?)?;
        file.set_len(good)?;
        file.sync_all()?;
        file.seek(SeekFrom::Start(good))?;
    }
    Ok(())
}

fn write(mut file: File, tail: &(Mutex<Tail>, Condvar), synced: &watch::Sender<u64>) {
    let (tail, appended) = tail;
    loop {
        let mut waiting = lock(tail);
        while waiting.bytes.is_empty() {
            waiting = appended
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let (bytes, end) = (std::mem::take(&mut waiting.bytes), waiting.end);
        drop(waiting);
        if let Err(e) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            fail(&e);
        }
        synced.send_replace(end);
    }
}

/// A log that cannot be written ends the server at once: after a sync that failed nobody knows what is on disk,
/// and the next start finds out.
#[expect(clippy::print_stderr, reason = "a server says why it ends")]
fn fail(error: &io::Error) -> ! {
    eprintln!("the log cannot be written: {error}");
    std::process::exit(1)
}
