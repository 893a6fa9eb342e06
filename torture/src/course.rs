//! [`Course`]: fault after fault, and after each the question who runs jobs again.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use conformance_tests::judge::Micros;

use crate::ground::Ground;
use crate::nemesis::{Fault, Nemesis, Wound};
use crate::report::Stall;

/// How often the witness is asked.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How long all worker processes together may take to run their first jobs.
const START: Duration = Duration::from_secs(60);

/// How a run goes.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) faults: Vec<Fault>,
    pub(crate) rounds: u32,
    /// How many jobs are accepted at least.
    pub(crate) jobs: u64,
    pub(crate) bound: Duration,
    /// How long the jobs of a killed process may be nobody's.
    pub(crate) adoption: Duration,
    pub(crate) patience: Duration,
}

/// What a run has shown.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// How often each fault struck, and how long those whom it struck took to run a job again.
    pub(crate) recoveries: BTreeMap<Fault, (u64, Vec<Micros>)>,
    /// How long the jobs of killed processes were nobody's.
    pub(crate) adopted: Vec<Micros>,
    pub(crate) stalls: Vec<Stall>,
    /// Why the run ended before its time.
    pub(crate) broken_off: Option<String>,
}

impl Course {
    /// Waits until all worker processes run jobs.
    pub(crate) async fn begin(&self, ground: &mut Ground) -> anyhow::Result<()> {
        let deadline = ground.env.monotonic() + START;
        while !silent(ground).is_empty() {
            if let Some(casualty) = ground.fleet.casualty() {
                bail!("{casualty} before it had run a job");
            }
            if ground.env.monotonic() >= deadline {
                let names = silent(ground).join(", ");
                bail!("{names} did not run a job within {START:?}, and nothing had struck yet");
            }
            ground.env.sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    /// Strikes again and again, and looks who comes back.
    pub(crate) async fn run(
        &self,
        nemesis: &mut Nemesis,
        ground: &mut Ground,
    ) -> anyhow::Result<Shown> {
        let mut shown = Shown::default();
        let (mut round, mut accepted) = (0, 0);
        while round < self.rounds || ground.witness.accepted() < self.jobs {
            let now = ground.witness.accepted();
            if round >= self.rounds && now == accepted {
                // Nothing is accepted any more; the number says it.
                return Ok(shown);
            }
            accepted = now;
            for fault in &self.faults {
                ground.env.sleep(nemesis.rest()).await;
                let wound = nemesis.strike(*fault, round, ground).await?;
                let back = self.recovery(&wound, ground, &mut shown).await;
                nemesis.relieve(&wound, ground)?;
                let (count, times) = shown.recoveries.entry(*fault).or_default();
                *count += 1;
                let struck = wound.struck.iter().filter_map(|place| *back.get(*place)?);
                times.extend(struck);
                self.say(round, (&wound, &back), ground);
                if shown.broken_off.is_some() {
                    return Ok(shown);
                }
            }
            if self.faults.is_empty() {
                ground.env.sleep(nemesis.rest()).await;
            }
            round += 1;
        }
        Ok(shown)
    }

    /// How long each worker process took to run a job again; `None` for one that did not.
    async fn recovery(
        &self,
        wound: &Wound,
        ground: &mut Ground,
        shown: &mut Shown,
    ) -> Vec<Option<Micros>> {
        let bound = self.bound.max(self.adoption);
        let deadline = ground.env.monotonic() + bound + self.patience;
        while !silent(ground).is_empty() || !ground.witness.orphans().is_empty() {
            if let Some(casualty) = ground.fleet.casualty() {
                shown.broken_off = Some(format!("{casualty} after {}", wound.name));
                break;
            }
            if ground.env.monotonic() >= deadline {
                let mut names = silent(ground);
                let orphans = ground.witness.orphans();
                names.extend(orphans.iter().map(|job| format!("job {job}")));
                let names = names.join(", ");
                shown.broken_off = Some(format!("{names} never came back after {}", wound.name));
                break;
            }
            ground.env.sleep(ASK_EVERY).await;
        }
        let bound = u64::try_from(self.bound.as_micros()).unwrap_or(u64::MAX);
        let mut back = Vec::new();
        for ship in ground.fleet.ships() {
            let first = ground.witness.first_run(&ship.name);
            let took = first.map(|at| at.saturating_sub(wound.over));
            if took.is_none_or(|took| took > bound) {
                shown.stalls.push(Stall {
                    fault: wound.name.to_string(),
                    worker: ship.name.to_string(),
                    recovery_ms: took.map(|took| took / 1_000),
                });
            }
            back.push(took);
        }
        self.adoptions(wound, ground, shown);
        back
    }

    /// Notes how long each job of a killed process was nobody's.
    fn adoptions(&self, wound: &Wound, ground: &Ground, shown: &mut Shown) {
        let bound = u64::try_from(self.adoption.as_micros()).unwrap_or(u64::MAX);
        let left = ground.witness.orphans().into_iter();
        let left = left.map(|job| (format!("job {job}"), None));
        let left: Vec<(String, Option<Micros>)> = left.collect();
        let adopted = ground.witness.adopted();
        let late = adopted.iter().filter(|took| **took > bound);
        let late = late.map(|took| ("a job of the killed worker".to_owned(), Some(took / 1_000)));
        let stalls = left.into_iter().chain(late);
        shown
            .stalls
            .extend(stalls.map(|(worker, recovery_ms)| Stall {
                fault: wound.name.to_string(),
                worker,
                recovery_ms,
            }));
        shown.adopted.extend(adopted);
    }

    #[expect(
        clippy::print_stderr,
        reason = "it talks to the person at the terminal"
    )]
    fn say(&self, round: u32, (wound, back): (&Wound, &[Option<Micros>]), ground: &Ground) {
        let time = |took: &Option<Micros>| {
            took.map_or_else(|| "never".to_owned(), |took| (took / 1_000).to_string())
        };
        let times: Vec<String> = back.iter().map(time).collect();
        let (round, rounds) = (round + 1, self.rounds.max(round + 1));
        let accepted = ground.witness.accepted();
        let (text, times) = (&wound.text, times.join(", "));
        eprintln!(
            "round {round} of {rounds}: {text}; workers run again after {times} ms; {accepted} jobs"
        );
    }
}

/// The names of those who have not run a job since the moment in question.
fn silent(ground: &Ground) -> Vec<String> {
    let ships = ground.fleet.ships().iter();
    let silent = ships.filter(|ship| ground.witness.first_run(&ship.name).is_none());
    silent.map(|ship| ship.name.to_string()).collect()
}
