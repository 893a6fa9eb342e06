//! Random sequences for a state store.

mod job;
mod jobs;
mod looking;
mod owners;
mod people;
mod player;
mod starting;
mod step;
mod upkeep;

use std::sync::Arc;

use tokio::runtime::Handle;

use self::player::Player;
use self::step::any_step;
use super::campaign::{Campaign, Counterexample, Survey};
use super::{VirtualStore, clock};

/// Plays random sequences against a state store and compares its answers with those of the model.
///
/// Every other sequence is one of a worker with the engine's own ledger, if it has one: jobs are taken and not
/// claimed, and nothing is published. The thread waits on `runtime`, where the harness opened what it needs.
///
/// # Errors
///
/// The first sequence that is answered otherwise than by the model, made shorter.
pub fn store_sequences<H: VirtualStore>(
    harness: &Arc<H>,
    runtime: &Handle,
    campaign: &Campaign,
) -> Result<Survey, Counterexample> {
    campaign.run(any_step(), |sequence, steps| {
        let env = clock(&harness.env(), sequence);
        runtime.block_on(async {
            let fused = sequence % 2 == 1;
            let mut player = Player::start(Arc::<H>::clone(harness), env, fused).await;
            let played = player.play(steps).await;
            player.end().await;
            played
        })
    })
}
