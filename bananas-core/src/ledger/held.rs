//! Claimed jobs that no call has returned yet.

use std::collections::VecDeque;

use crate::{Claimed, Outcome};

/// What a call that was dropped has claimed: it comes with later calls, within what those ask for.
#[derive(Debug, Default)]
pub(super) struct Held(VecDeque<Claimed>);

impl Held {
    pub(super) fn add(&mut self, claimed: Vec<Claimed>) {
        self.0.extend(claimed);
    }

    /// At most `max`, of them at most `suspects` with a crash behind them.
    pub(super) fn hand_out(&mut self, max: usize, mut suspects: usize) -> Vec<Claimed> {
        let mut given = Vec::with_capacity(self.0.len().min(max));
        let mut kept = VecDeque::new();
        while let Some(claimed) = self.0.pop_front() {
            if given.len() >= max || (claimed.is_suspect() && suspects == 0) {
                kept.push_back(claimed);
                continue;
            }
            suspects -= usize::from(claimed.is_suspect());
            given.push(claimed);
        }
        self.0 = kept;
        given
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of it, to be given back without using an attempt.
    pub(super) fn give_back(&mut self) -> Vec<(Claimed, Outcome)> {
        let release = Outcome::Release {
            run_at: None,
            note: None,
        };
        let all = std::mem::take(&mut self.0);
        all.into_iter()
            .map(|claimed| (claimed, release.clone()))
            .collect()
    }
}
