//! The end of a run: everything is settled, or it is said what is not; then the judge has the word.

use std::time::Duration;

use anyhow::Context;
use bananas::{App, JobFilter, JobState, Track};
use conformance_tests::judge::{HistoryEnd, Job, Place, Proof, Rules, What};

use crate::ground::Ground;

/// How long what is left may take: leases of deliveries whose reply was lost have to lapse, and batches that
/// were recorded and not published wait half a minute.
const DRAIN: Duration = Duration::from_secs(150);

/// How often to look whether all is done.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How many records are read at a time.
const PAGE: usize = 1_000;

/// What is not at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Jobs that the store does not know as ended.
    pub(crate) jobs: u64,
    /// Messages that the broker has.
    pub(crate) messages: u64,
}

impl Rest {
    pub(crate) fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// Waits until everything is at its end, and answers what is not.
pub(crate) async fn drain(app: &App, ground: &Ground) -> anyhow::Result<Rest> {
    let deadline = ground.env.monotonic() + DRAIN;
    loop {
        let rest = Rest {
            jobs: open_jobs(app).await?,
            messages: ground.target.messages(&ground.env).await?,
        };
        if rest.is_nothing() || ground.env.monotonic() >= deadline {
            return Ok(rest);
        }
        ground.env.sleep(LOOK_EVERY).await;
    }
}

async fn open_jobs(app: &App) -> anyhow::Result<u64> {
    let index = app.client().jobs().context("there is no store")?;
    let counts = index.counts().await?;
    let open = counts.iter().filter(|count| !count.state.is_terminal());
    Ok(open.map(|count| count.jobs).sum())
}

/// Tells the witness where every job is that the store knows.
pub(crate) async fn list(app: &App, ground: &Ground) -> anyhow::Result<()> {
    let index = app.client().jobs().context("there is no store")?;
    let mut after = None;
    loop {
        let page = index.query(&JobFilter::default(), after, PAGE).await?;
        for record in &page.jobs {
            let place = match record.standing.state {
                JobState::Scheduled | JobState::Retrying => Place::Scheduled,
                JobState::Ready => Place::Ready,
                JobState::Running => Place::InFlight,
                JobState::Succeeded => Place::Succeeded,
                JobState::Dead => Place::Dead,
                JobState::Cancelled => Place::Cancelled,
                JobState::Expired => Place::Expired,
            };
            let job = Job::from(record.id);
            ground.witness.record(What::Found { job, place });
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// What was promised for jobs that are tracked like this.
pub(crate) fn rules(track: Track) -> Rules {
    let is_tracked = track == Track::Full;
    Rules {
        dedupe: is_tracked,
        tracked: is_tracked,
        proof: Proof::Runs,
        end: HistoryEnd::Drained,
        ..Rules::default()
    }
}
