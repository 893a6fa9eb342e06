//! The owners: their leases on the monotonic clock, and what each of them runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bananas_core::{JobId, Owner, OwnerId, OwnerRow, Renewed, Tick};

/// How long an owner that is gone is remembered, so that a process which slept for hours learns its fate.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// All owners, by id.
#[derive(Debug, Default)]
pub(super) struct Owners(BTreeMap<OwnerId, Enlisted>);

#[derive(Debug)]
struct Enlisted {
    owner: Owner,
    until: Tick,
    /// Since when it has been declared dead. There is no way back.
    gone: Option<Tick>,
    running: BTreeSet<JobId>,
}

impl Owners {
    pub(super) fn renew(&mut self, owner: &Owner, lease: Duration, now: Tick) -> Renewed {
        let until = now + lease;
        let enlisted = self.0.entry(owner.id).or_insert_with(|| Enlisted {
            owner: owner.clone(),
            until,
            gone: None,
            running: BTreeSet::new(),
        });
        if enlisted.gone.is_some() {
            return Renewed::Lost;
        }
        enlisted.until = until;
        Renewed::Held { lease }
    }

    /// Whether its lease is valid.
    pub(super) fn holds(&self, owner: OwnerId, now: Tick) -> bool {
        self.0
            .get(&owner)
            .is_some_and(|enlisted| enlisted.gone.is_none() && now < enlisted.until)
    }

    pub(super) fn is_gone(&self, owner: OwnerId) -> bool {
        self.0
            .get(&owner)
            .is_some_and(|enlisted| enlisted.gone.is_some())
    }

    /// Declares it dead, for ever; also one that was never enlisted, whose first renewal may be on its way.
    pub(super) fn retire(&mut self, id: OwnerId, now: Tick) {
        let unknown = || Enlisted {
            owner: Owner {
                id,
                host: String::new(),
                boot_id: String::new(),
                pid: 0,
                pid_started: 0,
            },
            until: now,
            gone: None,
            running: BTreeSet::new(),
        };
        let enlisted = self.0.entry(id).or_insert_with(unknown);
        enlisted.gone.get_or_insert(now);
    }

    /// Declares all dead whose lease has lapsed, and forgets those that have been dead for long.
    pub(super) fn sweep(&mut self, now: Tick) {
        for enlisted in self.0.values_mut() {
            if enlisted.until <= now {
                enlisted.gone.get_or_insert(now);
            }
        }
        self.0.retain(|_, enlisted| {
            !enlisted.running.is_empty()
                || enlisted
                    .gone
                    .is_none_or(|since| now.since(since) < REMEMBERED)
        });
    }

    /// Running jobs of owners that are gone, the oldest first.
    pub(super) fn orphans(&self, max: usize) -> Vec<JobId> {
        self.0
            .values()
            .filter(|enlisted| enlisted.gone.is_some())
            .flat_map(|enlisted| enlisted.running.iter().copied())
            .take(max)
            .collect()
    }

    /// What an owner runs.
    pub(super) fn running(&self, owner: OwnerId) -> impl Iterator<Item = JobId> {
        self.0
            .get(&owner)
            .into_iter()
            .flat_map(|enlisted| enlisted.running.iter().copied())
    }

    pub(super) fn starts(&mut self, owner: OwnerId, job: JobId) {
        if let Some(enlisted) = self.0.get_mut(&owner) {
            enlisted.running.insert(job);
        }
    }

    pub(super) fn ends(&mut self, owner: OwnerId, job: JobId) {
        if let Some(enlisted) = self.0.get_mut(&owner) {
            enlisted.running.remove(&job);
        }
    }

    /// The owners for people and for their neighbours. Who is gone and runs nothing is left out.
    pub(super) fn rows(&self, now: Tick) -> Vec<OwnerRow> {
        self.0
            .values()
            .filter(|enlisted| enlisted.gone.is_none() || !enlisted.running.is_empty())
            .map(|enlisted| OwnerRow {
                owner: enlisted.owner.clone(),
                left: match enlisted.gone {
                    Some(_) => Duration::ZERO,
                    None => enlisted.until.since(now),
                },
                running: enlisted.running.len() as u64,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(n: u8) -> Owner {
        Owner {
            id: OwnerId::from_slice(&[n; 16]).unwrap(),
            host: "host".to_owned(),
            boot_id: String::new(),
            pid: 1,
            pid_started: 1,
        }
    }

    fn at(seconds: u64) -> Tick {
        Tick::from_micros(seconds * 1_000_000)
    }

    const LEASE: Duration = Duration::from_secs(15);

    #[test]
    fn a_lapsed_lease_can_be_renewed_until_somebody_acts_upon_it() {
        let mut owners = Owners::default();
        owners.renew(&owner(1), LEASE, at(0));
        assert!(!owners.holds(owner(1).id, at(15)));
        assert_eq!(
            owners.renew(&owner(1), LEASE, at(20)),
            Renewed::Held { lease: LEASE }
        );
        owners.sweep(at(35));
        assert_eq!(owners.renew(&owner(1), LEASE, at(36)), Renewed::Lost);
    }

    #[test]
    fn who_is_retired_before_he_ever_enlisted_is_lost() {
        let mut owners = Owners::default();
        owners.retire(owner(1).id, at(0));
        assert_eq!(owners.renew(&owner(1), LEASE, at(1)), Renewed::Lost);
        assert_eq!(owners.rows(at(1)), []);
    }

    #[test]
    fn who_is_gone_is_remembered_for_a_day_and_longer_while_jobs_are_in_his_name() {
        let mut owners = Owners::default();
        owners.renew(&owner(1), LEASE, at(0));
        let job = JobId::from_slice(&[7; 16]).unwrap();
        owners.starts(owner(1).id, job);
        owners.retire(owner(1).id, at(1));
        owners.sweep(at(2) + REMEMBERED);
        assert_eq!(owners.orphans(10), [job]);
        owners.ends(owner(1).id, job);
        assert_eq!(owners.rows(at(2)), []);
        owners.sweep(at(2) + REMEMBERED);
        assert!(!owners.is_gone(owner(1).id));
    }
}
