//! Clients whose wall clocks are wrong.

use std::sync::Arc;

use bananas_core::{Broker, Settled, Settlement};

use crate::case::BrokerCase;
use crate::check::checks;
use crate::hand_worker::LONG_LEASE;
use crate::jumping_env::JumpingEnv;

checks!(BrokerCase:
    a_client_whose_clock_is_wrong_works_as_others_do with Clock,
);

/// In seconds.
const HOUR: i64 = 3_600;

/// Proves B50, B71, B72. Case E11.
async fn a_client_whose_clock_is_wrong_works_as_others_do(mut case: BrokerCase) {
    for off in [HOUR, -HOUR] {
        let env = JumpingEnv::around(&case.env);
        env.be_off_by(off);
        let mut other = case.client_with(env).await;
        // The other client is the wrong one now, and after each swap the one that does not act.
        let swap = |case: &mut BrokerCase, other: &mut Arc<dyn Broker>| {
            std::mem::swap(&mut case.broker, other);
        };

        swap(&mut case, &mut other);
        let by_wrong = case.publish(case.message("by the wrong one")).await;
        swap(&mut case, &mut other);
        let mut of_right = case.consumer_with(LONG_LEASE, 1).await;
        let held = case.one(of_right.as_mut()).await;
        assert_eq!(
            held.message.id,
            Some(by_wrong),
            "it comes to others at once"
        );
        case.publish(case.message("for the wrong one")).await;

        swap(&mut case, &mut other);
        let mut of_wrong = case.consumer().await;
        let mine = case.one(of_wrong.as_mut()).await;
        assert_ne!(mine.message.id, Some(by_wrong), "it took what was leased");
        let receipts = std::slice::from_ref(&mine.receipt);
        let lease = case.broker.extend(receipts, LONG_LEASE).await.remove(0);
        assert!(lease.unwrap().until > case.env.monotonic());
        case.assert_drained(of_wrong.as_mut()).await;
        of_wrong.stop().await.unwrap();

        swap(&mut case, &mut other);
        case.assert_drained(case.consumer().await.as_mut()).await;
        case.ack(&[held]).await;

        swap(&mut case, &mut other);
        assert_eq!(case.settle(&mine, Settlement::Ack).await, Settled::Done);
        let late = case.publish(case.message("left lying")).await;
        case.one(case.hasty_consumer().await.as_mut()).await;

        swap(&mut case, &mut other);
        let again = case.one(case.consumer().await.as_mut()).await;
        assert_eq!(again.message.id, Some(late), "its short leases end");
        case.ack(&[again]).await;
    }
}
