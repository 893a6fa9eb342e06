//! Connections that are cut, lost, slow or corrupt, by a proxy before the server.

use std::collections::HashSet;
use std::time::Duration;

use bananas_core::{Bucket, Consumer, Delivery, ErrorKind, JobId, Settle, Settlement, Status};

use crate::case::BrokerCase;
use crate::check::checks;
use crate::fault::{Direction, Proxy};
use crate::hand_worker::{LONG_LEASE, SHORT_LEASE};
use crate::impatience::impatiently;
use crate::patience::{DEADLINE, Patience, eventually};
use crate::tally::{Tally, take_through_faults, wait_out};

checks!(BrokerCase:
    a_publish_whose_answer_is_lost_may_be_applied if Remote with Network in Fault,
    a_publish_whose_answer_is_lost_is_not_sent_again if Remote with Network in Fault,
    a_message_published_again_after_a_lost_answer_comes_at_most_twice if Remote with Network in Fault,
    a_reset_within_a_batch_leaves_no_message_unaccounted_for if Remote with Network in Fault,
    messages_of_a_lost_reserve_come_back if Remote with Network in Fault,
    a_retry_whose_answer_is_lost_loses_no_message if Remote with Network in Fault,
    a_dead_letter_whose_answer_is_lost_loses_no_message if Remote with Network in Fault,
    an_ensure_whose_answer_is_lost_can_be_made_again if Remote with Network in Fault,
    a_peer_that_vanished_is_noticed_by_every_call if Remote with Network in Fault,
    a_server_that_hears_but_is_not_heard_is_noticed if Remote with Network in Fault,
    a_consumer_goes_on_after_a_reset if Remote with Network in Fault,
    a_hundred_resets_leave_no_connection_behind if Remote with Network in Fault,
    resets_all_the_time_lose_nothing if Remote with Network in Fault,
    bytes_that_come_one_by_one_are_understood if Remote with Network in Fault,
    a_slow_line_loses_no_lease if Remote with Network in Fault,
    corrupt_bytes_are_an_error_and_no_end if Remote with Network in Fault,
    a_server_that_refuses_connections_is_unreachable if Remote with Network in Fault,
    calls_that_are_given_up_mix_up_no_answers if Remote with Network in Fault,
);

/// Publishes message by message until the answer to one of them was lost on the way; its error.
async fn lose_an_answer(proxy: &Proxy, cut: &BrokerCase, tally: &mut Tally) -> JobId {
    let patience = Patience::new(&cut.env);
    loop {
        proxy.drop_reply();
        let message = cut.message("its answer is lost");
        let id = message.id.unwrap();
        tally.publish(cut, vec![message]).await;
        if !tally.confirmed.contains(&id) {
            return id;
        }
        patience.check("an answer was lost");
    }
}

/// Proves B24. Case B04.
async fn a_publish_whose_answer_is_lost_may_be_applied(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    let mut tally = Tally::default();
    let lost = lose_an_answer(&proxy, &cut, &mut tally).await;
    assert!(
        tally.perhaps.contains(&lost),
        "it was not called perhaps applied: {tally:?}"
    );
    tally.verify(&case).await;
}

/// Proves B3.
async fn a_publish_whose_answer_is_lost_is_not_sent_again(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    let mut tally = Tally::default();
    for _ in 0..5 {
        lose_an_answer(&proxy, &cut, &mut tally).await;
        tally.publish_until_confirmed(&cut).await;
    }
    // Each came at most once, though the client has connected again since.
    tally.verify(&case).await;
}

/// Proves B24, B40. Case B05.
async fn a_message_published_again_after_a_lost_answer_comes_at_most_twice(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    let lost = lose_an_answer(&proxy, &cut, &mut Tally::default()).await;
    let mut again = case.message("its answer is lost");
    again.id = Some(lost);
    case.publish(again).await;
    let last = case.publish(case.message("last")).await;
    let mut consumer = case.consumer().await;
    let mut came = Vec::new();
    while !came.contains(&last) {
        came.extend(take_through_faults(&case, consumer.as_mut(), 1).await);
    }
    let copies = came.iter().filter(|id| **id == lost).count();
    let most = if case.broker.info().capabilities.dedupe {
        1
    } else {
        2
    };
    assert!(
        (1..=most).contains(&copies),
        "it came {copies} times of at most {most}"
    );
}

/// Proves B21, B24. Case N03.
async fn a_reset_within_a_batch_leaves_no_message_unaccounted_for(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    let mut tally = Tally::default();
    for (direction, bytes) in [
        (Direction::ToServer, 5_000),
        (Direction::ToServer, 40_000),
        (Direction::ToClient, 100),
        (Direction::ToClient, 2_000),
    ] {
        proxy.cut_after(direction, bytes);
        tally.publish(&cut, cut.messages(cut.at_most(1_000))).await;
        proxy.heal().unwrap();
        tally.publish_until_confirmed(&cut).await;
    }
    tally.verify(&case).await;
}

/// Proves B72, B74. Case F02.
async fn messages_of_a_lost_reserve_come_back(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    let published: HashSet<JobId> = case
        .publish_all(case.messages(5))
        .await
        .into_iter()
        .collect();
    let mut consumer = cut.hasty_consumer().await;
    proxy.drop_reply();
    let lost = consumer.reserve(5, SHORT_LEASE).await;
    if let Ok(taken) = &lost {
        assert!(taken.len() <= 5);
    }
    drop(consumer);
    let mut other = case.consumer().await;
    let came = take_through_faults(&case, other.as_mut(), 5).await;
    assert_eq!(came.into_iter().collect::<HashSet<_>>(), published);
}

/// Settles a delivery through a line that loses the answer.
async fn settle_without_answer(
    proxy: &Proxy,
    cut: &BrokerCase,
    delivery: &Delivery,
    settlement: Settlement,
) {
    proxy.drop_reply();
    let settle = Settle {
        receipt: delivery.receipt.clone(),
        settlement,
    };
    let answer = cut.broker.settle(vec![settle]).await.remove(0);
    if let Err(e) = answer {
        assert_ne!(e.status(), Status::Permanent, "{e}");
    }
}

/// Proves B41. Case F03.
async fn a_retry_whose_answer_is_lost_loses_no_message(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    let id = case.publish(case.message("tried again")).await;
    let mut consumer = cut.hasty_consumer().await;
    let delivery = cut.one(consumer.as_mut()).await;
    let retry = Settlement::Retry {
        delay: Duration::ZERO,
        message: Box::new(delivery.message.clone()),
    };
    settle_without_answer(&proxy, &cut, &delivery, retry).await;
    drop(consumer);
    let again = case.one(case.consumer().await.as_mut()).await;
    assert_eq!(again.message.id, Some(id));
}

/// Proves B43. Case F04.
async fn a_dead_letter_whose_answer_is_lost_loses_no_message(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    let id = case.publish(case.message("set aside")).await;
    let mut taking = cut.hasty_consumer().await;
    let delivery = cut.one(taking.as_mut()).await;
    let dead = Settlement::DeadLetter {
        reason: "no good".to_owned(),
        message: None,
    };
    settle_without_answer(&proxy, &cut, &delivery, dead).await;
    drop(taking);
    let mut consumer = case.consumer().await;
    eventually(&case.env, "it is dead or in the queue", async || {
        let dead = match case.broker.admin() {
            Some(admin) => admin.peek(&case.queue, Bucket::Dead, 10).await.unwrap(),
            None => Vec::new(),
        };
        let taken = consumer
            .reserve(1, Duration::from_millis(50))
            .await
            .unwrap();
        let taken = taken.into_iter().map(|delivery| delivery.message);
        dead.into_iter()
            .chain(taken)
            .any(|message| message.id == Some(id))
    })
    .await;
}

/// Proves B10. Case F09.
async fn an_ensure_whose_answer_is_lost_can_be_made_again(case: BrokerCase) {
    let (proxy, mut cut) = case.behind_proxy().await;
    cut.queue = "messages.half-made".parse().unwrap();
    proxy.drop_reply();
    let specs = [bananas_core::QueueSpec::new(cut.queue.clone())];
    eventually(&case.env, "the queue is ensured", async || {
        match cut.broker.ensure(&specs).await {
            Ok(()) => true,
            Err(e) => {
                wait_out(&cut, &e).await;
                false
            }
        }
    })
    .await;
    let id = cut.publish(cut.message("in a mended queue")).await;
    let delivery = cut.one(cut.consumer().await.as_mut()).await;
    assert_eq!(delivery.message.id, Some(id));
}

/// Makes each call once, and checks that it ends, whatever it says.
async fn every_call_ends(cut: &BrokerCase, consumer: &mut dyn Consumer, held: &Delivery) {
    let receipts = [held.receipt.clone()];
    let settle = Settle {
        receipt: held.receipt.clone(),
        settlement: Settlement::Ack,
    };
    let mut tally = Tally::default();
    let specs = [bananas_core::QueueSpec::new(cut.queue.clone())];
    let calls = async {
        tally.publish(cut, cut.messages(3)).await;
        cut.broker.extend(&receipts, LONG_LEASE).await;
        cut.broker.settle(vec![settle]).await;
        // An empty queue and a dead line look the same at first; it may answer either.
        let _either = consumer.reserve(1, SHORT_LEASE).await;
        let _either = cut.broker.ensure(&specs).await;
        if let Some(admin) = cut.broker.admin() {
            let _either = admin.depth(std::slice::from_ref(&cut.queue)).await;
        }
    };
    let ended = cut.env.within(DEADLINE * 2, calls).await;
    assert!(ended.is_ok(), "a call hangs on a dead line");
    assert!(
        tally.confirmed.is_empty(),
        "it confirmed what it cannot know"
    );
}

/// Proves B2. Cases N04, B12.
async fn a_peer_that_vanished_is_noticed_by_every_call(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    let mut consumer = cut.consumer().await;
    cut.publish(cut.message("held")).await;
    let held = cut.one(consumer.as_mut()).await;
    proxy.half_open();
    every_call_ends(&cut, consumer.as_mut(), &held).await;
    proxy.heal().unwrap();
    Tally::default().publish_until_confirmed(&cut).await;
}

/// Proves B2, B24. Case N04.
async fn a_server_that_hears_but_is_not_heard_is_noticed(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    let mut consumer = cut.consumer().await;
    cut.publish(cut.message("held")).await;
    let held = cut.one(consumer.as_mut()).await;
    proxy.blackhole(Direction::ToClient);
    every_call_ends(&cut, consumer.as_mut(), &held).await;
    proxy.heal().unwrap();
    Tally::default().publish_until_confirmed(&cut).await;
}

/// Proves B74. Case N02.
async fn a_consumer_goes_on_after_a_reset(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    let mut consumer = cut.consumer().await;
    for _ in 0..5 {
        proxy.cut();
        let id = case.publish(case.message("after the reset")).await;
        let came = take_through_faults(&cut, consumer.as_mut(), 1).await;
        assert_eq!(came, [id]);
    }
}

/// Proves B71, B74. Cases N08, N09.
async fn a_hundred_resets_leave_no_connection_behind(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    let mut consumer = cut.consumer().await;
    let mut tally = Tally::default();
    tally.publish_until_confirmed(&cut).await;
    take_through_faults(&cut, consumer.as_mut(), 1).await;
    let open_before = proxy.counts().open;
    let clients_before = case.clients_on_server().await;
    for _ in 0..(case.at_most(1_000) / 10) {
        proxy.cut();
        let mut round = Tally::default();
        round.publish_until_confirmed(&cut).await;
        let sent = round.confirmed.len() + round.perhaps.len();
        let came = take_through_faults(&cut, consumer.as_mut(), round.confirmed.len()).await;
        assert!(came.len() <= sent, "a message came twice");
    }
    eventually(&case.env, "old connections are gone", async || {
        proxy.counts().open <= open_before && case.clients_on_server().await <= clients_before
    })
    .await;
}

/// Proves B24, B72. Case N01.
async fn resets_all_the_time_lose_nothing(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    let mut tally = Tally::default();
    let some = (case.at_most(2_000) / 100).max(1);
    for _ in 0..20 {
        let storm = async {
            for _ in 0..5 {
                tally.publish(&cut, cut.messages(some)).await;
            }
        };
        let resets = async {
            for _ in 0..3 {
                case.env.sleep(Duration::from_millis(7)).await;
                proxy.cut();
            }
        };
        futures::join!(storm, resets);
    }
    tally.publish_until_confirmed(&cut).await;
    assert!(tally.confirmed.len() > 10, "nothing got through: {tally:?}");
    tally.verify(&case).await;
}

/// Proves B1, B20.
async fn bytes_that_come_one_by_one_are_understood(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    proxy.slice(Direction::ToServer);
    proxy.slice(Direction::ToClient);
    let mut consumer = cut.consumer().await;
    for size in [0, 1, 300] {
        let message = cut.message(vec![b'x'; size]);
        cut.publish(message.clone()).await;
        let delivery = cut.one(consumer.as_mut()).await;
        assert_eq!(delivery.message, message);
        cut.ack(&[delivery]).await;
    }
}

/// Proves B50. Case E03.
async fn a_slow_line_loses_no_lease(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    let lease = SHORT_LEASE * 5;
    let mut consumer = cut.consumer_with(lease, 10).await;
    let mut other = case.consumer().await;
    let id = case.publish(case.message("held over a slow line")).await;
    let held = cut.one(consumer.as_mut()).await;
    proxy.latency(Duration::from_millis(200), Duration::from_millis(200));
    let patience = Patience::new(&case.env);
    while patience.spent() < lease * 2 {
        let extended = cut
            .broker
            .extend(std::slice::from_ref(&held.receipt), lease)
            .await;
        assert!(extended.iter().all(Result::is_ok), "{extended:?}");
        let taken = other.reserve(1, Duration::from_millis(50)).await.unwrap();
        assert!(
            taken.is_empty(),
            "{id} was given to another while it was leased"
        );
    }
    cut.ack(&[held]).await;
}

/// Proves B2.
async fn corrupt_bytes_are_an_error_and_no_end(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    for _ in 0..10 {
        proxy.corrupt(Direction::ToClient, 200);
        let calls = async {
            // Whatever the damaged answers say, each call ends.
            cut.broker
                .publish(vec![cut.to_queue(cut.message("damaged"))])
                .await;
            let mut consumer = cut.consumer_or_error().await;
            if let Ok(consumer) = &mut consumer {
                let _either = consumer.reserve(1, Duration::from_millis(100)).await;
            }
        };
        let ended = cut.env.within(DEADLINE, calls).await;
        assert!(ended.is_ok(), "a call hangs on a damaged answer");
        proxy.heal().unwrap();
        Tally::default().publish_until_confirmed(&cut).await;
    }
}

/// Proves B2. Case N05.
async fn a_server_that_refuses_connections_is_unreachable(case: BrokerCase) {
    let network = case.network();
    let proxy = Proxy::start(&case.env, network.address()).unwrap();
    proxy.refuse_new();
    let opening = async {
        // A client may open at once and find out with the first call.
        let broker = network.open_at(proxy.address(), "refused").await?;
        broker
            .ensure(&[bananas_core::QueueSpec::new(case.queue.clone())])
            .await
    };
    let opened = case.env.within(DEADLINE, opening).await;
    let error = opened.expect("it ends within its deadline").unwrap_err();
    let kinds = [
        ErrorKind::Unreachable,
        ErrorKind::Timeout,
        ErrorKind::Unavailable,
    ];
    assert!(kinds.contains(&error.kind()), "{error}");
    assert!(error.is_retryable(), "{error}");
}

/// Proves B26, B47, B74. Case O04.
async fn calls_that_are_given_up_mix_up_no_answers(case: BrokerCase) {
    let (proxy, cut) = case.behind_proxy().await;
    proxy.latency(Duration::ZERO, Duration::from_millis(3));
    let mut consumer = cut.consumer().await;
    for _ in 0..case.at_most(300) {
        impatiently(
            &cut.env,
            cut.broker
                .publish(vec![cut.to_queue(cut.message("given up"))]),
        )
        .await;
        impatiently(&cut.env, consumer.reserve(3, Duration::from_millis(20))).await;
    }
    let published = cut.publish_all(cut.messages(50)).await;
    let mut missing: HashSet<JobId> = published.into_iter().collect();
    let patience = Patience::new(&cut.env);
    while !missing.is_empty() {
        let taken = consumer.reserve(20, SHORT_LEASE).await.unwrap();
        cut.ack(&taken).await;
        for delivery in &taken {
            missing.remove(&delivery.message.id.unwrap());
        }
        patience.check(&format!("{} messages came", missing.len()));
    }
}
