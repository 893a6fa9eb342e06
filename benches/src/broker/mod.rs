//! What a message costs on any broker: ours beside the client library of the same server at its best.
//!
//! Both sides take their turns within each round, so that what else the machine does meets both, and the ratio is
//! that of one round.

mod meter;
mod ours;

use anyhow::Result;

use self::meter::Meter;
use crate::report::{Report, median};

pub(crate) use self::ours::Ours;

/// How much of it.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Messages of each figure.
    pub(crate) jobs: usize,
    /// Messages that are confirmed one by one.
    pub(crate) singles: usize,
    /// How often; the median is printed.
    pub(crate) rounds: usize,
    /// How many messages go into one call.
    pub(crate) batch: usize,
    /// How many calls are under way at once: `batch * in_flight` is the window of what is not confirmed, and the
    /// most that a consumer has out.
    pub(crate) in_flight: usize,
    /// The size of a body.
    pub(crate) body: usize,
}

impl Plan {
    pub(crate) fn new(jobs: usize, rounds: usize) -> Self {
        Self {
            jobs,
            singles: (jobs / 100).clamp(1, 2_000),
            rounds,
            batch: 256,
            in_flight: 4,
            body: 300,
        }
    }

    /// How many messages are under way at once.
    pub(crate) fn window(&self) -> usize {
        self.batch * self.in_flight
    }
}

/// A client on an empty queue of its own: ours, or another.
pub(crate) trait Side: Send {
    /// Publishes so many messages, each when the one before was confirmed.
    fn publish_singly(&mut self, jobs: usize) -> impl Future<Output = Result<()>> + Send;

    /// Publishes so many messages and waits for all confirmations, with a window of them under way.
    fn publish_pipelined(&mut self, jobs: usize) -> impl Future<Output = Result<()>> + Send;

    /// Takes and acknowledges so many messages.
    fn consume(&mut self, jobs: usize) -> impl Future<Output = Result<()>> + Send;
}

/// What is measured, in this order.
#[derive(Clone, Copy)]
enum Phase {
    Singly,
    Pipelined,
    Consume,
}

impl Phase {
    const ALL: [Self; 3] = [Self::Singly, Self::Pipelined, Self::Consume];

    fn name(self) -> &'static str {
        match self {
            Self::Singly => "publish one by one",
            Self::Pipelined => "publish pipelined",
            Self::Consume => "reserve and ack",
        }
    }

    async fn run(self, side: &mut impl Side, plan: Plan) -> Result<usize> {
        let jobs = match self {
            Self::Singly => plan.singles,
            Self::Pipelined => plan.jobs,
            Self::Consume => plan.singles + plan.jobs,
        };
        match self {
            Self::Singly => side.publish_singly(jobs).await?,
            Self::Pipelined => side.publish_pipelined(jobs).await?,
            Self::Consume => side.consume(jobs).await?,
        }
        Ok(jobs)
    }
}

/// The figures of one phase, one of each round.
#[derive(Default)]
struct Figures {
    ours: Meter,
    raw: Meter,
    ratio: Vec<f64>,
}

/// Measures both sides on the server with this process id, if its CPU time is of interest. The raw side is called `library`.
pub(crate) async fn measure(
    (target, library): (&str, &str),
    (ours, raw): (&mut impl Side, &mut impl Side),
    server: Option<u32>,
    plan: Plan,
    report: &mut Report,
) -> Result<()> {
    let mut all: [Figures; 3] = std::array::from_fn(|_| Figures::default());
    // The first round meets caches and files that still grow.
    for round in 0..=plan.rounds {
        for (phase, figures) in Phase::ALL.into_iter().zip(&mut all) {
            let mut warm = Figures::default();
            let figures = if round == 0 { &mut warm } else { figures };
            // By turns the first one.
            if round.is_multiple_of(2) {
                figures.ours.of(server, phase.run(ours, plan)).await?;
                figures.raw.of(server, phase.run(raw, plan)).await?;
            } else {
                figures.raw.of(server, phase.run(raw, plan)).await?;
                figures.ours.of(server, phase.run(ours, plan)).await?;
            }
            figures.ratio.push(figures.ours.last() / figures.raw.last());
        }
    }
    for (phase, mut figures) in Phase::ALL.into_iter().zip(all) {
        let name = phase.name();
        let what = format!("{name}, ratio to {library}");
        let percent = median(&mut figures.ratio) * 100.0;
        for (side, meter) in [("bananas", figures.ours), (library, figures.raw)] {
            meter.print((target, &format!("{name}, {side}")), report);
        }
        report.figure(target, &what, percent, "%");
    }
    Ok(())
}
