//! A run from its beginning to its report.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bananas::config::Config;
use bananas::{App, Env, TokioEnv};
use conformance_tests::judge::{Violation, What, judge};

use crate::args::Plan;
use crate::audit::{self, Rest};
use crate::course::{Course, Shown};
use crate::fleet::Fleet;
use crate::ground::Ground;
use crate::load::Load;
use crate::loss_rate;
use crate::luck::Luck;
use crate::nemesis::{Fault, Nemesis};
use crate::report::{Recovery, Report, Verdict};
use crate::target::Target;
use crate::witness::{self, Witness};
use crate::{STALLED, TOO_FEW, UNSAFE};

/// How many jobs are open for each that can run: enough that nobody waits, and few enough that a new job is
/// soon somebody's turn.
const PER_SLOT: u32 = 2;

/// The same of jobs that are over before the load looks again.
const PER_SLOT_IF_SHORT: u32 = 32;

/// What is shorter than the load's own pauses.
const SHORT: Duration = Duration::from_millis(20);

/// How long the jobs of a killed process may be nobody's, unless the plan says otherwise.
const ADOPTION: Duration = Duration::from_secs(18);

/// Fewer jobs say nothing when a number is asked for.
const FEW: u64 = 1_000;

/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(5);

/// Does a run, prints its report, and answers with its exit code.
#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
pub(crate) async fn run(plan: Plan) -> anyhow::Result<ExitCode> {
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let begun = env.monotonic();
    let folder = tempfile::Builder::new().prefix("torture-").tempdir()?;
    let mut report = perform(&plan, &env, folder.path()).await?;
    report.seconds = env.monotonic().since(begun).as_secs();
    if let Some(keep) = &plan.keep {
        move_to(&folder.keep(), keep)?;
        report.folder = Some(keep.clone());
    } else if report.verdict != Verdict::Passed {
        report.folder = Some(folder.keep());
    }
    if plan.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(match report.verdict {
        Verdict::Passed => ExitCode::SUCCESS,
        Verdict::Stalled => ExitCode::from(STALLED),
        Verdict::Unsafe => ExitCode::from(UNSAFE),
        Verdict::TooFew => ExitCode::from(TOO_FEW),
    })
}

async fn perform(plan: &Plan, env: &Arc<dyn Env>, folder: &Path) -> anyhow::Result<Report> {
    let seed = plan.seed.unwrap_or_else(|| env.random());
    let target = Target::start(env, plan, folder).await?;
    let config = target.config(target.address(), plan.concurrency);
    let app = App::open(Config::read("the configuration of a run", &config, [])?).await?;
    let witness = Arc::new(Witness::listen(&folder.join("witness"))?);
    witness.record(What::Promised(Box::new(audit::rules(plan.track))));
    let fleet = Fleet::launch((env, folder.to_owned()), (&target, &witness), plan)?;
    let mut ground = Ground {
        env: Arc::clone(env),
        target,
        fleet,
        witness: Arc::clone(&witness),
    };
    let course = course(plan);
    let backlog = usize::try_from(plan.workers * plan.concurrency * per_slot(plan))?;
    let mut load = Load::begin(&app, &witness, backlog);
    course.begin(&mut ground).await?;
    let mut nemesis = Nemesis::new(Luck::of(seed));
    let shown = course.run(&mut nemesis, &mut ground).await?;
    let jobs = load.end().await;
    let rest = audit::drain(&app, &ground).await?;
    ground.fleet.dismiss().await;
    audit::list(&app, &ground).await?;
    app.close(CLOSE).await?;
    let report = Report {
        seed,
        jobs,
        ..report(plan, &course, shown, rest)
    };
    judged(report, &witness, plan, folder)
}

fn per_slot(plan: &Plan) -> u32 {
    if plan.lasts < SHORT {
        PER_SLOT_IF_SHORT
    } else {
        PER_SLOT
    }
}

/// The faults that the broker can suffer, as often as was asked for.
fn course(plan: &Plan) -> Course {
    let faults = plan.faults.iter().copied();
    Course {
        faults: faults.filter(|fault| fault.concerns(plan.broker)).collect(),
        rounds: plan.rounds(),
        jobs: plan.jobs.unwrap_or(0),
        adoption: plan.bound.unwrap_or(ADOPTION),
        bound: plan.bound.unwrap_or_else(|| plan.broker.bound()),
        patience: plan.patience,
    }
}

/// All of the report but what the judge says.
fn report(plan: &Plan, course: &Course, shown: Shown, rest: Rest) -> Report {
    let unsettled = rest.jobs + rest.messages;
    let is_well = shown.stalls.is_empty() && shown.broken_off.is_none() && unsettled == 0;
    let recovery = |(fault, (n, times)): (Fault, _)| (fault.name(), Recovery::of(n, times));
    let struck = |fault| shown.recoveries.get(&fault).map_or(0, |(n, _)| *n);
    let (kills, restarts, cuts) = (
        struck(Fault::Kill),
        struck(Fault::Restart),
        struck(Fault::Cut),
    );
    let faults: BTreeMap<&'static str, Recovery> =
        shown.recoveries.into_iter().map(recovery).collect();
    let mut recovery_ms: BTreeMap<_, _> = faults
        .iter()
        .map(|(fault, recovery)| (*fault, recovery.recovery_ms))
        .collect();
    if kills > 0 {
        let orphans = Recovery::of(kills, shown.adopted);
        recovery_ms.insert(Fault::Kill.name(), orphans.recovery_ms);
    }
    let skipped = plan.faults.iter();
    let skipped = skipped.filter(|fault| !fault.concerns(plan.broker));
    Report {
        broker: plan.broker.name(),
        store: plan.broker.store(plan.store).name(),
        track: plan.track.as_str(),
        seed: 0,
        rounds: plan.rounds(),
        workers: plan.workers,
        bound_ms: u64::try_from(course.bound.as_millis()).unwrap_or(u64::MAX),
        worker_kills: kills,
        broker_restarts: restarts,
        cuts,
        recovery_ms,
        faults,
        skipped: skipped.map(|fault| fault.name()).collect(),
        stalled: u64::try_from(shown.stalls.len()).unwrap_or(u64::MAX),
        stalls: shown.stalls,
        broken_off: shown.broken_off,
        jobs: 0,
        accepted: 0,
        rerun: 0,
        duplicates: 0,
        unexplained_duplicates: 0,
        settled_twice: 0,
        lost: 0,
        loss_rate_at_most: 1.0,
        peak_memory_mib: 0,
        violations: BTreeMap::new(),
        unsettled,
        stuck: unsettled,
        seconds: 0,
        verdict: if is_well {
            Verdict::Passed
        } else {
            Verdict::Stalled
        },
        folder: None,
        findings: String::new(),
    }
}

/// Adds what the judge says, and writes down what he has read.
fn judged(
    mut report: Report,
    witness: &Witness,
    plan: &Plan,
    folder: &Path,
) -> anyhow::Result<Report> {
    let events = witness.history()?;
    witness::write(&events, &folder.join("history.jsonl"))?;
    let verdict = judge(&events, &audit::rules(plan.track));
    let counts = &verdict.counts;
    report.rerun = counts.runs.saturating_sub(counts.ok);
    for (violation, count) in &counts.violations {
        if *violation == Violation::Lost {
            report.lost = *count;
        } else {
            report.violations.insert(violation.to_string(), *count);
        }
    }
    report.accepted = counts.accepted;
    report.duplicates = counts.duplicates;
    report.unexplained_duplicates = counts.unexplained_duplicates;
    report.settled_twice = verdict.violations(Violation::SettledTwice);
    report.loss_rate_at_most = loss_rate::at_most(report.lost, report.accepted);
    report.peak_memory_mib = peak_memory_mib();
    let is_few = |asked: u64| report.accepted < asked.max(FEW);
    if report.verdict == Verdict::Passed && plan.jobs.is_some_and(is_few) {
        report.verdict = Verdict::TooFew;
    }
    if !verdict.is_clean() {
        report.verdict = Verdict::Unsafe;
        report.findings = verdict.to_string();
    }
    Ok(report)
}

/// The most memory that this process ever had, where the witness and the judge are.
fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1_024
}

/// Moves a folder of this run, perhaps to another file system.
fn move_to(from: &Path, to: &Path) -> anyhow::Result<()> {
    if std::fs::rename(from, to).is_err() {
        std::fs::create_dir_all(to).with_context(|| format!("{} cannot be made", to.display()))?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        std::fs::remove_dir_all(from)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use conformance_tests::judge::{Enqueue, Job, Place};

    use super::*;
    use crate::args::Args;
    use clap::Parser;

    fn found(place: Option<Place>) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let witness = Witness::listen(&folder.path().join("witness")).unwrap();
        let job = Job(1);
        witness.record(What::Enqueue(Enqueue {
            job,
            queue: "work".into(),
            key: None,
            priority: 50,
            delayed: false,
            body: 0,
        }));
        witness.record(What::Accepted { job });
        if let Some(place) = place {
            witness.record(What::Found { job, place });
        }
        let plan = Args::parse_from(["torture"]).plan;
        let rest = Rest {
            jobs: u64::from(place.is_some()),
            messages: 0,
        };
        let report = report(&plan, &course(&plan), Shown::default(), rest);
        judged(report, &witness, &plan, folder.path()).unwrap()
    }

    #[test]
    fn a_job_that_is_nowhere_is_lost_and_the_run_is_unsafe() {
        let report = found(None);
        assert_eq!((report.verdict, report.lost), (Verdict::Unsafe, 1));
        assert!(report.to_string().ends_with("verdict: unsafe"), "{report}");
    }

    #[test]
    fn a_job_that_is_not_at_its_end_is_not_lost_and_the_run_does_not_pass() {
        let report = found(Some(Place::Ready));
        assert_eq!((report.verdict, report.lost), (Verdict::Stalled, 0));
        assert_eq!(report.unsettled, 1);
    }
}
