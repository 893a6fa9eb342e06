//! Fetching ahead: what the next call is likely to want, in one request to several lanes at once.

use bananas_core::Tick;

use super::pull::{Arrival, Ending, Inbox};
use super::take::{Came, PATIENCE, RECHECK, Taker};
use crate::error::Error;

/// What a lane was asked for, and has not answered yet.
struct Asked {
    lane: usize,
    left: usize,
    /// The lane has no more than what came.
    has_ended: bool,
}

impl Taker {
    /// Takes what the next call is likely to want: of the lane in which the last one found something, and of those
    /// above it.
    pub(super) async fn take_ahead(&self, max: usize) -> Result<(), Error> {
        let wire = self.shared.wire();
        let _under_way = wire.begin()?;
        let mut came = Vec::new();
        let looked = self.look_ahead(max, &mut came).await;
        self.put(came, looked).await
    }

    async fn look_ahead(&self, max: usize, came: &mut Vec<Came>) -> Result<(), Error> {
        let wire = self.shared.wire();
        let (namespace, unique) = (&self.shared.namespace, self.shared.env.random());
        let mut inbox = Inbox::open(wire, namespace, unique, wire.deadline()).await?;
        let latest = self.hold().latest;
        let asked_at = wire.env.monotonic();
        let mut asked = self.shares(latest, max);
        for Asked { lane, left, .. } in &asked {
            inbox.ask_now(wire, &self.names, *lane, *left).await?;
        }
        self.hear(&mut inbox, &mut asked, asked_at, came).await?;
        // A lane that had as many as it was asked for may have more, and they come before anything below.
        let full = asked.iter().filter(|of| of.lane > latest && !of.has_ended);
        if let Some(full) = full.map(|of| of.lane).max() {
            let room = came.len() + max;
            self.descend(&mut inbox, full, room, came).await?;
        }
        Ok(())
    }

    /// What to ask of which lane, the least urgent first.
    fn shares(&self, latest: usize, max: usize) -> Vec<Asked> {
        let above = self.lanes.saturating_sub(latest + 1);
        let of_above = RECHECK.min(max / (above + 1));
        let of_latest = max - above * of_above;
        let share = |lane| Asked {
            lane,
            left: if lane == latest { of_latest } else { of_above },
            has_ended: false,
        };
        (latest..self.lanes).map(share).collect()
    }

    /// Hears the answers to several requests.
    async fn hear(
        &self,
        inbox: &mut Inbox,
        asked: &mut [Asked],
        asked_at: Tick,
        came: &mut Vec<Came>,
    ) -> Result<(), Error> {
        let wire = self.shared.wire();
        while let Some(next) = asked.iter().position(|of| of.left > 0 && !of.has_ended) {
            let lane = asked.get(next).map_or(0, |of| of.lane);
            match inbox.next_of(wire, lane, PATIENCE).await? {
                Arrival::Message(message) => {
                    let read = Came::read(message, inbox, Some(asked_at));
                    let of = read.as_ref().map_or(lane, |came| came.told.lane);
                    came.extend(read);
                    if let Some(of) = asked.iter_mut().find(|asked| asked.lane == of) {
                        of.left = of.left.saturating_sub(1);
                    }
                }
                Arrival::End(_, Ending::Silence) => {
                    let left = asked.iter().map(|of| of.left + 1).sum();
                    let rest = inbox.leave(wire, left).await?.into_iter();
                    came.extend(rest.filter_map(|message| Came::read(message, inbox, None)));
                    return Ok(());
                }
                Arrival::End(lane, _) => {
                    if let Some(of) = asked.iter_mut().find(|asked| asked.lane == lane) {
                        of.has_ended = true;
                    }
                }
                Arrival::Heartbeat | Arrival::Echo => {}
            }
        }
        Ok(())
    }
}
