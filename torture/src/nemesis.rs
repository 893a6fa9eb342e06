//! [`Nemesis`]: brings the faults.

use std::time::Duration;

use anyhow::Context;
use conformance_tests::fault::Proxy;
use conformance_tests::judge::{Micros, Name, What};
use rustix::process::Signal;

use crate::ground::Ground;
use crate::host_clock;
use crate::luck::Luck;
use crate::target::Kind;

/// The longest that a server which is restarted stays away beyond its own end and start.
const AWAY: Duration = Duration::from_millis(500);

/// The longest that a server cannot be reached.
const UNREACHABLE: Duration = Duration::from_secs(3);

/// How long a stopped worker process stays so, at least: longer than the lease of a worker, which is 15 s, and
/// the time in which others look for those that have lapsed.
const PAUSED: Duration = Duration::from_secs(18);

/// How long the way to the server is slow, at least and at most.
const SLOW_MS: (u64, u64) = (2_000, 5_000);

/// The delay of a slow way, each way, at least and at most.
const DELAY_MS: (u64, u64) = (50, 500);

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Fault {
    /// The server ends and is started again, by turns killed and asked to end.
    Restart,
    /// The connections of one worker process, by turns of all, go silent for ever; new ones work.
    HalfOpen,
    /// The connections of one worker process, by turns of all, are cut, and new ones are refused for up to three
    /// seconds.
    Cut,
    /// A worker process is killed, and another started in its place.
    Kill,
    /// A worker process is stopped for longer than its lease, then goes on: its jobs run elsewhere, and what it
    /// says of them comes too late.
    Pause,
    /// What one worker process, by turns all, and the server say to each other is late for a few seconds, by 50 ms
    /// to half a second each way.
    Latency,
    /// A worker process is stopped, and goes on only when the run is over. This must be found: it shows that a
    /// run can fail.
    Hang,
}

/// Brings the faults, when and where its luck says.
#[derive(Debug)]
pub(crate) struct Nemesis {
    luck: Luck,
    brought: u32,
}

/// A fault that has struck.
#[derive(Debug)]
pub(crate) struct Wound {
    /// What the history calls it.
    pub(crate) name: Name,
    /// In words.
    pub(crate) text: String,
    /// From when on it can be recovered from.
    pub(crate) over: Micros,
    /// The places of the worker processes that were struck.
    pub(crate) struck: Vec<usize>,
    pub(crate) fault: Fault,
}

impl Fault {
    /// As the report has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::HalfOpen => "half_open",
            Self::Cut => "cut",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Latency => "latency",
            Self::Hang => "hang",
        }
    }

    /// Whether a broker of this kind can suffer it.
    pub(crate) fn concerns(self, kind: Kind) -> bool {
        match self {
            Self::Restart => kind.has_server() && kind.outlives_restarts(),
            Self::HalfOpen | Self::Cut | Self::Latency => kind.has_server(),
            Self::Kill | Self::Pause | Self::Hang => true,
        }
    }
}

impl Nemesis {
    pub(crate) fn new(luck: Luck) -> Self {
        Self { luck, brought: 0 }
    }

    /// How long until the next fault.
    pub(crate) fn rest(&mut self) -> Duration {
        Duration::from_millis(200 + self.luck.below(1_000))
    }

    /// Strikes. When this returns the fault is over as far as it ever will be, and the witness looks for runs
    /// since then.
    pub(crate) async fn strike(
        &mut self,
        fault: Fault,
        round: u32,
        ground: &mut Ground,
    ) -> anyhow::Result<Wound> {
        self.brought += 1;
        let name = Name::from(format!("{}-{}", fault.name(), self.brought));
        let all = 0..ground.fleet.ships().len();
        let one = self.luck.one_of(all.len());
        let is_even = round.is_multiple_of(2);
        let struck: Vec<usize> = match fault {
            Fault::Kill | Fault::Pause | Fault::Hang => vec![one],
            Fault::HalfOpen | Fault::Cut | Fault::Latency if is_even => vec![one],
            _ => all.collect(),
        };
        let ships = struck.iter().filter_map(|n| ground.fleet.ships().get(*n));
        ground.witness.record(What::FaultBegin {
            fault: Name::clone(&name),
            needs: 0,
            struck: ships.map(|ship| Name::clone(&ship.name)).collect(),
        });
        let text = match fault {
            Fault::Restart => self.restart(is_even, ground).await?,
            Fault::HalfOpen => strand(&struck, ground)?,
            Fault::Cut => self.cut(&struck, ground).await?,
            Fault::Latency => self.slow(&struck, ground).await?,
            Fault::Kill => {
                ground.fleet.replace(one).await?;
                "a worker is killed".to_owned()
            }
            Fault::Pause => self.pause(one, ground).await?,
            Fault::Hang => {
                let ship = ground.fleet.ships().get(one).context("nobody is there")?;
                ship.signal(Signal::STOP)?;
                format!("{} is stopped", ship.name)
            }
        };
        let over = host_clock::now();
        ground.witness.look_for(over);
        Ok(Wound {
            name,
            text,
            over,
            struck,
            fault,
        })
    }

    /// Tidies up after a fault that was recovered from, or never will be.
    pub(crate) fn relieve(&mut self, wound: &Wound, ground: &Ground) -> anyhow::Result<()> {
        if wound.fault == Fault::Hang {
            for place in &wound.struck {
                let ship = ground.fleet.ships().get(*place);
                ship.context("nobody is there")?.signal(Signal::CONT)?;
            }
        }
        ground.witness.record(What::FaultEnd {
            fault: Name::clone(&wound.name),
        });
        Ok(())
    }

    async fn restart(&mut self, kills: bool, ground: &mut Ground) -> anyhow::Result<String> {
        let away = self.luck.below(u64::try_from(AWAY.as_millis())?);
        let server = ground.target.server.as_mut();
        let server = server.context("there is no server to restart")?;
        let how = if kills {
            server.kill().await?;
            "killed"
        } else {
            server.terminate().await?;
            "ended"
        };
        ground.env.sleep(Duration::from_millis(away)).await;
        server.start_again().await?;
        Ok(format!("the server was {how} and started again"))
    }

    async fn pause(&mut self, one: usize, ground: &Ground) -> anyhow::Result<String> {
        let more = Duration::from_millis(self.luck.below(2_000));
        let ship = ground.fleet.ships().get(one).context("nobody is there")?;
        ship.signal(Signal::STOP)?;
        ground.env.sleep(PAUSED + more).await;
        ship.signal(Signal::CONT)?;
        let (name, paused) = (&ship.name, (PAUSED + more).as_millis());
        Ok(format!("{name} was stopped for {paused} ms"))
    }

    async fn slow(&mut self, struck: &[usize], ground: &Ground) -> anyhow::Result<String> {
        let mut within = |(least, most): (u64, u64)| least + self.luck.below(most - least + 1);
        let (delay, lasts) = (within(DELAY_MS), within(SLOW_MS));
        for place in struck {
            proxy(ground, *place)?.latency(Duration::from_millis(delay), Duration::ZERO);
        }
        ground.env.sleep(Duration::from_millis(lasts)).await;
        for place in struck {
            proxy(ground, *place)?.latency(Duration::ZERO, Duration::ZERO);
        }
        let count = struck.len();
        Ok(format!(
            "the ways of {count} had {delay} ms of latency for {lasts} ms"
        ))
    }

    async fn cut(&mut self, struck: &[usize], ground: &Ground) -> anyhow::Result<String> {
        let away = self.luck.below(u64::try_from(UNREACHABLE.as_millis())?);
        for place in struck {
            let proxy = proxy(ground, *place)?;
            proxy.refuse_new();
            proxy.cut();
        }
        ground.env.sleep(Duration::from_millis(away)).await;
        for place in struck {
            proxy(ground, *place)?.accept_new()?;
        }
        let count = struck.len();
        Ok(format!("the connections of {count} are cut for {away} ms"))
    }
}

/// The way of the worker process at this place to the server.
fn proxy(ground: &Ground, place: usize) -> anyhow::Result<&Proxy> {
    let ship = ground.fleet.ships().get(place);
    let proxy = ship.and_then(|ship| ship.proxy.as_ref());
    proxy.context("there is nothing between worker and server")
}

fn strand(struck: &[usize], ground: &Ground) -> anyhow::Result<String> {
    for place in struck {
        let proxy = proxy(ground, *place)?;
        // Only now the server hears of the connections that were left since the last time.
        proxy.heal()?;
        proxy.strand();
    }
    let count = struck.len();
    Ok(format!("the connections of {count} are half open"))
}
