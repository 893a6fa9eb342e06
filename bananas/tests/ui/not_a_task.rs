//! A value that is no task is enqueued.

use bananas::prelude::*;

#[derive(Serialize, Deserialize)]
struct WelcomeEmail {
    user_id: u64,
}

async fn enqueue(app: App) {
    let _job = app.client().enqueue(WelcomeEmail { user_id: 42 }).await;
}

fn main() {}
