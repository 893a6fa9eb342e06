//! An option that does not exist.

use bananas::prelude::*;

#[derive(Task, Serialize, Deserialize)]
#[task(name = "email.welcome", max_atempts = 5)]
struct WelcomeEmail {
    user_id: u64,
}

fn main() {}
