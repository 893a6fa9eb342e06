//! What a store tells about itself, for the people who run it.

use crate::case::StoreCase;
use crate::check::checks;
use crate::told::assert_told;

checks!(StoreCase:
    the_facts_say_what_survives_and_what_to_change,
);

/// Proves S80. Case R06.
async fn the_facts_say_what_survives_and_what_to_change(case: StoreCase) {
    let facts = case.store.facts().await.unwrap();
    assert_told(&facts, case.store.info().durability);
}
