//! The macro's output against the real trait. The crate `bananas` is the core here: its names are the same.

extern crate bananas_core as bananas;

use std::time::Duration;

use bananas::{Task, TaskOptions, Track};
use bananas_macros::Task;
use serde::{Deserialize, Serialize};

#[derive(Task, Serialize, Deserialize)]
#[task(
    name = "email.welcome",
    queue = "mail",
    max_attempts = 5,
    timeout = "1m 30s",
    priority = 70,
    track = "outcome",
    tags = ["customer", "mail"],
    output = Vec<(String, u32)>
)]
struct Welcome {
    user_id: u64,
}

#[derive(Task, Serialize, Deserialize)]
#[task(name = "cache:clear")]
struct Clear;

#[derive(Task, Serialize, Deserialize)]
#[task(name = "shape-draw")]
#[serde(tag = "shape")]
enum Draw {
    Circle { radius: f64 },
    Point,
}

#[derive(Task, Serialize, Deserialize)]
#[task(name = "n", timeout = "250ms")]
struct Tuple(u8, String);

#[test]
fn every_key_arrives_in_the_trait() {
    assert_eq!(Welcome::NAME, "email.welcome");
    let options = TaskOptions {
        queue: Some("mail"),
        priority: Some(70),
        max_attempts: Some(5),
        timeout: Some(Duration::from_secs(90)),
        track: Some(Track::Outcome),
        tags: &["customer", "mail"],
    };
    assert_eq!(Welcome::options(), options);
    let _: <Welcome as Task>::Output = vec![("one".to_owned(), 1)];
    assert_eq!(Welcome { user_id: 1 }.user_id, 1);
}

#[test]
fn a_task_that_says_only_its_name_leaves_the_rest_open() {
    assert_eq!(Clear::NAME, "cache:clear");
    assert_eq!(Clear::options(), TaskOptions::default());
    let () = <Clear as Task>::Output::default();
}

#[test]
fn enums_and_tuples_are_tasks_too() {
    assert_eq!(Draw::NAME, "shape-draw");
    let drawn = [Draw::Circle { radius: 1.0 }, Draw::Point];
    assert_eq!(drawn.len(), 2);
    assert_eq!(Tuple::options().timeout, Some(Duration::from_millis(250)));
    assert_eq!(Tuple(1, String::new()).0, 1);
}

#[test]
fn a_derived_name_is_one_the_core_accepts() {
    for name in [Welcome::NAME, Clear::NAME, Draw::NAME, Tuple::NAME] {
        bananas::TaskName::new(name).unwrap();
    }
}

mod shadowed {
    //! Names in scope that the macro's output must not pick up.
    #![allow(dead_code, reason = "they are here to be in the way")]

    use bananas_macros::Task;
    use serde::{Deserialize, Serialize};

    struct Duration;
    struct TaskOptions;
    enum Track {}

    #[derive(Task, Serialize, Deserialize)]
    #[task(name = "shadowed", timeout = "1s", track = "none")]
    pub(super) struct Shadowed;
}

#[test]
fn names_in_the_users_scope_do_not_get_in_the_way() {
    assert_eq!(shadowed::Shadowed::options().track, Some(Track::None));
}
