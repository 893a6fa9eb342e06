//! The judge: from a history to a verdict.

use super::ends::judge_ends;
use super::event::{Event, Job, Micros, What};
use super::facts::Facts;
use super::faults::Faults;
use super::order::Starts;
use super::rules::Rules;
use super::runs::judge_runs;
use super::verdict::{Story, Verdict, Violation};

/// Judges a history by what was promised.
#[must_use]
pub fn judge(events: &[Event], rules: &Rules) -> Verdict {
    let faults = Faults::read(events, rules);
    let index = by_job(events);
    let groups: Vec<&[Entry]> = index.chunk_by(|a, b| a.0 == b.0).collect();
    let facts = |group: &[Entry]| {
        let of_job = group.iter().map(|(.., n)| &events[*n]).collect();
        Facts::read(group[0].0, of_job, rules)
    };
    let mut verdict = Verdict::default();
    let mut starts = Starts::default();
    for (number, group) in groups.iter().enumerate() {
        let facts = facts(group);
        judge_job(&facts, (rules, &faults), &mut verdict);
        let places = group.iter().map(|(.., n)| *n);
        let mut begun = places.filter(|n| matches!(events[*n].what, What::Start(_)));
        if let Some(began) = begun.next() {
            starts.add((number, began), &facts, rules, &faults);
        }
    }
    starts.judge(rules, &mut verdict, |passed, early| {
        let (passed, early) = (facts(groups[passed]), facts(groups[early]));
        story_of_two(&passed, &early)
    });
    verdict.sort();
    verdict
}

/// A job, a time, and the place of the event in the history.
type Entry = (Job, Micros, usize);

/// The events of each job together, and in the order of time.
fn by_job(events: &[Event]) -> Vec<Entry> {
    let of_jobs = events.iter().enumerate();
    let mut index: Vec<Entry> = of_jobs
        .filter_map(|(n, event)| Some((event.what.job()?, event.at, n)))
        .collect();
    index.sort_unstable();
    index
}

fn judge_job(facts: &Facts<'_>, (rules, faults): (&Rules, &Faults), verdict: &mut Verdict) {
    count(facts, verdict);
    if facts.copies.is_empty() {
        let text = match (facts.refused, facts.runs.is_empty()) {
            (true, true) if facts.found.is_empty() && facts.stray.is_none() => return,
            (true, false) => "ran, though its enqueue was refused",
            (true, true) => "is there, though its enqueue was refused",
            (false, false) => "ran, though nobody enqueued it",
            (false, true) => "is there, though nobody enqueued it",
        };
        verdict.find(Violation::Unexpected, || facts.whole_story(text.to_owned()));
        return;
    }
    if let Some(run) = facts.stray {
        let text = format!("was settled as run {run}, which never began or was not asked for");
        verdict.find(Violation::Unexpected, || facts.whole_story(text));
    }
    let ends = judge_runs(facts, rules, faults, verdict);
    judge_ends(facts, ends, (rules, faults), verdict);
}

fn count(facts: &Facts<'_>, verdict: &mut Verdict) {
    let counts = &mut verdict.counts;
    counts.enqueued += u64::from(facts.enqueue.is_some());
    counts.accepted += u64::from(facts.accepted.is_some());
    counts.refused += u64::from(facts.refused && facts.accepted.is_none());
    counts.recovered += u64::from(facts.exists() && facts.accepted.is_none());
    counts.runs += facts.runs.len() as u64;
}

fn story_of_two(passed: &Facts<'_>, early: &Facts<'_>) -> Story {
    let first = |facts: &Facts<'_>| facts.runs.first().map_or(0, |run| run.start.run);
    let text = format!("started after job {}, though it goes before it", early.job);
    let mut story = passed.story(text, &[first(passed)]);
    let other = early.story(String::new(), &[first(early)]);
    story.events.extend(other.events);
    story.events.sort_by_key(|event| event.at);
    story
}
