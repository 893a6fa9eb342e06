//! That a row comes back as it went in.

use bananas_core::ErrorCause;

use super::*;

fn at(micros: i64) -> Option<Timestamp> {
    Some(Timestamp::from_micros(micros))
}

fn record() -> NewRecord {
    NewRecord {
        id: JobId::from_slice(&[7; 16]).unwrap(),
        queue: "mail".parse().unwrap(),
        task: "email.welcome".parse().unwrap(),
        priority: Priority::new(80).unwrap(),
        track: Track::Full,
        tags: Tags::of(["customer:42", "größe"]).unwrap(),
        body: Bytes::from_static(b"\0body"),
        created_at: Timestamp::from_micros(-5),
        standing: Standing {
            state: JobState::Retrying,
            epoch: u64::MAX,
            failed_attempts: 1,
            crashes: 2,
            copy: 3,
            owner: OwnerId::from_slice(&[1; 16]),
            claimed_with: (4, u32::MAX),
            run_at: at(1_800_000_000_000_000),
            expires_at: at(-1),
            cancel_requested: true,
            finished_at: at(0),
            reason: Some(DeadReason::Outdated),
        },
        unique: None,
        errors: vec![AttemptError::new(
            1,
            Timestamp::from_micros(1),
            ErrorCause::Failed,
            "no",
        )],
        result: Some(Bytes::from_static(b"")),
    }
}

/// The row as the server would have it, with number 9.
fn stored(job: NewRecord, batch: Option<BatchId>) -> Row {
    let (queue, id) = (job.queue.clone(), job.id);
    let (written, body) = write_new(job, batch);
    let mut standing = written.standing;
    standing.put_u64(9);
    let mut row = Row::read(&queue, id, standing.into()).unwrap();
    row.read_more(Some(written.story), Some(written.result))
        .unwrap();
    row.read_body(body).unwrap();
    row
}

#[test]
fn a_record_comes_back_as_it_went_in() {
    let row = stored(record(), None);
    assert_eq!(row.record, record().into_record());
    let mut bare = record();
    bare.standing = Standing::new(Timestamp::default(), None, None);
    (bare.errors, bare.result, bare.tags) = (Vec::new(), None, Tags::default());
    let batch = BatchId::from_slice(&[3; 16]);
    let row = stored(bare.clone(), batch);
    assert_eq!(row.record, bare.into_record());
    assert_eq!((row.batch, row.number), (batch, 9));
}

#[test]
fn an_unchanged_row_is_written_as_it_is_stored() {
    let row = stored(record(), None);
    let written = row.write();
    assert_eq!(written.standing, row.stored);
    assert!(written.result.is_empty() && written.story.is_empty());
}

#[test]
fn a_story_that_was_not_read_stays_and_one_that_was_goes_with_its_last_word() {
    let row = stored(record(), None);
    let unread = Row::read(&row.record.queue, row.record.id, row.stored.clone()).unwrap();
    assert_eq!(
        (unread.told, unread.write().standing),
        (Told::Errors, row.stored.to_vec())
    );
    let mut told = row;
    told.record.errors.clear();
    let written = told.write();
    let again = Row::read(&told.record.queue, told.record.id, written.standing.into()).unwrap();
    assert_eq!(again.told, Told::Nothing);
    told.record.note = Some("waits".to_owned());
    let written = told.write();
    assert!(!written.story.is_empty());
}

#[test]
fn every_state_reason_and_track_has_a_number_of_its_own() {
    for state in JobState::ALL {
        for (n, reason) in (0..).zip([None].into_iter().chain(REASONS.map(Some))) {
            let mut job = record();
            (job.standing.state, job.standing.reason) = (state, reason);
            job.track = TRACKS[n % TRACKS.len()];
            if !job.clone().into_record().is_forgotten() {
                assert_eq!(stored(job.clone(), None).record, job.into_record());
            }
        }
    }
}

#[test]
fn what_is_not_a_standing_is_an_error_and_no_panic() {
    let id = JobId::from_slice(&[7; 16]).unwrap();
    let queue = "mail".parse().unwrap();
    for bytes in [vec![], vec![0; WIDTH - 1], vec![200; WIDTH]] {
        assert!(Row::read(&queue, id, bytes.into()).is_err());
    }
    for bytes in [vec![], vec![0; 9], vec![255; 40]] {
        assert_eq!(Body::read(bytes), None);
    }
}

#[test]
fn a_job_of_which_nothing_is_kept_is_written_as_nothing() {
    let mut job = record();
    job.track = Track::None;
    let mut row = stored(job.clone(), None);
    row.record.standing.state = JobState::Succeeded;
    assert!(row.write().standing.is_empty());
    job.standing.state = JobState::Expired;
    assert!(write_new(job, None).0.standing.is_empty());
}
