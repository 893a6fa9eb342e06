//! Looking at all jobs of all queues for what is wrong with them, page by page, and mending it.

use std::collections::{HashMap, HashSet};

use bananas_core::{
    Check, CheckPlace, CheckScope, Checked, Finding, FindingKind, JobId, JobState, OwnerId,
    QueueName, Standing,
};
use redis::Value;

use super::damage::{self, Raw};
use super::table::{self, Actor, Depth, Plan};
use super::{owners, queues};
use crate::engine::Shared;
use crate::error::Error;
use crate::keys::{self, Part};
use crate::reply;
use crate::script::Script;

/// How many records a page looks at.
const PAGE: usize = 1_000;

/// About how many members of a line a look passes.
const STEP: &str = "500";

/// What leads to jobs, beside the list of all ids.
const LINES: [Part; 6] = [
    Part::Bodies,
    Part::Ready,
    Part::Suspects,
    Part::Due,
    Part::Ended,
    Part::DeadJobs,
];

/// What of a queue is looked at, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Running jobs of owners that are not known.
    Strays,
    /// Records behind this one.
    Records(Option<JobId>),
    /// What leads to no record, by line and cursor.
    Lines(usize, String),
    Counts,
}

/// A page of a check.
struct Page<'a> {
    shared: &'a Shared,
    queue: &'a QueueName,
    repair: bool,
    checked: Checked,
}

/// Looks at one page, and mends it if that is wanted.
pub(super) async fn check(shared: &Shared, check: &Check) -> Result<Checked, Error> {
    let mut names = queues::all(shared).await?;
    names.sort();
    let (queue, step) = match &check.after {
        Some(place) => read(place)?,
        None => match names.first() {
            Some(first) => (first.clone(), Step::Strays),
            None => return Ok(Checked::default()),
        },
    };
    let mut page = Page {
        shared,
        queue: &queue,
        repair: check.repair,
        checked: Checked::default(),
    };
    let next = match step {
        Step::Strays => page.strays().await?,
        Step::Records(after) => page.records(after).await?,
        Step::Lines(line, cursor) => page.lines(line, &cursor).await?,
        Step::Counts => page.counts().await?,
    };
    let mut checked = page.checked;
    let following = names.iter().find(|name| **name > queue);
    checked.next = match next.filter(|step| is_within(step, check.scope)) {
        Some(step) => Some(told(&queue, &step)),
        None => following.map(|queue| told(queue, &Step::Strays)),
    };
    Ok(checked)
}

fn is_within(step: &Step, scope: CheckScope) -> bool {
    match step {
        Step::Strays => true,
        Step::Records(_) | Step::Lines(..) => scope >= CheckScope::Records,
        Step::Counts => scope >= CheckScope::Everything,
    }
}

fn told(queue: &QueueName, step: &Step) -> CheckPlace {
    CheckPlace(match step {
        Step::Strays => format!("{queue} strays"),
        Step::Records(None) => format!("{queue} records"),
        Step::Records(Some(after)) => format!("{queue} records {after}"),
        Step::Lines(line, cursor) => format!("{queue} lines {line} {cursor}"),
        Step::Counts => format!("{queue} counts"),
    })
}

fn read(place: &CheckPlace) -> Result<(QueueName, Step), Error> {
    let CheckPlace(text) = place;
    let words: Vec<&str> = text.split(' ').collect();
    let step = match words.get(1..).unwrap_or_default() {
        ["strays"] => Some(Step::Strays),
        ["records"] => Some(Step::Records(None)),
        ["records", after] => after.parse().ok().map(|id| Step::Records(Some(id))),
        ["lines", line, cursor] => {
            let line = line.parse().ok().filter(|line| *line < LINES.len());
            line.map(|line| Step::Lines(line, (*cursor).to_owned()))
        }
        ["counts"] => Some(Step::Counts),
        _ => None,
    };
    let queue = words.first().and_then(|name| QueueName::new(name).ok());
    queue.zip(step).ok_or_else(|| Error::Place(text.clone()))
}

impl Page<'_> {
    fn found(&mut self, kind: FindingKind, job: Option<JobId>, detail: impl Into<String>) {
        self.checked.findings.push(Finding {
            kind,
            job,
            queue: Some(self.queue.clone()),
            detail: detail.into(),
            repaired: self.repair,
        });
    }

    async fn strays(&mut self) -> Result<Option<Step>, Error> {
        let shared = self.shared;
        let mut command = redis::cmd("HGETALL");
        command.arg(shared.keys(self.queue).key(Part::Running));
        let runs = reply::list(shared.wire().command(&command).await?);
        let mut runs = shared.read(runs)?.into_iter().filter_map(reply::bytes);
        let mut by_job: HashMap<JobId, OwnerId> = HashMap::new();
        while let (Some(id), Some(run)) = (runs.next(), runs.next()) {
            let owner = run.get(..16).and_then(OwnerId::from_slice);
            by_job.extend(JobId::from_slice(&id).zip(owner));
        }
        let all: HashSet<OwnerId> = by_job.values().copied().collect();
        let all: Vec<OwnerId> = all.into_iter().collect();
        let unknown: HashSet<OwnerId> = owners::unknown(shared, &all).await?.into_iter().collect();
        let mut jobs: Vec<JobId> = by_job
            .iter()
            .filter(|(_, owner)| unknown.contains(owner))
            .map(|(id, _)| *id)
            .collect();
        jobs.sort();
        jobs.truncate(PAGE);
        for id in &jobs {
            let detail = "it runs under an owner that is not known";
            self.found(FindingKind::Stranded, Some(*id), detail);
        }
        if self.repair {
            self.reap(&jobs, &unknown).await?;
        }
        Ok(Some(Step::Records(None)))
    }

    async fn reap(&self, jobs: &[JobId], unknown: &HashSet<OwnerId>) -> Result<(), Error> {
        let now = self.shared.env.now();
        let plan = Plan {
            queue: self.queue,
            actor: Actor::Anybody,
            publication: None,
            depth: Depth::Story,
        };
        for ids in table::pieces(jobs) {
            let reap = |_: usize, row: &mut super::row::Row| {
                let owner = row.record.standing.owner;
                if owner.is_some_and(|owner| unknown.contains(&owner)) {
                    row.record.reap(now);
                }
            };
            table::apply(self.shared, plan, ids, HashMap::new(), reap).await?;
        }
        Ok(())
    }

    async fn records(&mut self, after: Option<JobId>) -> Result<Option<Step>, Error> {
        let mut from = b"-".to_vec();
        if let Some(after) = after {
            from = b"(".to_vec();
            from.extend(after.as_bytes());
        }
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.shared.keys(self.queue).key(Part::Ids));
        command.arg(from).arg("+").arg("BYLEX");
        command.arg("LIMIT").arg(0).arg(PAGE);
        let answer = self.shared.wire().command(&command).await?;
        let ids = self.shared.read(owners::read_ids(answer))?;
        self.checked.records = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        self.look_at(&ids).await?;
        Ok(Some(match ids.last() {
            Some(last) if ids.len() >= PAGE => Step::Records(Some(*last)),
            _ => Step::Lines(0, "0".to_owned()),
        }))
    }

    /// Whether these jobs can be read, and are where they say.
    async fn look_at(&mut self, ids: &[JobId]) -> Result<(), Error> {
        let (shared, queue) = (self.shared, self.queue);
        for ids in table::pieces(ids) {
            let raws = damage::raw(shared, queue, ids).await?;
            let mut wrong = Vec::new();
            let mut misplaced: Vec<&Raw> = Vec::new();
            for raw in &raws {
                if !raw.is_there() {
                    let detail = "what leads to it leads to no record";
                    self.found(FindingKind::Index, Some(raw.id), detail);
                    misplaced.push(raw);
                    continue;
                }
                match raw.row(queue) {
                    Err(why) => {
                        let detail = format!("the record was damaged: {why}");
                        self.found(FindingKind::Unreadable, Some(raw.id), detail);
                        wrong.push((raw, why));
                    }
                    Ok(row) if raw.places != place_of(&row.record.standing) => {
                        let state = row.record.standing.state;
                        let detail = format!("it is {state}, and is not where such jobs are");
                        self.found(FindingKind::Index, Some(raw.id), detail);
                        misplaced.push(raw);
                    }
                    Ok(_) => {}
                }
            }
            if self.repair {
                damage::put(shared, queue, wrong).await?;
                realign(shared, queue, &misplaced).await?;
            }
        }
        Ok(())
    }

    /// Looks for what leads to no record, and records that nothing leads to, where numbers say that there are any.
    async fn lines(&mut self, line: usize, cursor: &str) -> Result<Option<Step>, Error> {
        let totals = Totals::of(self.shared, self.queue, &[]).await?;
        if totals.agree() {
            return Ok(Some(Step::Counts));
        }
        let Some(part) = LINES.get(line).copied() else {
            return Ok(Some(Step::Counts));
        };
        let scan = if part == Part::Bodies {
            "HSCAN"
        } else {
            "ZSCAN"
        };
        let mut command = redis::cmd(scan);
        command.arg(self.shared.keys(self.queue).key(part));
        command.arg(cursor).arg("COUNT").arg(STEP);
        let answer = reply::list(self.shared.wire().command(&command).await?);
        let parts = <[Value; 2]>::try_from(self.shared.read(answer)?).ok();
        let [cursor, members] = self.shared.read(parts)?;
        let cursor = self.shared.read(reply::text(cursor))?;
        let members = self.shared.read(reply::list(members))?.into_iter();
        let ids = members.step_by(2).filter_map(reply::bytes);
        let ids: Vec<JobId> = ids.filter_map(|id| JobId::from_slice(&id)).collect();
        self.look_at(&ids).await?;
        Ok(Some(match cursor.as_str() {
            "0" if line + 1 < LINES.len() => Step::Lines(line + 1, cursor),
            "0" => Step::Counts,
            _ => Step::Lines(line, cursor),
        }))
    }

    async fn counts(&mut self) -> Result<Option<Step>, Error> {
        let totals = Totals::of(self.shared, self.queue, &[]).await?;
        let mut changes = Vec::new();
        for (states, counted) in totals.by_states() {
            let kept: i64 = states.iter().map(|state| totals.kept_of(*state)).sum();
            if kept == counted {
                continue;
            }
            let names: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
            let names = names.join(" or ");
            let detail = format!("{counted} jobs are {names}, and the counts say {kept}");
            self.found(FindingKind::Count, None, detail);
            // Where two states are in one line, the difference goes to the first.
            changes.extend(states.first().map(|state| (*state, counted - kept)));
        }
        if self.repair && !changes.is_empty() {
            Totals::of(self.shared, self.queue, &changes).await?;
        }
        Ok(None)
    }
}

/// The digits of [`Raw::places`] for a job of this standing.
fn place_of(standing: &Standing) -> &'static str {
    match standing.state {
        JobState::Ready if standing.crashes == 0 => "1000001",
        JobState::Ready => "0100001",
        JobState::Scheduled | JobState::Retrying => "0010001",
        JobState::Succeeded | JobState::Cancelled | JobState::Expired => "0001001",
        JobState::Dead => "0000101",
        JobState::Running => "0000011",
    }
}

async fn realign(shared: &Shared, queue: &QueueName, jobs: &[&Raw]) -> Result<(), Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    let mut args: Vec<Vec<u8>> = vec![keys::changes(&shared.namespace).into()];
    for raw in jobs {
        args.push(raw.id.as_bytes().to_vec());
        args.push(raw.standing.clone().unwrap_or_default());
    }
    table::run(shared, Script::Realign, queue, args).await?;
    Ok(())
}

/// Numbers of one moment.
struct Totals {
    ready: i64,
    due: i64,
    running: i64,
    ended: i64,
    dead: i64,
    standings: i64,
    ids: i64,
    bodies: i64,
    /// By state.
    kept: Vec<i64>,
}

impl Totals {
    /// Reads them, after adding to what is counted of these states.
    async fn of(
        shared: &Shared,
        queue: &QueueName,
        changes: &[(JobState, i64)],
    ) -> Result<Self, Error> {
        let mut args: Vec<Vec<u8>> = Vec::new();
        if !changes.is_empty() {
            args.push(keys::changes(&shared.namespace).into());
        }
        for (state, by) in changes {
            args.push((*state as usize).to_string().into());
            args.push(by.to_string().into());
        }
        let answer = table::run(shared, Script::Totals, queue, args).await?;
        shared.read(Self::read(answer))
    }

    fn read(answer: Value) -> Option<Self> {
        let mut parts = reply::list(answer)?;
        let kept = reply::list(parts.pop()?)?;
        let kept = kept.iter().map(reply::integer).collect::<Option<_>>()?;
        let numbers: Option<Vec<i64>> = parts.iter().map(reply::integer).collect();
        let [ready, due, running, ended, dead, standings, ids, bodies] =
            <[i64; 8]>::try_from(numbers?).ok()?;
        Some(Self {
            ready,
            due,
            running,
            ended,
            dead,
            standings,
            ids,
            bodies,
            kept,
        })
    }

    /// Whether every record is in one line, and every line leads to records.
    fn agree(&self) -> bool {
        let in_lines = self.ready + self.due + self.running + self.ended + self.dead;
        [self.ids, self.bodies, in_lines]
            .iter()
            .all(|count| *count == self.standings)
    }

    fn kept_of(&self, state: JobState) -> i64 {
        self.kept.get(state as usize).copied().unwrap_or(0)
    }

    /// What is in the lines, by the states that are in each.
    fn by_states(&self) -> [(Vec<JobState>, i64); 5] {
        use JobState::{Cancelled, Dead, Expired, Ready, Retrying, Running, Scheduled, Succeeded};
        [
            (vec![Ready], self.ready),
            (vec![Scheduled, Retrying], self.due),
            (vec![Running], self.running),
            (vec![Succeeded, Cancelled, Expired], self.ended),
            (vec![Dead], self.dead),
        ]
    }
}
