//! A correct queue in a few lines, with lapsing leases, kills, faults, lost answers and copies.
//!
//! It does what a list of numbers says, so that a failure shrinks to a short list.

use std::collections::VecDeque;

use conformance_tests::judge::{
    Answer, Ending, Enqueue, Event, HistoryEnd, Job, Micros, Name, Order, Place, Rules, Start, What,
};

use crate::script::enqueue;

const LEASE: Micros = 100;

/// One job as its queue knows it.
#[derive(Default)]
struct State {
    runs: u64,
    attempt: u32,
}

/// A copy of a job in the hands of an owner.
#[derive(Clone)]
struct Held {
    job: usize,
    run: u64,
    owner: Name,
    until: Micros,
}

/// The queue, and the history that it makes.
pub(crate) struct Simulation {
    now: Micros,
    pub(crate) events: Vec<Event>,
    jobs: Vec<State>,
    ready: VecDeque<usize>,
    held: Vec<Held>,
    /// Runs whose owners lost them and may not know it.
    lost: Vec<Held>,
    /// How often each owner was killed.
    deaths: [u32; 3],
}

/// What the simulation promises.
pub(crate) fn rules() -> Rules {
    Rules {
        order: Order::Queue,
        end: HistoryEnd::Drained,
        ..Rules::default()
    }
}

impl Simulation {
    /// Does a step for each number, and then lets the queue run dry.
    pub(crate) fn run(steps: &[(u8, u8)]) -> Vec<Event> {
        let mut simulation = Self {
            now: 0,
            events: Vec::new(),
            jobs: Vec::new(),
            ready: VecDeque::new(),
            held: Vec::new(),
            lost: Vec::new(),
            deaths: [0; 3],
        };
        for (step, chance) in steps {
            simulation.step(*step, usize::from(*chance));
        }
        simulation.drain();
        simulation.events
    }

    fn step(&mut self, step: u8, chance: usize) {
        match step % 12 {
            0..=2 => self.enqueue(self.jobs.len(), chance),
            3 if !self.jobs.is_empty() => self.enqueue(chance / 8 % self.jobs.len(), chance),
            4..=6 => self.reserve(chance),
            7 | 8 => self.settle(chance),
            9 => self.extend(chance),
            10 if chance < 64 => self.kill(chance),
            10 if chance < 128 => self.fault(chance),
            10 => self.settle_late(chance),
            _ => self.now += Micros::from(step) * 3 % 160,
        }
    }

    fn happens(&mut self, what: What) {
        // A fast machine does more than one thing in a microsecond.
        self.now += u64::from(!self.events.len().is_multiple_of(3));
        let at = self.now;
        self.events.push(Event { at, what });
    }

    /// Enqueues a job, for the first time or again; the answer may be lost, and so may the job.
    fn enqueue(&mut self, number: usize, chance: usize) {
        let job = Job(number as u64);
        if number == self.jobs.len() {
            self.jobs.push(State::default());
        }
        self.happens(What::Enqueue(Enqueue {
            body: job.0,
            ..enqueue(job.0)
        }));
        let (there, answer) = match chance % 8 {
            0 => (false, What::Refused { job }),
            1 => (false, What::Unknown { job }),
            2 => (true, What::Unknown { job }),
            _ => (true, What::Accepted { job }),
        };
        if there {
            self.ready.push_back(number);
        }
        self.happens(answer);
    }

    /// Makes ready again what nobody holds any more.
    fn lapse(&mut self) {
        let now = self.now;
        for held in self.held.extract_if(.., |held| held.until <= now) {
            self.ready.push_front(held.job);
            self.lost.push(held);
        }
    }

    fn owner(&self, number: usize) -> Name {
        format!("{number}-{}", self.deaths[number]).into()
    }

    fn reserve(&mut self, chance: usize) {
        self.lapse();
        let Some(number) = self.ready.pop_front() else {
            return;
        };
        let owner = self.owner(chance % 3);
        let state = &mut self.jobs[number];
        state.runs += 1;
        let (run, attempt) = (state.runs, state.attempt + 1);
        let until = self.now + LEASE;
        self.held.push(Held {
            job: number,
            run,
            owner: Name::clone(&owner),
            until,
        });
        let job = Job(number as u64);
        self.happens(What::Start(Start {
            job,
            run,
            owner,
            attempt: Some(attempt),
            epoch: Some(run),
            lease_until: Some(until),
            body: Some(job.0),
        }));
    }

    fn settle(&mut self, chance: usize) {
        if self.held.is_empty() {
            return;
        }
        let place = chance / 16 % self.held.len();
        let Held { job, run, .. } = self.held[place];
        let ending = match chance % 8 {
            0 => Ending::Retry,
            1 => Ending::Release,
            2 => Ending::DeadLetter,
            _ => Ending::Ack,
        };
        let named = Job(job as u64);
        self.happens(What::Settle {
            job: named,
            run,
            ending,
            body: None,
        });
        self.lapse();
        let still = self
            .held
            .iter()
            .position(|held| (held.job, held.run) == (job, run));
        let answer = match (still, chance / 8 % 8) {
            (None, _) => Answer::Stale,
            (Some(_), 0) => Answer::Unknown,
            (Some(place), heard) => {
                self.held.remove(place);
                match ending {
                    Ending::Retry => {
                        self.jobs[job].attempt += 1;
                        self.ready.push_back(job);
                    }
                    Ending::Release => self.ready.push_front(job),
                    _ => {}
                }
                if heard == 1 {
                    Answer::Unknown
                } else {
                    Answer::Ok
                }
            }
        };
        self.happens(What::Settled {
            job: named,
            run,
            answer,
        });
    }

    /// Settles a run that its owner has lost.
    fn settle_late(&mut self, chance: usize) {
        if self.lost.is_empty() {
            return;
        }
        let Held { job, run, .. } = self.lost[chance % self.lost.len()];
        let job = Job(job as u64);
        self.happens(What::Settle {
            job,
            run,
            ending: Ending::Ack,
            body: None,
        });
        let answer = Answer::Stale;
        self.happens(What::Settled { job, run, answer });
    }

    fn extend(&mut self, chance: usize) {
        self.lapse();
        if self.held.is_empty() {
            return;
        }
        let place = chance % self.held.len();
        let lease_until = self.now + LEASE;
        self.held[place].until = lease_until;
        let Held { job, run, .. } = self.held[place];
        let job = Job(job as u64);
        self.happens(What::Extended {
            job,
            run,
            lease_until,
        });
    }

    fn give_back(&mut self, taken: impl Fn(&Held) -> bool) {
        for held in self.held.extract_if(.., |held| taken(held)) {
            self.ready.push_front(held.job);
            self.lost.push(held);
        }
    }

    fn kill(&mut self, chance: usize) {
        let owner = self.owner(chance % 3);
        self.deaths[chance % 3] += 1;
        self.give_back(|held| held.owner == owner);
        self.happens(What::ProcessEnd {
            owner,
            killed: true,
        });
    }

    /// A fault that revokes the leases of one owner.
    fn fault(&mut self, chance: usize) {
        let fault: Name = "revoked".into();
        self.happens(What::FaultBegin {
            fault: Name::clone(&fault),
            needs: 0,
            struck: Vec::new(),
        });
        let owner = self.owner(chance % 3);
        self.give_back(|held| held.owner == owner);
        self.happens(What::FaultEnd { fault });
    }

    /// Runs everything but the last two messages to its end, and lists those.
    fn drain(&mut self) {
        self.now += 10 * LEASE;
        self.lapse();
        while self.ready.len() > 2 {
            self.reserve(0);
            self.settle(255);
        }
        while let Some(number) = self.ready.pop_front() {
            let (job, place) = (Job(number as u64), Place::Ready);
            self.happens(What::Found { job, place });
        }
    }
}
