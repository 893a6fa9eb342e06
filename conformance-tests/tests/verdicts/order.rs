//! Who was there first starts first, where that is promised.

use conformance_tests::judge::{Enqueue, Order, Rules, Start, Violation, What};

use crate::script::{Script, drained, enqueue, start, violations};

fn rules(order: Order, priority_levels: u8) -> Rules {
    Rules {
        order,
        priority_levels,
        ..drained()
    }
}

/// Enqueues both jobs, one after the other, starts the second first, and acks both.
fn swapped(first: Enqueue, second: Enqueue) -> Script {
    let (one, two) = (first.job.0, second.job.0);
    let enqueued = Script::new().then(What::Enqueue(first)).ok(one);
    let enqueued = enqueued.then(What::Enqueue(second)).ok(two);
    enqueued.start(two, 2).ack(two, 2).start(one, 1).ack(one, 1)
}

fn keyed(job: u64, key: &str) -> Enqueue {
    Enqueue {
        key: Some(key.into()),
        ..enqueue(job)
    }
}

fn urgent(job: u64, priority: u8) -> Enqueue {
    Enqueue {
        priority,
        ..enqueue(job)
    }
}

const REORDERED: [Violation; 1] = [Violation::Reordered];

#[test]
fn in_a_queue_that_keeps_order_the_first_starts_first() {
    let script = swapped(enqueue(1), enqueue(2));
    let verdict = script.judged(&rules(Order::Queue, 1));
    assert_eq!(violations(&verdict), REORDERED);
    let text = verdict.findings[0].to_string();
    assert!(
        text.contains("job 0000000000000001 started after job 0000000000000002"),
        "{text}"
    );
    script.judged(&rules(Order::None, 1)).assert_clean();

    let elsewhere = Enqueue {
        queue: "another".into(),
        ..enqueue(2)
    };
    swapped(enqueue(1), elsewhere)
        .judged(&rules(Order::Queue, 1))
        .assert_clean();
    let later = Enqueue {
        delayed: true,
        ..enqueue(1)
    };
    swapped(later, enqueue(2))
        .judged(&rules(Order::Queue, 1))
        .assert_clean();
}

#[test]
fn only_jobs_of_one_key_have_an_order_where_keys_keep_it() {
    let order = rules(Order::Key, 1);
    let one_key = swapped(keyed(1, "a"), keyed(2, "a"));
    assert_eq!(violations(&one_key.judged(&order)), REORDERED);
    swapped(keyed(1, "a"), keyed(2, "b"))
        .judged(&order)
        .assert_clean();
    swapped(enqueue(1), enqueue(2))
        .judged(&order)
        .assert_clean();
}

#[test]
fn the_more_urgent_starts_first_across_levels_only() {
    let levels = |priority, levels| {
        let script = swapped(urgent(1, priority), urgent(2, 50));
        violations(&script.judged(&rules(Order::None, levels)))
    };
    assert_eq!(levels(51, 101), REORDERED);
    assert_eq!(levels(50, 101), []);
    assert_eq!(levels(51, 3), []);
    assert_eq!(levels(90, 3), REORDERED);
    assert_eq!(levels(90, 1), []);
    // The less urgent waits, however early it came.
    let patient = swapped(urgent(1, 0), urgent(2, 100));
    patient.judged(&rules(Order::Queue, 101)).assert_clean();
}

#[test]
fn jobs_that_were_enqueued_at_the_same_time_have_no_order() {
    let at_once = Script::new().asked(1).asked(2).ok(1).ok(2);
    let script = at_once.start(2, 2).ack(2, 2).start(1, 1).ack(1, 1);
    script.judged(&rules(Order::Queue, 1)).assert_clean();
}

#[test]
fn two_owners_may_start_in_any_order() {
    let enqueued = Script::new().enqueued(1).enqueued(2);
    let other = What::Start(Start {
        owner: "another".into(),
        ..start(2, 2)
    });
    let script = enqueued.then(other).ack(2, 2).start(1, 1).ack(1, 1);
    script.judged(&rules(Order::Queue, 1)).assert_clean();
}

#[test]
fn only_first_starts_have_an_order() {
    let enqueued = Script::new()
        .enqueued(1)
        .enqueued(2)
        .start(1, 1)
        .start(2, 2)
        .ack(2, 2);
    let retried = enqueued.settled(1, 1, conformance_tests::judge::Ending::Retry);
    let script = retried.start(1, 3).ack(1, 3);
    script.judged(&rules(Order::Queue, 1)).assert_clean();
}

#[test]
fn faults_and_kills_excuse_the_order_of_those_who_waited_through_them() {
    let enqueued = Script::new().enqueued(1).enqueued(2);
    let out_of_order = |script: Script| script.start(2, 2).ack(2, 2).start(1, 1).ack(1, 1);
    for waited in [enqueued.clone().fault(0), enqueued.clone().killed("x")] {
        out_of_order(waited)
            .judged(&rules(Order::Queue, 1))
            .assert_clean();
    }
    let after = out_of_order(enqueued).fault(0).killed("x");
    assert_eq!(
        violations(&after.judged(&rules(Order::Queue, 1))),
        REORDERED
    );
}

#[test]
fn what_starts_in_one_microsecond_starts_in_the_order_of_the_record() {
    // Neither order of the ids is the order of the starts.
    for (one, two) in [(1, 2), (2, 1)] {
        let mut script = Script::new().enqueued(one).enqueued(two).start(one, 1);
        script.now -= 10;
        let script = script.start(two, 2).ack(one, 1).ack(two, 2);
        script.judged(&rules(Order::Queue, 1)).assert_clean();
    }
}
