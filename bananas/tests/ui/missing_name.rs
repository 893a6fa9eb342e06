//! A task without a name on the wire.

use bananas::prelude::*;

#[derive(Task, Serialize, Deserialize)]
struct WelcomeEmail {
    user_id: u64,
}

fn main() {}
