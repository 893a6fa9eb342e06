//! Looking whether a store agrees with itself. What is wrong in one is brought about by its own tests, for each
//! store can be damaged in its own way.

use bananas_core::{Check, CheckScope, Finding, JobState};

use crate::case::StoreCase;
use crate::check::checks;

checks!(StoreCase:
    a_check_reads_every_job_and_finds_nothing_wrong_in_a_sound_store,
    a_check_that_may_repair_leaves_a_sound_store_as_it_is,
    a_check_goes_on_page_by_page,
);

const SCOPES: [CheckScope; 3] = [
    CheckScope::Strays,
    CheckScope::Records,
    CheckScope::Everything,
];

/// The most records in a page.
const PAGE: u64 = 1_000;

/// All pages of a check: how many records they looked at, and what they found.
async fn check(case: &StoreCase, repair: bool, scope: CheckScope) -> (u64, Vec<Finding>) {
    let (mut records, mut findings) = (0, Vec::new());
    let mut after = None;
    loop {
        let check = Check {
            after,
            repair,
            scope,
        };
        let page = case.store.index().check(check).await.unwrap();
        assert!(page.records <= PAGE, "{} in a page", page.records);
        records += page.records;
        findings.extend(page.findings);
        after = page.next;
        if after.is_none() {
            return (records, findings);
        }
    }
}

/// Proves S100.
async fn a_check_reads_every_job_and_finds_nothing_wrong_in_a_sound_store(case: StoreCase) {
    for state in JobState::ALL {
        case.job_in(state).await;
    }
    for scope in SCOPES {
        let (records, findings) = check(&case, false, scope).await;
        assert_eq!(findings, [], "{scope:?}");
        if scope > CheckScope::Strays {
            assert_eq!(records, case.listing().await.len() as u64);
        }
    }
}

/// Proves S101.
async fn a_check_that_may_repair_leaves_a_sound_store_as_it_is(case: StoreCase) {
    for state in JobState::ALL {
        case.job_in(state).await;
    }
    let before = case.listing().await;
    for scope in SCOPES {
        assert_eq!(check(&case, true, scope).await.1, [], "{scope:?}");
    }
    assert_eq!(case.listing().await, before);
    case.assert_counts_are_exact().await;
}

/// Proves S100, S102.
async fn a_check_goes_on_page_by_page(case: StoreCase) {
    let many: usize = 2_100;
    let jobs: Vec<_> = (0..many).map(|_| case.job()).collect();
    case.record(&jobs, None).await;
    let (records, findings) = check(&case, false, CheckScope::Records).await;
    assert_eq!((records, findings), (many as u64, Vec::new()));
}
