//! Settling: what replaces a delivery is published and confirmed first, then the delivery is acknowledged. If we
//! die in between, there are both; at no time is there neither.

use std::sync::Arc;
use std::time::Duration;

use bananas_core::{Settle, Settled, Settlement};
use futures::future::join_all;

use crate::desk::{Desk, Ending};
use crate::envelope::Envelope;
use crate::error::Error;
use crate::publisher::{Letter, answered};
use crate::session::{End, by_channel};
use crate::shared::Shared;

/// One item on its way through a batch.
struct Item {
    desk: Arc<Desk>,
    number: u64,
    ending: Ending,
    end: End,
}

/// Settles a batch. It must run to its end, whoever waits for it.
pub(crate) async fn settle(shared: &Shared, batch: Vec<Settle>) -> Vec<Result<Settled, Error>> {
    let mut answers = Vec::with_capacity(batch.len());
    let mut items = Vec::new();
    let mut letters = Vec::new();
    for (at, settle) in batch.into_iter().enumerate() {
        let begun = begin(shared, settle).await;
        answers.push(match begun {
            Ok(Some((item, letter))) => {
                letters.extend(letter.map(|letter| (items.len(), letter)));
                items.push((at, item));
                Ok(Settled::Done)
            }
            Ok(None) => Ok(Settled::LeaseLost),
            Err(e) => Err(e),
        });
    }
    let (of, letters): (Vec<usize>, Vec<Letter>) = letters.into_iter().unzip();
    let published = shared.publisher.post(letters).into_iter().map(answered);
    let mut failed = Vec::new();
    for (n, published) in of.into_iter().zip(join_all(published).await) {
        if let Err(e) = published {
            let (at, item) = &items[n];
            item.desk.hold_on(item.number);
            answers[*at] = Err(e);
            failed.push(n);
        }
    }
    let mut left: Vec<Option<(usize, Item)>> = items.into_iter().map(Some).collect();
    for n in failed {
        left[n] = None;
    }
    let ended = end_all(left.into_iter().flatten().collect()).await;
    for (at, e) in ended {
        answers[at] = Err(e);
    }
    answers
}

/// Looks the delivery up, and writes the letter that replaces it if there is to be one; `None` when its lease is
/// lost.
async fn begin(shared: &Shared, settle: Settle) -> Result<Option<(Item, Option<Letter>)>, Error> {
    let Some((desk, number)) = shared.desk(&settle.receipt)? else {
        return Ok(None);
    };
    let Some(ending) = desk.begin(number) else {
        return Ok(None);
    };
    match letter(shared, &desk, &ending, settle.settlement).await {
        Ok((end, letter)) => {
            let item = Item {
                desk,
                number,
                ending,
                end,
            };
            Ok(Some((item, letter)))
        }
        Err(e) => {
            desk.hold_on(number);
            Err(e)
        }
    }
}

async fn letter(
    shared: &Shared,
    desk: &Desk,
    ending: &Ending,
    settlement: Settlement,
) -> Result<(End, Option<Letter>), Error> {
    let queue = desk.queue();
    let letter = match settlement {
        Settlement::Ack => return Ok((End::Acked, None)),
        Settlement::Release { delay } if delay.is_zero() => return Ok((End::GivenBack, None)),
        Settlement::Release { delay } => shared.letter(queue, &ending.message, delay).await?,
        Settlement::Retry { delay, message } => {
            let own = message.not_before.unwrap_or(shared.env.now());
            let own = own.since(shared.env.now());
            shared.letter(queue, &message, delay.max(own)).await?
        }
        Settlement::DeadLetter { reason, message } => {
            let message = message.as_deref().unwrap_or(&ending.message);
            let letter = shared.letter(queue, message, Duration::ZERO).await?;
            Letter {
                route: shared.dead_route(queue),
                envelope: Envelope::dead_because(letter.envelope, &reason),
                queue: letter.queue,
            }
        }
    };
    Ok((End::Acked, Some(letter)))
}

/// Ends deliveries on their channels, and answers those for which that failed.
async fn end_all(items: Vec<(usize, Item)>) -> Vec<(usize, Error)> {
    let items = items
        .into_iter()
        .map(|(at, item)| (Arc::clone(&item.ending.session), (at, item)));
    let ended = by_channel(items).into_iter().map(async |(session, items)| {
        let ends: Vec<_> = items
            .iter()
            .map(|(_, item)| (item.ending.tag, item.end))
            .collect();
        let ended = session.end(&ends).await;
        // Whatever came of it, the delivery is not ours any more: what the server did not hear of, it gives to
        // others when the channel has ended.
        for (_, item) in &items {
            item.desk.ended(&[item.number]);
        }
        match ended {
            Ok(()) => Vec::new(),
            Err(e) => items.iter().map(|(at, _)| (*at, e.clone())).collect(),
        }
    });
    join_all(ended).await.into_iter().flatten().collect()
}
