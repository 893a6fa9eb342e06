//! Making what a queue needs on the server, and comparing what is there.

use std::time::Duration;

use bananas_core::QueueName;
use serde_json::{Value, json};

use crate::engine::Shared;
use crate::error::Error;
use crate::jetstream::api;
use crate::names::Names;

/// The lease that a delivery has by itself; any other is asked for when it has come.
pub(super) const OWN_LEASE: Duration = Duration::from_secs(15);

/// How long a server remembers that a message was published, for what we publish a second time on purpose.
const REMEMBERED: Duration = Duration::from_secs(120);

/// How many requests may wait at a consumer.
const MAX_WAITING: u32 = 8_192;

/// The stream has that name with other settings.
const NAME_IN_USE: u64 = 10_058;

/// Makes a queue, or checks that it is as it must be.
pub(super) async fn ensure(shared: &Shared, queue: &QueueName) -> Result<(), Error> {
    let names = shared.names(queue)?;
    let wanted = living(shared, &names);
    let found = match shared.look_up(queue).await {
        Ok(found) => found,
        Err(Error::NoQueue(_)) => create(shared, queue, &wanted).await?,
        Err(e) => return Err(e),
    };
    let found = check(shared, queue, &wanted, &found["config"]).await?;
    if shared.schedules() && found["allow_msg_schedules"] != Value::Bool(true) {
        let why =
            "the server says that it can deliver a message at a time, and does not".to_owned();
        return Err(Error::Refused(why));
    }
    let lanes = (0..usize::from(shared.config().lanes)).map(async |lane| {
        let name = Names::consumer(lane);
        let what = format!("CONSUMER.DURABLE.CREATE.{}.{name}", names.stream);
        let request = consumer(&names, lane);
        let wire = shared.wire();
        api(wire, &what, &request, wire.deadline()).await
    });
    futures::future::try_join_all(lanes).await?;
    let dead = dead(shared, &names);
    let what = format!("STREAM.CREATE.{}", names.dead);
    let wire = shared.wire();
    match api(wire, &what, &dead, wire.deadline()).await {
        // Whatever another version of the server made of the settings, it keeps dead messages.
        Ok(_)
        | Err(Error::Server {
            code: NAME_IN_USE, ..
        }) => Ok(()),
        Err(e) => Err(e),
    }
}

async fn create(shared: &Shared, queue: &QueueName, wanted: &Value) -> Result<Value, Error> {
    let wire = shared.wire();
    let what = format!("STREAM.CREATE.{}", shared.names(queue)?.stream);
    match api(wire, &what, wanted, wire.deadline()).await {
        // Another client was first.
        Err(Error::Server {
            code: NAME_IN_USE, ..
        }) => shared.look_up(queue).await,
        answer => answer,
    }
}

/// Compares the settings that matter, and turns on what a newer server can do.
async fn check(
    shared: &Shared,
    queue: &QueueName,
    wanted: &Value,
    found: &Value,
) -> Result<Value, Error> {
    let settings = [
        "description",
        "retention",
        "storage",
        "max_age",
        "max_msgs",
        "max_bytes",
        "num_replicas",
    ];
    for setting in settings {
        let (wanted, found) = (&wanted[setting], &found[setting]);
        if wanted != found {
            return Err(Error::Conflict {
                queue: queue.clone(),
                setting,
                found: found.to_string(),
                wanted: wanted.to_string(),
            });
        }
    }
    if wanted["allow_msg_schedules"].is_null() || found["allow_msg_schedules"] == json!(true) {
        return Ok(found.clone());
    }
    // The queue was made on an older server.
    let wire = shared.wire();
    let what = format!("STREAM.UPDATE.{}", shared.names(queue)?.stream);
    let answer = api(wire, &what, wanted, wire.deadline()).await?;
    Ok(answer["config"].clone())
}

/// How many lanes a stream has that we made.
pub(super) fn lanes(stream: &Value) -> usize {
    let description = stream["config"]["description"].as_str();
    let lanes = description.and_then(|text| text.rsplit_once('=')?.1.parse().ok());
    lanes.unwrap_or(1)
}

/// The stream of what is ready, leased and waiting. Nothing in it is thrown away: it has no bounds, and a
/// consumer for each subject but those of messages that wait.
fn living(shared: &Shared, names: &Names) -> Value {
    let lanes = shared.config().lanes;
    let mut subjects: Vec<String> = (0..usize::from(lanes))
        .map(|lane| names.lane(lane))
        .collect();
    subjects.push(names.all_scheduled());
    let mut stream = stream(shared, &names.stream, &subjects);
    stream["retention"] = json!("workqueue");
    stream["description"] = json!(format!("a queue of bananas, lanes={lanes}"));
    if shared.schedules() {
        // A server refuses schedules in a stream that discards what is new. This one discards nothing, since
        // it has no bounds.
        stream["discard"] = json!("old");
        stream["allow_msg_schedules"] = json!(true);
        stream["allow_msg_ttl"] = json!(true);
    }
    stream
}

/// The stream of the dead.
fn dead(shared: &Shared, names: &Names) -> Value {
    let mut stream = stream(shared, &names.dead, &[names.all_dead()]);
    stream["retention"] = json!("limits");
    stream["description"] = json!("the dead messages of a queue of bananas");
    stream
}

fn stream(shared: &Shared, name: &str, subjects: &[String]) -> Value {
    json!({
        "name": name,
        "subjects": subjects,
        "storage": "file",
        "discard": "new",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msg_size": -1,
        "num_replicas": shared.config().replicas,
        "duplicate_window": nanos(REMEMBERED),
    })
}

fn consumer(names: &Names, lane: usize) -> Value {
    json!({
        "stream_name": names.stream,
        "config": {
            "durable_name": Names::consumer(lane),
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": nanos(OWN_LEASE),
            // A message that reaches a limit stays in the stream and is seen no more.
            "max_deliver": -1,
            "filter_subject": names.lane(lane),
            "replay_policy": "instant",
            // What is out is bounded by the credit of whoever takes it.
            "max_ack_pending": -1,
            "max_waiting": MAX_WAITING,
        }
    })
}

/// As JetStream writes a time.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
