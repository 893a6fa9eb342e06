//! What was promised, and so what the judge holds a history to.

use serde::{Deserialize, Serialize};

use super::event::{Event, What};

/// What was promised. The default is the least that every backend owes: nothing lost, nothing run twice
/// without a cause, nothing invented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// What order is kept.
    pub order: Order,
    /// How many of the 101 priorities are told apart; 1 if none are.
    pub priority_levels: u8,
    /// Whether one id is one job, however often it is enqueued.
    pub dedupe: bool,
    /// Whether the settlement of somebody who lost his lease is refused by more than his own clock.
    pub fenced: bool,
    /// Whether a finished job stays in a store, so that the end must show it.
    pub tracked: bool,
    /// The durability class, from 0 to 4: faults that need a higher one may lose jobs and settlements.
    pub durability: u8,
    /// What says that a run counted.
    pub proof: Proof,
    /// How the history ends.
    pub end: HistoryEnd,
}

/// What order is kept among jobs of one priority level, when first they start.
///
/// Two jobs are out of order when one owner starts the second before the first, though the first was accepted
/// before the second was even asked for. What was asked for at the same time has no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// None.
    #[default]
    None,
    /// That of the enqueues to one queue.
    Queue,
    /// That of the enqueues to one queue with one key.
    Key,
}

/// What says that a run counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Its settlement, with the answer.
    #[default]
    Settlements,
    /// The end of the run itself, for a history that is seen from inside the handlers.
    Runs,
}

/// How a history ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryEnd {
    /// In the midst of things: a job without an end is late, not lost.
    #[default]
    Cut,
    /// With everything run and everything that remains listed.
    Drained,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            order: Order::None,
            priority_levels: 1,
            dedupe: false,
            fenced: true,
            tracked: false,
            durability: 4,
            proof: Proof::Settlements,
            end: HistoryEnd::Cut,
        }
    }
}

impl Rules {
    /// What a history says of itself: its last promise, or the default.
    #[must_use]
    pub fn promised(events: &[Event]) -> Self {
        let promises = events.iter().rev().filter_map(|event| match &event.what {
            What::Promised(rules) => Some(rules.as_ref().clone()),
            _ => None,
        });
        promises.into_iter().next().unwrap_or_default()
    }

    /// The level of a priority; all jobs of one level are equal.
    pub(super) fn level(&self, priority: u8) -> u8 {
        let levels = u16::from(self.priority_levels.max(1));
        let level = u16::from(priority.min(100)) * levels / 101;
        u8::try_from(level).unwrap_or(u8::MAX)
    }
}
