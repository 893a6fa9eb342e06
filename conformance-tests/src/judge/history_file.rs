//! Writing down what happens, in a file that survives the death of its writer, and reading such files.
//!
//! One line of JSON for each event, written at once and by itself. Each writer has a file of its own; their
//! times are those of the host's monotonic clock, so that the files of several processes make one history.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::time::{ClockId, clock_gettime};

use super::event::{Enqueue, Event, Micros, Name, Start, What};
use super::history::Witness;

/// A history in a file.
#[derive(Debug)]
pub struct HistoryFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl HistoryFile {
    /// A new file, for one writer.
    ///
    /// # Errors
    ///
    /// When the file cannot be made, or is there already: it may be somebody else's.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        Ok(Self {
            path,
            file: Mutex::new(file),
        })
    }
}

impl Witness for HistoryFile {
    /// # Panics
    ///
    /// When the line cannot be written: a history with holes proves nothing.
    fn record(&self, what: What) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let at = host_micros();
        let mut line = serde_json::to_vec(&Event { at, what }).expect("an event is JSON");
        line.push(b'\n');
        // One write for the whole line, with nothing buffered on our side: once it has returned, the line is
        // the kernel's and outlives this process.
        let written = file.write_all(&line);
        written.unwrap_or_else(|e| panic!("{}: {e}", self.path.display()));
    }
}

/// The time of the host's monotonic clock, which is the same in all its processes.
fn host_micros() -> Micros {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = Micros::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + Micros::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}

/// Reads the files of several writers and puts their events in the order of time.
///
/// The last line of a file may be torn, as that of a writer who was killed; it is left out.
///
/// # Errors
///
/// When a file cannot be read, or a line is no event: the text names the file, the line, and what was expected.
pub fn read_files<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut names = HashSet::new();
    for path in paths {
        read(path.as_ref(), &mut names, &mut events)?;
    }
    // Stable, so that the events of one writer stay in the order in which it wrote them.
    events.sort_by_key(|event| event.at);
    Ok(events)
}

fn read(path: &Path, names: &mut HashSet<Name>, events: &mut Vec<Event>) -> Result<()> {
    let name = path.display();
    let bytes = fs::read(path).map_err(|e| Error::new(e.kind(), format!("{name}: {e}")))?;
    for (n, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match serde_json::from_slice::<Event>(line) {
            Ok(mut event) => {
                share(&mut event.what, names);
                events.push(event);
            }
            Err(_) if line.last() != Some(&b'\n') => {}
            Err(e) => {
                let text = format!("{name}:{}: expected an event: {e}", n + 1);
                return Err(Error::new(ErrorKind::InvalidData, text));
            }
        }
    }
    Ok(())
}

/// Lets equal names share their memory: there are millions of events and a few names.
fn share(what: &mut What, names: &mut HashSet<Name>) {
    let mut share = |name: &mut Name| match names.get(name) {
        Some(known) => *name = Name::clone(known),
        None => drop(names.insert(Name::clone(name))),
    };
    match what {
        What::Enqueue(Enqueue { queue, key, .. }) => {
            share(queue);
            key.iter_mut().for_each(share);
        }
        What::Start(Start { owner, .. })
        | What::ProcessStart { owner }
        | What::ProcessEnd { owner, .. } => share(owner),
        What::FaultBegin { fault, struck, .. } => {
            share(fault);
            struck.iter_mut().for_each(share);
        }
        What::FaultEnd { fault } => share(fault),
        _ => {}
    }
}
