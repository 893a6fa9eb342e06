//! Steps that concern receipts: settled, extended.

use std::time::Duration;

use bananas_core::{Env, ErrorKind, Receipt, Settle, Settled, Settlement};

use super::player::{Player, kinds, show};
use super::queues::Holding;
use super::step::{End, NewMessage};
use crate::model::{Step, line};

impl Player {
    pub(super) async fn settle(&mut self, client: usize, ends: &[(usize, End)]) -> Step {
        let mut batch = Vec::new();
        let mut call = Vec::new();
        let mut chosen = Vec::new();
        for (nth, end) in ends {
            let Some(r) = self.nth_latest(*nth, self.receipts.len()) else {
                continue;
            };
            let settlement = self.settlement(r, end);
            call.push(format!("r{r} {}", told(end, &settlement)));
            let receipt = match end {
                End::Foreign => Receipt::new(&b"nobody's"[..]),
                _ => self.receipts[r].clone(),
            };
            batch.push(Settle {
                receipt,
                settlement: settlement.clone(),
            });
            chosen.push((r, end, settlement));
        }
        let call = format!("settle {}", call.join(", "));
        let answers = self.client(client).settle(batch).await;
        let mut right = answers.len() == chosen.len();
        let mut expected = Vec::new();
        for ((r, end, settlement), answer) in chosen.into_iter().zip(&answers) {
            let may_be: &[Settled] = match self.model.holding(r) {
                Holding::Held => &[Settled::Done],
                Holding::Settled | Holding::LostAndGone => &[Settled::Already, Settled::LeaseLost],
                Holding::Lost => &[Settled::LeaseLost],
            };
            if matches!(end, End::Foreign) {
                right &= answer
                    .as_ref()
                    .is_err_and(|e| e.kind() == ErrorKind::InvalidArgument);
                expected.push("InvalidArgument".to_owned());
                continue;
            }
            expected.push(format!("{may_be:?}"));
            right &= answer
                .as_ref()
                .is_ok_and(|settled| may_be.contains(settled));
            if self.model.holding(r) == Holding::Held {
                self.settled(r, settlement);
            }
        }
        line(right, &call, &kinds(&answers), &expected.join(", "))
    }

    fn settlement(&mut self, receipt: usize, end: &End) -> Settlement {
        let id = self.model.messages[self.model.receipts[receipt].message]
            .raw
            .id;
        match end {
            End::Ack | End::Foreign => Settlement::Ack,
            End::Release { delay } => Settlement::Release {
                delay: Duration::from_secs(*delay),
            },
            End::Retry {
                delay,
                not_before,
                priority,
            } => {
                let new = NewMessage {
                    queue: 0,
                    id: 0,
                    priority: *priority,
                    delay: *not_before,
                };
                let mut message = self.message(&new);
                message.id = id;
                Settlement::Retry {
                    delay: Duration::from_secs(*delay),
                    message: Box::new(message),
                }
            }
            End::Dead { replaced } => {
                let new = NewMessage {
                    queue: 0,
                    id: 0,
                    priority: 50,
                    delay: None,
                };
                let message = replaced.then(|| {
                    let mut message = self.message(&new);
                    message.id = id;
                    Box::new(message)
                });
                Settlement::DeadLetter {
                    reason: format!("reason {}", self.made),
                    message,
                }
            }
        }
    }

    fn settled(&mut self, receipt: usize, settlement: Settlement) {
        match settlement {
            Settlement::Ack => self.model.ack(receipt),
            Settlement::Release { delay } => self.model.release(receipt, delay),
            Settlement::Retry { delay, message } => {
                let at = message.not_before.unwrap_or_default();
                let delay = delay.max(at.since(self.env.now()));
                self.model.retry(receipt, *message, delay);
            }
            Settlement::DeadLetter { reason, message } => {
                self.model
                    .bury(receipt, reason, message.map(|message| *message));
            }
        }
    }

    pub(super) async fn extend(&mut self, client: usize, nths: &[usize], lease: u64) -> Step {
        let lease = Duration::from_secs(lease);
        let chosen: Vec<usize> = nths
            .iter()
            .filter_map(|nth| self.nth_latest(*nth, self.receipts.len()))
            .collect();
        let receipts: Vec<Receipt> = chosen.iter().map(|r| self.receipts[*r].clone()).collect();
        let call = format!("extend r{chosen:?} by {lease:?}");
        let answers = self.client(client).extend(&receipts, lease).await;
        let until = self.env.monotonic() + lease;
        let mut right = answers.len() == chosen.len();
        let mut expected = Vec::new();
        for (r, answer) in chosen.into_iter().zip(&answers) {
            let held = self.model.holding(r) == Holding::Held;
            right &= match answer {
                Ok(lease_now) => held && !lease.is_zero() && lease_now.until <= until,
                Err(e) if e.kind() == ErrorKind::InvalidArgument => lease.is_zero(),
                Err(e) => e.kind() == ErrorKind::Conflict && !held,
            };
            expected.push(if held { "Held" } else { "Conflict" });
            if held && !lease.is_zero() {
                self.model.extend(r, lease);
            }
        }
        line(right, &call, &kinds(&answers), &expected.join(", "))
    }
}

/// A settlement in a few letters.
fn told(end: &End, settlement: &Settlement) -> String {
    match settlement {
        Settlement::Ack if matches!(end, End::Foreign) => "ack, by a receipt of nobody".to_owned(),
        Settlement::Ack => "ack".to_owned(),
        Settlement::Release { delay } => format!("release after {delay:?}"),
        Settlement::Retry { delay, message } => {
            format!("retry after {delay:?} as {}", show(message))
        }
        Settlement::DeadLetter { message: None, .. } => "dead".to_owned(),
        Settlement::DeadLetter {
            message: Some(message),
            ..
        } => format!("dead as {}", show(message)),
    }
}
