//! One channel of a consumer: the deliveries that are out on it, and how they are acknowledged.
//!
//! A delivery tag that the server does not know ends the channel, and with it every lease on it. So tags leave
//! under a lock, in the order in which they were taken out of the list: an acknowledgement of many at once covers
//! exactly those that come before all that is still out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::future::try_join_all;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio::sync::Mutex;

use crate::connection::{Link, Live};
use crate::error::Error;

/// One channel of a consumer.
pub(crate) struct Session {
    link: Arc<Link>,
    pub(crate) live: Live,
    pub(crate) channel: Channel,
    /// The queue, as the server calls it.
    queue: String,
    tags: Mutex<Tags>,
}

/// What is out.
#[derive(Default)]
struct Tags {
    /// Delivery tags, and by which tap each came.
    out: BTreeMap<u64, u64>,
    last: u64,
    tap: u64,
    out_of_tap: usize,
}

/// How a delivery ends on its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Acked,
    /// Ready again at once.
    GivenBack,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?}, {})", self.live, self.channel.id())
    }
}

impl Session {
    pub(crate) fn new(link: &Arc<Link>, live: Live, channel: Channel, queue: String) -> Self {
        Self {
            link: Arc::clone(link),
            live,
            channel,
            queue,
            tags: Mutex::default(),
        }
    }

    /// Whether its deliveries are still ours, as far as one knows.
    pub(crate) fn is_alive(&self) -> bool {
        self.channel.status().connected() && !self.link.is_closed()
    }

    /// A delivery came. Answers whether it is the next one; those in between are nobody's.
    pub(crate) async fn arrived(&self, tag: u64) -> Vec<u64> {
        let mut tags = self.tags.lock().await;
        let missed: Vec<u64> = (tags.last + 1..tag).collect();
        let tap = tags.tap;
        for missed in &missed {
            tags.out.insert(*missed, 0);
        }
        tags.out.insert(tag, tap);
        tags.out_of_tap += 1;
        tags.last = tag;
        missed
    }

    /// What comes from here on comes by another tap.
    pub(crate) async fn next_tap(&self) {
        let mut tags = self.tags.lock().await;
        tags.tap += 1;
        tags.out_of_tap = 0;
    }

    /// How many deliveries of the present tap are out.
    pub(crate) async fn out_of_tap(&self) -> usize {
        self.tags.lock().await.out_of_tap
    }

    /// Ends deliveries, and waits until the server has heard of it.
    pub(crate) async fn end(&self, ends: &[(u64, End)]) -> Result<(), Error> {
        self.send(ends).await?;
        self.barrier().await
    }

    /// Tells the server, without waiting for it.
    pub(crate) async fn send(&self, ends: &[(u64, End)]) -> Result<(), Error> {
        let mut tags = self.tags.lock().await;
        for kind in [End::Acked, End::GivenBack] {
            let of_kind = ends.iter().filter(|(_, end)| *end == kind);
            let mut ending: Vec<u64> = of_kind
                .map(|(tag, _)| *tag)
                .filter(|tag| tags.out.contains_key(tag))
                .collect();
            ending.sort_unstable();
            let prefix = tags.prefix(&ending);
            for tag in &ending {
                tags.take(*tag);
            }
            self.write(kind, &ending, prefix).await?;
        }
        Ok(())
    }

    /// The first `prefix` ones in one frame, the others each in one.
    async fn write(&self, kind: End, ending: &[u64], prefix: usize) -> Result<(), Error> {
        let one = usize::from(prefix > 0);
        let frames = ending.iter().enumerate().skip(prefix - one);
        let frames = frames.map(|(n, tag)| {
            let multiple = n + 1 == prefix && prefix > 1;
            async move {
                match kind {
                    End::Acked => {
                        let options = BasicAckOptions { multiple };
                        self.channel.basic_ack(*tag, options).await
                    }
                    End::GivenBack => {
                        let requeue = true;
                        let options = BasicNackOptions { multiple, requeue };
                        self.channel.basic_nack(*tag, options).await
                    }
                }
            }
        });
        let written = try_join_all(frames);
        self.link.on(&self.live, written).await.map(drop)
    }

    /// Acknowledgements have no answer of their own. A question that the same channel puts to the same queue is
    /// answered after it has dealt with them. It may write them to disk a moment later: a quorum queue at once, a
    /// classic one when it was idle for 200 ms. Nothing in the protocol waits for that.
    async fn barrier(&self) -> Result<(), Error> {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let name = self.queue.as_str().into();
        let asked = self
            .channel
            .queue_declare(name, passive, FieldTable::default());
        match self.link.on(&self.live, asked).await {
            // The queue is gone, and all that was in it.
            Err(e) if e.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }
}

impl Tags {
    /// How many of these tags, which are in order, come before all that stays out.
    fn prefix(&self, ending: &[u64]) -> usize {
        let pairs = self.out.keys().zip(ending);
        pairs.take_while(|(out, ending)| out == ending).count()
    }

    fn take(&mut self, tag: u64) {
        if self.out.remove(&tag) == Some(self.tap) {
            self.out_of_tap -= 1;
        }
    }
}

/// Sorts what belongs to deliveries by their channels.
pub(crate) fn by_channel<T>(
    all: impl IntoIterator<Item = (Arc<Session>, T)>,
) -> Vec<(Arc<Session>, Vec<T>)> {
    let mut sorted: Vec<(Arc<Session>, Vec<T>)> = Vec::new();
    for (session, one) in all {
        let known = sorted.iter_mut().find(|(it, _)| Arc::ptr_eq(it, &session));
        match known {
            Some((_, of_channel)) => of_channel.push(one),
            None => sorted.push((session, vec![one])),
        }
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_of_many_covers_nothing_that_stays_out() {
        let mut tags = Tags::default();
        for tag in 1..=6 {
            tags.out.insert(tag, 0);
        }
        tags.out_of_tap = 6;
        assert_eq!(tags.prefix(&[1, 2, 4]), 2);
        assert_eq!(tags.prefix(&[2, 3]), 0);
        for tag in [1, 2, 4] {
            tags.take(tag);
        }
        assert_eq!(tags.out_of_tap, 3);
        assert_eq!(tags.prefix(&[3, 5, 6]), 3);
        tags.tap = 1;
        tags.take(3);
        assert_eq!(tags.out_of_tap, 3, "it came by an earlier tap");
    }
}
