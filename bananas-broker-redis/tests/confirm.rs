//! Publishing that waits for replicas, or for the append-only file.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may"
)]

use std::net::SocketAddr;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bananas_broker_redis::{RedisConfig, RedisEngine};
use bananas_core::{
    Broker, Count, Env, ErrorKind, Publish, Published, QueueName, QueueSpec, RawMessage, Result,
    Status, TokioEnv,
};
use conformance_tests::fault::Proxy;
use futures::future::join_all;
use redis_group::Group;

mod redis_group;
mod redis_server;

async fn open(group: &Group, more: &str) -> Result<Arc<dyn Broker>> {
    open_at(group, group.servers[0].address(), more).await
}

async fn open_at(group: &Group, address: SocketAddr, more: &str) -> Result<Arc<dyn Broker>> {
    let url = format!("redis://{address}?{more}");
    let config = RedisConfig::from_url(&url)?;
    let engine = RedisEngine::open(config, Arc::clone(&group.env)).await?;
    engine.broker().ensure(&[QueueSpec::new(queue())]).await?;
    Ok(engine.broker())
}

fn queue() -> QueueName {
    QueueName::new("mail").unwrap()
}

async fn publish(group: &Group, broker: &Arc<dyn Broker>) -> Result<Published> {
    let publish = Publish {
        queue: queue(),
        message: RawMessage::new(group.env.job_id(), "body".into()),
    };
    broker.publish(vec![publish]).await.remove(0)
}

async fn depth(broker: &Arc<dyn Broker>) -> u64 {
    let admin = broker.admin().unwrap();
    let depths = admin.depth(&[queue()]).await.unwrap();
    match depths[0].ready {
        Count::Exact(count) => count,
        other => panic!("{other:?}"),
    }
}

async fn start(replicas: usize, settings: &str) -> Option<Group> {
    let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
    Group::start(&env, replicas, settings).await
}

#[tokio::test]
async fn what_too_few_replicas_have_is_doubtful_and_both_numbers_are_told() {
    let Some(group) = start(1, "").await else {
        return;
    };
    let two = open(&group, "confirm=replicas:2&timeout_ms=10000")
        .await
        .unwrap();
    let error = publish(&group, &two).await.unwrap_err();
    assert_eq!(error.status(), Status::MayBeApplied, "{error}");
    assert!(error.to_string().contains("1 of 2 replicas"), "{error}");
    assert_eq!(depth(&two).await, 1, "it was accepted all the same");
    let one = open(&group, "confirm=replicas:1&timeout_ms=20000")
        .await
        .unwrap();
    publish(&group, &one).await.unwrap();
    // A replica that is gone confirms nothing.
    let mut group = group;
    group.servers[1].kill().await.unwrap();
    let late = open(&group, "confirm=replicas:1&timeout_ms=2000")
        .await
        .unwrap();
    let error = publish(&group, &late).await.unwrap_err();
    assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
}

#[tokio::test]
async fn those_who_wait_for_a_confirmation_wait_together_and_hold_up_nobody_else() {
    let Some(group) = start(0, "").await else {
        return;
    };
    let broker = open(&group, "confirm=replicas:1&timeout_ms=10000")
        .await
        .unwrap();
    // One after the other they would take four seconds each, and longer than the deadline together.
    let mut publishes = pin!(join_all((0..40).map(|_| publish(&group, &broker))));
    let looks = async {
        for _ in 0..10 {
            depth(&broker).await;
        }
    };
    tokio::select! {
        biased;
        _ = &mut publishes => panic!("the looks had to wait as well"),
        () = looks => {}
    }
    let answers = publishes.await;
    assert_eq!(depth(&broker).await, 40, "all were accepted");
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_learns_them_again_while_a_confirmation_is_wanted() {
    let Some(group) = start(1, "").await else {
        return;
    };
    let broker = open(&group, "confirm=replicas:1&timeout_ms=20000")
        .await
        .unwrap();
    publish(&group, &broker).await.unwrap();
    group.cli(&group.servers[0], "SCRIPT FLUSH");
    publish(&group, &broker).await.unwrap();
    assert_eq!(depth(&broker).await, 2);
}

#[tokio::test]
async fn the_append_only_file_confirms_where_the_server_can_say_so_and_else_it_is_refused() {
    let Some(group) = start(0, "--appendonly yes --appendfsync everysec").await else {
        return;
    };
    let asked = Command::new("redis-server").arg("--version").output();
    let version = String::from_utf8(asked.unwrap().stdout).unwrap();
    let is_old = ["v=6.", "v=7.0."].iter().any(|old| version.contains(old));
    let opened = open(&group, "confirm=aof").await;
    if is_old {
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("7.2 or newer"), "{error}");
        return;
    }
    publish(&group, &opened.unwrap()).await.unwrap();
    group.cli(&group.servers[0], "CONFIG SET appendonly no");
    let error = open(&group, "confirm=aof").await.unwrap_err();
    assert!(error.to_string().contains("appendonly yes"), "{error}");
}

#[tokio::test]
async fn a_connection_that_was_forgotten_on_the_way_costs_no_confirmation() {
    let Some(group) = start(1, "").await else {
        return;
    };
    let proxy = Proxy::start(&group.env, group.servers[0].address()).unwrap();
    let broker = open_at(
        &group,
        proxy.address(),
        "confirm=replicas:1&timeout_ms=20000",
    )
    .await
    .unwrap();
    publish(&group, &broker).await.unwrap();
    // The time itself is the condition: one that was idle for a second is asked, before its next use, whether it works.
    group.env.sleep(Duration::from_secs(2)).await;
    proxy.strand();
    publish(&group, &broker).await.unwrap();
    let direct = open(&group, "").await.unwrap();
    assert_eq!(depth(&direct).await, 2);
}
