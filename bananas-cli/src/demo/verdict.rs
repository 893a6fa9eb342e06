//! [`Verdict`]: what the audit comes to, in figures.
//!
//! Every file counts as exactly one of `succeeded`, `unreadable`, `vanished` and `lost`. Where a job read
//! something else than a census saw, the file is read once more, by the census's own code: it has `changed`, or
//! else the job's result is wrong (`mismatched`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::audit::{Audit, Entry, Fate};
use super::census;

/// What the audit comes to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Verdict {
    /// Files that were there at the start, or got a job.
    pub(super) files: u64,
    /// What the succeeded jobs read, in bytes.
    pub(super) bytes: u64,
    /// What they read, in lines.
    pub(super) lines: u64,
    /// Files whose job succeeded.
    pub(super) succeeded: u64,
    /// Files that are there and could not be read.
    pub(super) unreadable: u64,
    /// Files that went away before they could be read.
    pub(super) vanished: u64,
    /// Files without a job that has ended.
    pub(super) lost: u64,
    /// Files that came after the producer had passed by; they do not count as files.
    pub(super) appeared: u64,
    /// Files that hold something else now than their job read.
    pub(super) changed: u64,
    /// Files that their job read wrongly: they have not changed since.
    pub(super) mismatched: u64,
    /// Files that were read once more to compare them.
    pub(super) compared: u64,
    /// Files whose content another file has as well, the first of each kind left out.
    pub(super) duplicates: u64,
    /// Contents that more than one file has.
    pub(super) duplicate_groups: u64,
    /// How many bytes the duplicates take.
    pub(super) duplicate_bytes: u64,
    /// Examples of what went wrong.
    pub(super) remarks: Vec<Remark>,
}

/// One file that something is to be said about.
#[derive(Debug, Serialize)]
pub(super) struct Remark {
    /// The file, with what is not UTF-8 in its name replaced.
    pub(super) file: String,
    /// `lost`, `unreadable`, `vanished`, `changed`, `mismatched` or `closed` (a folder).
    pub(super) what: &'static str,
    /// Why.
    pub(super) reason: String,
}

/// The most remarks of one kind.
const MAX_REMARKS: usize = 20;

impl Verdict {
    /// Judges. With `verify` every file is read once more.
    pub(super) fn of(audit: Audit, verify: bool) -> Self {
        let mut verdict = Self {
            lines: audit.lines,
            ..Self::default()
        };
        let mut contents: HashMap<blake3::Hash, (u64, u64)> = HashMap::new();
        let mut files: Vec<(PathBuf, Entry)> = audit.files.into_iter().collect();
        files.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (path, entry) in &files {
            verdict.judge(path, entry, verify);
            if let Some(Fate::Digested { bytes, digest }) = entry.fate {
                contents.entry(digest).or_insert((0, bytes)).0 += 1;
            }
        }
        for (copies, bytes) in contents.into_values().filter(|(copies, _)| *copies > 1) {
            verdict.duplicate_groups += 1;
            verdict.duplicates += copies - 1;
            verdict.duplicate_bytes += (copies - 1) * bytes;
        }
        for (folder, reason) in audit.closed {
            verdict.remark(&folder, "closed", &reason);
        }
        verdict
    }

    fn judge(&mut self, path: &Path, entry: &Entry, verify: bool) {
        let there_all_the_time = entry.before.is_some() && entry.after.is_some();
        match &entry.fate {
            Some(Fate::Digested { bytes, digest }) => {
                self.succeeded += 1;
                self.bytes += bytes;
                let seen = entry.after.and_then(|seen| seen.bytes);
                if entry.after.is_some() && (verify || seen != Some(*bytes)) {
                    self.compare(path, entry, (*bytes, *digest));
                }
            }
            Some(Fate::Failed(reason)) if entry.after.is_some() => {
                self.unreadable += 1;
                self.remark(path, "unreadable", reason);
            }
            Some(Fate::Failed(reason)) => {
                self.vanished += 1;
                self.remark(path, "vanished", reason);
            }
            Some(Fate::Unfinished(state)) => {
                self.lost += 1;
                self.remark(path, "lost", &format!("its job is still {state}"));
            }
            None if there_all_the_time => {
                self.lost += 1;
                self.remark(path, "lost", "it has no job");
            }
            None if entry.before.is_some() => {
                self.vanished += 1;
                self.remark(path, "vanished", "it went away before it got a job");
            }
            None => {
                self.appeared += 1;
                return;
            }
        }
        self.files += 1;
    }

    /// Reads a file once more, because a job read something else than a census saw, or to make sure.
    fn compare(&mut self, path: &Path, entry: &Entry, job: (u64, blake3::Hash)) {
        // A file that cannot be read any more has gone after its job was done.
        let Ok(now) = census::read(path) else { return };
        self.compared += 1;
        if now == job {
            return;
        }
        if entry.before == entry.after {
            self.mismatched += 1;
            let reason = format!("its job read {} bytes, it has {}", job.0, now.0);
            self.remark(path, "mismatched", &reason);
        } else {
            self.changed += 1;
            self.remark(path, "changed", "it was written to after it was digested");
        }
    }

    fn remark(&mut self, path: &Path, what: &'static str, reason: &str) {
        if self
            .remarks
            .iter()
            .filter(|remark| remark.what == what)
            .count()
            < MAX_REMARKS
        {
            let file = path.to_string_lossy().into_owned();
            self.remarks.push(Remark {
                file,
                what,
                reason: reason.to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use bananas::JobState;

    use super::*;
    use crate::demo::census::Seen;

    const THERE: Option<Seen> = Some(Seen {
        bytes: Some(3),
        modified: None,
    });

    fn verdict(files: impl IntoIterator<Item = (&'static str, Entry)>) -> Verdict {
        let files = files
            .into_iter()
            .map(|(path, entry)| (path.into(), entry))
            .collect();
        Verdict::of(
            Audit {
                files,
                ..Audit::default()
            },
            false,
        )
    }

    fn digested(content: &[u8]) -> Option<Fate> {
        let bytes = u64::try_from(content.len()).unwrap();
        Some(Fate::Digested {
            bytes,
            digest: blake3::hash(content),
        })
    }

    fn failed() -> Option<Fate> {
        Some(Fate::Failed("no".to_owned()))
    }

    #[test]
    fn a_file_that_was_there_all_the_time_and_has_no_ended_job_is_lost() {
        let no_job = Entry {
            before: THERE,
            fate: None,
            after: THERE,
        };
        let unfinished = Some(Fate::Unfinished(JobState::Running));
        let unfinished = Entry {
            before: THERE,
            fate: unfinished,
            after: None,
        };
        let done = Entry {
            before: THERE,
            fate: digested(b"abc"),
            after: THERE,
        };
        let verdict = verdict([("/a", no_job), ("/b", unfinished), ("/c", done)]);
        assert_eq!((verdict.files, verdict.lost, verdict.succeeded), (3, 2, 1));
        assert_eq!(verdict.remarks.first().unwrap().reason, "it has no job");
    }

    #[test]
    fn what_comes_goes_or_is_locked_is_no_loss() {
        let gone_early = Entry {
            before: THERE,
            fate: None,
            after: None,
        };
        let gone = Entry {
            before: THERE,
            fate: failed(),
            after: None,
        };
        let locked = Entry {
            before: THERE,
            fate: failed(),
            after: THERE,
        };
        let new = Entry {
            before: None,
            fate: None,
            after: THERE,
        };
        let gone_late = Entry {
            before: THERE,
            fate: digested(b"abc"),
            after: None,
        };
        let entries = [gone_early, gone, locked, new, gone_late];
        let verdict = verdict(["/a", "/b", "/c", "/d", "/e"].into_iter().zip(entries));
        assert_eq!(
            (verdict.lost, verdict.vanished, verdict.unreadable),
            (0, 2, 1)
        );
        assert_eq!(
            (verdict.files, verdict.appeared, verdict.succeeded),
            (4, 1, 1)
        );
    }

    #[test]
    fn copies_are_counted_without_the_first() {
        let entry = |content: &[u8]| Entry {
            before: THERE,
            fate: digested(content),
            after: THERE,
        };
        let verdict = verdict([
            ("/a", entry(b"abc")),
            ("/b", entry(b"abc")),
            ("/c", entry(b"abc")),
            ("/d", entry(b"xyz")),
        ]);
        assert_eq!((verdict.duplicates, verdict.duplicate_groups), (2, 1));
        assert_eq!(verdict.duplicate_bytes, 6);
    }

    #[test]
    fn a_wrong_result_is_told_apart_from_a_file_that_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abcdef").unwrap();
        let now = Some(Seen {
            bytes: Some(6),
            modified: None,
        });
        for (before, mismatched) in [(now, 1), (THERE, 0)] {
            let entry = Entry {
                before,
                fate: digested(b"abc"),
                after: now,
            };
            let audit = Audit {
                files: [(path.clone(), entry)].into(),
                ..Audit::default()
            };
            let verdict = Verdict::of(audit, false);
            assert_eq!(
                (verdict.mismatched, verdict.changed),
                (mismatched, 1 - mismatched)
            );
        }
    }
}
