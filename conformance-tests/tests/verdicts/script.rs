//! Histories written by hand: each step comes ten microseconds after the one before.

use conformance_tests::judge::{
    Answer, Ending, Enqueue, Event, Finish, HistoryEnd, Job, Micros, Name, Place, Rules, Start,
    Verdict, Violation, What, judge,
};

/// What every job has as its body, unless said otherwise.
pub(crate) const BODY: u64 = 7;

/// A lease that no script outlives.
pub(crate) const LONG: Micros = 1_000_000;

/// A history in the making.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) now: Micros,
    pub(crate) events: Vec<Event>,
}

/// An enqueue of a job to the queue `q`.
pub(crate) fn enqueue(job: u64) -> Enqueue {
    Enqueue {
        job: Job(job),
        queue: "q".into(),
        key: None,
        priority: 50,
        delayed: false,
        body: BODY,
    }
}

/// A start by the owner `w`, with a long lease.
pub(crate) fn start(job: u64, run: u64) -> Start {
    Start {
        job: Job(job),
        run,
        owner: "w".into(),
        attempt: None,
        epoch: None,
        lease_until: Some(LONG),
        body: Some(BODY),
    }
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A script of one job, 1, that was accepted.
    pub(crate) fn accepted() -> Self {
        Self::new().enqueued(1)
    }

    pub(crate) fn then(mut self, what: What) -> Self {
        self.now += 10;
        let at = self.now;
        self.events.push(Event { at, what });
        self
    }

    pub(crate) fn asked(self, job: u64) -> Self {
        self.then(What::Enqueue(enqueue(job)))
    }

    pub(crate) fn ok(self, job: u64) -> Self {
        self.then(What::Accepted { job: Job(job) })
    }

    pub(crate) fn unknown(self, job: u64) -> Self {
        self.then(What::Unknown { job: Job(job) })
    }

    pub(crate) fn refused(self, job: u64) -> Self {
        self.then(What::Refused { job: Job(job) })
    }

    pub(crate) fn enqueued(self, job: u64) -> Self {
        self.asked(job).ok(job)
    }

    /// A run with a long lease.
    pub(crate) fn start(self, job: u64, run: u64) -> Self {
        self.then(What::Start(start(job, run)))
    }

    /// A run whose lease ends so long after its start.
    pub(crate) fn leased(self, job: u64, run: u64, lease: Micros) -> Self {
        let lease_until = Some(self.now + 10 + lease);
        self.then(What::Start(Start {
            lease_until,
            ..start(job, run)
        }))
    }

    /// A run of whose lease nothing is known.
    pub(crate) fn unleased(self, job: u64, run: u64) -> Self {
        self.then(What::Start(Start {
            lease_until: None,
            ..start(job, run)
        }))
    }

    pub(crate) fn end(self, job: u64, run: u64, finish: Finish) -> Self {
        let job = Job(job);
        self.then(What::End { job, run, finish })
    }

    pub(crate) fn settle(self, job: u64, run: u64, ending: Ending) -> Self {
        self.then(What::Settle {
            job: Job(job),
            run,
            ending,
            body: None,
        })
    }

    pub(crate) fn answer(self, job: u64, run: u64, answer: Answer) -> Self {
        let job = Job(job);
        self.then(What::Settled { job, run, answer })
    }

    /// A settlement that counts.
    pub(crate) fn settled(self, job: u64, run: u64, ending: Ending) -> Self {
        self.settle(job, run, ending).answer(job, run, Answer::Ok)
    }

    pub(crate) fn ack(self, job: u64, run: u64) -> Self {
        self.settled(job, run, Ending::Ack)
    }

    pub(crate) fn killed(self, owner: &str) -> Self {
        self.then(What::ProcessEnd {
            owner: owner.into(),
            killed: true,
        })
    }

    /// A fault that begins and ends, and harms classes below `needs`.
    pub(crate) fn fault(self, needs: u8) -> Self {
        let fault: Name = "cut".into();
        self.then(What::FaultBegin {
            fault: Name::clone(&fault),
            needs,
            struck: Vec::new(),
        })
        .then(What::FaultEnd { fault })
    }

    pub(crate) fn found(self, job: u64, place: Place) -> Self {
        let job = Job(job);
        self.then(What::Found { job, place })
    }

    pub(crate) fn judged(&self, rules: &Rules) -> Verdict {
        judge(&self.events, rules)
    }

    /// Judges it as a history with its end, and answers the violations.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        violations(&self.judged(&drained()))
    }

    /// Judges it as a history with its end, and checks that nothing is found.
    pub(crate) fn assert_clean(&self) -> Verdict {
        let verdict = self.judged(&drained());
        verdict.assert_clean();
        verdict
    }
}

/// The default rules for a history with its end.
pub(crate) fn drained() -> Rules {
    Rules {
        end: HistoryEnd::Drained,
        ..Rules::default()
    }
}

/// The violations of a verdict.
pub(crate) fn violations(verdict: &Verdict) -> Vec<Violation> {
    let found = verdict.counts.violations.iter();
    found
        .flat_map(|(violation, count)| {
            std::iter::repeat_n(*violation, usize::try_from(*count).unwrap())
        })
        .collect()
}
