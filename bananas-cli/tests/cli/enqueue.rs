//! What goes into `enqueue`, good and bad.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::stage::{DEADLINE, Done, Stage};

const MEBIBYTE: usize = 1024 * 1024;

fn count(stage: &Stage, state: &str) -> u64 {
    let queues = stage.run(&["queues", "--json"]).ok().json();
    queues["queues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|q| q["counts"][state].as_u64().unwrap())
        .sum()
}

#[test]
fn each_line_is_a_job_and_a_bad_one_is_named_while_the_others_go_on() {
    let stage = Stage::new();
    let input = b"{\"name\": \"a\"}\n{oops\n\n\"\xff\xfe\"\n42\n\"last without break\"";
    let done = stage
        .run_with_input(&["enqueue", "hello", "--each"], input)
        .ends_with(1);
    assert_eq!(done.stdout.lines().count(), 3, "{done:?}");
    let done = done.says("line 2: arguments are not JSON: key must be a string at line 1 column 2");
    let done = done.says("line 4: not UTF-8, from byte 2 on");
    done.says("3 jobs enqueued, 2 lines not");
    assert_eq!(count(&stage, "ready"), 3);
}

#[test]
fn many_lines_go_in_and_each_prints_its_id_as_json() {
    let stage = Stage::new();
    let lines: String = (0..25_000).map(|n| format!("{n}\n")).collect();
    let args = ["enqueue", "hello", "--each", "--json"];
    let done = stage.run_with_input(&args, lines.as_bytes()).ok();
    let ids = done.json_lines();
    assert_eq!(ids.len(), 25_000);
    assert!(
        ids.iter()
            .all(|line| line["duplicate"] == false && line["id"].is_string())
    );
    assert_eq!(count(&stage, "ready"), 25_000);
}

#[test]
fn a_line_becomes_a_job_before_the_next_one_comes() {
    let stage = Stage::new();
    let mut command = stage.command(&["enqueue", "hello", "--each"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let ids = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, receiver) = std::sync::mpsc::channel();
    let reader = std::thread::Builder::new();
    reader
        .spawn(move || ids.map_while(Result::ok).try_for_each(|id| sender.send(id)))
        .unwrap();
    for _ in 0..3 {
        writeln!(stdin, "1").unwrap();
        let id = receiver
            .recv_timeout(DEADLINE)
            .expect("the line is kept back until more come");
        assert_eq!(stage.show(&id)["state"], "ready");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_argument_of_fifty_mebibytes_is_refused_with_both_sizes() {
    let stage = Stage::new();
    let large = format!("\"{}\"", "x".repeat(50 * MEBIBYTE));
    std::fs::write(stage.path("large.json"), &large).unwrap();
    let sizes = "an argument of 51201 KiB exceeds the 16384 KiB limit";
    stage
        .run(&["enqueue", "hello", "@large.json"])
        .ends_with(2)
        .says(sizes)
        .says("large.json");
    stage
        .run_with_input(&["enqueue", "hello", "-"], large.as_bytes())
        .ends_with(2)
        .says(sizes);
    let lines = format!("1\n{large}\n2\n");
    let done = stage.run_with_input(&["enqueue", "hello", "--each"], lines.as_bytes());
    let done = done
        .ends_with(1)
        .says("line 2: an argument of ")
        .says("exceeds the 16384 KiB limit");
    assert_eq!(done.stdout.lines().count(), 2);
    // It fits as an argument, but not with what a job needs around it.
    let tight = format!("\"{}\"", "x".repeat(16 * MEBIBYTE - 2));
    let done = stage.run_with_input(&["enqueue", "hello", "-"], tight.as_bytes());
    done.ends_with(2).says("exceeds the 16384 KiB limit");
    assert_eq!(count(&stage, "ready"), 2);
}

#[test]
fn an_argument_comes_from_a_file_or_from_standard_input() {
    let stage = Stage::new();
    std::fs::write(stage.path("arg.json"), "{\n  \"n\": 1.10\n}\n").unwrap();
    let id = stage.enqueue(&["hello", "@arg.json"]);
    assert_eq!(stage.show(&id)["args"]["n"], 1.1);
    assert!(
        stage
            .run(&["jobs", "show", "--json", &id])
            .ok()
            .stdout
            .contains("1.10")
    );
    let done = stage
        .run_with_input(&["enqueue", "hello", "-"], b"[true]")
        .ok();
    assert_eq!(stage.show(done.stdout.trim())["args"][0], true);
}

#[test]
fn what_is_no_json_is_refused_with_the_place() {
    let stage = Stage::new();
    let done = stage.run(&["enqueue", "hello", "world"]).ends_with(2);
    done.says("not JSON")
        .says("line 1 column 1")
        .says("'\"world\"'");
    std::fs::write(stage.path("bad.json"), "{\n \"a\": ,\n}").unwrap();
    stage
        .run(&["enqueue", "hello", "@bad.json"])
        .ends_with(2)
        .says("bad.json")
        .says("line 2 column 7");
    stage
        .run(&["enqueue", "hello", "@none.json"])
        .ends_with(2)
        .says("none.json");
    stage
        .run_with_input(&["enqueue", "hello", "-"], b"\"\xff\"")
        .ends_with(2)
        .says("not UTF-8, from byte 2");
    assert!(
        !stage.path("bananas.db").exists(),
        "a refused argument needs no database"
    );
}

#[test]
fn a_wrong_option_names_the_value_and_a_right_one() {
    let stage = Stage::new();
    for (args, text) in [
        (["hello", "1", "--priority", "101"], "0 to 100"),
        (["hello", "1", "--delay", "soon"], "write 10s"),
        (["hello", "1", "--at", "tomorrow"], "2031-05-04T09:30:00Z"),
        (["hello", "1", "--id", "42"], "an id looks like"),
        (["hello", "1", "--max-attempts", "0"], "'0'"),
        (["hello", "1", "--queue", "a b"], "' '"),
    ] {
        let mut all = vec!["enqueue"];
        all.extend(args);
        stage.run(&all).ends_with(2).says(text).says(args[3]);
    }
}

#[test]
fn all_lines_become_jobs_even_when_nobody_reads_the_ids() {
    let stage = Stage::new();
    let mut command = stage.command(&["enqueue", "hello", "--each"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    for n in 0..3_000 {
        writeln!(stdin, "{n}").unwrap();
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(count(&stage, "ready"), 3_000);
}

#[test]
fn all_lines_become_jobs_even_when_their_ids_cannot_be_written_and_that_is_said() {
    let stage = Stage::new();
    let lines: String = (0..3_000).map(|n| format!("{n}\n")).collect();
    std::fs::write(stage.path("lines"), lines).unwrap();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let mut command = stage.command(&["enqueue", "hello", "--each"]);
    let command = command
        .stdin(File::open(stage.path("lines")).unwrap())
        .stdout(full())
        .stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    Done::of(output)
        .ends_with(1)
        .says("3000 jobs enqueued, but not all ids printed")
        .says("No space left");
    assert_eq!(count(&stage, "ready"), 3_000);
    let mut command = stage.command(&["enqueue", "hello"]);
    let command = command.stdout(full()).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    Done::of(output)
        .ends_with(1)
        .says("is enqueued: standard output");
    assert_eq!(count(&stage, "ready"), 3_001);
}
