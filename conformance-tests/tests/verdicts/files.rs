//! Histories in files: what was written is read, whatever became of the writer, and the program says the rest.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

use conformance_tests::judge::{HistoryFile, Job, Place, Rules, What, Witness, read_files};
use tempfile::TempDir;

use crate::script::{Script, drained, enqueue, start};

/// Writes the events of a script to a file of this name.
fn write(folder: &TempDir, name: &str, script: &Script) -> std::path::PathBuf {
    let path = folder.path().join(name);
    let lines = script
        .events
        .iter()
        .map(|event| serde_json::to_string(event).unwrap() + "\n");
    fs::write(&path, lines.collect::<String>()).unwrap();
    path
}

fn program(path: &Path) -> (Option<i32>, Output) {
    let output = Command::new(env!("CARGO_BIN_EXE_judge"))
        .arg(path)
        .output()
        .unwrap();
    (output.status.code(), output)
}

fn every_kind_of_event() -> Script {
    let fault = || "cut".into();
    let owner = || "w".into();
    Script::new()
        .then(What::Promised(Box::new(drained())))
        .then(What::ProcessStart { owner: owner() })
        .enqueued(1)
        .asked(2)
        .unknown(2)
        .asked(3)
        .refused(3)
        .asked(1)
        .then(What::Duplicate { job: Job(1) })
        .then(What::FaultBegin {
            fault: fault(),
            needs: 2,
            struck: Vec::new(),
        })
        .start(1, u64::MAX)
        .then(What::Extended {
            job: Job(1),
            run: u64::MAX,
            lease_until: 5,
        })
        .then(What::LeaseLost {
            job: Job(1),
            run: u64::MAX,
        })
        .end(1, u64::MAX, conformance_tests::judge::Finish::Succeeded)
        .ack(1, u64::MAX)
        .then(What::FaultEnd { fault: fault() })
        .then(What::Cancelled { job: Job(2) })
        .killed("w")
        .found(2, Place::Cancelled)
}

#[test]
fn every_event_is_read_as_it_was_written() {
    let folder = TempDir::new().unwrap();
    let script = every_kind_of_event();
    let path = write(&folder, "all", &script);
    let events = read_files([path]).unwrap();
    assert_eq!(events, script.events);
    assert_eq!(Rules::promised(&events), drained());
    assert_eq!(Rules::promised(&[]), Rules::default());
}

#[test]
fn what_is_recorded_is_in_the_file_at_once_and_files_are_merged_by_time() {
    let folder = TempDir::new().unwrap();
    let [client, worker] = ["client", "worker"].map(|name| folder.path().join(name));
    let enqueuer = HistoryFile::create(&client).unwrap();
    let runner = HistoryFile::create(&worker).unwrap();
    let history = [
        (&enqueuer, What::Enqueue(enqueue(1))),
        (&runner, What::Start(start(1, 1))),
        (&enqueuer, What::Accepted { job: Job(1) }),
    ];
    for (n, (writer, what)) in history.iter().enumerate() {
        writer.record(what.clone());
        // Both writers live on, with whatever they would keep to themselves.
        let events = read_files([&worker, &client]).unwrap();
        assert_eq!(events.len(), n + 1);
        assert_eq!(&events[n].what, what);
    }
    let error = HistoryFile::create(&client).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::AlreadyExists,
        "a file has one writer"
    );
}

#[test]
fn a_torn_last_line_is_left_out_and_any_other_is_named() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "torn", &Script::accepted().start(1, 1));
    let whole = fs::read(&path).unwrap();
    let end_of_second = whole
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(1);
    let end_of_second = end_of_second.unwrap().0;
    for cut in end_of_second + 1..whole.len() - 1 {
        fs::write(&path, &whole[..cut]).unwrap();
        assert_eq!(read_files([&path]).unwrap().len(), 2, "cut at {cut}");
    }
    let mut broken = whole[..end_of_second - 5].to_vec();
    broken.extend(&whole[end_of_second..]);
    fs::write(&path, &broken).unwrap();
    let error = read_files([&path]).unwrap_err();
    let place = format!("{}:2: expected an event: ", path.display());
    assert!(error.to_string().starts_with(&place), "{error}");
}

#[test]
fn the_program_says_by_its_status_whether_the_history_is_clean() {
    let folder = TempDir::new().unwrap();
    let promised = Script::new().then(What::Promised(Box::new(drained())));
    let clean = promised.clone().enqueued(1).start(1, 1).ack(1, 1);
    let (status, output) = program(&write(&folder, "clean", &clean));
    assert_eq!(status, Some(0), "{output:?}");

    let (status, output) = program(&write(&folder, "lost", &promised.enqueued(1)));
    assert_eq!(status, Some(2), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("lost: job 0000000000000001 was accepted"),
        "{text}"
    );

    let bad = folder.path().join("bad");
    fs::write(&bad, "{\"at\":1,\"what\":{\"run.begun\":{}}}\n").unwrap();
    let (status, output) = program(&bad);
    assert_eq!(status, Some(4), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    for part in [bad.to_str().unwrap(), ":1: ", "`run.begun`", "`run.start`"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(program(&folder.path().join("missing")).0, Some(4));
}
