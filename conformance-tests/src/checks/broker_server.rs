//! A server that is killed, restarted and paused while it is used.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{Bucket, JobId, Settlement};

use crate::case::{BrokerCase, ids, sorted};
use crate::check::checks;
use crate::hand_worker::SHORT_LEASE;
use crate::patience::{DEADLINE, Patience};
use crate::tally::{Tally, take_through_faults, wait_out};

checks!(BrokerCase:
    what_was_confirmed_survives_the_kill_of_the_server if LastingServer with Network in Fault,
    what_was_acked_stays_gone_when_the_server_is_killed if LastingServer with Network in Fault,
    dead_letters_survive_the_kill_of_the_server if LastingAdmin with Network in Fault,
    delayed_messages_survive_a_restart_and_are_not_early if LastingDelays with Network in Fault,
    messages_due_while_the_server_is_down_come_once_it_is_back if LastingDelays with Network in Fault,
    a_storm_of_publishes_outlives_restarts if LastingServer with Network in Fault,
    a_consumer_goes_on_after_a_restart if LastingServer with Network in Fault,
    a_paused_server_is_noticed_and_used_again if Remote with Network in Fault,
);

/// Proves B20. Case B01.
async fn what_was_confirmed_survives_the_kill_of_the_server(case: BrokerCase) {
    let (mut server, own) = case.own_server().await;
    let mut tally = Tally::default();
    for size in [1, 10, 100] {
        tally.publish(&own, own.messages(size)).await;
        server.kill().await.unwrap();
        server.start_again().await.unwrap();
        tally.publish_until_confirmed(&own).await;
    }
    assert!(tally.confirmed.len() >= 111, "{tally:?}");
    tally.verify(&own).await;
}

/// Proves B40. Case D11.
async fn what_was_acked_stays_gone_when_the_server_is_killed(case: BrokerCase) {
    let (mut server, own) = case.own_server().await;
    own.publish_all(own.messages(40)).await;
    let mut consumer = own.consumer().await;
    let taken = own.take(consumer.as_mut(), 40).await;
    let (acked, held) = taken.split_at(25);
    own.ack(acked).await;
    drop(consumer);
    server.kill().await.unwrap();
    server.start_again().await.unwrap();
    Tally::default().publish_until_confirmed(&own).await;
    let acked: HashSet<JobId> = ids(acked).into_iter().collect();
    // What was held may come back after the restart or stay leased; what was acked may not.
    let mut other = own.consumer().await;
    let patience = Patience::new(&own.env);
    while patience.spent() < SHORT_LEASE * 2 {
        for delivery in other.reserve(100, SHORT_LEASE).await.unwrap() {
            let id = delivery.message.id.unwrap();
            assert!(!acked.contains(&id), "{id} was acked and came again");
        }
    }
    drop(held.to_vec());
}

/// Proves B43.
async fn dead_letters_survive_the_kill_of_the_server(case: BrokerCase) {
    let (mut server, own) = case.own_server().await;
    let id = own.publish(own.message("set aside")).await;
    let delivery = own.one(own.consumer().await.as_mut()).await;
    let dead = Settlement::DeadLetter {
        reason: "no good".to_owned(),
        message: None,
    };
    own.settle(&delivery, dead).await;
    server.kill().await.unwrap();
    server.start_again().await.unwrap();
    Tally::default().publish_until_confirmed(&own).await;
    let dead = own
        .admin()
        .peek(&own.queue, Bucket::Dead, 10)
        .await
        .unwrap();
    assert_eq!(dead.iter().map(|m| m.id).collect::<Vec<_>>(), [Some(id)]);
}

/// Proves B25. Case G06.
async fn delayed_messages_survive_a_restart_and_are_not_early(case: BrokerCase) {
    let (mut server, own) = case.own_server().await;
    let delay = SHORT_LEASE * 4;
    let mut message = own.message("later");
    message.not_before = Some(own.env.now() + delay);
    let before = own.env.monotonic();
    let id = own.publish(message).await;
    server.kill().await.unwrap();
    server.start_again().await.unwrap();
    let mut consumer = own.consumer_through_faults().await;
    let came = take_through_faults(&own, consumer.as_mut(), 1).await;
    let waited = own.env.monotonic().since(before);
    assert_eq!(came, [id]);
    assert!(
        waited >= delay,
        "it came after {waited:?} and not {delay:?}"
    );
}

/// Proves B20, B25. Case F05.
async fn messages_due_while_the_server_is_down_come_once_it_is_back(case: BrokerCase) {
    let (mut server, own) = case.own_server().await;
    let due = own.env.now() + SHORT_LEASE;
    let later = (0..50).map(|n| {
        let mut message = own.message("later");
        message.not_before = Some(due + Duration::from_millis(20 * n));
        message
    });
    let published = own.publish_all(later.collect()).await;
    // Killed while some are due already and others not.
    own.env
        .sleep(SHORT_LEASE + Duration::from_millis(500))
        .await;
    server.kill().await.unwrap();
    own.env.sleep(SHORT_LEASE).await;
    server.start_again().await.unwrap();
    let mut consumer = own.consumer_through_faults().await;
    let came = take_through_faults(&own, consumer.as_mut(), 50).await;
    assert_eq!(sorted(came), sorted(published));
}

/// Proves B20, B24. Case N01.
async fn a_storm_of_publishes_outlives_restarts(case: BrokerCase) {
    let (mut server, own) = case.own_server().await;
    let mut tally = Tally::default();
    for _ in 0..3 {
        let storm = async {
            for _ in 0..40 {
                tally.publish(&own, own.messages(10)).await;
            }
        };
        let restart = async {
            own.env.sleep(Duration::from_millis(20)).await;
            server.kill().await.unwrap();
            server.start_again().await.unwrap();
        };
        futures::join!(storm, restart);
        tally.publish_until_confirmed(&own).await;
    }
    tally.verify(&own).await;
}

/// Proves B70, B74. Case N02.
async fn a_consumer_goes_on_after_a_restart(case: BrokerCase) {
    let (mut server, own) = case.own_server().await;
    let mut consumer = own.consumer().await;
    let mut tally = Tally::default();
    let mut all = HashSet::new();
    // Else the end of a server may end a lease, too.
    let keeps_leases = case.broker.info().capabilities.redelivery_proves_lease_lost;
    for _ in 0..3 {
        server.kill().await.unwrap();
        server.start_again().await.unwrap();
        let before = tally.confirmed.len();
        tally.publish_until_confirmed(&own).await;
        let more = tally.confirmed.len() - before;
        let came = take_through_faults(&own, consumer.as_mut(), more).await;
        let known = |id: &JobId| tally.confirmed.contains(id) || tally.perhaps.contains(id);
        assert!(came.iter().all(known), "{came:?} came, and not {tally:?}");
        for id in came {
            let is_new = all.insert(id);
            assert!(is_new || !keeps_leases, "{id} came twice");
        }
    }
}

/// Proves B2, B24. Cases N06, B12.
async fn a_paused_server_is_noticed_and_used_again(case: BrokerCase) {
    let (server, own) = case.own_server().await;
    let mut tally = Tally::default();
    let mut consumer = own.consumer().await;
    server.pause().unwrap();
    let calls = async {
        tally.publish(&own, own.messages(3)).await;
        consumer.reserve(1, SHORT_LEASE).await
    };
    let ended = own.env.within(DEADLINE, calls).await;
    server.resume().unwrap();
    let reserved = ended.expect("no call hangs on a paused server");
    assert!(
        tally.confirmed.is_empty(),
        "it confirmed what it cannot know"
    );
    if let Err(e) = reserved {
        wait_out(&own, &e).await;
    }
    tally.publish_until_confirmed(&own).await;
    drop(consumer);
    tally.verify(&own).await;
}
