//! What was accepted has one end, in one place.

use conformance_tests::judge::{
    Answer, Ending, Finish, Job, Name, Place, Proof, Rules, Start, Violation, What,
};

use crate::script::{Script, drained, start, violations};

#[test]
fn an_accepted_job_that_is_nowhere_is_lost() {
    assert_eq!(Script::accepted().violations(), [Violation::Lost]);
    let begun = Script::accepted().leased(1, 1, 20);
    assert_eq!(begun.violations(), [Violation::Lost]);
    let retried = Script::accepted().start(1, 1).settled(1, 1, Ending::Retry);
    assert_eq!(retried.violations(), [Violation::Lost]);

    let remaining = Script::accepted().found(1, Place::Ready).assert_clean();
    assert_eq!((remaining.counts.remaining, remaining.counts.ok), (1, 0));
    let ended = Script::accepted().start(1, 1).ack(1, 1).assert_clean();
    assert_eq!((ended.counts.remaining, ended.counts.ok), (0, 1));
}

#[test]
fn in_a_history_that_was_cut_it_is_only_late() {
    let verdict = Script::accepted().start(1, 1).judged(&Rules::default());
    verdict.assert_clean();
    assert_eq!(verdict.counts.late, 1);
}

#[test]
fn a_job_whose_enqueue_is_unknown_may_be_there_or_not() {
    let gone = Script::new().asked(1).unknown(1).assert_clean();
    assert_eq!(gone.counts.recovered, 0);
    let unanswered = Script::new().asked(1);
    unanswered.assert_clean();
    let there = unanswered.start(1, 1).ack(1, 1).assert_clean();
    assert_eq!((there.counts.recovered, there.counts.ok), (1, 1));
    let ran_and_gone = Script::new().asked(1).unknown(1).start(1, 1);
    assert_eq!(ran_and_gone.violations(), [Violation::Lost]);
}

#[test]
fn a_refused_job_is_not_missed() {
    let verdict = Script::new().asked(1).refused(1).assert_clean();
    assert_eq!((verdict.counts.refused, verdict.counts.accepted), (1, 0));
}

#[test]
fn an_unknown_ack_may_have_ended_the_job_but_an_unknown_retry_never_has() {
    let ran = Script::accepted().start(1, 1);
    let unknown = |ending| {
        ran.clone()
            .settle(1, 1, ending)
            .answer(1, 1, Answer::Unknown)
    };
    unknown(Ending::Ack).assert_clean();
    assert_eq!(unknown(Ending::Retry).violations(), [Violation::Lost]);
    let stale = ran
        .clone()
        .settle(1, 1, Ending::Ack)
        .answer(1, 1, Answer::Stale);
    assert_eq!(stale.violations(), [Violation::Lost]);
}

#[test]
fn where_jobs_are_tracked_the_end_must_show_them_all() {
    let rules = Rules {
        tracked: true,
        ..drained()
    };
    let ended = Script::accepted().start(1, 1).ack(1, 1);
    assert_eq!(violations(&ended.judged(&rules)), [Violation::Lost]);
    ended
        .found(1, Place::Succeeded)
        .judged(&rules)
        .assert_clean();
}

#[test]
fn a_job_is_found_where_its_end_put_it_and_only_there() {
    let ended = Script::accepted().start(1, 1).ack(1, 1);
    let wrong = ended.clone().found(1, Place::Dead);
    assert_eq!(wrong.violations(), [Violation::Misplaced]);
    let alive = ended.clone().found(1, Place::Ready);
    assert_eq!(alive.violations(), [Violation::Misplaced]);
    let twice = Script::accepted()
        .found(1, Place::Ready)
        .found(1, Place::Dead);
    assert_eq!(twice.violations(), [Violation::Misplaced]);

    ended.found(1, Place::Succeeded).assert_clean();
    let dead = Script::accepted()
        .start(1, 1)
        .settled(1, 1, Ending::DeadLetter);
    dead.found(1, Place::Dead).assert_clean();
    let two_copies = Script::accepted().enqueued(1);
    two_copies
        .found(1, Place::Ready)
        .found(1, Place::Dead)
        .assert_clean();
}

#[test]
fn a_fault_beyond_the_promised_durability_may_take_a_job_and_no_other_fault_may() {
    let rules = |durability| Rules {
        durability,
        ..drained()
    };
    let taken = Script::accepted().fault(3);
    let forgiven = taken.judged(&rules(2));
    forgiven.assert_clean();
    assert_eq!(forgiven.counts.forgiven, 1);
    assert_eq!(violations(&taken.judged(&rules(3))), [Violation::Lost]);
    let after_the_fault = Script::new().fault(3).enqueued(1);
    assert_eq!(
        violations(&after_the_fault.judged(&rules(2))),
        [Violation::Lost]
    );

    let process_gone = Script::accepted().killed("w");
    process_gone.judged(&rules(0)).assert_clean();
    assert_eq!(
        violations(&process_gone.judged(&rules(1))),
        [Violation::Lost]
    );
}

#[test]
fn a_cancelled_job_has_ended_and_never_runs() {
    let cancelled = Script::accepted().then(What::Cancelled { job: Job(1) });
    cancelled.clone().assert_clean();
    let ran = cancelled.start(1, 1);
    assert_eq!(ran.violations(), [Violation::RunAfterEnd]);
    let settled = ran.ack(1, 1);
    assert_eq!(
        settled.violations(),
        [Violation::RunAfterEnd, Violation::SettledTwice]
    );
    let while_running = Script::accepted().start(1, 1).settled(1, 1, Ending::Cancel);
    while_running.found(1, Place::Cancelled).assert_clean();
}

#[test]
fn seen_from_inside_the_handlers_the_end_of_a_run_is_the_end_of_the_job() {
    let rules = Rules {
        proof: Proof::Runs,
        ..drained()
    };
    let ran = |finish| Script::accepted().unleased(1, 1).end(1, 1, finish);
    ran(Finish::Succeeded).judged(&rules).assert_clean();
    let failed = ran(Finish::Failed);
    assert_eq!(violations(&failed.judged(&rules)), [Violation::Lost]);
    let again = failed.unleased(1, 2).end(1, 2, Finish::Succeeded);
    again.judged(&rules).assert_clean();
    let once_more = again.unleased(1, 3);
    assert_eq!(
        violations(&once_more.judged(&rules)),
        [Violation::RunAfterEnd]
    );
    // Who is killed between the end of the handler and the settlement runs the job again.
    let killed = ran(Finish::Succeeded).killed("w").unleased(1, 2);
    killed.judged(&rules).assert_clean();
    // And a shutdown gives back what it interrupts.
    let interrupted = Script::accepted().unleased(1, 1).then(What::ProcessEnd {
        owner: "w".into(),
        killed: false,
    });
    let again = interrupted.unleased(1, 2).end(1, 2, Finish::Succeeded);
    let verdict = again.judged(&rules);
    verdict.assert_clean();
    assert_eq!(verdict.counts.reruns, 1);
}

#[test]
fn a_run_after_the_first_success_is_a_duplicate_and_one_that_came_to_nothing_before_it_is_none() {
    let rules = Rules {
        proof: Proof::Runs,
        ..drained()
    };
    let crashed = Script::accepted().unleased(1, 1).killed("w");
    let again = crashed.unleased(1, 2).end(1, 2, Finish::Succeeded);
    assert_eq!(again.judged(&rules).counts.duplicates, 0);
    let done = Script::accepted()
        .unleased(1, 1)
        .end(1, 1, Finish::Succeeded);
    let explained = done.clone().killed("w").unleased(1, 2);
    let counts = explained.judged(&rules).counts;
    assert_eq!((counts.duplicates, counts.unexplained_duplicates), (1, 0));
    let twice = done.unleased(1, 2).end(1, 2, Finish::Succeeded);
    let verdict = twice.judged(&rules);
    let counts = &verdict.counts;
    assert_eq!((counts.duplicates, counts.unexplained_duplicates), (1, 1));
    let found = [Violation::RunAfterEnd, Violation::SettledTwice];
    assert_eq!(violations(&verdict), found);
}

#[test]
fn a_process_that_is_killed_long_after_a_success_explains_no_run_of_that_job() {
    let rules = Rules {
        proof: Proof::Runs,
        ..drained()
    };
    let after = |wait| {
        let mut script = Script::accepted()
            .unleased(1, 1)
            .end(1, 1, Finish::Succeeded);
        script.now += wait;
        violations(&script.killed("w").unleased(1, 2).judged(&rules))
    };
    assert_eq!(after(5_000_000), []);
    assert_eq!(after(11_000_000), [Violation::RunAfterEnd]);
}

#[test]
fn a_fault_that_names_whom_it_strikes_explains_no_run_of_another() {
    let rules = Rules {
        proof: Proof::Runs,
        ..drained()
    };
    let after = |struck: &str| {
        let fault: Name = "pause-1".into();
        let script = Script::accepted().unleased(1, 1).then(What::FaultBegin {
            fault: Name::clone(&fault),
            needs: 0,
            struck: vec![struck.into()],
        });
        script
            .then(What::FaultEnd { fault })
            .unleased(1, 2)
            .judged(&rules)
    };
    let violations = |struck| after(struck).counts.violations;
    assert!(!violations("w").contains_key(&Violation::Duplicated));
    assert_eq!(violations("another")[&Violation::Duplicated], 1);
}

#[test]
fn a_failure_that_its_worker_did_not_live_to_report_uses_no_attempt() {
    let rules = Rules {
        proof: Proof::Runs,
        ..drained()
    };
    let first_attempt = |run| {
        What::Start(Start {
            attempt: Some(1),
            lease_until: None,
            ..start(1, run)
        })
    };
    let failed = Script::accepted()
        .then(first_attempt(1))
        .end(1, 1, Finish::Failed);
    let again = |script: Script| script.then(first_attempt(2)).end(1, 2, Finish::Succeeded);
    again(failed.clone().killed("w"))
        .judged(&rules)
        .assert_clean();
    let found = violations(&again(failed).judged(&rules));
    assert_eq!(found, [Violation::AttemptNotIncreasing]);
}
