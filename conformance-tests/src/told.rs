//! What must be true of the facts that a backend tells about itself.

use std::collections::BTreeSet;

use bananas_core::{Durability, Fact, FactLevel};

/// Checks facts of a backend of this class: each is about something else, and what is amiss says what to change.
pub(crate) fn assert_told(facts: &[Fact], class: Durability) {
    let told = facts.iter().find(|fact| fact.name == Fact::DURABILITY);
    let told = told.expect("the durability class is among the facts");
    let begin = format!("{class},");
    assert!(
        told.value.starts_with(&begin),
        "{told:?} does not say {class}"
    );
    let is_flagged = told.level > FactLevel::Info;
    assert_eq!(is_flagged, class < Durability::D2, "{told:?}");
    let mut names = BTreeSet::new();
    for fact in facts {
        assert!(!fact.name.is_empty() && !fact.value.is_empty(), "{fact:?}");
        assert!(names.insert(fact.name), "two facts about {:?}", fact.name);
        let advice = fact.advice.as_deref().unwrap_or_default();
        let is_said = fact.level == FactLevel::Info || !advice.is_empty();
        assert!(is_said, "{fact:?} does not say what to change");
    }
}
