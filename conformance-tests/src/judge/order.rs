//! The rule about order: who was there first, or is more urgent, starts first.

use std::collections::BTreeMap;

use super::event::{Micros, Name};
use super::facts::Facts;
use super::faults::Faults;
use super::rules::{Order, Rules};
use super::verdict::{Story, Verdict, Violation};

/// Where jobs have an order among each other: a queue, its key, and the owner who starts them.
type Line = (Name, Option<Name>, Name);

/// The first start of one job.
#[derive(Clone, Copy, Debug)]
struct First {
    /// Its place among all jobs of the history.
    job: usize,
    /// The place of the start in the history: many start in one microsecond.
    began: usize,
    asked: Micros,
    accepted: Micros,
    level: u8,
}

/// The first starts of all jobs that have an order.
#[derive(Debug, Default)]
pub(super) struct Starts {
    lines: BTreeMap<Line, Vec<First>>,
}

impl Starts {
    /// Adds a job; `number` is its place among all jobs, and `began` that of its first start among all events.
    pub(super) fn add(
        &mut self,
        (number, began): (usize, usize),
        facts: &Facts<'_>,
        rules: &Rules,
        faults: &Faults,
    ) {
        if rules.order == Order::None && rules.priority_levels <= 1 {
            return;
        }
        let (Some(enqueue), Some(accepted), [asked], Some(run)) = (
            facts.enqueue,
            facts.accepted,
            facts.copies.as_slice(),
            facts.runs.first(),
        ) else {
            return;
        };
        // A fault or a kill takes deliveries from consumers that never showed them to anybody.
        if enqueue.delayed || faults.any(*asked, run.at) || faults.any_killed(*asked, run.at) {
            return;
        }
        let key = match rules.order {
            Order::Key => enqueue.key.clone(),
            Order::None | Order::Queue => None,
        };
        let owner = Name::clone(&run.start.owner);
        let line = (Name::clone(&enqueue.queue), key, owner);
        self.lines.entry(line).or_default().push(First {
            job: number,
            began,
            asked: *asked,
            accepted,
            level: rules.level(enqueue.priority),
        });
    }

    /// Judges the order in each line. `tell` makes the story of two jobs, of which the second came first.
    pub(super) fn judge(
        mut self,
        rules: &Rules,
        verdict: &mut Verdict,
        tell: impl Fn(usize, usize) -> Story,
    ) {
        for ((_, key, _), starts) in &mut self.lines {
            let in_order = match rules.order {
                Order::None => false,
                Order::Queue => true,
                Order::Key => key.is_some(),
            };
            starts.sort_unstable_by_key(|start| start.began);
            judge_line(starts, in_order, verdict, &tell);
        }
    }
}

/// Goes from the last start to the first, and keeps of each level the one that was accepted earliest.
fn judge_line(
    starts: &[First],
    in_order: bool,
    verdict: &mut Verdict,
    tell: &impl Fn(usize, usize) -> Story,
) {
    let mut earliest: BTreeMap<u8, First> = BTreeMap::new();
    for start in starts.iter().rev() {
        let passed = earliest
            .range(start.level..)
            .filter(|(level, _)| in_order || **level > start.level)
            .map(|(_, other)| other)
            .find(|other| other.accepted < start.asked);
        if let Some(other) = passed {
            verdict.find(Violation::Reordered, || tell(other.job, start.job));
        }
        let kept = earliest.entry(start.level).or_insert(*start);
        if start.accepted < kept.accepted {
            *kept = *start;
        }
    }
}
