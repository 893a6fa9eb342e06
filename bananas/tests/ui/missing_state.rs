//! A handler wants a state that the worker was not given.

use bananas::prelude::*;

#[derive(Clone)]
struct Smtp;

#[derive(Task, Serialize, Deserialize)]
#[task(name = "email.welcome")]
struct WelcomeEmail {
    user_id: u64,
}

async fn send(_email: WelcomeEmail, _smtp: State<Smtp>) -> TaskResult {
    Ok(())
}

fn run(app: App) {
    let _worker = app.worker().handle(send);
}

fn main() {}
