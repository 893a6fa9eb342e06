//! Publication batches: what is published again, and what is not.

use std::time::Duration;

use bananas_core::{Due, Lost, Publication};

use super::due;
use crate::testing::{Place, mail};

#[tokio::test]
async fn only_unconfirmed_batches_and_evidence_lead_to_a_republish() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let jobs = store.jobs();
    let batch = || Publication {
        id: (&*place.env as &dyn bananas_core::Env).batch_id(),
        owner: place.owner(),
    };
    let (confirmed, open) = (batch(), batch());
    for publication in [&confirmed, &open] {
        let record = place.new_record(&place.job());
        jobs.record(vec![record], Some(publication.clone())).await;
    }
    jobs.confirm(&[confirmed.id]).await.unwrap();
    jobs.confirm(&[confirmed.id]).await.unwrap();
    assert_eq!(
        jobs.open_batches().await.unwrap(),
        std::slice::from_ref(&open)
    );
    let lost = |evidence: Vec<_>, gone: Vec<_>| Lost {
        now: bananas_core::Env::now(&*place.env),
        open_for: Duration::from_secs(30),
        gone: gone.into_iter().collect(),
        evidence,
        max: 10,
        publication: batch(),
    };
    assert!(
        jobs.lost(lost(vec![], vec![]))
            .await
            .unwrap()
            .jobs
            .is_empty(),
        "too early"
    );
    let dead = jobs.lost(lost(vec![], vec![open.id])).await.unwrap();
    assert_eq!((dead.jobs.len(), dead.jobs[0].copy), (1, 1));
    assert_eq!(
        jobs.open_batches().await.unwrap().len(),
        1,
        "the old batch is closed, a new one open"
    );
    place.advance(Duration::from_secs(31));
    let old = jobs.lost(lost(vec![], vec![])).await.unwrap();
    assert_eq!((old.jobs.len(), old.jobs[0].copy), (1, 2));
    let by_evidence = jobs.lost(lost(vec![mail()], vec![])).await.unwrap();
    assert_eq!(
        (by_evidence.jobs.len(), by_evidence.jobs[0].copy),
        (1, 1),
        "the confirmed one only"
    );
}

#[tokio::test]
async fn due_jobs_are_stamped_and_returned_when_they_are_to_be_published() {
    let place = Place::new();
    let engine = place.open().await;
    let store = engine.store();
    let mut job = place.job();
    job.run_at = Some(bananas_core::Env::now(&*place.env) + Duration::from_secs(1));
    store
        .jobs()
        .record(vec![place.new_record(&job)], None)
        .await;
    place.advance(Duration::from_secs(1));
    let publication = Publication {
        id: (&*place.env as &dyn bananas_core::Env).batch_id(),
        owner: place.owner(),
    };
    let page = Due {
        publication: Some(publication.clone()),
        ..due(&place)
    };
    let page = store.jobs().due(page).await.unwrap();
    assert_eq!((page.jobs[0].job.id, page.jobs[0].copy), (job.id, 1));
    assert_eq!(store.jobs().open_batches().await.unwrap(), [publication]);
}
