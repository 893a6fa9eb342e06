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

/// A fault, with the while that it lasted.
struct Disturbance<'a> {
    span: (Micros, Micros),
    needs: u8,
    struck: &'a [Name],
}

/// The faults of a history. One that is not over when the history ends lasts until its end.
fn spans_of(events: &[Event]) -> Vec<Disturbance<'_>> {
    let mut open: Vec<(&Name, Disturbance<'_>)> = Vec::new();
    let mut over = Vec::new();
    for Event { at, what } in events {
        match what {
            What::FaultBegin {
                fault,
                needs,
                struck,
            } => {
                let disturbance = Disturbance {
                    span: (*at, Micros::MAX),
                    needs: *needs,
                    struck,
                };
                open.push((fault, disturbance));
            }
            What::FaultEnd { fault } => {
                if let Some(n) = open.iter().rposition(|(name, _)| *name == fault) {
                    let (_, mut disturbance) = open.remove(n);
                    disturbance.span.1 = *at;
                    over.push(disturbance);
                }
            }
            _ => {}
        }
    }
    over.extend(open.into_iter().map(|(_, disturbance)| disturbance));
    over
}

/// What disturbed the system under test.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Of the faults that name nobody, and so may strike anybody.
    of_all: Spans,
    all: Spans,
    /// Of the faults that say whom they strike.
    of_owners: HashMap<Name, Spans>,
    beyond_durability: Spans,
    kills: Spans,
    deaths: HashMap<Name, Vec<Death>>,
}

impl Faults {
    pub(super) fn read(events: &[Event], rules: &Rules) -> Self {
        let spans = spans_of(events);
        let mut deaths: HashMap<Name, Vec<Death>> = HashMap::new();
        for Event { at, what } in events {
            if let What::ProcessEnd { owner, killed } = what {
                let death = Death {
                    at: *at,
                    killed: *killed,
                };
                deaths.entry(Name::clone(owner)).or_default().push(death);
            }
        }
        let of_all = spans.iter().filter(|fault| fault.struck.is_empty());
        let of_all = of_all.map(|fault| fault.span).collect();
        let all = spans.iter().map(|fault| fault.span).collect();
        let mut of_owners: HashMap<Name, Vec<(Micros, Micros)>> = HashMap::new();
        for fault in &spans {
            for owner in fault.struck {
                let of_owner = of_owners.entry(Name::clone(owner)).or_default();
                of_owner.push(fault.span);
            }
        }
        let of_owners = of_owners.into_iter();
        let of_owners = of_owners.map(|(owner, spans)| (owner, Spans::new(spans)));
        let harmful = spans.iter().filter(|fault| fault.needs > rules.durability);
        let mut beyond: Vec<(Micros, Micros)> = harmful.map(|fault| fault.span).collect();
        if rules.durability == 0 {
            // The lowest class dies with its process.
            beyond.extend(deaths.values().flatten().map(|death| (death.at, death.at)));
        }
        let killed = deaths.values().flatten().filter(|death| death.killed);
        let kills = killed.map(|death| (death.at, death.at)).collect();
        Self {
            of_all: Spans::new(of_all),
            all: Spans::new(all),
            of_owners: of_owners.collect(),
            kills: Spans::new(kills),
            beyond_durability: Spans::new(beyond),
            deaths,
        }
    }

    /// Whether there was any fault in this while.
    pub(super) fn any(&self, from: Micros, to: Micros) -> bool {
        self.all.touch(from, to)
    }

    /// Whether there was a fault in this while that may have struck this process.
    pub(super) fn struck(&self, owner: &Name, from: Micros, to: Micros) -> bool {
        let own = self.of_owners.get(owner);
        self.of_all.touch(from, to) || own.is_some_and(|spans| spans.touch(from, to))
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
