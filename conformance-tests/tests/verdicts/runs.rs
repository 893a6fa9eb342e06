//! A run is asked for, follows another only with a cause, and is what it was asked to be.

use conformance_tests::judge::{
    Answer, Cause, Ending, Job, Micros, Place, Rules, Start, Verdict, Violation, What,
};

use crate::script::{BODY, LONG, Script, drained, enqueue, start, violations};

#[test]
fn a_job_that_nobody_enqueued_is_unexpected() {
    let violation = [Violation::Unexpected];
    assert_eq!(Script::new().start(1, 1).ack(1, 1).violations(), violation);
    assert_eq!(Script::new().found(1, Place::Ready).violations(), violation);
    assert_eq!(Script::new().ack(1, 1).violations(), violation);
    let refused = Script::new().asked(1).refused(1);
    assert_eq!(refused.clone().start(1, 1).violations(), violation);
    assert_eq!(
        refused.clone().found(1, Place::Dead).violations(),
        violation
    );
    // It was tried again, and then it was accepted.
    refused.enqueued(1).start(1, 1).ack(1, 1).assert_clean();
}

#[test]
fn a_run_before_its_enqueue_is_unexpected_and_one_before_the_answer_is_not() {
    let early = Script::new().start(1, 1).enqueued(1).ack(1, 1);
    assert_eq!(early.violations(), [Violation::Unexpected]);
    let quick = Script::new().asked(1).start(1, 1).ok(1).ack(1, 1);
    quick.assert_clean();
}

#[test]
fn a_settlement_of_a_run_that_never_began_is_unexpected() {
    let run = Script::accepted().start(1, 1);
    let other = run.clone().ack(1, 2).ack(1, 1);
    assert_eq!(other.violations(), [Violation::Unexpected]);
    let unasked = run.answer(1, 1, Answer::Ok).found(1, Place::Ready);
    assert_eq!(unasked.violations(), [Violation::Unexpected]);
}

#[test]
fn a_run_after_the_end_is_found() {
    for ending in [
        Ending::Ack,
        Ending::DeadLetter,
        Ending::Cancel,
        Ending::Expire,
    ] {
        let ended = Script::accepted().start(1, 1).settled(1, 1, ending);
        assert_eq!(ended.start(1, 2).violations(), [Violation::RunAfterEnd]);
    }
    for ending in [Ending::Retry, Ending::Release] {
        let given_back = Script::accepted().start(1, 1).settled(1, 1, ending);
        let verdict = given_back.start(1, 2).ack(1, 2).assert_clean();
        assert_eq!(verdict.counts.reruns, 1);
        assert_eq!(verdict.counts.explained.len(), 0);
    }
}

#[test]
fn a_rerun_may_begin_before_the_answer_to_its_release_arrives() {
    let asked = Script::accepted().start(1, 1).settle(1, 1, Ending::Release);
    asked
        .start(1, 2)
        .answer(1, 1, Answer::Ok)
        .ack(1, 2)
        .assert_clean();
}

#[test]
fn a_run_under_the_lease_of_another_overlaps() {
    let second = |lease: Micros| Script::accepted().leased(1, 1, lease).start(1, 2).ack(1, 2);
    assert_eq!(second(11).violations(), [Violation::Overlapping]);
    let lapsed = second(10).assert_clean();
    assert_eq!(lapsed.explained(Cause::LeaseLapsed), 1);
    // The ack was asked for, but not answered when the second run began.
    let asked = Script::accepted().start(1, 1).settle(1, 1, Ending::Ack);
    let both = asked.start(1, 2).answer(1, 1, Answer::Ok);
    assert_eq!(both.violations(), [Violation::Overlapping]);
}

#[test]
fn an_extended_lease_lasts_longer() {
    let extended = |lease_until| {
        let held = Script::accepted().leased(1, 1, 20).then(What::Extended {
            job: Job(1),
            run: 1,
            lease_until,
        });
        held.start(1, 2).ack(1, 2).found(1, Place::Succeeded)
    };
    // The first run began at 30, and the second at 50.
    assert_eq!(extended(51).violations(), [Violation::Overlapping]);
    extended(50).assert_clean();
}

/// What happens between two runs.
type Between = fn(Script) -> Script;

/// The verdict on a job that ran a second time after `between`, without a lease that could lapse.
fn again_after(between: Between) -> Verdict {
    let first = Script::accepted().unleased(1, 1);
    let again = between(first).unleased(1, 2).ack(1, 2);
    again.judged(&drained())
}

#[test]
fn a_run_without_a_cause_is_a_duplicate_and_each_cause_explains_one() {
    let innocent: [(Cause, Between); 4] = [
        (Cause::Killed, |script| script.killed("w")),
        (Cause::Fault, |script| script.fault(0)),
        (Cause::UnknownSettlement, |script| {
            script
                .settle(1, 1, Ending::Ack)
                .answer(1, 1, Answer::Unknown)
        }),
        (Cause::PublishedAgain, |script| script.asked(1).unknown(1)),
    ];
    for (cause, between) in innocent {
        let verdict = again_after(between);
        verdict.assert_clean();
        assert_eq!(verdict.explained(cause), 1, "{cause}");
    }
    let guilty: [Between; 5] = [
        |script| script,
        |script| script.killed("another"),
        |script| script.asked(1).refused(1),
        |script| script.settle(1, 1, Ending::Ack).answer(1, 1, Answer::Stale),
        |script| {
            let job = Job(1);
            script.then(What::LeaseLost { job, run: 1 })
        },
    ];
    for between in guilty {
        assert_eq!(violations(&again_after(between)), [Violation::Duplicated]);
    }
}

#[test]
fn a_cause_of_the_past_explains_nothing() {
    let past = Script::new().fault(4).killed("w").enqueued(1);
    let again = past.unleased(1, 1).unleased(1, 2).ack(1, 2);
    assert_eq!(again.violations(), [Violation::Duplicated]);
    let future = Script::accepted().unleased(1, 1).unleased(1, 2).ack(1, 2);
    assert_eq!(
        future.fault(4).killed("w").violations(),
        [Violation::Duplicated]
    );
}

#[test]
fn each_copy_explains_one_run_and_no_more() {
    let both = Script::accepted()
        .enqueued(1)
        .start(1, 1)
        .ack(1, 1)
        .start(1, 2)
        .ack(1, 2);
    let verdict = both.assert_clean();
    assert_eq!(verdict.explained(Cause::PublishedAgain), 1);
    assert_eq!(both.start(1, 3).violations(), [Violation::RunAfterEnd]);
}

#[test]
fn where_ids_are_known_again_a_second_copy_explains_nothing() {
    let rules = Rules {
        dedupe: true,
        ..drained()
    };
    let once = Script::accepted().enqueued(1).start(1, 1).ack(1, 1);
    once.judged(&rules).assert_clean();
    let twice = once.start(1, 2);
    assert_eq!(violations(&twice.judged(&rules)), [Violation::RunAfterEnd]);
    // Where they are not, the answer still says which copy was dropped.
    let dropped = Script::accepted()
        .asked(1)
        .then(What::Duplicate { job: Job(1) });
    let twice = dropped.start(1, 1).ack(1, 1).start(1, 2);
    assert_eq!(twice.violations(), [Violation::RunAfterEnd]);
}

#[test]
fn a_settlement_may_be_forgotten_only_with_what_the_promised_durability_does_not_survive() {
    let forgotten = Script::accepted()
        .start(1, 1)
        .ack(1, 1)
        .fault(3)
        .start(1, 2)
        .ack(1, 2);
    let rules = |durability| Rules {
        durability,
        ..drained()
    };
    let verdict = forgotten.judged(&rules(2));
    verdict.assert_clean();
    assert_eq!(verdict.explained(Cause::Fault), 1);
    let found = violations(&forgotten.judged(&rules(3)));
    assert_eq!(found, [Violation::RunAfterEnd, Violation::SettledTwice]);
}

#[test]
fn a_run_has_a_body_that_somebody_gave_it() {
    let with = |body| {
        What::Start(Start {
            body: Some(body),
            ..start(1, 2)
        })
    };
    let retried = |replaced| {
        let ran = Script::accepted().start(1, 1).then(What::Settle {
            job: Job(1),
            run: 1,
            ending: Ending::Retry,
            body: replaced,
        });
        ran.answer(1, 1, Answer::Ok).then(with(8)).ack(1, 2)
    };
    assert_eq!(retried(None).violations(), [Violation::ValueMismatch]);
    retried(Some(8)).assert_clean();
    let first = |body| Script::accepted().then(with(body)).ack(1, 2);
    assert_eq!(first(BODY + 1).violations(), [Violation::ValueMismatch]);
    first(BODY).assert_clean();
}

#[test]
fn attempts_go_up_with_each_failure_and_never_down() {
    let attempt = |run, attempt| {
        What::Start(Start {
            attempt: Some(attempt),
            ..start(1, run)
        })
    };
    let verdict = |ending, second| {
        let first = Script::accepted().then(attempt(1, 2)).settled(1, 1, ending);
        first.then(attempt(2, second)).ack(1, 2).violations()
    };
    let found = [Violation::AttemptNotIncreasing];
    assert_eq!(verdict(Ending::Retry, 2), found);
    assert_eq!(verdict(Ending::Retry, 3), []);
    assert_eq!(verdict(Ending::Release, 1), found);
    assert_eq!(verdict(Ending::Release, 2), []);
}

#[test]
fn fencing_numbers_go_up_with_each_run() {
    let epoch = |run, epoch| {
        What::Start(Start {
            epoch: Some(epoch),
            ..start(1, run)
        })
    };
    let verdict = |second| {
        let first = Script::accepted()
            .then(epoch(1, 4))
            .settled(1, 1, Ending::Release);
        first.then(epoch(2, second)).ack(1, 2).violations()
    };
    assert_eq!(verdict(4), [Violation::EpochNotIncreasing]);
    assert_eq!(verdict(5), []);
}

#[test]
fn a_finding_tells_the_events_of_the_runs_that_matter_and_of_no_other() {
    let script = Script::new().enqueued(2).enqueued(1).start(2, 9);
    let given_back = script.start(1, 1).settled(1, 1, Ending::Release);
    let overlap = given_back.start(1, 2).start(1, 3).ack(1, 3);
    let verdict = overlap.judged(&Rules::default());
    let told = verdict.to_string();
    let expected = format!(
        "jobs: enqueued 2, accepted 2, refused 0, recovered 0\n\
         ends: ok 1, remaining 0, late 1, forgiven 0\n\
         runs: 4, given back 1\n\
         violations: 1, overlapping 1\n\
         \n\
         overlapping: job 0000000000000001 ran as 3 again, after run 2, without a cause\n\
         \x20      0.000030 {{\"enqueue.invoke\":{{\"job\":\"0000000000000001\",\"queue\":\"q\",\
         \"priority\":50,\"delayed\":false,\"body\":7}}}}\n\
         \x20      0.000040 {{\"enqueue.ok\":{{\"job\":\"0000000000000001\"}}}}\n\
         \x20      0.000090 {{\"run.start\":{{\"job\":\"0000000000000001\",\"run\":2,\"owner\":\"w\",\
         \"lease_until\":{LONG},\"body\":7}}}}\n\
         \x20      0.000100 {{\"run.start\":{{\"job\":\"0000000000000001\",\"run\":3,\"owner\":\"w\",\
         \"lease_until\":{LONG},\"body\":7}}}}\n\
         \x20      0.000110 {{\"settle.invoke\":{{\"job\":\"0000000000000001\",\"run\":3,\
         \"ending\":\"ack\"}}}}\n\
         \x20      0.000120 {{\"settle.answer\":{{\"job\":\"0000000000000001\",\"run\":3,\
         \"answer\":\"ok\"}}}}\n"
    );
    assert_eq!(told, expected);
}

#[test]
fn all_violations_are_counted_and_the_first_twenty_told() {
    let mut script = Script::new();
    for job in 0..50 {
        script = script.then(What::Enqueue(enqueue(job))).ok(job);
    }
    let verdict = script.judged(&drained());
    assert_eq!(verdict.violations(Violation::Lost), 50);
    assert_eq!(verdict.findings.len(), 20);
    assert!(verdict.to_string().ends_with("\nlost: 30 more\n"));
}
