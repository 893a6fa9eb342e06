//! A payment is tried again until the provider answers, its receipt is read, and a reminder comes later.
#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bananas::prelude::*;

#[derive(Task, Serialize, Deserialize)]
#[task(name = "order.charge", max_attempts = 5, timeout = "10s", output = String)]
struct Charge {
    order: u64,
    cents: u64,
}

#[derive(Task, Serialize, Deserialize)]
#[task(name = "order.remind")]
struct Remind {
    order: u64,
}

/// Stands for the client of a payment provider, which is down for the first two calls.
#[derive(Clone, Default)]
struct Provider {
    calls: Arc<AtomicU32>,
}

async fn charge(
    job: Charge,
    State(provider): State<Provider>,
    ctx: JobContext,
) -> TaskResult<String> {
    println!(
        "charging {} cents for order {}, attempt {}",
        job.cents,
        job.order,
        ctx.attempt()
    );
    if provider.calls.fetch_add(1, Ordering::Relaxed) < 2 {
        let wait = Duration::from_millis(100);
        return Err(TaskError::retry_after(wait, "the provider is down"));
    }
    // A real provider gets the key too: when a worker dies after the call, it charges only once.
    Ok(format!(
        "receipt {} for order {}",
        ctx.idempotency_key(),
        job.order
    ))
}

async fn remind(job: Remind) -> TaskResult {
    println!("how do you like order {}?", job.order);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("shop.db");
    let app = App::connect(&format!("sqlite://{}", file.display())).await?;
    let paid = app
        .client()
        .enqueue(Charge {
            order: 7,
            cents: 1999,
        })
        .await?;
    let later = Duration::from_secs(1);
    let reminded = app
        .client()
        .enqueue(Remind { order: 7 })
        .delay(later)
        .await?;
    let worker = app
        .worker()
        .state(Provider::default())
        .handle(charge)
        .handle(remind);
    let all_done = async {
        println!(
            "{}",
            paid.result(Duration::from_secs(30))
                .await
                .unwrap_or_else(|e| e.to_string())
        );
        drop(reminded.result(Duration::from_secs(30)).await);
    };
    Ok(worker.run_until(all_done).await?)
}
