//! The rules about runs: each is asked for, follows another only with a cause, and is counted upwards.
//!
//! A copy of a job is in the hands of one run at a time. A new run takes it over from the one before, and needs
//! a cause for that; or it takes a copy that no run had yet.

use super::event::{Ending, Finish, Micros};
use super::facts::{Facts, Run, Settlement};
use super::faults::Faults;
use super::rules::{Proof, Rules};
use super::verdict::{Cause, Verdict, Violation};

/// How long after its success a run is surely settled, where settlements are not recorded: what disturbs its
/// process only later explains no other run.
const SETTLED: Micros = 10_000_000;

/// How a run came to take over from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takeover {
    GivenBack,
    Explained(Cause),
    /// The end of the earlier run was forgotten, as the promised durability allows.
    Forgotten,
}

/// Judges the runs of one job, and answers how many ends it may have.
pub(super) fn judge_runs(
    facts: &Facts<'_>,
    rules: &Rules,
    faults: &Faults,
    verdict: &mut Verdict,
) -> usize {
    let mut holders = Holders {
        facts,
        rules,
        faults,
        open: Vec::new(),
        used: 0,
        ends: facts.copies.len().max(1),
    };
    let mut unexplained = 0;
    for n in 0..facts.runs.len() {
        unexplained += u64::from(!holders.start(n, verdict));
        judge_body(facts, n, verdict);
    }
    let duplicates = facts.duplicates();
    verdict.counts.duplicates += duplicates;
    verdict.counts.unexplained_duplicates += duplicates.min(unexplained);
    if facts.copies.len() <= 1 {
        judge_numbers(facts, (rules, faults), verdict);
    }
    holders.ends
}

/// Which runs have the copies of one job in their hands.
struct Holders<'a> {
    facts: &'a Facts<'a>,
    rules: &'a Rules,
    faults: &'a Faults,
    /// The runs that nobody has taken over from.
    open: Vec<usize>,
    /// How many copies were taken.
    used: usize,
    /// How many settlements may end the job.
    ends: usize,
}

impl Holders<'_> {
    /// Takes the next run, and answers whether it had a cause.
    fn start(&mut self, n: usize, verdict: &mut Verdict) -> bool {
        let mut is_explained = true;
        let next = &self.facts.runs[n];
        let takeovers = self.open.iter().enumerate().filter_map(|(place, holder)| {
            let takeover = self.takeover(&self.facts.runs[*holder], next)?;
            Some((takeover != Takeover::GivenBack, place, takeover))
        });
        let best = takeovers.min_by_key(|(last_resort, ..)| *last_resort);
        let cancelled = self.facts.cancelled.iter().any(|at| *at < next.at);
        if cancelled && self.facts.copies.len() <= 1 {
            is_explained = false;
            self.unexplained(n, verdict);
        } else if let Some((_, place, takeover)) = best {
            let holder = self.open.remove(place);
            self.take_over(holder, n, takeover, verdict);
        } else if self
            .facts
            .copies
            .get(self.used)
            .is_some_and(|asked| *asked <= next.at)
        {
            self.used += 1;
            if self.used > 1 {
                verdict.explain(Cause::PublishedAgain);
            }
        } else {
            is_explained = false;
            self.unexplained(n, verdict);
        }
        self.open.push(n);
        is_explained
    }

    fn take_over(&mut self, holder: usize, n: usize, takeover: Takeover, verdict: &mut Verdict) {
        let (earlier, next) = (&self.facts.runs[holder], &self.facts.runs[n]);
        match takeover {
            Takeover::GivenBack => verdict.counts.reruns += 1,
            Takeover::Explained(cause) => verdict.explain(cause),
            Takeover::Forgotten => verdict.explain(Cause::Fault),
        }
        let terminal = earlier.terminal().is_some();
        if terminal {
            self.ends += 1;
        }
        let late = earlier
            .counted()
            .any(|settlement| settlement.asked > next.at);
        let forgiven = !self.rules.fenced || takeover == Takeover::Forgotten;
        if late && !forgiven && self.facts.copies.len() <= 1 {
            self.tell(Violation::StaleAccepted, (holder, n), verdict);
        }
    }

    /// Why the next run may follow the earlier one, if it may.
    fn takeover(&self, earlier: &Run<'_>, next: &Run<'_>) -> Option<Takeover> {
        let lapsed = earlier.lease_until.is_some_and(|until| until <= next.at);
        if let Some(end) = earlier.terminal() {
            let answered = end.counted().unwrap_or(end.asked);
            return if self.faults.beyond_durability(end.asked, next.at) {
                Some(Takeover::Forgotten)
            } else if !self.rules.fenced && lapsed && answered > next.at {
                Some(Takeover::Explained(Cause::LeaseLapsed))
            } else {
                None
            };
        }
        let mut asked_before = earlier.settlements.iter().filter(|s| s.asked <= next.at);
        if asked_before.any(|settlement| settlement.counted().is_some())
            || self.given_back_unseen(earlier, next.at)
        {
            return Some(Takeover::GivenBack);
        }
        let until = self.disturbed_until(earlier, next);
        let mut asked_before = earlier.settlements.iter().filter(|s| s.asked <= next.at);
        let cause = if lapsed {
            Cause::LeaseLapsed
        } else if asked_before.any(Settlement::is_unknown) {
            Cause::UnknownSettlement
        } else if self.faults.killed(&earlier.start.owner, earlier.at, until) {
            Cause::Killed
        } else if self.faults.struck(&earlier.start.owner, earlier.at, until) {
            Cause::Fault
        } else {
            return None;
        };
        Some(Takeover::Explained(cause))
    }

    /// Until when a disturbance can be the cause that the next run follows the earlier one.
    fn disturbed_until(&self, earlier: &Run<'_>, next: &Run<'_>) -> Micros {
        match earlier.end {
            Some((at, Finish::Succeeded)) if self.rules.proof == Proof::Runs => {
                next.at.min(at.saturating_add(SETTLED))
            }
            _ => next.at,
        }
    }

    /// Where settlements are not recorded: a failed run was given back, and so was one whose process shut down.
    fn given_back_unseen(&self, earlier: &Run<'_>, until: Micros) -> bool {
        if self.rules.proof == Proof::Settlements {
            return false;
        }
        let owner = &earlier.start.owner;
        match earlier.end {
            Some((at, Finish::Failed)) => at <= until,
            Some((_, Finish::Succeeded)) => false,
            None => {
                self.faults.ended(owner, earlier.at, until)
                    && !self.faults.killed(owner, earlier.at, until)
            }
        }
    }

    fn unexplained(&mut self, n: usize, verdict: &mut Verdict) {
        let next = &self.facts.runs[n];
        let Some(earlier) = self.open.pop() else {
            let violation = match self.facts.cancelled.is_empty() {
                true => Violation::Unexpected,
                false => Violation::RunAfterEnd,
            };
            return self.tell(violation, (n, n), verdict);
        };
        let before = &self.facts.runs[earlier];
        let cancelled = self.facts.cancelled.iter().any(|at| *at < next.at);
        let succeeded = self.rules.proof == Proof::Runs
            && matches!(before.end, Some((at, Finish::Succeeded)) if at <= next.at);
        let leased = before.lease_until.is_some_and(|until| until > next.at);
        let violation = match before.terminal().and_then(Settlement::counted) {
            Some(at) if at <= next.at => Violation::RunAfterEnd,
            None if cancelled || succeeded => Violation::RunAfterEnd,
            _ if leased && before.end.is_none() => Violation::Overlapping,
            Some(_) => Violation::StaleAccepted,
            None => Violation::Duplicated,
        };
        self.tell(violation, (earlier, n), verdict);
        // The settlement of the earlier run counted, for nothing kept it from that; so did the one of the next.
        if succeeded && next.has_succeeded() {
            self.tell(Violation::SettledTwice, (earlier, n), verdict);
        }
    }

    fn tell(&self, violation: Violation, (earlier, next): (usize, usize), verdict: &mut Verdict) {
        let runs = [earlier, next].map(|n| self.facts.runs[n].start.run);
        let text = match violation {
            Violation::Unexpected => format!("ran as {} before it was enqueued", runs[1]),
            Violation::StaleAccepted => {
                format!(
                    "settled run {} after run {} had taken over",
                    runs[0], runs[1]
                )
            }
            Violation::SettledTwice => {
                format!("succeeded as {} and as {}", runs[0], runs[1])
            }
            _ => format!(
                "ran as {} again, after run {}, without a cause",
                runs[1], runs[0]
            ),
        };
        verdict.find(violation, || self.facts.story(text, &runs));
    }
}

fn judge_body(facts: &Facts<'_>, n: usize, verdict: &mut Verdict) {
    let start = facts.runs[n].start;
    if let Some(body) = start.body.filter(|body| !facts.bodies.contains(body)) {
        let text = format!("ran with a body that nobody gave it, {body}");
        verdict.find(Violation::ValueMismatch, || facts.story(text, &[start.run]));
    }
}

/// Attempts and fencing numbers go up.
fn judge_numbers(facts: &Facts<'_>, (rules, faults): (&Rules, &Faults), verdict: &mut Verdict) {
    for pair in facts.runs.windows(2) {
        let [earlier, next] = pair else { continue };
        let runs = [earlier.start.run, next.start.run];
        let retried = earlier
            .counted()
            .any(|settlement| settlement.ending == Ending::Retry);
        let counts = retried || (rules.proof == Proof::Runs && failed(earlier, next, faults));
        if let (Some(before), Some(after)) = (earlier.start.attempt, next.start.attempt)
            && after < before + u32::from(counts)
        {
            let text = format!("is at attempt {after} after attempt {before}");
            verdict.find(Violation::AttemptNotIncreasing, || facts.story(text, &runs));
        }
        if let (Some(before), Some(after)) = (earlier.start.epoch, next.start.epoch)
            && after <= before
        {
            let text = format!("has epoch {after} after epoch {before}");
            verdict.find(Violation::EpochNotIncreasing, || facts.story(text, &runs));
        }
    }
}

/// Whether the run failed and its worker lived to say so: who is killed between the two has crashed, and a
/// crash uses no attempt.
fn failed(earlier: &Run<'_>, next: &Run<'_>, faults: &Faults) -> bool {
    matches!(earlier.end, Some((at, Finish::Failed))
        if !faults.killed(&earlier.start.owner, at, next.at) && !faults.struck(&earlier.start.owner, at, next.at))
}
