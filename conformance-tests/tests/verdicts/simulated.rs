//! Random histories of a correct queue are clean, and each that is spoiled in one place is not.
#![expect(clippy::ptr_arg, reason = "each way to spoil is a `Spoil`")]

use std::collections::BTreeMap;

use conformance_tests::judge::{
    Answer, Ending, Enqueue, Event, Job, Micros, Place, Start, What, judge,
};
use proptest::prelude::*;

use crate::simulation::{Simulation, rules};

/// Where the history speaks of one job.
struct Places {
    all: BTreeMap<Job, Vec<usize>>,
}

impl Places {
    fn of(events: &[Event]) -> Self {
        let mut all: BTreeMap<Job, Vec<usize>> = BTreeMap::new();
        for (n, event) in events.iter().enumerate() {
            if let Some(job) = event.what.job() {
                all.entry(job).or_default().push(n);
            }
        }
        Self { all }
    }

    /// The places of jobs that were asked for once and accepted: nobody's copies explain anything.
    fn single(&self, events: &[Event]) -> Vec<&Vec<usize>> {
        let single = self.all.values().filter(|places| {
            let count =
                |of: fn(&What) -> bool| places.iter().filter(|n| of(&events[**n].what)).count();
            let asked = count(|what| matches!(what, What::Enqueue(_)));
            let accepted = count(|what| matches!(what, What::Accepted { .. }));
            (asked, accepted) == (1, 1)
        });
        single.collect()
    }
}

/// How a history is spoiled; `None` when it has no place for that.
type Spoil = fn(&mut Vec<Event>, usize) -> Option<()>;

const SPOILS: [(&str, Spoil); 9] = [
    ("a job's last settlement is dropped", drop_settlement),
    ("an enqueue that ran is dropped", drop_enqueue),
    ("a start is made twice", start_twice),
    ("a settlement counts twice", settle_twice),
    ("a job is invented", invent),
    ("what remains is not listed", lose_the_rest),
    ("a body is changed", change_body),
    ("a fencing number is used again", reuse_epoch),
    ("two starts are swapped", swap_starts),
];

fn pick<T: Copy>(from: &[T], chance: usize) -> Option<T> {
    (!from.is_empty()).then(|| from[chance % from.len()])
}

/// The places, in jobs without copies, that hold such an event.
fn places(events: &[Event], holds: impl Fn(&What) -> bool) -> Vec<usize> {
    let places = Places::of(events);
    let single = places.single(events);
    let all = single.into_iter().flatten().copied();
    all.filter(|n| holds(&events[*n].what)).collect()
}

/// The answers that ended a job, each with the question before it.
fn ends(events: &[Event]) -> Vec<(usize, usize)> {
    let counts = |what: &What| {
        matches!(
            what,
            What::Settled {
                answer: Answer::Ok,
                ..
            }
        )
    };
    let asked = |answered: usize| {
        let What::Settled { job, run, .. } = events[answered].what else {
            return None;
        };
        events[..answered].iter().rposition(|event| {
            matches!(&event.what, What::Settle { job: j, run: r, ending, .. }
                if (*j, *r) == (job, run)
                    && !matches!(ending, Ending::Retry
                        | Ending::Release))
        })
    };
    let answers = places(events, counts).into_iter();
    answers.filter_map(|n| Some((asked(n)?, n))).collect()
}

/// Whether nobody heard what became of a settlement of this job: it may be the one that ended it.
fn unheard(events: &[Event], job: Option<Job>) -> bool {
    let unknown = |what: &What| {
        matches!(
            what,
            What::Settled {
                answer: Answer::Unknown,
                ..
            }
        )
    };
    let mut of_job = events.iter().filter(|event| event.what.job() == job);
    of_job.any(|event| unknown(&event.what))
}

fn drop_settlement(events: &mut Vec<Event>, chance: usize) -> Option<()> {
    let mut ends = ends(events);
    ends.retain(|(asked, _)| !unheard(events, events[*asked].what.job()));
    let (asked, answered) = pick(&ends, chance)?;
    events.remove(answered);
    events.remove(asked);
    Some(())
}

fn drop_enqueue(events: &mut Vec<Event>, chance: usize) -> Option<()> {
    let job = events[pick(
        &places(events, |what| matches!(what, What::Start(_))),
        chance,
    )?]
    .what
    .job();
    events.retain(|event| {
        event.what.job() != job || !matches!(event.what, What::Enqueue(_) | What::Accepted { .. })
    });
    Some(())
}

fn start_twice(events: &mut Vec<Event>, chance: usize) -> Option<()> {
    let place = pick(
        &places(events, |what| matches!(what, What::Start(_))),
        chance,
    )?;
    let mut again = events[place].clone();
    if let What::Start(start) = &mut again.what {
        start.run += 1_000;
    }
    events.insert(place + 1, again);
    Some(())
}

fn settle_twice(events: &mut Vec<Event>, chance: usize) -> Option<()> {
    let (asked, answered) = pick(&ends(events), chance)?;
    let again = [events[asked].clone(), events[answered].clone()];
    for (n, event) in again.into_iter().enumerate() {
        let at = events[answered].at;
        events.insert(answered + 1 + n, Event { at, ..event });
    }
    Some(())
}

fn invent(events: &mut Vec<Event>, chance: usize) -> Option<()> {
    let mut invented = events[pick(
        &places(events, |what| matches!(what, What::Start(_))),
        chance,
    )?]
    .clone();
    if let What::Start(start) = &mut invented.what {
        start.job = Job(u64::MAX);
    }
    events.push(invented);
    Some(())
}

fn lose_the_rest(events: &mut Vec<Event>, chance: usize) -> Option<()> {
    let rest = |what: &What| {
        matches!(
            what,
            What::Found {
                place: Place::Ready,
                ..
            }
        )
    };
    let mut rest = places(events, rest);
    rest.retain(|n| !unheard(events, events[*n].what.job()));
    let place = pick(&rest, chance)?;
    events.remove(place);
    Some(())
}

fn change_body(events: &mut Vec<Event>, chance: usize) -> Option<()> {
    let place = pick(
        &places(events, |what| matches!(what, What::Start(_))),
        chance,
    )?;
    if let What::Start(start) = &mut events[place].what {
        start.body = Some(u64::MAX);
    }
    Some(())
}

fn reuse_epoch(events: &mut Vec<Event>, chance: usize) -> Option<()> {
    let later = |what: &What| matches!(what, What::Start(start) if start.run > 1);
    let place = pick(&places(events, later), chance)?;
    if let What::Start(start) = &mut events[place].what {
        start.epoch = Some(start.run - 1);
    }
    Some(())
}

/// Lets the second of two jobs start in the place of the first, with all that follows.
fn swap_starts(events: &mut Vec<Event>, chance: usize) -> Option<()> {
    let disturbed = |event: &Event| {
        matches!(
            event.what,
            What::FaultBegin { .. } | What::ProcessEnd { .. }
        )
    };
    if events.iter().any(disturbed) {
        return None;
    }
    let firsts = places(events, |what| {
        matches!(what, What::Start(Start { run: 1, .. }))
    });
    let mut pairs = Vec::new();
    for one in &firsts {
        for two in &firsts {
            if goes_before(events, *one, *two) {
                pairs.push((*one, *two));
            }
        }
    }
    let (one, two) = pick(&pairs, chance)?;
    let (first, second) = (events[one].what.job()?, events[two].what.job()?);
    for event in events
        .iter_mut()
        .filter(|event| !is_of_enqueue(&event.what))
    {
        let job = event.what.job();
        let other = if job == Some(first) { second } else { first };
        if job == Some(first) || job == Some(second) {
            rename(&mut event.what, other);
        }
    }
    Some(())
}

/// Whether the second job was asked for when the first had been accepted, and before either ran, and both were
/// started by one owner.
fn goes_before(events: &[Event], one: usize, two: usize) -> bool {
    let (What::Start(first), What::Start(second)) = (&events[one].what, &events[two].what) else {
        return false;
    };
    let time = |holds: &dyn Fn(&What) -> bool| {
        let event = events.iter().find(|event| holds(&event.what));
        event.map_or(Micros::MAX, |event| event.at)
    };
    let accepted = time(&|what| matches!(what, What::Accepted { job } if *job == first.job));
    let asked =
        time(&|what| matches!(what, What::Enqueue(Enqueue { job, .. }) if *job == second.job));
    first.owner == second.owner && accepted < asked && asked < events[one].at && one < two
}

fn is_of_enqueue(what: &What) -> bool {
    matches!(what, What::Enqueue(_) | What::Accepted { .. })
}

fn rename(what: &mut What, to: Job) {
    match what {
        What::Start(start) => {
            start.job = to;
            start.body = Some(to.0);
        }
        What::Settle { job, .. }
        | What::Settled { job, .. }
        | What::Extended { job, .. }
        | What::Found { job, .. } => *job = to,
        _ => {}
    }
}

fn steps() -> impl Strategy<Value = Vec<(u8, u8)>> {
    proptest::collection::vec(any::<(u8, u8)>(), 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_correct_queue_is_judged_clean(steps in steps()) {
        let verdict = judge(&Simulation::run(&steps), &rules());
        prop_assert!(verdict.is_clean(), "{verdict}");
    }

    #[test]
    fn a_history_that_was_spoiled_is_never_clean(steps in steps(), chance in any::<usize>()) {
        for (name, spoil) in SPOILS {
            let mut events = Simulation::run(&steps);
            if spoil(&mut events, chance).is_some() {
                let verdict = judge(&events, &rules());
                prop_assert!(!verdict.is_clean(), "{name}, and nothing is found: {verdict}");
            }
        }
    }
}

#[test]
fn every_way_to_spoil_a_history_finds_a_place() {
    // A fixed list of steps that has something of everything but kills and faults.
    let steps: Vec<(u8, u8)> = (0..200_u8).map(|n| (n % 9, n.wrapping_mul(37))).collect();
    for (name, spoil) in SPOILS {
        assert!(spoil(&mut Simulation::run(&steps), 3).is_some(), "{name}");
    }
}
