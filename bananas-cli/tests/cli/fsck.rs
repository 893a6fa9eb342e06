//! Damage in the store, found and repaired from the command line.

use rusqlite::Connection;
use serde_json::Value;

use crate::stage::Stage;

/// The id of a job that runs well.
fn enqueue(stage: &Stage) -> String {
    stage.enqueue(&["hello", r#"{"name": "you"}"#])
}

/// Spoils a job in the file, as another program would.
fn damage(stage: &Stage, id: &str, how: &str) {
    let file = Connection::open(stage.path("bananas.db")).unwrap();
    file.pragma_update(None, "ignore_check_constraints", true)
        .unwrap();
    let sql =
        format!("UPDATE jobs SET {how} WHERE id = (SELECT id FROM jobs WHERE lower(hex(id)) = ?1)");
    let changed = file.execute(&sql, [id.replace('-', "")]).unwrap();
    assert_eq!(changed, 1, "{id}");
}

fn kinds(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|one| one["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_store_in_order_has_nothing_to_repair() {
    let stage = Stage::new();
    enqueue(&stage);
    let done = stage.run(&["fsck"]).ok();
    assert_eq!(done.stdout, "1 records read: nothing is wrong\n");
    let report = stage.run(&["fsck", "--repair", "--json"]).ok().json();
    assert_eq!((&report["records"], kinds(&report)), (&1.into(), vec![]));
}

#[test]
fn what_is_damaged_is_found_repaired_and_shown_among_the_dead() {
    let stage = Stage::new();
    let (spoilt, stuck) = (enqueue(&stage), enqueue(&stage));
    let sound = enqueue(&stage);
    damage(&stage, &spoilt, "errors = 'no JSON'");
    damage(&stage, &stuck, "state = 'scheduled', run_at = NULL");
    let found = stage.run(&["fsck", "--quick"]).ends_with(1).stdout;
    assert!(
        found.contains("2 found; repair with `bananas fsck --repair`"),
        "{found}"
    );
    let report = stage.run(&["fsck", "--json"]).ends_with(1).json();
    assert_eq!(
        kinds(&report),
        ["unreadable", "never_due", "count", "count"]
    );
    assert_eq!(report["findings"][0]["job"], spoilt.as_str());
    assert_eq!(report["kinds"]["never_due"]["repaired"], 0);
    let done = stage.run(&["fsck", "--repair"]).ok();
    assert!(
        done.stdout.contains("4 found, all repaired"),
        "{}",
        done.stdout
    );
    assert!(done.stdout.contains("1 jobs were due"), "{}", done.stdout);
    stage.run(&["fsck"]).ok();
    let dead = stage.run(&["dead", "show", &spoilt]).ok().stdout;
    assert!(dead.contains("the record was damaged: errors is"), "{dead}");
    let _worker = stage.worker("worker", &[]);
    for id in [&stuck, &sound] {
        stage.until_state(id, "succeeded");
    }
    stage.run(&["dead", "retry", &spoilt]).ok();
    stage.until_state(&spoilt, "succeeded");
}

#[test]
fn a_worker_passes_over_what_it_cannot_read() {
    let stage = Stage::new();
    let (spoilt, sound) = (enqueue(&stage), enqueue(&stage));
    damage(&stage, &spoilt, "epoch = -1");
    let _worker = stage.worker("worker", &[]);
    stage.until_state(&sound, "succeeded");
    let job = stage.until_state(&spoilt, "dead");
    assert_eq!(job["reason"], "undecodable");
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let stage = Stage::new();
    stage.run(&["fsck"]).ends_with(2).says("no database");
    assert!(!stage.path("bananas.db").exists());
}
