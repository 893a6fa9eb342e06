//! A handler whose first argument is no task.

use bananas::prelude::*;

async fn send(_email: String) -> TaskResult {
    Ok(())
}

fn run(app: App) {
    let _worker = app.worker().handle(send);
}

fn main() {}
