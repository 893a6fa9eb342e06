//! The faults of a history, and which processes died when.

use std::collections::HashMap;

use super::event::{Event, Micros, Name, What};
use super::rules::Rules;

/// Spans of time, of which one only asks whether any of them touches another.
#[derive(Debug, Default)]
struct Spans {
    /// The beginnings in order, each with the latest end of all spans that begin no later.
    by_begin: Vec<(Micros, Micros)>,
}

impl Spans {
    fn new(mut spans: Vec<(Micros, Micros)>) -> Self {
        spans.sort_unstable();
        let mut latest = 0;
        for (_, end) in &mut spans {
            latest = latest.max(*end);
            *end = latest;
        }
        Self { by_begin: spans }
    }

    fn touch(&self, from: Micros, to: Micros) -> bool {
        let begun = self.by_begin.partition_point(|(begin, _)| *begin <= to);
        begun > 0 && self.by_begin[begun - 1].1 >= from
    }
}

/// A process came to its end.
#[derive(Clone, Copy, Debug)]
struct Death {
    at: Micros,
    killed: bool,
}

/// What disturbed the system under test.
#[derive(Debug, Default)]
pub(super) struct Faults {
    all: Spans,
    beyond_durability: Spans,
    kills: Spans,
    deaths: HashMap<Name, Vec<Death>>,
}

impl Faults {
    pub(super) fn read(events: &[Event], rules: &Rules) -> Self {
        let mut open: Vec<(&Name, Micros, u8)> = Vec::new();
        let mut spans: Vec<(Micros, Micros, u8)> = Vec::new();
        let mut deaths: HashMap<Name, Vec<Death>> = HashMap::new();
        for Event { at, what } in events {
            match what {
                What::FaultBegin { fault, needs } => open.push((fault, *at, *needs)),
                What::FaultEnd { fault } => {
                    if let Some(n) = open.iter().rposition(|(name, ..)| *name == fault) {
                        let (_, begin, needs) = open.remove(n);
                        spans.push((begin, *at, needs));
                    }
                }
                What::ProcessEnd { owner, killed } => {
                    let death = Death {
                        at: *at,
                        killed: *killed,
                    };
                    deaths.entry(Name::clone(owner)).or_default().push(death);
                }
                _ => {}
            }
        }
        // A fault that is not over when the history ends lasts until its end.
        spans.extend(
            open.iter()
                .map(|(_, begin, needs)| (*begin, Micros::MAX, *needs)),
        );
        let span = |(begin, end, _): &(Micros, Micros, u8)| (*begin, *end);
        let all = spans.iter().map(span).collect();
        let harmful = spans.iter().filter(|(.., needs)| *needs > rules.durability);
        let mut beyond: Vec<(Micros, Micros)> = harmful.map(span).collect();
        if rules.durability == 0 {
            // The lowest class dies with its process.
            beyond.extend(deaths.values().flatten().map(|death| (death.at, death.at)));
        }
        let killed = deaths.values().flatten().filter(|death| death.killed);
        let kills = killed.map(|death| (death.at, death.at)).collect();
        Self {
            all: Spans::new(all),
            kills: Spans::new(kills),
            beyond_durability: Spans::new(beyond),
            deaths,
        }
    }

    /// Whether there was any fault in this while.
    pub(super) fn any(&self, from: Micros, to: Micros) -> bool {
        self.all.touch(from, to)
    }

    /// Whether there was one that the promised durability does not survive.
    pub(super) fn beyond_durability(&self, from: Micros, to: Micros) -> bool {
        self.beyond_durability.touch(from, to)
    }

    /// Whether this process was killed in this while.
    pub(super) fn killed(&self, owner: &Name, from: Micros, to: Micros) -> bool {
        self.died(owner, from, to).any(|death| death.killed)
    }

    /// Whether this process ended in this while, killed or by itself.
    pub(super) fn ended(&self, owner: &Name, from: Micros, to: Micros) -> bool {
        self.died(owner, from, to).next().is_some()
    }

    fn died(&self, owner: &Name, from: Micros, to: Micros) -> impl Iterator<Item = &Death> {
        let deaths = self.deaths.get(owner).into_iter().flatten();
        deaths.filter(move |death| (from..=to).contains(&death.at))
    }

    /// Whether any process was killed in this while.
    pub(super) fn any_killed(&self, from: Micros, to: Micros) -> bool {
        self.kills.touch(from, to)
    }
}
