//! One settlement of a run counts, and one run ends a job.

use conformance_tests::judge::{Answer, Cause, Ending, Rules, Violation};

use crate::script::{Script, drained, violations};

#[test]
fn two_settlements_of_one_run_that_count_are_found() {
    let once = Script::accepted().start(1, 1).ack(1, 1);
    let twice = once.clone().ack(1, 1);
    assert_eq!(twice.violations(), [Violation::SettledTwice]);
    let refused = once.settle(1, 1, Ending::Ack).answer(1, 1, Answer::Stale);
    refused.assert_clean();
}

#[test]
fn the_settlement_of_a_run_that_was_taken_over_must_not_count() {
    let taken_over = Script::accepted().leased(1, 1, 10).start(1, 2);
    let late = |ending, answer| {
        let late = taken_over.clone().settle(1, 1, ending).answer(1, 1, answer);
        late.ack(1, 2)
    };
    assert_eq!(
        late(Ending::Ack, Answer::Ok).violations(),
        [Violation::SettledTwice, Violation::StaleAccepted]
    );
    assert_eq!(
        late(Ending::Retry, Answer::Ok).violations(),
        [Violation::StaleAccepted]
    );
    for ending in [Ending::Ack, Ending::Retry] {
        let verdict = late(ending, Answer::Stale).assert_clean();
        assert_eq!(verdict.explained(Cause::LeaseLapsed), 1);
    }
}

#[test]
fn without_fencing_only_the_end_of_a_lapsed_lease_is_forgiven() {
    let rules = Rules {
        fenced: false,
        ..drained()
    };
    let lapsed = Script::accepted().leased(1, 1, 10).start(1, 2);
    lapsed.ack(1, 1).ack(1, 2).judged(&rules).assert_clean();
    let held = Script::accepted().leased(1, 1, 11).start(1, 2);
    let found = violations(&held.ack(1, 1).ack(1, 2).judged(&rules));
    assert_eq!(found, [Violation::Overlapping, Violation::SettledTwice]);
    // Once the end is confirmed, no lapsed lease explains another run.
    let ended = Script::accepted().leased(1, 1, 30).ack(1, 1).start(1, 2);
    assert_eq!(violations(&ended.judged(&rules)), [Violation::RunAfterEnd]);
}

#[test]
fn two_copies_may_end_twice() {
    let both = Script::accepted().enqueued(1).start(1, 1).start(1, 2);
    both.ack(1, 1).ack(1, 2).assert_clean();
}
