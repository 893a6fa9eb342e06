//! [`Witness`]: knows which process ran what, and when.
//!
//! Worker processes tell it over a Unix socket, one line of JSON for each event of the history, so that what a
//! process said before its death is known. It has threads of its own, so that nothing which happens to the run
//! or to the load keeps it from listening.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use conformance_tests::judge::{Enqueue, Event, Finish, Job, Micros, Name, Start, What};

use crate::host_clock;

/// Listens to all.
#[derive(Debug)]
pub(crate) struct Witness {
    testimony: Arc<Testimony>,
    socket: PathBuf,
}

#[derive(Debug, Default)]
struct Testimony(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    events: Vec<Event>,
    /// When each job that has not succeeded yet was asked for.
    open: HashMap<Job, Micros>,
    /// What is looked for.
    since: Micros,
    /// When each process first began a job that was asked for after that.
    first_runs: HashMap<Name, Micros>,
    /// How many jobs were accepted.
    accepted: u64,
    /// Who is running what.
    running: HashMap<Job, Name>,
    /// When each process was killed that was.
    killed: HashMap<Name, Micros>,
    /// The jobs that a killed process was running and that nobody has begun again, with the time of the kill.
    orphans: HashMap<Job, Micros>,
    /// How long other orphans were nobody's.
    adopted: Vec<Micros>,
    /// One of each name: there are millions of events and a few names.
    names: HashSet<Name>,
    /// A line that could not be read, which must not happen.
    nonsense: Option<String>,
}

/// How a worker process tells the witness what happens.
#[derive(Debug)]
pub(crate) struct Voice(Mutex<UnixStream>);

impl Witness {
    /// Begins to listen at this socket.
    pub(crate) fn listen(socket: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let testimony = Arc::<Testimony>::default();
        let heard = Arc::clone(&testimony);
        let hear = move || {
            for speaker in listener.incoming().map_while(Result::ok) {
                let heard = Arc::clone(&heard);
                let named = thread::Builder::new().name("witness".to_owned());
                // A thread that cannot be started leaves its speaker with a closed socket, and the speaker fails.
                drop(named.spawn(move || heard.hear(speaker)));
            }
        };
        thread::Builder::new()
            .name("witness".to_owned())
            .spawn(hear)?;
        Ok(Self {
            testimony,
            socket: socket.to_owned(),
        })
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Writes down what happens in this process.
    pub(crate) fn record(&self, what: What) {
        let mut known = self.testimony.lock();
        let at = host_clock::now();
        known.take(Event { at, what });
    }

    /// From now on looks for runs of jobs that are asked for after this moment.
    pub(crate) fn look_for(&self, since: Micros) {
        let mut known = self.testimony.lock();
        known.since = since;
        known.first_runs.clear();
    }

    /// When this process first began a job that was asked for after the moment in question.
    pub(crate) fn first_run(&self, process: &Name) -> Option<Micros> {
        self.testimony.lock().first_runs.get(process).copied()
    }

    /// How many jobs were accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.testimony.lock().accepted
    }

    /// From now on the jobs that this process was running, which was killed at this moment, are orphans until
    /// somebody begins them again. What it said before its death and is heard later counts, too.
    pub(crate) fn orphan(&self, process: &Name, at: Micros) {
        let mut known = self.testimony.lock();
        let mut orphans = Vec::new();
        known.running.retain(|job, owner| {
            let is_left = owner == process;
            if is_left {
                orphans.push((*job, at));
            }
            !is_left
        });
        known.orphans.extend(orphans);
        known.killed.insert(Name::clone(process), at);
    }

    /// The orphans that nobody has begun again.
    pub(crate) fn orphans(&self) -> Vec<Job> {
        self.testimony.lock().orphans.keys().copied().collect()
    }

    /// How long each orphan was nobody's that was begun again since the last time this was asked; and forgets
    /// the others.
    pub(crate) fn adopted(&self) -> Vec<Micros> {
        let mut known = self.testimony.lock();
        known.orphans.clear();
        std::mem::take(&mut known.adopted)
    }

    /// How many of the jobs that were asked for after this moment have not succeeded.
    pub(crate) fn open_since(&self, moment: Micros) -> usize {
        let known = self.testimony.lock();
        let open = known.open.values();
        open.filter(|asked| **asked > moment).count()
    }

    /// Hands the history over, in the order of time, or says what of it could not be read.
    pub(crate) fn history(&self) -> anyhow::Result<Vec<Event>> {
        let mut known = self.testimony.lock();
        if let Some(line) = &known.nonsense {
            anyhow::bail!("the witness was told what is no event: {line:?}");
        }
        let mut events = std::mem::take(&mut known.events);
        events.sort_by_key(|event| event.at);
        Ok(events)
    }
}

/// Writes a history into a file that the judge can read.
pub(crate) fn write(events: &[Event], path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for event in events {
        serde_json::to_writer(&mut file, event)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

impl Testimony {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, speaker: UnixStream) {
        let mut speaker = BufReader::new(speaker);
        let mut line = String::new();
        while let Ok(1..) = speaker.read_line(&mut line) {
            match serde_json::from_str(&line) {
                Ok(event) => self.lock().take(event),
                // The last words of a process that was killed.
                Err(_) if !line.ends_with('\n') => {}
                Err(_) => self.lock().nonsense = Some(line.clone()),
            }
            line.clear();
        }
    }
}

impl Known {
    fn take(&mut self, mut event: Event) {
        self.share(&mut event.what);
        match &event.what {
            What::Enqueue(Enqueue { job, .. }) => drop(self.open.insert(*job, event.at)),
            What::Accepted { .. } => self.accepted += 1,
            What::Start(Start { job, owner, .. }) => {
                if let Some(at) = self.killed.get(owner) {
                    self.orphans.insert(*job, *at);
                } else {
                    self.running.insert(*job, Name::clone(owner));
                    if let Some(killed) = self.orphans.remove(job) {
                        self.adopted.push(event.at.saturating_sub(killed));
                    }
                }
                let is_fresh = |asked: &Micros| *asked > self.since;
                if self.open.get(job).is_some_and(is_fresh) {
                    let first = self.first_runs.entry(Name::clone(owner));
                    first.or_insert(event.at);
                }
            }
            What::Refused { job }
            | What::End {
                job,
                finish: Finish::Succeeded,
                ..
            } => {
                self.open.remove(job);
                self.running.remove(job);
                self.orphans.remove(job);
            }
            _ => {}
        }
        self.events.push(event);
    }

    fn share(&mut self, what: &mut What) {
        let (What::Enqueue(Enqueue { queue: name, .. }) | What::Start(Start { owner: name, .. })) =
            what
        else {
            return;
        };
        match self.names.get(name) {
            Some(known) => *name = Name::clone(known),
            None => drop(self.names.insert(Name::clone(name))),
        }
    }
}

impl Voice {
    /// Connects to the witness.
    pub(crate) fn connect(socket: &Path) -> io::Result<Self> {
        UnixStream::connect(socket).map(Mutex::new).map(Self)
    }

    /// Says that this happens now. When it returns, the words outlive this process.
    pub(crate) fn say(&self, what: What) -> io::Result<()> {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = host_clock::now();
        let mut line = serde_json::to_vec(&Event { at, what })?;
        line.push(b'\n');
        stream.write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enqueue(job: u64) -> What {
        What::Enqueue(Enqueue {
            job: Job(job),
            queue: "work".into(),
            key: None,
            priority: 50,
            delayed: false,
            body: job,
        })
    }

    fn start(job: u64, owner: &str) -> What {
        What::Start(Start {
            job: Job(job),
            run: 1,
            owner: owner.into(),
            attempt: Some(1),
            epoch: None,
            lease_until: None,
            body: Some(job),
        })
    }

    #[test]
    fn only_a_job_that_was_asked_for_after_the_fault_shows_that_its_process_works() {
        let folder = tempfile::tempdir().unwrap();
        let witness = Witness::listen(&folder.path().join("witness")).unwrap();
        let (one, two) = (Name::from("one"), Name::from("two"));
        witness.record(enqueue(1));
        witness.look_for(host_clock::now());
        thread::yield_now();
        while host_clock::now() <= witness.testimony.lock().since {}
        witness.record(enqueue(2));
        witness.record(start(1, "one"));
        assert_eq!(witness.first_run(&one), None);
        witness.record(start(2, "two"));
        assert_eq!(witness.first_run(&one), None);
        assert!(witness.first_run(&two).is_some());
        assert_eq!(witness.open_since(0), 2);
    }

    #[test]
    fn a_job_of_a_killed_process_is_an_orphan_until_another_begins_it() {
        let folder = tempfile::tempdir().unwrap();
        let witness = Witness::listen(&folder.path().join("witness")).unwrap();
        witness.record(start(1, "one"));
        witness.record(start(2, "two"));
        witness.orphan(&"one".into(), host_clock::now());
        // It was said before the death, and is heard after it.
        witness.record(start(3, "one"));
        let mut orphans = witness.orphans();
        orphans.sort_unstable();
        assert_eq!(orphans, [Job(1), Job(3)]);
        witness.record(start(1, "two"));
        assert_eq!(witness.orphans(), [Job(3)]);
        assert_eq!(witness.adopted().len(), 1);
    }

    #[test]
    fn what_a_process_said_is_known_after_it_has_hung_up() {
        let folder = tempfile::tempdir().unwrap();
        let witness = Witness::listen(&folder.path().join("witness")).unwrap();
        witness.record(enqueue(7));
        let voice = Voice::connect(witness.socket()).unwrap();
        voice.say(start(7, "one")).unwrap();
        drop(voice);
        while witness.testimony.lock().events.len() < 2 {
            thread::yield_now();
        }
        assert!(witness.first_run(&"one".into()).is_some());
    }
}
