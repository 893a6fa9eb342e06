//! The wire format against the golden messages, and against garbage.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bananas_core::{Args, Codec, Job, JsonCodec, Priority, QueueName, RawMessage, Track};
use proptest::prelude::*;

fn fixtures() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/fixtures");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    assert!(files.len() >= 4, "the golden messages are missing");
    files
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(&path).unwrap().trim_ascii_end().to_vec();
            (path, bytes)
        })
        .collect()
}

fn decode(queue: &str, body: &[u8]) -> Result<Job, String> {
    let id = "0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
    let message = RawMessage::new(id, body.to_vec().into());
    JsonCodec
        .decode(&QueueName::new(queue).unwrap(), &message)
        .map_err(|e| e.reason)
}

#[test]
fn every_golden_message_is_decoded_and_encoded_to_the_same_bytes() {
    for (path, bytes) in fixtures() {
        let queue = if path.ends_with("full.json") {
            "mail"
        } else {
            "default"
        };
        let job = decode(queue, &bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let again = JsonCodec.encode(&job).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&again),
            String::from_utf8_lossy(&bytes),
            "{}",
            path.display()
        );
    }
}

#[test]
fn the_fields_of_the_full_message_mean_what_they_say() {
    let (_, bytes) = fixtures()
        .into_iter()
        .find(|(path, _)| path.ends_with("full.json"))
        .unwrap();
    let job = decode("mail", &bytes).unwrap();
    assert_eq!(job.task.as_str(), "email.welcome");
    assert_eq!(
        (job.priority, job.track),
        (Priority::new(90).unwrap(), Track::Outcome)
    );
    assert_eq!((job.failed_attempts, job.max_attempts), (2, Some(5)));
    assert_eq!(job.timeout, Some(Duration::from_secs(30)));
    assert_eq!(job.unique.unwrap().lasts, Duration::from_secs(60));
    assert_eq!(job.meta.len(), 1);
}

#[test]
fn arguments_keep_their_bytes() {
    let (_, bytes) = fixtures()
        .into_iter()
        .find(|(path, _)| path.ends_with("full.json"))
        .unwrap();
    let Args::Json(args) = decode("mail", &bytes).unwrap().args else {
        panic!("no JSON")
    };
    assert!(
        String::from_utf8(args.to_vec())
            .unwrap()
            .contains("12345678901234567890123")
    );
}

#[test]
fn tags_arrive_sorted_and_what_is_no_tag_says_why() {
    let (_, bytes) = fixtures()
        .into_iter()
        .find(|(path, _)| path.ends_with("tags.json"))
        .unwrap();
    let tags: Vec<String> = decode("default", &bytes)
        .unwrap()
        .tags
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(tags, ["customer:42", "größe \"XL\"", "mail"]);
    for (list, expected) in [
        (r#"[""]"#, "empty"),
        (r#"["a\nb"]"#, "control"),
        ("[1]", "string"),
    ] {
        let body = format!(
            r#"{{"v":1,"id":"0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f","task":"a","args":1,"tags":{list}}}"#
        );
        let reason = decode("default", body.as_bytes()).unwrap_err();
        assert!(reason.contains(expected), "{list}: {reason}");
    }
}

#[test]
fn the_queue_a_message_was_taken_from_is_its_queue() {
    let (_, bytes) = fixtures()
        .into_iter()
        .find(|(path, _)| path.ends_with("full.json"))
        .unwrap();
    assert_eq!(decode("other", &bytes).unwrap().queue.as_str(), "other");
}

#[test]
fn what_is_no_message_says_why() {
    let cases: [(&str, &str); 9] = [
        ("", "EOF"),
        ("[]", "expected a message of the format \"bananas\""),
        ("{}", "\"v\" is missing"),
        (r#"{"v":2}"#, "version 2 is newer"),
        (r#"{"v":1}"#, "\"id\" is missing"),
        (r#"{"v":1,"id":"7"}"#, "UUID"),
        (
            r#"{"v":1,"id":"0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f"}"#,
            "\"task\" is missing",
        ),
        (
            r#"{"v":1,"id":"0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f","task":"a"}"#,
            "\"args\" is missing",
        ),
        (
            r#"{"v":1,"id":"0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f","task":"a","args":1,"priority":101}"#,
            "101",
        ),
    ];
    for (body, expected) in cases {
        let reason = decode("default", body.as_bytes()).unwrap_err();
        assert!(reason.contains(expected), "{body}: {reason}");
    }
}

#[test]
fn deep_nesting_is_an_error_or_a_job_but_no_stack_overflow() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!(
        r#"{{"v":1,"id":"0198f3c2-7d1e-7cc3-98c4-dc0c0c07398f","task":"a","args":{deep},"created_at_us":1}}"#
    );
    if let Ok(job) = decode("default", body.as_bytes()) {
        assert!(
            job.args.decode::<serde_json::Value>().is_err(),
            "a handler's decoder has its limit"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(decode("default", &body));
    }

    #[test]
    fn a_damaged_message_never_panics(flip in 0_usize..500, bit in 0_u8..8, cut in 0_usize..500) {
        for (_, mut bytes) in fixtures() {
            let len = bytes.len();
            bytes[flip % len] ^= 1 << bit;
            bytes.truncate(len - cut % len);
            drop(decode("default", &bytes));
        }
    }
}
