//! [`Record`]: what was started for one server, written down as soon as it is there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::place::{self, Place};
use super::process::Process;

/// A variable and its value.
pub(crate) type Export = (String, String);

/// What was started for one server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// In the order of their start.
    pub(crate) processes: Vec<Process>,
    /// Folders outside of the server's own.
    pub(crate) folders: Vec<PathBuf>,
    /// Where it is; empty until it can be used.
    pub(crate) exports: Vec<Export>,
}

impl Record {
    /// That of a server; an empty one when it was not started.
    pub(crate) fn read(place: &Place, name: &str) -> Result<Self> {
        let path = path(place, name);
        let parsed = Self::parse(&place::read(&path)?);
        parsed.with_context(|| format!("{} is damaged; remove it", path.display()))
    }

    /// Whether there is one.
    pub(crate) fn is_there(place: &Place, name: &str) -> bool {
        path(place, name).exists()
    }

    /// Writes it down.
    pub(super) fn write(&self, place: &Place, name: &str) -> Result<()> {
        place::replace(&path(place, name), &self.text())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Process { pid, started, boot } in &self.processes {
            text.push_str(&format!("process {pid} {started} {boot}\n"));
        }
        for folder in &self.folders {
            text.push_str(&format!("folder {}\n", folder.display()));
        }
        for (name, value) in &self.exports {
            text.push_str(&format!("export {name} {value}\n"));
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut record = Self::default();
        for line in text.lines() {
            match line.split_once(' ')? {
                ("process", rest) => {
                    let mut words = rest.split(' ').map(str::to_owned);
                    record.processes.push(Process {
                        pid: words.next()?.parse().ok()?,
                        started: words.next()?,
                        boot: words.next()?,
                    });
                }
                ("folder", path) => record.folders.push(Path::new(path).to_owned()),
                ("export", rest) => {
                    let (name, value) = rest.split_once(' ')?;
                    record.exports.push((name.to_owned(), value.to_owned()));
                }
                _ => return None,
            }
        }
        Some(record)
    }
}

fn path(place: &Place, name: &str) -> PathBuf {
    place.folder(name).join("record")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let record = Record {
            processes: vec![Process {
                pid: 12,
                started: "345".to_owned(),
                boot: "b".to_owned(),
            }],
            folders: vec!["a folder".into()],
            exports: vec![("A".to_owned(), "redis://x".to_owned())],
        };
        assert_eq!(Record::parse(&record.text()), Some(record));
    }

    #[test]
    fn a_damaged_record_is_not_taken_for_an_empty_one() {
        assert_eq!(Record::parse(""), Some(Record::default()));
        assert_eq!(Record::parse("process 12\n"), None);
        assert_eq!(Record::parse("proc"), None);
    }
}
