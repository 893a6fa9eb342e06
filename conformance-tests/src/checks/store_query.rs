//! Finding jobs by state, place, time, tag and text, page by page.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use bananas_core::{
    Alteration, Args, ClaimAnswer, Cursor, Job, JobFilter, JobId, JobRecord, JobSettle, JobState,
    NewRecord, Outcome, Recorded, SearchText, Tag, Tags, TaskName, Timestamp,
};

use crate::case::StoreCase;
use crate::check::checks;
use crate::outcomes::{fatal, success};
use crate::patience::{Patience, a_later_time};
use crate::population::Chance;

checks!(StoreCase:
    jobs_with_all_of_the_tags_are_found,
    a_range_of_creation_times_has_its_start_and_not_its_end,
    a_range_of_end_times_leaves_out_what_has_not_ended,
    a_text_is_found_in_id_task_tags_arguments_and_last_error,
    a_text_has_no_wildcards,
    all_conditions_of_a_filter_hold_at_once,
    what_is_found_is_what_the_filter_says_of_each_job,
    a_dropped_job_is_found_by_nothing,
    a_hundred_thousand_jobs_are_visited_once_while_others_come_and_end,
);

const HOUR: Duration = Duration::from_secs(3_600);

/// Follows the cursors from the newest to the oldest, and checks that each page is in order.
async fn found(case: &StoreCase, filter: &JobFilter, page: usize) -> Vec<JobRecord> {
    let patience = Patience::new(&case.env);
    let mut found: Vec<JobRecord> = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let next = case.store.index().query(filter, after, page).await.unwrap();
        assert!(
            next.jobs.len() <= page,
            "a page is no longer than asked for"
        );
        found.extend(next.jobs);
        if let (Some(Cursor(former)), Some(Cursor(id))) = (after, next.next) {
            assert!(id < former, "the cursor goes on");
        }
        after = next.next;
        if after.is_none() {
            break;
        }
        patience.check("the pages end");
    }
    let is_newer = |pair: &[JobRecord]| pair[0].id > pair[1].id;
    assert!(found.windows(2).all(is_newer), "the newest come first");
    found
}

async fn ids(case: &StoreCase, filter: &JobFilter) -> BTreeSet<JobId> {
    let jobs = found(case, filter, 3).await;
    jobs.iter().map(|job| job.id).collect()
}

fn tagged(tags: &[&str]) -> JobFilter {
    let mut filter = JobFilter::default();
    filter.tags = tags.iter().map(|tag| Tag::new(tag).unwrap()).collect();
    filter
}

fn with_text(text: &str) -> JobFilter {
    let mut filter = JobFilter::default();
    filter.text = Some(SearchText::new(text));
    filter
}

/// Runs a job once and settles it.
async fn end(case: &StoreCase, job: &Job, outcome: Outcome) {
    let owner = case.owner().await.id;
    let ClaimAnswer::Run { epoch, .. } = case.claim(job, owner, 1).await else {
        panic!("a new job runs");
    };
    let settle = JobSettle {
        job: job.reference(),
        epoch,
        outcome,
    };
    let mut settled = case.store.jobs().settle(vec![settle]).await;
    settled.remove(0).unwrap();
}

/// Proves S66.
async fn jobs_with_all_of_the_tags_are_found(case: StoreCase) {
    let sets: [&[&str]; 5] = [
        &[],
        &["mail"],
        &["customer:42", "mail"],
        &["Mail"],
        &["mail", "größe XL"],
    ];
    let mut jobs = Vec::new();
    for tags in sets {
        let mut job = case.job();
        job.tags = Tags::of(tags).unwrap();
        jobs.push(job);
    }
    case.record(&jobs, None).await;
    let of = |places: &[usize]| {
        places
            .iter()
            .map(|at| jobs[*at].id)
            .collect::<BTreeSet<_>>()
    };
    for (tags, expected) in [
        (&["mail"][..], of(&[1, 2, 4])),
        (&["mail", "customer:42"], of(&[2])),
        (&["mail", "mail"], of(&[1, 2, 4])),
        (&["größe XL"], of(&[4])),
        (&["mail", "Mail"], of(&[])),
        (&["mai"], of(&[])),
        (&[], of(&[0, 1, 2, 3, 4])),
    ] {
        assert_eq!(ids(&case, &tagged(tags)).await, expected, "{tags:?}");
    }
    assert_eq!(case.found(jobs[2].id).await.tags, jobs[2].tags);
}

/// Proves S66.
async fn a_range_of_creation_times_has_its_start_and_not_its_end(case: StoreCase) {
    let start = case.env.now();
    let at = |n: u64| start - HOUR + Duration::from_micros(n);
    let mut jobs = Vec::new();
    for n in 0..6 {
        let mut job = case.job();
        job.created_at = at(n);
        if n % 2 == 0 {
            let halves = [
                case.env.random().to_be_bytes(),
                case.env.random().to_be_bytes(),
            ];
            job.id = JobId::from_slice(&halves.concat()).unwrap();
        }
        jobs.push(job);
    }
    // These have ids that say when they were created.
    jobs.push(case.job());
    case.record(&jobs, None).await;
    let find = async |from: Option<Timestamp>, to: Option<Timestamp>| {
        let mut filter = JobFilter::default();
        (filter.created_after, filter.created_before) = (from, to);
        ids(&case, &filter).await
    };
    let of = |places: std::ops::Range<usize>| jobs[places].iter().map(|job| job.id).collect();
    assert_eq!(find(Some(at(2)), Some(at(4))).await, of(2..4));
    assert_eq!(find(Some(at(3)), Some(at(3))).await, of(0..0));
    assert_eq!(find(Some(at(5)), None).await, of(5..7));
    assert_eq!(find(None, Some(at(1))).await, of(0..1));
    let newest = jobs[6].created_at;
    assert_eq!(find(Some(newest), None).await, of(6..7));
    assert_eq!(find(None, Some(newest)).await, of(0..6));
}

/// Proves S66.
async fn a_range_of_end_times_leaves_out_what_has_not_ended(case: StoreCase) {
    let ended = [case.recorded().await, case.recorded().await];
    let open = case.recorded().await;
    end(&case, &ended[0], success()).await;
    a_later_time(&case.env).await;
    end(&case, &ended[1], fatal(&case.env, 1)).await;
    let times = [case.found(ended[0].id).await, case.found(ended[1].id).await];
    let [first, second] = times.map(|job| job.standing.finished_at);
    assert!(first < second, "{first:?} {second:?}");
    let find = async |from: Option<Timestamp>, to: Option<Timestamp>| {
        let mut filter = JobFilter::default();
        (filter.finished_after, filter.finished_before) = (from, to);
        ids(&case, &filter).await
    };
    let both = BTreeSet::from([ended[0].id, ended[1].id]);
    assert_eq!(find(first, second).await, BTreeSet::from([ended[0].id]));
    assert_eq!(find(second, None).await, BTreeSet::from([ended[1].id]));
    assert_eq!(find(first, None).await, both);
    assert_eq!(find(None, first).await, BTreeSet::new());
    assert!(ids(&case, &JobFilter::default()).await.contains(&open.id));
}

/// Proves S66.
async fn a_text_is_found_in_id_task_tags_arguments_and_last_error(case: StoreCase) {
    let mut jobs = [case.job(), case.job(), case.job(), case.job()];
    jobs[0].task = TaskName::new("Invoice.send").unwrap();
    jobs[1].tags = Tags::of(["Größe:XL"]).unwrap();
    jobs[2].args = Args::from_json(r#"{"to": "Ann@Example.com"}"#).unwrap();
    case.record(&jobs, None).await;
    end(&case, &jobs[3], fatal(&case.env, 1)).await;
    let of = |at: usize| BTreeSet::from([jobs[at].id]);
    for (text, expected) in [
        ("invoice.SEND", of(0)),
        ("GRÖSSE", BTreeSet::new()),
        ("gRÖße:x", of(1)),
        ("\"to\": \"ann@example", of(2)),
        ("Attempt 1 WENT", of(3)),
        ("created_at", BTreeSet::new()),
        ("nobody@example", BTreeSet::new()),
    ] {
        assert_eq!(ids(&case, &with_text(text)).await, expected, "{text:?}");
    }
    let id = jobs[2].id.to_string().to_uppercase();
    assert_eq!(ids(&case, &with_text(&id)).await, of(2));
    assert_eq!(ids(&case, &with_text("")).await.len(), jobs.len());
}

/// Proves S67.
async fn a_text_has_no_wildcards(case: StoreCase) {
    let mut jobs = Vec::new();
    for argument in [
        "50%",
        "50 of 100",
        "a_b",
        "aXb",
        "back\\\\slash",
        "[a-z]*?",
        "it''s",
    ] {
        let mut job = case.job();
        job.args = Args::from_json(&format!("\"{argument}\"")).unwrap();
        jobs.push(job);
    }
    case.record(&jobs, None).await;
    for (text, expected) in [
        ("50%", vec![0]),
        ("5%", vec![]),
        ("%", vec![0]),
        ("a_b", vec![2]),
        ("_", vec![2]),
        ("k\\\\s", vec![4]),
        ("[a-z]", vec![5]),
        ("*?", vec![5]),
        ("?", vec![5]),
        ("'", vec![6]),
    ] {
        let expected: BTreeSet<JobId> = expected.iter().map(|at| jobs[*at].id).collect();
        assert_eq!(ids(&case, &with_text(text)).await, expected, "{text:?}");
    }
}

/// Proves S66.
async fn all_conditions_of_a_filter_hold_at_once(case: StoreCase) {
    let mut job = case.job();
    job.tags = Tags::of(["mail", "customer:42"]).unwrap();
    job.args = Args::from_json("\"needle\"").unwrap();
    case.record(std::slice::from_ref(&job), None).await;
    end(&case, &job, fatal(&case.env, 1)).await;
    let record = case.found(job.id).await;
    let mut all = tagged(&["customer:42", "mail"]);
    all.states = vec![JobState::Succeeded, JobState::Dead];
    all.queue = Some(job.queue.clone());
    all.task = Some(job.task.clone());
    all.created_after = Some(record.created_at);
    all.created_before = Some(record.created_at + HOUR);
    all.finished_after = record.standing.finished_at;
    all.finished_before = record.standing.finished_at.map(|at| at + HOUR);
    all.text = Some(SearchText::new("NEEDLE"));
    assert_eq!(ids(&case, &all).await, BTreeSet::from([job.id]));
    let changes: [fn(&mut JobFilter); 9] = [
        |filter| filter.states = vec![JobState::Succeeded, JobState::Ready],
        |filter| filter.queue = Some("other".parse().unwrap()),
        |filter| filter.task = Some("other".parse().unwrap()),
        |filter| filter.tags.push(Tag::new("other").unwrap()),
        |filter| filter.created_after = filter.created_before,
        |filter| filter.created_before = filter.created_after,
        |filter| filter.finished_after = filter.finished_before,
        |filter| filter.finished_before = filter.finished_after,
        |filter| filter.text = Some(SearchText::new("needles")),
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut filter = all.clone();
        change(&mut filter);
        assert_eq!(ids(&case, &filter).await, BTreeSet::new(), "change {at}");
    }
}

/// Proves S61, S66, S67.
async fn what_is_found_is_what_the_filter_says_of_each_job(case: StoreCase) {
    let chance = Chance(case.env.as_ref());
    chance.populate(&case, 300).await;
    let jobs = found(&case, &JobFilter::default(), 1_000).await;
    assert_eq!(jobs.len(), 300);
    let mut hits = 0;
    for _ in 0..200 {
        let filter = chance.filter(&jobs);
        let expected: Vec<&JobRecord> = jobs.iter().filter(|job| filter.matches(job)).collect();
        let page = 1 + chance.below(60);
        let found = found(&case, &filter, page).await;
        let found: Vec<&JobRecord> = found.iter().collect();
        assert_eq!(found, expected, "{filter:?} in pages of {page}");
        hits += expected.len();
    }
    assert!(hits > 100, "the filters find something");
}

/// Proves S65, S66.
async fn a_dropped_job_is_found_by_nothing(case: StoreCase) {
    let mut job = case.job();
    job.tags = Tags::of(["gone"]).unwrap();
    case.record(std::slice::from_ref(&job), None).await;
    let index = case.store.index();
    for alteration in [Alteration::Cancel, Alteration::Drop] {
        assert!(!ids(&case, &tagged(&["gone"])).await.is_empty());
        index.alter(&[job.id], alteration).await.unwrap();
    }
    assert!(ids(&case, &tagged(&["gone"])).await.is_empty());
    // The same id again is another job.
    job.tags = Tags::of(["back"]).unwrap();
    case.record(std::slice::from_ref(&job), None).await;
    assert!(ids(&case, &tagged(&["gone"])).await.is_empty());
    assert_eq!(
        ids(&case, &tagged(&["back"])).await,
        BTreeSet::from([job.id])
    );
}

/// Records so many jobs in large batches.
async fn fill(case: &StoreCase, jobs: usize) -> Vec<Job> {
    let jobs: Vec<Job> = (0..jobs).map(|_| case.job()).collect();
    for batch in jobs.chunks(10_000) {
        let records: Vec<NewRecord> = batch.iter().map(|job| case.new_record(job)).collect();
        for answer in case.store.jobs().record(records, None).await {
            assert_eq!(answer.unwrap(), Recorded::New);
        }
    }
    jobs
}

/// Proves S61, S68.
async fn a_hundred_thousand_jobs_are_visited_once_while_others_come_and_end(case: StoreCase) {
    let jobs = fill(&case, 100_000).await;
    let owner = case.owner().await.id;
    let mut all: HashSet<JobId> = jobs.iter().map(|job| job.id).collect();
    let mut ending = jobs.chunks(100);
    let mut seen = HashSet::new();
    let (everything, mut after) = (JobFilter::default(), None);
    loop {
        let query = case.store.index().query(&everything, after, 5_000);
        let page = query.await.unwrap();
        for job in &page.jobs {
            assert!(seen.insert(job.id), "{} was visited twice", job.id);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
        fill(&case, 100).await;
        let batch: Vec<(&Job, u32)> = ending.next().unwrap().iter().map(|job| (job, 1)).collect();
        let answers = case.claim_all(&batch, owner, 0).await;
        let settles = batch.iter().zip(answers).map(|((job, _), answer)| {
            let ClaimAnswer::Run { epoch, .. } = answer.unwrap() else {
                panic!("a new job runs");
            };
            JobSettle {
                job: job.reference(),
                epoch,
                outcome: success(),
            }
        });
        case.store.jobs().settle(settles.collect()).await;
    }
    all.retain(|id| !seen.contains(id));
    assert!(all.is_empty(), "{} jobs were not visited", all.len());
    // What is nowhere is looked for in bounded steps, and the last of them ends.
    let mut nowhere = JobFilter::default();
    nowhere.task = Some(TaskName::new("nowhere").unwrap());
    assert!(found(&case, &nowhere, 10).await.is_empty());
}
