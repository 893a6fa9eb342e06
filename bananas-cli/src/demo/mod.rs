//! `bananas demo`: all of Bananas on files that are already there, with a worker killed half-way.
//!
//! Each file below a folder becomes a job that digests it. Worker processes run the jobs; about when half have
//! ended one of them is killed in the middle of its jobs. The report says what that cost, and proves by a second
//! walk of the folder that it cost no job.

mod args;
mod audit;
mod census;
mod crew;
mod digest;
mod director;
mod file_path;
mod home;
mod kill;
mod place;
mod plan;
mod producer;
mod progress;
mod report;
mod scope;
mod timing;
mod verdict;
mod worker_process;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use bananas::config::redact;
use bananas::{App, Env, TokioEnv};

pub(crate) use self::args::{DemoArgs, DemoWorkerArgs, EXAMPLES};
pub(crate) use self::worker_process::run_worker;

use self::audit::Audit;
use self::census::Census;
use self::crew::Crew;
use self::director::{Director, read_jobs};
use self::home::Home;
use self::place::Place;
use self::plan::Plan;
use self::progress::Progress;
use self::report::Report;
use self::scope::Scope;
use self::timing::{Timing, round};
use self::verdict::Verdict;
use crate::cli::Globals;
use crate::exit::usage;
use crate::output::Output;
use crate::settings::Settings;

/// The exit code of a command that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

/// Runs the demo.
pub(crate) async fn run(
    args: DemoArgs,
    globals: &Globals,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    if let Some(url) = globals.url.as_deref().filter(|url| home::is_local(url)) {
        return Err(usage(format!(
            "the demo makes a database of its own, so {} is no place for it; name a server, or a file with \
             --database",
            redact(url)
        )));
    }
    let config = Settings::read(globals)?.config;
    let place = Place::prepare(&args)?;
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    let home = Home::of(config, &place.database, &env).await?;
    let server = home.server();
    if let Some(server) = &server {
        output.note(format!("demo: on {server}"));
    }
    let app = home.open(1).await?;
    let begun = app.env().monotonic();
    let mut crew = None;
    let ended = tokio::select! {
        ended = perform(&args, output, (&place, &home), &app, &mut crew) => Some(ended),
        _ = bananas::shutdown_signal() => None,
    };
    if let Some(crew) = &mut crew {
        crew.disband().await;
    }
    let cleared = if place.stays {
        Ok(())
    } else {
        home.clear(&app).await
    };
    // What it still wants to say does not matter once the report stands.
    let closed = app.close(home::CLOSE).await;
    let Some(ended) = ended else {
        output.note("demo: interrupted; its workers have ended");
        place.leave()?;
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let mut report = ended?;
    cleared?;
    closed?;
    report.broker = server;
    if place.stays {
        report.database = home.file().map(str::to_owned);
        report.look_on = Some(home.look_on());
    }
    report.elapsed_seconds = round(app.env().monotonic().since(begun).as_secs_f64());
    report.logs = place.leave()?;
    if output.is_json() {
        output.json(&report)?;
    } else {
        output.line(report.text()?.trim_end())?;
    }
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn perform(
    args: &DemoArgs,
    output: &Output,
    (place, home): (&Place, &Home),
    app: &App,
    crew: &mut Option<Crew>,
) -> anyhow::Result<Report> {
    let first = census(&place.scope).await?;
    let files = u64::try_from(first.files.len()).unwrap_or(u64::MAX);
    let plan = Plan::new(files, args.workers, args.pace);
    let folder = place.scope.root.display().to_string();
    let mut audit = Audit::new(first);
    if files == 0 {
        let verdict = judge(audit, &place.scope, args.verify).await?;
        return Ok(Report {
            verdict,
            ..Report::empty(folder, &plan)
        });
    }
    let crew = crew.insert(Crew::new(
        Arc::clone(app.env()),
        plan,
        home.told()?,
        &place.logs(),
    ));
    let progress = Progress::new(Arc::clone(app.env()), output, files);
    let director = Director {
        app,
        scope: &place.scope,
        plan,
        crew,
        progress,
    };
    let course = director.run().await?;
    crew.dismiss().await;
    read_jobs(app, &mut audit).await?;
    let timing = Timing::of(&mut audit, &course);
    Ok(Report {
        pace_ms: u64::try_from(plan.pace.as_millis()).unwrap_or(u64::MAX),
        killed_workers: u32::from(course.kill.is_some()),
        kill: course.kill,
        rerun: audit.rerun,
        recovered_ms: timing.recovered_ms,
        died_workers: crew.deaths().to_vec(),
        jobs_per_second: timing.jobs_per_second,
        run_seconds: timing.run_seconds,
        run_ms_p50: timing.run_ms_p50,
        run_ms_p99: timing.run_ms_p99,
        verdict: judge(audit, &place.scope, args.verify).await?,
        ..Report::empty(folder, &plan)
    })
}

/// Walks and reading block, so they are done on a thread that may block; an interrupted demo does not wait for it.
async fn census(scope: &Scope) -> anyhow::Result<Census> {
    let scope = scope.clone();
    let taken = tokio::task::spawn_blocking(move || census::take(&scope)).await;
    taken.context("the walk of the folder broke off")
}

async fn judge(mut audit: Audit, scope: &Scope, verify: bool) -> anyhow::Result<Verdict> {
    audit.again(census(scope).await?);
    let judged = tokio::task::spawn_blocking(move || Verdict::of(audit, verify)).await;
    judged.context("the audit broke off")
}
