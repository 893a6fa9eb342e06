//! Finding jobs by tag, time and text.

use crate::stage::Stage;

/// Three jobs: a mail to Ann, a mail to Bob, a report.
fn filled() -> (Stage, [String; 3]) {
    let stage = Stage::new();
    let ids = [
        stage.enqueue(&[
            "mail",
            r#"{"to":"Ann"}"#,
            "--tag",
            "customer:42",
            "--tag",
            "mail",
        ]),
        stage.enqueue(&["mail", r#"{"to":"bob 50%"}"#, "--tag", "mail"]),
        stage.enqueue(&["report", "--delay", "1h"]),
    ];
    (stage, ids)
}

fn found(stage: &Stage, criteria: &[&str]) -> Vec<String> {
    let args = [&["jobs", "list", "--json"], criteria].concat();
    let jobs = stage.run(&args).ok().json_lines();
    let ids = jobs
        .iter()
        .map(|job| job["id"].as_str().unwrap().to_owned());
    // The oldest first, as they were enqueued.
    ids.rev().collect()
}

#[test]
fn jobs_are_found_by_tag_text_and_time() {
    let (stage, [ann, bob, report]) = filled();
    let all = [ann, bob.clone(), report.clone()];
    assert_eq!(found(&stage, &["--tag", "mail"]), all[..2]);
    let both = ["--tag", "mail", "--tag", "customer:42"];
    assert_eq!(found(&stage, &both), all[..1]);
    assert_eq!(found(&stage, &["--text", "\"TO\":\"ann"]), all[..1]);
    assert_eq!(found(&stage, &["--text", "%"]), [bob]);
    assert_eq!(found(&stage, &["--text", "nobody"]), [""; 0]);
    assert_eq!(found(&stage, &["--since", "1h"]), all);
    assert_eq!(found(&stage, &["--until", "1h"]), [""; 0]);
    let years = [
        "--since",
        "2001-01-01T00:00:00Z",
        "--until",
        "2999-01-01T00:00:00Z",
    ];
    assert_eq!(found(&stage, &years), all);
    assert_eq!(found(&stage, &["--finished-since", "1h"]), [""; 0]);
    stage.run(&["jobs", "cancel", &report]).ok();
    assert_eq!(found(&stage, &["--finished-since", "1h"]), [report]);
}

#[test]
fn tags_are_shown() {
    let (stage, [ann, ..]) = filled();
    let job = stage.show(&ann);
    assert_eq!(job["tags"], serde_json::json!(["customer:42", "mail"]));
    for args in [&["jobs", "list"][..], &["jobs", "show", &ann]] {
        let text = stage.run(args).ok().stdout;
        assert!(text.contains("customer:42, mail"), "{text}");
    }
}

#[test]
fn jobs_with_a_tag_are_cancelled_and_the_others_are_not() {
    let (stage, [ann, bob, _]) = filled();
    stage
        .run(&["jobs", "cancel", "--all", "--yes", "--tag", "customer:42"])
        .ok()
        .says("cancel: 1 job");
    assert_eq!(stage.show(&ann)["state"], "cancelled");
    assert_eq!(stage.show(&bob)["state"], "ready");
    stage
        .run(&["jobs", "cancel", &bob, "--tag", "mail"])
        .ends_with(2)
        .says("go with --all, not with ids");
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_reason() {
    let (stage, _) = filled();
    let long = "t".repeat(65);
    for (args, words) in [
        (
            &["jobs", "list", "--since", "yesterday"][..],
            "2h for two hours ago",
        ),
        (
            &["jobs", "list", "--since", "1h", "--until", "2h"],
            "is not before --until",
        ),
        (&["jobs", "list", "--text", ""], "leave the option out"),
        (&["jobs", "list", "--tag", ""], "a tag cannot be empty"),
        (
            &["enqueue", "mail", "--tag", &long],
            "more than the 64 allowed",
        ),
    ] {
        stage.run(args).ends_with(2).says(words);
    }
    let mut many = vec!["enqueue".to_owned(), "mail".to_owned()];
    for n in 0..17 {
        many.extend(["--tag".to_owned(), n.to_string()]);
    }
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let refused = stage.run(&many);
    assert!(refused.stderr.contains("16 a job may have"), "{refused:?}");
    assert_ne!(refused.code, Some(0));
}
