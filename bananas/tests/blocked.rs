//! Handlers that block every thread they run on.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may, and this one does what a careless handler does"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bananas::config::Config;
use bananas::prelude::*;

#[derive(Task, Serialize, Deserialize)]
#[task(name = "blocks")]
struct Blocks;

async fn block(_job: Blocks, State(runs): State<Arc<AtomicUsize>>) -> TaskResult {
    runs.fetch_add(1, Ordering::SeqCst);
    // Four leases long, on a thread of the runtime.
    std::thread::sleep(Duration::from_secs(4));
    Ok(())
}

async fn count(_job: Blocks, State(runs): State<Arc<AtomicUsize>>) -> TaskResult {
    runs.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

fn config(url: &str, concurrency: usize) -> Config {
    let text =
        format!("[broker]\nurl = {url:?}\n[worker]\nconcurrency = {concurrency}\nlease = \"1s\"\n");
    Config::read("test", &text, []).unwrap()
}

#[test]
fn jobs_whose_handlers_block_all_threads_are_not_given_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("jobs.db").display());
    let runs = Arc::new(AtomicUsize::new(0));
    let elsewhere = Arc::new(AtomicUsize::new(0));

    let blocked = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (taken_sender, taken) = std::sync::mpsc::channel();
    let (runs_here, blocked_url) = (Arc::clone(&runs), url.clone());
    let worker = std::thread::Builder::new()
        .spawn(move || {
            blocked.block_on(async move {
                let app = App::open(config(&blocked_url, 2)).await.unwrap();
                let first = app.client().enqueue(Blocks).await.unwrap();
                let second = app.client().enqueue(Blocks).await.unwrap();
                taken_sender.send(()).unwrap();
                let until = async move {
                    first.result(Duration::from_secs(60)).await.unwrap();
                    second.result(Duration::from_secs(60)).await.unwrap();
                };
                app.worker()
                    .state(runs_here)
                    .handle(block)
                    .run_until(until)
                    .await
                    .unwrap();
            });
        })
        .unwrap();

    // A second worker, as good as in another process, that would run whatever it is given.
    taken.recv().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while runs.load(Ordering::SeqCst) < 2 {
        assert!(
            std::time::Instant::now() < deadline,
            "the jobs were not taken"
        );
        std::thread::yield_now();
    }
    let other = tokio::runtime::Runtime::new().unwrap();
    let counted = Arc::clone(&elsewhere);
    other.block_on(async move {
        let app = App::open(config(&url, 10)).await.unwrap();
        let until = async move {
            while !worker.is_finished() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            worker.join().unwrap();
        };
        app.worker()
            .state(counted)
            .handle(count)
            .run_until(until)
            .await
            .unwrap();
    });
    assert_eq!(
        runs.load(Ordering::SeqCst),
        2,
        "each job ran once where it was blocked"
    );
    assert_eq!(elsewhere.load(Ordering::SeqCst), 0, "and nowhere else");
}
