//! Large bodies that a store keeps apart from jobs.

use bananas_core::{Blob, BlobId, BlobStore, ErrorKind, Timestamp};
use bytes::Bytes;

use crate::case::StoreCase;
use crate::check::checks;
use crate::impatience::impatiently;
use crate::patience::DEADLINE;
use crate::race::all_at_once;

checks!(StoreCase:
    a_blob_comes_back_byte_for_byte_to_every_client with Blobs in Smoke,
    a_blob_that_was_deleted_or_never_put_is_none_and_no_error with Blobs,
    deleting_a_blob_touches_no_other with Blobs,
    a_blob_too_large_is_refused_alone_with_both_numbers with Blobs,
    the_list_visits_older_blobs_once_and_no_younger_one with Blobs,
    a_dropped_put_keeps_a_blob_whole_and_listed_or_not_at_all with Blobs,
    blobs_that_are_put_at_once_by_two_clients_are_all_kept with Blobs,
    blobs_of_a_closed_store_are_answered_closed with Blobs,
);

fn blobs(case: &StoreCase) -> &dyn BlobStore {
    case.store.blobs().expect("the store keeps blobs")
}

/// A blob with these bytes.
fn blob(case: &StoreCase, body: impl Into<Bytes>) -> Blob {
    let job = case.env.random().is_multiple_of(2);
    Blob {
        id: case.env.blob_id(job.then(|| case.env.job_id())),
        body: body.into(),
    }
}

/// A blob that was made at this millisecond.
fn made_at(millis: u64, number: u64) -> Blob {
    let time = format!("{millis:012x}");
    let id = format!("{}-{}-7000-8000-{number:012x}", &time[..8], &time[8..]);
    Blob {
        id: id.parse().unwrap(),
        body: Bytes::from(id),
    }
}

async fn put(case: &StoreCase, all: &[Blob]) {
    let answers = blobs(case).put(all.to_vec()).await;
    assert_eq!(answers.len(), all.len(), "one answer for each");
    answers.into_iter().for_each(|answer| answer.unwrap());
}

async fn found(store: &dyn BlobStore, ids: &[BlobId]) -> Vec<Option<Bytes>> {
    let answers = store.get(ids).await;
    assert_eq!(answers.len(), ids.len(), "one answer for each");
    answers.into_iter().map(Result::unwrap).collect()
}

/// All that were made before, page by page.
async fn listed(case: &StoreCase, before: Timestamp, page: usize) -> Vec<BlobId> {
    let mut all: Vec<BlobId> = Vec::new();
    loop {
        let after = all.last().copied();
        let more = blobs(case).list(before, after, page).await.unwrap();
        assert!(more.len() <= page, "{} of {page}", more.len());
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

/// Proves S90.
async fn a_blob_comes_back_byte_for_byte_to_every_client(case: StoreCase) {
    let all_bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let bodies = [
        Bytes::new(),
        Bytes::from_static(b"\r\n\0\xff ' \" text"),
        Bytes::from(all_bytes),
    ];
    let all: Vec<Blob> = bodies.into_iter().map(|body| blob(&case, body)).collect();
    put(&case, &all).await;
    put(&case, &all[..1]).await;
    let other = case.second_client().await;
    let ids: Vec<BlobId> = all.iter().map(|blob| blob.id).collect();
    for client in [&case.store, &other] {
        let bodies = found(client.blobs().unwrap(), &ids).await;
        let same = bodies.iter().zip(&all);
        for (body, blob) in same {
            assert!(body.as_ref() == Some(&blob.body), "{blob:?}");
        }
    }
}

/// Proves S93, S94.
async fn a_blob_that_was_deleted_or_never_put_is_none_and_no_error(case: StoreCase) {
    let (kept, deleted) = (blob(&case, "kept"), blob(&case, "deleted"));
    put(&case, &[kept.clone(), deleted.clone()]).await;
    let never = case.env.blob_id(None);
    blobs(&case).delete(&[deleted.id]).await.unwrap();
    blobs(&case).delete(&[deleted.id, never]).await.unwrap();
    let bodies = found(blobs(&case), &[never, kept.id, deleted.id]).await;
    assert_eq!(bodies, [None, Some(kept.body), None]);
}

/// Proves S94.
async fn deleting_a_blob_touches_no_other(case: StoreCase) {
    let job = case.env.job_id();
    let of_one_job = |n: u8| Blob {
        id: case.env.blob_id(Some(job)),
        body: vec![n; 100].into(),
    };
    let all: Vec<Blob> = (0..10).map(of_one_job).collect();
    put(&case, &all).await;
    blobs(&case).delete(&[all[3].id, all[7].id]).await.unwrap();
    let ids: Vec<BlobId> = all.iter().map(|blob| blob.id).collect();
    for (n, body) in found(blobs(&case), &ids).await.into_iter().enumerate() {
        assert_eq!(body.is_none(), n == 3 || n == 7, "{n}");
    }
}

/// Proves S91.
async fn a_blob_too_large_is_refused_alone_with_both_numbers(case: StoreCase) {
    let limit = case.store.info().max_value;
    let all = [
        blob(&case, "before"),
        blob(&case, vec![b'x'; limit + 1]),
        blob(&case, "behind"),
    ];
    let mut answers = blobs(&case).put(all.to_vec()).await;
    let error = answers.remove(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(!error.is_retryable(), "{error}");
    for number in [limit, limit + 1] {
        assert!(error.to_string().contains(&number.to_string()), "{error}");
    }
    answers.into_iter().for_each(|answer| answer.unwrap());
    let ids: Vec<BlobId> = all.iter().map(|blob| blob.id).collect();
    let bodies = found(blobs(&case), &ids).await;
    let there: Vec<bool> = bodies.iter().map(Option::is_some).collect();
    assert_eq!(there, [true, false, true]);
}

/// Proves S95.
async fn the_list_visits_older_blobs_once_and_no_younger_one(case: StoreCase) {
    let start = 1_700_000_000_000;
    let all: Vec<Blob> = (0..30).map(|n| made_at(start + n / 3, n)).collect();
    let ids: Vec<BlobId> = all.iter().map(|blob| blob.id).collect();
    let mut mixed = all.clone();
    mixed.sort_by_key(|blob| (blob.body.last().copied(), blob.id));
    put(&case, &mixed).await;
    let at = |millis: i64| Timestamp::from_micros((1_700_000_000_000 + millis) * 1_000);
    for (before, count) in [(-1, 0), (0, 0), (1, 3), (5, 15), (10, 30), (1_000, 30)] {
        for page in [1, 4, 15, 1_000] {
            assert_eq!(listed(&case, at(before), page).await, ids[..count]);
        }
    }
    blobs(&case).delete(&ids[2..5]).await.unwrap();
    let left = listed(&case, at(2), 2).await;
    assert_eq!(left, [ids[0], ids[1], ids[5]]);
}

/// Proves S92.
async fn a_dropped_put_keeps_a_blob_whole_and_listed_or_not_at_all(case: StoreCase) {
    let mut all = Vec::new();
    for _ in 0..50 {
        let batch = [blob(&case, vec![1; 70_000]), blob(&case, vec![2; 10])];
        impatiently(&case.env, blobs(&case).put(batch.to_vec())).await;
        all.extend(batch);
    }
    // What a dropped call asked for may still be done a moment later; whoever asks now stands behind it.
    put(&case, &[blob(&case, "last")]).await;
    let ids: Vec<BlobId> = all.iter().map(|blob| blob.id).collect();
    let bodies = found(blobs(&case), &ids).await;
    let later = case.env.now() + crate::case::HOUR;
    let listed = listed(&case, later, 1_000).await;
    for (blob, body) in all.iter().zip(bodies) {
        if let Some(body) = body {
            assert_eq!(body, blob.body);
            assert!(listed.contains(&blob.id), "{blob:?}");
        }
    }
}

/// Proves S90.
async fn blobs_that_are_put_at_once_by_two_clients_are_all_kept(case: StoreCase) {
    let other = case.second_client().await;
    let all: Vec<Blob> = (0..40).map(|n: u8| blob(&case, vec![n; 5_000])).collect();
    let puts = all.chunks(5).enumerate().map(|(n, piece)| {
        let client = if n % 2 == 0 { &case.store } else { &other };
        let (client, piece) = (std::sync::Arc::clone(client), piece.to_vec());
        async move { client.blobs().unwrap().put(piece).await }
    });
    for answers in all_at_once(&case.env, puts).await {
        answers.into_iter().for_each(|answer| answer.unwrap());
    }
    let ids: Vec<BlobId> = all.iter().map(|blob| blob.id).collect();
    for (body, blob) in found(blobs(&case), &ids).await.into_iter().zip(&all) {
        assert_eq!(body.as_ref(), Some(&blob.body));
    }
}

/// Proves S5, S90.
async fn blobs_of_a_closed_store_are_answered_closed(case: StoreCase) {
    let blob = blob(&case, "before");
    put(&case, std::slice::from_ref(&blob)).await;
    case.store.close(DEADLINE).await.unwrap();
    let ids = [blob.id];
    let store = blobs(&case);
    let errors = [
        store.put(vec![blob.clone()]).await.remove(0).unwrap_err(),
        store.get(&ids).await.remove(0).unwrap_err(),
        store.delete(&ids).await.unwrap_err(),
        store.list(case.env.now(), None, 1).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    let other = case.second_client().await;
    let bodies = found(other.blobs().unwrap(), &ids).await;
    assert_eq!(bodies, [Some(blob.body)]);
}
