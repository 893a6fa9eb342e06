//! A task, its handler with state, a delayed job, and a worker that runs until it is told to stop.
//!
//! Where the jobs go is written in `bananas.toml`; an empty file means `sqlite://bananas.db`.
#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]
#![allow(
    unused_qualifications,
    reason = "it shows the reader where a name comes from"
)]

use bananas::prelude::*;

#[derive(Task, Serialize, Deserialize)]
#[task(name = "email.welcome", queue = "mail", max_attempts = 5)]
struct WelcomeEmail {
    user_id: u64,
}

async fn send(email: WelcomeEmail, State(smtp): State<Smtp>, attempt: Attempt) -> TaskResult {
    smtp.welcome(email.user_id, attempt.0).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), bananas::Error> {
    let app = bananas::App::from_config("bananas.toml").await?;
    app.client()
        .enqueue(WelcomeEmail { user_id: 42 })
        .delay(Duration::from_secs(10))
        .await?;

    app.worker()
        .state(Smtp::from_env())
        .handle(send)
        .run_until(bananas::shutdown_signal())
        .await
}

/// Stands for a connection to a mail server.
#[derive(Clone)]
struct Smtp {
    sender: String,
}

impl Smtp {
    fn from_env() -> Self {
        let sender = std::env::var("SENDER").unwrap_or_else(|_| "shop@example.org".to_owned());
        Self { sender }
    }

    async fn welcome(&self, user_id: u64, attempt: u32) -> Result<(), std::io::Error> {
        println!(
            "{} welcomes user {user_id} (attempt {attempt})",
            self.sender
        );
        Ok(())
    }
}
