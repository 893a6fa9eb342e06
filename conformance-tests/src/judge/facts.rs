//! What a history says of one job, sorted by what the rules ask for.

use super::event::{Answer, Ending, Enqueue, Event, Finish, Job, Micros, Place, Start, What};
use super::rules::Rules;
use super::verdict::Story;

/// All that is known of one job.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) job: Job,
    events: Vec<&'a Event>,
    /// The enqueue that came first.
    pub(super) enqueue: Option<&'a Enqueue>,
    /// When each copy of it was asked for that may exist: those that were accepted, and those of which nobody
    /// knows.
    pub(super) copies: Vec<Micros>,
    /// When it was first accepted.
    pub(super) accepted: Option<Micros>,
    /// Whether an enqueue was refused.
    pub(super) refused: bool,
    /// Its runs, in the order of their starts.
    pub(super) runs: Vec<Run<'a>>,
    /// The run of a settlement that belongs to no run, or of an answer that nobody asked for.
    pub(super) stray: Option<u64>,
    /// When a cancel was answered with success.
    pub(super) cancelled: Vec<Micros>,
    /// Where it was found at the end.
    pub(super) found: Vec<Place>,
    /// The hashes of the bodies that it may have.
    pub(super) bodies: Vec<u64>,
}

/// One run.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) at: Micros,
    pub(super) start: &'a Start,
    /// The end of its lease, extensions included.
    pub(super) lease_until: Option<Micros>,
    pub(super) settlements: Vec<Settlement>,
    pub(super) end: Option<(Micros, Finish)>,
}

/// One try to settle a run.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) asked: Micros,
    pub(super) ending: Ending,
    /// None when no answer came, which is as good as an unknown one.
    pub(super) answer: Option<(Micros, Answer)>,
}

impl Settlement {
    /// When it was answered that it counts.
    pub(super) fn counted(&self) -> Option<Micros> {
        match self.answer {
            Some((at, Answer::Ok)) => Some(at),
            Some((_, Answer::Stale | Answer::Unknown)) | None => None,
        }
    }

    /// Whether nobody knows what became of it.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.answer, None | Some((_, Answer::Unknown)))
    }
}

impl Run<'_> {
    /// Whether its handler said yes.
    pub(super) fn has_succeeded(&self) -> bool {
        matches!(self.end, Some((_, Finish::Succeeded)))
    }

    /// When it is known to have done its work: its end, or the answer to the settlement that ended the job.
    fn done(&self) -> Option<Micros> {
        let ended = self.end.filter(|(_, finish)| *finish == Finish::Succeeded);
        let acked = self
            .counted()
            .find(|settlement| settlement.ending == Ending::Ack);
        ended
            .map(|(at, _)| at)
            .or_else(|| acked.and_then(Settlement::counted))
    }
    /// The settlements that count. There should be one at most.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Settlement> {
        let settlements = self.settlements.iter();
        settlements.filter(|settlement| settlement.counted().is_some())
    }

    /// The settlement that ended the job, if this run has one.
    pub(super) fn terminal(&self) -> Option<&Settlement> {
        self.counted()
            .find(|settlement| settlement.ending.is_terminal())
    }
}

impl<'a> Facts<'a> {
    /// Reads the events of one job, which are in the order of time.
    pub(super) fn read(job: Job, events: Vec<&'a Event>, rules: &Rules) -> Self {
        let mut facts = Self {
            job,
            events: Vec::new(),
            enqueue: None,
            copies: Vec::new(),
            accepted: None,
            refused: false,
            runs: Vec::new(),
            stray: None,
            cancelled: Vec::new(),
            found: Vec::new(),
            bodies: Vec::new(),
        };
        let mut dropped = 0;
        for event in &events {
            facts.take(event, &mut dropped);
        }
        // Each refusal and each recognised duplicate is one copy less. Which of them does not matter: the
        // earliest are kept, so that no start seems too early.
        let at_least = usize::from(facts.accepted.is_some());
        let mut copies = facts.copies.len().saturating_sub(dropped).max(at_least);
        if rules.dedupe {
            copies = copies.min(1);
        }
        facts.copies.truncate(copies);
        facts.events = events;
        facts
    }

    fn take(&mut self, event: &'a Event, dropped: &mut usize) {
        let at = event.at;
        match &event.what {
            What::Enqueue(enqueue) => {
                self.enqueue.get_or_insert(enqueue);
                self.copies.push(at);
                self.bodies.push(enqueue.body);
            }
            What::Accepted { .. } => drop(self.accepted.get_or_insert(at)),
            What::Duplicate { .. } => {
                self.accepted.get_or_insert(at);
                *dropped += 1;
            }
            What::Refused { .. } => {
                self.refused = true;
                *dropped += 1;
            }
            What::Cancelled { .. } => self.cancelled.push(at),
            What::Found { place, .. } => self.found.push(*place),
            What::Start(start) => self.runs.push(Run {
                at,
                start,
                lease_until: start.lease_until,
                settlements: Vec::new(),
                end: None,
            }),
            _ => self.take_of_run(event),
        }
    }

    fn take_of_run(&mut self, event: &Event) {
        let at = event.at;
        let Some(number) = run_of(&event.what) else {
            return;
        };
        let mut runs = self.runs.iter_mut().rev();
        let Some(run) = runs.find(|run| run.start.run == number) else {
            self.stray.get_or_insert(number);
            return;
        };
        match &event.what {
            What::End { finish, .. } => run.end = Some((at, *finish)),
            What::Extended { lease_until, .. } => {
                run.lease_until = run.lease_until.max(Some(*lease_until))
            }
            What::Settle { ending, body, .. } => {
                self.bodies.extend(body);
                run.settlements.push(Settlement {
                    asked: at,
                    ending: *ending,
                    answer: None,
                });
            }
            What::Settled { answer, .. } => {
                let mut settlements = run.settlements.iter_mut();
                match settlements.find(|settlement| settlement.answer.is_none()) {
                    Some(settlement) => settlement.answer = Some((at, *answer)),
                    None => drop(self.stray.get_or_insert(number)),
                }
            }
            _ => {}
        }
    }

    /// How many runs are duplicates: beside the run that was done first, all that began after that or were done
    /// too. A run that came to nothing before is none.
    pub(super) fn duplicates(&self) -> u64 {
        let done = self.runs.iter().enumerate();
        let done = done.filter_map(|(n, run)| Some((run.done()?, n)));
        let Some((first_done, first)) = done.min() else {
            return 0;
        };
        let runs = self.runs.iter().enumerate();
        let again =
            runs.filter(|(n, run)| *n != first && (run.at > first_done || run.done().is_some()));
        again.count() as u64
    }

    /// Whether it surely exists: it was accepted, or what nobody knew of ran or was found.
    pub(super) fn exists(&self) -> bool {
        let seen = !self.runs.is_empty() || !self.found.is_empty();
        self.accepted.is_some() || (seen && !self.copies.is_empty())
    }

    /// The story of a violation: what happened to the job, leaving out all runs but these.
    pub(super) fn story(&self, text: String, runs: &[u64]) -> Story {
        let matters = |event: &&&Event| run_of(&event.what).is_none_or(|run| runs.contains(&run));
        Story {
            job: self.job,
            text,
            events: self
                .events
                .iter()
                .filter(matters)
                .copied()
                .cloned()
                .collect(),
        }
    }

    /// The story with everything that happened to the job.
    pub(super) fn whole_story(&self, text: String) -> Story {
        Story {
            job: self.job,
            text,
            events: self.events.iter().copied().cloned().collect(),
        }
    }
}

/// The run that it is about, if it is about one.
fn run_of(what: &What) -> Option<u64> {
    match what {
        What::Start(Start { run, .. })
        | What::End { run, .. }
        | What::Settle { run, .. }
        | What::Settled { run, .. }
        | What::Extended { run, .. }
        | What::LeaseLost { run, .. } => Some(*run),
        _ => None,
    }
}
