//! The table of catches: which checks notice which fault, as `docs/reference/teeth.md` shows it.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::fault::{Fault, Plant};
use super::faults;
use super::rig::{MakeEngine, checks_of};
use crate::outcome::Outcome;

/// Writes the table instead of comparing it.
const WRITE: &str = "BANANAS_TEETH_WRITE";

/// Checks that are tried on the faults they are named for alone, since one run takes a twentieth of a second of
/// the processor's time and more, and there are as many runs as faults.
const TOO_DEAR: &[&str] = &[
    "broker::a_burst_of_publishes_is_accepted_and_delivered_once",
    "broker::a_message_of_exactly_the_limit_arrives",
    "broker::a_message_that_is_due_competes_at_its_priority",
    "broker::a_message_too_large_is_refused_alone_with_both_numbers",
    "broker::batches_beyond_the_largest_request_are_split_and_keep_their_order",
    "broker::five_thousand_deliveries_are_settled_in_one_call",
    "broker::sixteen_consumers_take_each_message_once",
    "broker::ten_thousand_messages_that_are_due_at_once_all_come",
    "ledger::a_batch_of_all_sorts_of_jobs_is_answered_in_order_each_by_itself",
    "ledger::a_batch_of_1000_is_answered_in_order_and_each_job_runs_once",
    "ledger::a_job_refused_for_its_size_holds_no_unique_key",
    "ledger::a_job_too_large_is_refused_with_both_numbers_and_takes_no_neighbour_with_it",
    "ledger::many_sources_on_two_clients_run_2000_jobs_and_none_twice",
    "store::a_batch_of_12000_is_answered_in_order",
    "store::a_blob_comes_back_byte_for_byte_to_every_client",
    "store::a_blob_too_large_is_refused_alone_with_both_numbers",
    "store::a_hundred_thousand_jobs_are_visited_once_while_others_come_and_end",
    "store::a_job_that_was_not_recorded_holds_no_unique_key",
    "store::a_record_too_large_is_refused_alone",
    "store::a_result_too_large_is_refused_alone_and_its_run_goes_on",
    "store::eight_schedulers_return_each_of_2000_due_jobs_once",
    "store::what_is_found_is_what_the_filter_says_of_each_job",
];

/// How the table is written anew.
const COMMAND: &str = "BANANAS_TEETH_WRITE=1 cargo test -p conformance-tests --test teeth";

const INTRODUCTION: &str = "# What the conformance checks catch

A check that cannot fail proves nothing.
Each fault below is planted into a good engine, and the check named beside it must fail; the same engine with the same wrapper and no fault in it must pass all checks.
The last column lists the other checks of `conformance-tests` that notice the fault as well.

The faults are in `conformance-tests/src/teeth/`.
A fault of a store is looked for by the checks of stores, and by those of ledgers on a `SplitLedger` over that store; a fault of a ledger by the checks of ledgers alone.
";

/// A fault with the names of the checks that notice it.
struct Row {
    fault: &'static Fault,
    caught_by: Vec<String>,
}

/// Compares the table with what is true now, or writes it.
pub(super) fn check(make: MakeEngine) -> Result<(), String> {
    let all = Plant::UNBROKEN.map(|plant| checks_of(make, plant));
    let all: Vec<&str> = all
        .iter()
        .flatten()
        .map(|check| check.name.as_str())
        .collect();
    if let Some(name) = TOO_DEAR.iter().find(|name| !all.contains(name)) {
        return Err(format!("there is no check {name}, which is to be left out"));
    }
    let table = text(&rows(make));
    let file = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/reference/teeth.md"
    ));
    if std::env::var_os(WRITE).is_some() {
        return fs::write(&file, table).map_err(|e| format!("{}: {e}", file.display()));
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    if committed == table {
        return Ok(());
    }
    let mut pairs = table.lines().zip(committed.lines());
    let differing = pairs.find(|(true_now, written)| true_now != written);
    let (true_now, written) = differing.unwrap_or(("more lines or fewer", ""));
    Err(format!(
        "docs/reference/teeth.md is not true any more; look at what changed, and write it anew with\n\
         {COMMAND}\n-{written}\n+{true_now}"
    ))
}

/// Runs all checks on all faults, on as many threads as the machine has processors.
fn rows(make: MakeEngine) -> Vec<Row> {
    let all: Vec<&Fault> = faults().collect();
    let next = AtomicUsize::new(0);
    let rows: Mutex<Vec<(usize, Row)>> = Mutex::default();
    let work = || {
        while let Some((place, fault)) = take(&next, &all) {
            let row = row(make, fault);
            rows.lock()
                .expect("nobody panics with it")
                .push((place, row));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut rows = rows.into_inner().expect("nobody panicked with it");
    rows.sort_by_key(|(place, _)| *place);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn take(next: &AtomicUsize, all: &[&'static Fault]) -> Option<(usize, &'static Fault)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    all.get(place).map(|fault| (place, *fault))
}

fn row(make: MakeEngine, fault: &'static Fault) -> Row {
    let checks = checks_of(make, fault.plant);
    let tried = |name: &str| name == fault.caught_by || !TOO_DEAR.contains(&name);
    let catches = checks
        .into_iter()
        .filter(|check| tried(&check.name) && matches!(check.run(), Outcome::Failed(_)));
    Row {
        fault,
        caught_by: catches.map(|check| check.name).collect(),
    }
}

fn text(rows: &[Row]) -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut side = "";
    for row in rows {
        if row.fault.plant.side() != side {
            side = row.fault.plant.side();
            let all = rows.iter().filter(|row| row.fault.plant.side() == side);
            write!(
                text,
                "\n## Faults of a {side}: {}\n\n| A {side} that | does this | caught by | and by |\n|---|---|---|---|\n",
                all.count()
            )
            .expect("a string takes everything");
        }
        let Fault {
            name,
            does,
            caught_by,
            ..
        } = row.fault;
        let others = row.caught_by.iter().filter(|other| other != caught_by);
        let others: Vec<String> = others.map(|other| code(side, other)).collect();
        let others = match others.is_empty() {
            true => "nobody else".to_owned(),
            false => others.join(", "),
        };
        let caught_by = match row.caught_by.iter().any(|name| name == caught_by) {
            true => code(side, caught_by),
            false => format!("**not** {}", code(side, caught_by)),
        };
        writeln!(text, "| `{name}` | {does} | {caught_by} | {others} |")
            .expect("a string takes everything");
    }
    if !TOO_DEAR.is_empty() {
        text.push_str(
            "\nThese checks take long, and are tried on the faults alone that they are named for: ",
        );
        let names: Vec<String> = TOO_DEAR.iter().map(|name| format!("`{name}`")).collect();
        writeln!(text, "{}.", names.join(", ")).expect("a string takes everything");
    }
    writeln!(text, "\nThis page is written by `{COMMAND}` and compared by the same command without the variable.")
        .expect("a string takes everything");
    text
}

/// A check's name as code, without its side where that is the side of the fault.
fn code(side: &str, name: &str) -> String {
    match name.split_once("::") {
        Some((of, check)) if of == side => format!("`{check}`"),
        _ => format!("`{name}`"),
    }
}
