//! The rules about ends: every job that was accepted has one, and none has two.

use super::event::{Finish, Micros, Place};
use super::facts::Facts;
use super::faults::Faults;
use super::rules::{HistoryEnd, Proof, Rules};
use super::verdict::{Verdict, Violation};

/// Judges how one job ended; `ends` is how many settlements may have ended it.
pub(super) fn judge_ends(
    facts: &Facts<'_>,
    ends: usize,
    (rules, faults): (&Rules, &Faults),
    verdict: &mut Verdict,
) {
    judge_settlements(facts, ends, verdict);
    if !facts.exists() {
        return;
    }
    let asked = facts.copies.first().copied().unwrap_or(0);
    let excused = faults.beyond_durability(asked, Micros::MAX);
    judge_places(facts, excused, verdict);
    let drained = rules.end == HistoryEnd::Drained;
    let counts = &mut verdict.counts;
    if let Some(place) = facts.found.first() {
        match place.is_terminal() {
            true => counts.ok += 1,
            false => counts.remaining += 1,
        }
    } else if has_ended(facts, rules) && !(drained && rules.tracked) {
        counts.ok += 1;
    } else if !drained {
        counts.late += 1;
    } else if excused {
        counts.forgiven += 1;
    } else {
        let text = match has_ended(facts, rules) {
            true => "has ended, but nothing remembers it",
            false => "was accepted, has not ended, and is nowhere",
        };
        verdict.find(Violation::Lost, || facts.whole_story(text.to_owned()));
    }
}

/// Whether the job came to an end, or its last settlement may have been applied and nothing more is to come.
fn has_ended(facts: &Facts<'_>, rules: &Rules) -> bool {
    let drained = rules.end == HistoryEnd::Drained;
    let by_settlement = facts.runs.iter().any(|run| {
        let mut settlements = run.settlements.iter();
        let unknown = settlements.any(|s| s.ending.is_terminal() && s.is_unknown());
        run.terminal().is_some() || (drained && unknown)
    });
    let succeeded = |run: &super::facts::Run<'_>| matches!(run.end, Some((_, Finish::Succeeded)));
    let by_run = rules.proof == Proof::Runs && facts.runs.iter().any(succeeded);
    by_settlement || by_run || !facts.cancelled.is_empty()
}

/// Only one settlement of a run counts, and only as many ends as there are copies.
fn judge_settlements(facts: &Facts<'_>, ends: usize, verdict: &mut Verdict) {
    for run in &facts.runs {
        let counted = run.counted().count();
        if counted > 1 {
            let number = run.start.run;
            let text = format!("has {counted} settlements of run {number} that count");
            verdict.find(Violation::SettledTwice, || facts.story(text, &[number]));
        }
    }
    let ended: Vec<u64> = facts
        .runs
        .iter()
        .filter(|run| run.terminal().is_some())
        .map(|run| run.start.run)
        .collect();
    let total = ended.len() + facts.cancelled.len();
    if total > ends {
        let text = format!("ended {total} times");
        verdict.find(Violation::SettledTwice, || facts.story(text, &ended));
    }
}

/// A job is found in one place, and after its end in the place of that end.
fn judge_places(facts: &Facts<'_>, excused: bool, verdict: &mut Verdict) {
    if facts.found.len() > facts.copies.len().max(1) {
        let text = format!("was found {} times", facts.found.len());
        verdict.find(Violation::Misplaced, || facts.whole_story(text));
    } else if facts.copies.len() <= 1
        && !excused
        && let (Some(end), [place]) = (end_place(facts), facts.found.as_slice())
        && end != *place
    {
        let text = format!("ended as {end:?} and was found as {place:?}");
        verdict.find(Violation::Misplaced, || facts.whole_story(text));
    }
}

/// Where the job must be after the settlement that ended it.
fn end_place(facts: &Facts<'_>) -> Option<Place> {
    let settled = facts
        .runs
        .iter()
        .rev()
        .find_map(|run| run.terminal()?.ending.place());
    let cancelled = facts.cancelled.first().map(|_| Place::Cancelled);
    settled.or(cancelled)
}
