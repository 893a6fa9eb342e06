//! Steps of owners.

use std::collections::BTreeSet;
use std::time::Duration;

use bananas_core::{JobId, Renewed};

use super::job::Job;
use super::player::{Player, owner};
use crate::model::{Step, line};

impl Player {
    pub(super) async fn renew(&mut self, n: u8, seconds: u64) -> Step {
        let lease = Duration::from_secs(seconds);
        let renewed = self.client().jobs().renew(&owner(n), lease).await;
        let expected = if self.model.renew(owner(n).id, lease) {
            Renewed::Held { lease }
        } else {
            Renewed::Lost
        };
        let right = renewed.as_ref().is_ok_and(|renewed| *renewed == expected);
        let call = format!("renew owner {n} for {lease:?}");
        line(
            right,
            &call,
            &format!("{renewed:?}"),
            &format!("{expected:?}"),
        )
    }

    pub(super) async fn retire(&mut self, n: u8) -> Step {
        let retired = self.client().jobs().retire(&[owner(n).id]).await;
        self.model.retire(owner(n).id);
        line(
            retired.is_ok(),
            &format!("retire owner {n}"),
            &format!("{retired:?}"),
            "Ok",
        )
    }

    pub(super) async fn cancels(&mut self, n: u8) -> Step {
        let id = owner(n).id;
        let listed = self.client().jobs().owners(Some(id)).await;
        let asked = self.model.running_of(id).filter(|job| job.cancel_requested);
        let expected: BTreeSet<JobId> = asked.map(Job::id).collect();
        let found: Option<BTreeSet<JobId>> = listed
            .ok()
            .map(|(_, cancels)| cancels.into_iter().collect());
        let right = found.as_ref() == Some(&expected);
        let call = format!("cancels of owner {n}");
        line(
            right,
            &call,
            &format!("{found:?}"),
            &format!("{expected:?}"),
        )
    }
}
