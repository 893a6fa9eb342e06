//! The statement that goes through jobs from the newest id down and says of each whether it may pass a filter.
//!
//! It answers a row for each job it looks at, not only for those that pass, so that whoever reads it can stop
//! after enough of them and knows where. What it goes along is chosen here: the ids of the rarest tag, of the
//! rare states, of a range of times, or of all jobs.

use bananas_core::{JobFilter, JobId, JobState, QueueName, StateCount, Tag, TaskName, Timestamp};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::dated;
use crate::error::Error;

/// How many jobs with a tag are counted, to find the rarest.
const COUNTED: i64 = 10_000;

/// How many ready jobs are worth sorting; where there are more, they are found soon among the newest.
const SORTABLE: u64 = 10_000;

const COUNT_TAG: &str = "SELECT count(*) FROM (SELECT 1 FROM job_tags WHERE tag = ?1 LIMIT ?2)";

/// Indexes by states, each with its condition. What is not listed is not rare.
const RARE: [(&[JobState], &str, &str); 5] = [
    (&[JobState::Dead], "jobs_dead_ids", "j.state = 'dead'"),
    (
        &[JobState::Scheduled, JobState::Retrying],
        "jobs_waiting_ids",
        "(j.state = 'scheduled' OR j.state = 'retrying')",
    ),
    (&[JobState::Running], "jobs_running", "j.state = 'running'"),
    (
        &[JobState::Ready],
        "jobs_ready",
        "j.state = 'ready' AND j.crashes = 0",
    ),
    (
        &[JobState::Ready],
        "jobs_suspect",
        "j.state = 'ready' AND j.crashes > 0",
    ),
];

/// What a scan goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk<'f> {
    /// The ids of all jobs.
    All,
    /// The jobs with this tag, the first of its name in the filter.
    Tag(&'f Tag),
    /// The jobs in the states of the filter.
    States,
}

/// The walk that leads through the fewest jobs; `None` when there is no job to find.
pub(super) fn choose<'f>(
    connection: &Connection,
    filter: &'f JobFilter,
    counts: &[StateCount],
) -> Result<Option<Walk<'f>>, Error> {
    let (mut fewest, mut walk) = (u64::MAX, Walk::All);
    if !filter.states.is_empty() {
        let wanted = counts
            .iter()
            .filter(|count| filter.states.contains(&count.state));
        let jobs: u64 = wanted.map(|count| count.jobs).sum();
        if jobs == 0 {
            return Ok(None);
        }
        let is_rare = |state: &JobState| match state {
            JobState::Succeeded | JobState::Cancelled | JobState::Expired => false,
            JobState::Ready => jobs <= SORTABLE,
            JobState::Scheduled | JobState::Running | JobState::Retrying | JobState::Dead => true,
        };
        if filter.states.iter().all(is_rare) {
            (fewest, walk) = (jobs, Walk::States);
        }
    }
    for tag in &filter.tags {
        let counted: i64 = connection
            .prepare_cached(COUNT_TAG)?
            .query_row((tag.as_str(), COUNTED), |row| row.get(0))?;
        let jobs = match u64::try_from(counted) {
            Ok(0) | Err(_) => return Ok(None),
            // So many that they were not counted, but no more than all.
            Ok(_) if counted >= COUNTED => u64::MAX - 1,
            Ok(jobs) => jobs,
        };
        if jobs < fewest {
            (fewest, walk) = (jobs, Walk::Tag(tag));
        }
    }
    Ok(Some(walk))
}

/// A statement with its values. Its columns are the id, the rowid, and whether the job may pass; a text is not
/// looked for.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

impl Scan {
    /// Looks at jobs with smaller ids than `after`.
    pub(super) fn new(filter: &JobFilter, after: Option<JobId>, walk: Walk<'_>) -> Self {
        let mut scan = Self {
            sql: String::new(),
            values: Vec::new(),
        };
        let passes = scan.passes(filter, walk);
        let older = after.map(|id| scan.value(Value::Blob(id.as_bytes().to_vec())));
        let arms = scan.arms(filter, walk);
        let created = scan.created(filter);
        let mut selects = Vec::new();
        let has_range = !created.is_empty();
        for arm in arms {
            let id = arm.id;
            let mut conditions = arm.conditions;
            conditions.extend(older.iter().map(|older| format!("{id} < {older}")));
            let mut passes = passes.clone();
            if has_range {
                conditions.extend(scan.dates(filter, id));
                passes = format!("j.dated AND {passes}");
            }
            selects.push(select(id, &passes, &arm.from, &conditions));
        }
        if has_range {
            let mut conditions = vec!["j.dated = 0".to_owned()];
            conditions.extend(older.iter().map(|older| format!("j.id < {older}")));
            conditions.extend(created);
            let from = "jobs AS j INDEXED BY jobs_undated";
            // This arm goes along no tag, so it asks for every one.
            let passes = scan.passes(filter, Walk::All);
            selects.push(select("j.id", &passes, from, &conditions));
        }
        scan.sql = format!("{} ORDER BY id DESC", selects.join(" UNION ALL "));
        scan
    }

    /// Keeps a value and answers its name in the statement.
    fn value(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    /// What a job must fulfil to pass, but for the text.
    fn passes(&mut self, filter: &JobFilter, walk: Walk<'_>) -> String {
        let mut conditions = Vec::new();
        if !filter.states.is_empty() {
            let states = filter.states.iter();
            let states: Vec<String> = states.map(|state| format!("j.state = '{state}'")).collect();
            conditions.push(format!("({})", states.join(" OR ")));
        }
        if let Some(queue) = filter.queue.as_ref().map(QueueName::as_str) {
            let queue = self.value(Value::Text(queue.to_owned()));
            conditions.push(format!("j.queue = {queue}"));
        }
        if let Some(task) = filter.task.as_ref().map(TaskName::as_str) {
            let task = self.value(Value::Text(task.to_owned()));
            conditions.push(format!("j.task = {task}"));
        }
        for tag in filter.tags.iter().filter(|tag| walk != Walk::Tag(tag)) {
            let tag = self.value(Value::Text(tag.as_str().to_owned()));
            conditions.push(format!(
                "EXISTS (SELECT 1 FROM job_tags AS other WHERE other.tag = {tag} AND other.id = j.id)"
            ));
        }
        conditions.extend(self.created(filter));
        let finished = (filter.finished_after, filter.finished_before);
        conditions.extend(self.range("j.finished_at", finished));
        if conditions.is_empty() {
            return "1".to_owned();
        }
        conditions.join(" AND ")
    }

    fn created(&mut self, filter: &JobFilter) -> Vec<String> {
        let created = (filter.created_after, filter.created_before);
        self.range("j.created_at", created)
    }

    fn range(
        &mut self,
        column: &str,
        (from, to): (Option<Timestamp>, Option<Timestamp>),
    ) -> Vec<String> {
        let mut conditions = Vec::new();
        for (sign, at) in [(">=", from), ("<", to)] {
            if let Some(at) = at {
                let at = self.value(Value::Integer(at.as_micros()));
                conditions.push(format!("{column} {sign} {at}"));
            }
        }
        conditions
    }

    /// The range of times as a range of ids.
    fn dates(&mut self, filter: &JobFilter, id: &str) -> Vec<String> {
        let lowest = filter.created_after.map(dated::lowest);
        let beyond = filter.created_before.and_then(dated::beyond);
        let mut conditions = Vec::new();
        for (sign, bound) in [(">=", lowest), ("<", beyond)] {
            if let Some(bound) = bound {
                let bound = self.value(Value::Blob(bound.to_vec()));
                conditions.push(format!("{id} {sign} {bound}"));
            }
        }
        conditions
    }

    fn arms(&mut self, filter: &JobFilter, walk: Walk<'_>) -> Vec<Arm> {
        match walk {
            Walk::All => vec![Arm {
                id: "j.id",
                from: "jobs AS j".to_owned(),
                conditions: Vec::new(),
            }],
            Walk::Tag(tag) => {
                let tag = self.value(Value::Text(tag.as_str().to_owned()));
                vec![Arm {
                    id: "t.id",
                    from: "job_tags AS t CROSS JOIN jobs AS j ON j.id = t.id".to_owned(),
                    conditions: vec![format!("t.tag = {tag}")],
                }]
            }
            Walk::States => {
                let wanted = |(states, ..): &&(&[JobState], &str, &str)| {
                    states.iter().any(|state| filter.states.contains(state))
                };
                let arm = |(_, index, condition): &(&[JobState], &str, &str)| Arm {
                    id: "j.id",
                    from: format!("jobs AS j INDEXED BY {index}"),
                    conditions: vec![(*condition).to_owned()],
                };
                RARE.iter().filter(wanted).map(arm).collect()
            }
        }
    }
}

/// One way through some of the jobs; together they lead through all that may pass, and to none twice.
struct Arm {
    id: &'static str,
    from: String,
    conditions: Vec<String>,
}

fn select(id: &str, passes: &str, from: &str, conditions: &[String]) -> String {
    let mut select = format!("SELECT {id} AS id, j.seq, ({passes}) IS TRUE FROM {from}");
    if !conditions.is_empty() {
        select.push_str(" WHERE ");
        select.push_str(&conditions.join(" AND "));
    }
    select
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Connection {
        let place = Connection::open_in_memory().unwrap();
        for step in crate::schema::STEPS {
            place.execute_batch(step).unwrap();
        }
        place
    }

    /// The steps by which SQLite goes along.
    fn plan(filter: &JobFilter, walk: Walk<'_>) -> String {
        let place = place();
        let after = JobId::from_slice(&[1; 16]);
        let scan = Scan::new(filter, after, walk);
        let sql = format!("EXPLAIN QUERY PLAN {}", scan.sql);
        let mut statement = place.prepare(&sql).unwrap();
        let values = rusqlite::params_from_iter(scan.values);
        let steps = statement
            .query_map(values, |row| row.get::<_, String>(3))
            .unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        steps.join("\n")
    }

    fn in_states(states: &[JobState]) -> JobFilter {
        let mut filter = JobFilter::default();
        filter.states = states.to_vec();
        filter.queue = Some(QueueName::default_queue());
        filter
    }

    #[test]
    fn a_later_page_starts_where_the_former_ended() {
        let tag = Tag::new("a").unwrap();
        let mut tagged = JobFilter::default();
        tagged.tags = vec![tag.clone(), Tag::new("b").unwrap()];
        let all = plan(&in_states(&[JobState::Succeeded]), Walk::All);
        assert!(all.contains("(id<?)"), "{all}");
        let tagged = plan(&tagged, Walk::Tag(&tag));
        assert!(
            tagged.contains("SEARCH t USING PRIMARY KEY (tag=? AND id<?)"),
            "{tagged}"
        );
        assert!(
            tagged.contains("SEARCH other USING PRIMARY KEY (tag=? AND id=?)"),
            "{tagged}"
        );
        for plan in [all, tagged] {
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }

    #[test]
    fn rare_states_are_merged_and_not_sorted() {
        let rare = [JobState::Dead, JobState::Retrying];
        let plan = plan(&in_states(&rare), Walk::States);
        for step in ["jobs_dead_ids (id<?)", "jobs_waiting_ids (id<?)"] {
            assert!(plan.contains(step), "{plan}");
        }
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }

    #[test]
    fn a_range_of_times_is_a_range_of_ids() {
        let mut filter = JobFilter::default();
        filter.created_after = Some(Timestamp::from_micros(1_800_000_000_000_000));
        filter.created_before = Some(Timestamp::from_micros(1_800_000_001_000_000));
        let plan = plan(&filter, Walk::All);
        assert!(plan.contains("(id>? AND id<?)"), "{plan}");
        assert!(
            plan.contains("COVERING INDEX jobs_undated") || plan.contains("jobs_undated (id<?)"),
            "{plan}"
        );
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}
