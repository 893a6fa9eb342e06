//! Random sequences for a broker.

mod admin;
mod player;
mod queues;
mod reserving;
mod settling;
mod step;

use std::sync::Arc;

use tokio::runtime::Handle;

use self::player::Player;
use self::step::any_step;
use super::campaign::{Campaign, Counterexample, Survey};
use super::{VirtualBroker, clock};

/// Plays random sequences against a broker and compares its answers with those of the model.
///
/// The thread waits on `runtime`, where the harness opened what it needs.
///
/// # Errors
///
/// The first sequence that is answered otherwise than by the model, made shorter.
pub fn broker_sequences<H: VirtualBroker>(
    harness: &Arc<H>,
    runtime: &Handle,
    campaign: &Campaign,
) -> Result<Survey, Counterexample> {
    campaign.run(any_step(), |sequence, steps| {
        let env = clock(&harness.env(), sequence);
        runtime.block_on(async {
            let mut player = Player::start(Arc::<H>::clone(harness), env).await;
            let played = player.play(steps).await;
            player.end().await;
            played
        })
    })
}
