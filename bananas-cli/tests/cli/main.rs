//! The built `bananas` command, run in temporary folders on SQLite, on Redis, on NATS and on RabbitMQ.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, and so may what it is made of"
)]

mod cancel;
mod config;
mod dead;
mod demo_on_server;
mod doctor;
mod enqueue;
mod every_server;
mod faults;
mod find;
mod fsck;
mod help;
mod kill;
mod life;
mod look;
mod nats;
mod rabbitmq;
mod redis;
mod redis_server;
mod shutdown;
mod stage;
mod wait;
