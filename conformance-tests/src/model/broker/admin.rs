//! Steps of the admin side. A broker that has none is not asked.

use std::sync::Arc;

use bananas_core::{BrokerAdmin, Bucket, Count, ErrorKind, JobId, RawMessage, Result};

use super::player::{Player, kind, queue, show};
use super::queues::Place;
use super::step::Admin;
use crate::model::{Step, line};

impl Player {
    pub(super) async fn admin(&mut self, n: usize, what: &Admin) -> Step {
        let client = Arc::clone(self.client(0));
        let Some(admin) = client.admin() else {
            return Ok("there is no admin side".to_owned());
        };
        match what {
            Admin::Depth => {
                self.depth(admin, n, client.info().capabilities.exact_depth)
                    .await
            }
            Admin::Peek(bucket, max) => self.peek(admin, (n, *bucket), *max).await,
            Admin::Purge(number) => {
                let purged = admin.purge(&queue(n), bucket(*number)).await;
                let concerned = self.model.bucket(n, bucket(*number));
                for message in &concerned {
                    self.model.messages[*message].place = Place::Gone;
                }
                let call = format!("purge {:?} of q{n}", bucket(*number));
                self.changed(&call, n, &purged, concerned.len())
            }
            Admin::Redrive(ids) => {
                let ids: Option<Vec<JobId>> = ids.as_ref().map(|ids| {
                    let id = |n: &u8| JobId::from_slice(&[n + 1; 16]);
                    ids.iter().filter_map(id).collect()
                });
                let redriven = admin.redrive(&queue(n), ids.as_deref()).await;
                let mut concerned = self.model.bucket(n, Bucket::Dead);
                concerned.retain(|message| {
                    let id = self.model.messages[*message].raw.id;
                    ids.as_ref()
                        .is_none_or(|ids| id.is_some_and(|id| ids.contains(&id)))
                });
                for message in &concerned {
                    self.model.redrive(*message);
                }
                let named =
                    ids.map(|ids| ids.iter().map(|id| id.as_bytes()[0]).collect::<Vec<_>>());
                let call = format!("redrive q{n}, ids {named:?}");
                self.changed(&call, n, &redriven, concerned.len())
            }
            Admin::Delete => {
                let deleted = admin.delete(&queue(n)).await;
                let existed = self.model.exist[n];
                self.model.delete(n);
                let right = deleted.is_ok() || !existed;
                line(right, &format!("delete q{n}"), &kind(&deleted), "Ok")
            }
        }
    }

    /// A change that says how many messages it concerned.
    fn changed(&self, call: &str, n: usize, changed: &Result<u64>, concerned: usize) -> Step {
        let exists = self.model.exist[n];
        let right = match changed {
            Ok(count) => exists && *count == concerned as u64,
            Err(e) => !exists && e.kind() == ErrorKind::NotFound,
        };
        let answer = changed
            .as_ref()
            .map_or_else(|e| format!("{:?}", e.kind()), u64::to_string);
        let expected = if exists {
            concerned.to_string()
        } else {
            "NotFound".to_owned()
        };
        line(right, call, &answer, &expected)
    }

    async fn depth(&mut self, admin: &dyn BrokerAdmin, n: usize, exact: bool) -> Step {
        let depths = admin.depth(&[queue(n)]).await;
        let call = format!("depth of q{n}");
        let Ok(depths) = depths else {
            return line(false, &call, &kind(&depths), "Ok");
        };
        let counts = |place: fn(&Place) -> bool| self.model.all_in(n, place).len() as u64;
        let expected = [
            counts(|place| *place == Place::Ready),
            counts(|place| matches!(place, Place::Leased { .. })),
            counts(|place| matches!(place, Place::Delayed { .. })),
            counts(|place| matches!(place, Place::Dead { .. })),
        ];
        let names = ["ready", "in flight", "delayed", "dead"];
        let shown = |counts: &[Count]| format!("{names:?}: {counts:?}");
        let expected = expected.map(Count::Exact);
        match depths.first() {
            None => line(!self.model.exist[n], &call, "nothing", &shown(&expected)),
            Some(depth) => {
                let found = [depth.ready, depth.in_flight, depth.delayed, depth.dead];
                let right = self.model.exist[n] && (!exact || found == expected);
                line(right, &call, &shown(&found), &shown(&expected))
            }
        }
    }

    async fn peek(
        &mut self,
        admin: &dyn BrokerAdmin,
        (n, number): (usize, u8),
        max: usize,
    ) -> Step {
        let bucket = bucket(number);
        let peeked = admin.peek(&queue(n), bucket, max).await;
        let call = format!("peek at {max} {bucket:?} of q{n}");
        let seen = match peeked {
            Ok(seen) if self.model.exist[n] => seen,
            other => {
                let right = other
                    .as_ref()
                    .is_err_and(|e| e.kind() == ErrorKind::NotFound);
                return line(
                    right && !self.model.exist[n],
                    &call,
                    &kind(&other),
                    "messages, or NotFound",
                );
            }
        };
        let mut there = self.model.bucket(n, bucket);
        let due = there.len().min(max);
        let answer: Vec<String> = seen.iter().map(show).collect();
        let answer = answer.join(", ");
        let mut expected = (seen.len() != due).then(|| format!("{due} messages"));
        for shown in &seen {
            let Some(message) = there.iter().find(|n| self.is_shown(**n, shown)).copied() else {
                expected = Some(format!("{} is not there", show(shown)));
                break;
            };
            if bucket == Bucket::Ready
                && let Some(ahead) = self.model.ahead_of(message, &there)
            {
                expected = Some(format!("{} comes before", self.name(ahead)));
            }
            there.retain(|n| *n != message);
        }
        line(
            expected.is_none(),
            &call,
            &answer,
            &expected.unwrap_or_default(),
        )
    }

    /// Whether a person sees this message rightly; a dead one with its reason.
    fn is_shown(&self, message: usize, shown: &RawMessage) -> bool {
        let message = &self.model.messages[message];
        let Place::Dead { reason } = &message.place else {
            return message.raw == *shown;
        };
        let tells = |value: &bytes::Bytes| String::from_utf8_lossy(value).contains(reason);
        let mut without = shown.clone();
        without
            .properties
            .retain(|property| message.raw.properties.contains(property));
        without == message.raw && shown.properties.iter().any(|(_, value)| tells(value))
    }
}

fn bucket(number: u8) -> Bucket {
    match number {
        0 => Bucket::Ready,
        1 => Bucket::Delayed,
        _ => Bucket::Dead,
    }
}
