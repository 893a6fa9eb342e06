//! What decides about what the servers keep: asked of JetStream when somebody wants to know.

use std::net::IpAddr;

use bananas_core::{Durability, Error as Seen, Fact, Result};
use serde_json::{Value, json};

use crate::config::{Login, NatsConfig, SyncInterval, Tls};
use crate::engine::{Shared, version};
use crate::error::Error;
use crate::jetstream::api;
use crate::names::{all_of, queue_of};

/// Older releases can lose or damage streams when they are killed.
const SOUND: (u64, u64, u64) = (2, 10, 23);

/// What JetStream said.
#[derive(Debug, Default)]
struct Told {
    version: String,
    /// Use and limits of the account.
    account: Value,
    /// The streams of our queues, those of the dead among them.
    streams: Vec<Value>,
    /// The names of streams that nobody answers for.
    missing: Vec<String>,
}

/// The facts of the servers behind an engine.
pub(crate) async fn of(shared: &Shared) -> Result<Vec<Fact>> {
    let told = ask(shared).await;
    let told = told.map_err(|e| Seen::from(e).during("facts"))?;
    let class = shared.info.capabilities.durability;
    Ok(facts(&told, class, shared.config(), &shared.namespace))
}

async fn ask(shared: &Shared) -> std::result::Result<Told, Error> {
    let wire = shared.wire();
    let mut told = Told {
        version: shared.info.version.clone().unwrap_or_default(),
        account: api(wire, "INFO", &Value::Null, wire.deadline()).await?,
        ..Told::default()
    };
    loop {
        let seen = told.streams.len() + told.missing.len();
        let request = json!({ "subject": all_of(&shared.namespace), "offset": seen });
        let mut page = api(wire, "STREAM.LIST", &request, wire.deadline()).await?;
        let missing = page["missing"].as_array().map_or(&[][..], Vec::as_slice);
        let missing = missing.iter().filter_map(Value::as_str);
        let mut missing: Vec<String> = missing.map(ToOwned::to_owned).collect();
        missing.retain(|name| !told.missing.contains(name));
        told.missing.extend(missing);
        let Value::Array(streams) = page["streams"].take() else {
            break;
        };
        let is_last = streams.is_empty();
        told.streams.extend(streams);
        let total = page["total"].as_u64().unwrap_or(0);
        if is_last || told.streams.len() as u64 >= total {
            break;
        }
    }
    Ok(told)
}

fn facts(told: &Told, class: Durability, config: &NatsConfig, namespace: &str) -> Vec<Fact> {
    let mut facts = vec![durability(class), sync(config), release(&told.version)];
    facts.extend(of_account(&told.account, config.replicas));
    facts.extend(of_streams(told, config, namespace));
    facts.extend(of_network(config));
    facts
}

fn durability(class: Durability) -> Fact {
    let advice = match class {
        Durability::D4 => "",
        Durability::D3 => {
            "with replicas=3 in the URL, on a cluster, the loss of a disk is survived, too (D4)"
        }
        _ => {
            "set `sync_interval: always` in the jetstream block of every server (2.10 or newer), and say so with \
             sync_interval=always in the URL: then the loss of power is survived, too (D3)"
        }
    };
    Fact::durability(class, advice)
}

fn sync(config: &NatsConfig) -> Fact {
    let name = "disk sync";
    match config.sync_interval {
        SyncInterval::Always => Fact::info(name, "always, as the URL says"),
        SyncInterval::Unknown => Fact::warning(
            name,
            "unknown, for no server tells; every 2 minutes where nothing else is set",
            "until it is `sync_interval: always`, a loss of power takes what was confirmed since the last sync",
        ),
    }
}

fn release(text: &str) -> Fact {
    let name = "server version";
    if text.is_empty() {
        let advice = "look whether it is a NATS server: they tell their version when one connects";
        return Fact::warning(name, "unknown", advice);
    }
    if version(text) < SOUND {
        let advice = "update to 2.10.23 or newer, which mend losses of streams after a crash; from 2.12 on the \
                      server also delays messages";
        return Fact::warning(name, text, advice);
    }
    Fact::info(name, text)
}

/// What the account may have, and how much of it is left.
fn of_account(account: &Value, replicas: u8) -> Vec<Fact> {
    // Limits may be set for each number of replicas apart.
    let tier = &account["tiers"][format!("R{replicas}")];
    let account = if tier.is_object() { tier } else { account };
    let limits = &account["limits"];
    let number = |value: &Value| value.as_u64().filter(|number| *number > 0);
    let mut facts = Vec::new();
    let (name, used) = ("storage", account["storage"].as_u64().unwrap_or(0));
    match number(&limits["max_storage"]) {
        None => {
            let value = format!("{} without a limit for the account", size(used));
            facts.push(Fact::info(name, value));
        }
        Some(limit) => {
            let hundredths = used.saturating_mul(100) / limit;
            let value = format!("{} of {} ({hundredths} %)", size(used), size(limit));
            let advice = "raise the account's limit, or let workers catch up: when it is full no job is accepted";
            facts.push(match hundredths {
                95.. => Fact::danger(name, value, advice),
                80.. => Fact::warning(name, value, advice),
                _ => Fact::info(name, value),
            });
        }
    }
    if let Some(limit) = number(&limits["max_streams"]) {
        let used = account["streams"].as_u64().unwrap_or(0);
        let value = format!("{used} of {limit}");
        // A queue has two.
        facts.push(match used + 2 > limit {
            true => Fact::warning(
                "streams",
                value,
                "raise max_streams of the account: a new queue has two, and is refused",
            ),
            false => Fact::info("streams", value),
        });
    }
    if limits["max_bytes_required"] == json!(true) {
        facts.push(Fact::danger(
            "max_bytes_required",
            "true",
            "set it to false for the account: streams of queues have no bounds, and new ones are refused",
        ));
    }
    facts
}

fn of_streams(told: &Told, config: &NatsConfig, namespace: &str) -> Vec<Fact> {
    let mut facts = Vec::new();
    let is_living = |stream: &&Value| {
        let name = stream["config"]["name"].as_str();
        name.is_some_and(|name| queue_of(name, namespace).is_some())
    };
    let living = told.streams.iter().filter(is_living).count();
    facts.push(Fact::info("queues", living.to_string()));
    let in_memory = named(&told.streams, |stream| {
        (stream["config"]["storage"] != json!("file")).then(String::new)
    });
    facts.push(match in_memory {
        None => Fact::info("storage type", "file"),
        Some(names) => Fact::danger(
            "storage type",
            format!("memory: {names}"),
            "remove these streams and ensure their queues anew: their jobs end with the server",
        ),
    });
    let advice = "lift it with `nats stream edit`: jobs are thrown away, or refused";
    let bounds = named(&told.streams, |stream| bounds(&stream["config"]));
    facts.extend(bounds.map(|names| Fact::danger("limits of streams", names, advice)));
    facts.push(replicas(told, config));
    let unwell = named(&told.streams, |stream| unwell(&stream["cluster"]));
    let missing =
        (!told.missing.is_empty()).then(|| format!("{}: silent", told.missing.join(", ")));
    let unwell: Vec<String> = [missing, unwell].into_iter().flatten().collect();
    if !unwell.is_empty() {
        let advice = "look at the servers that are away or behind: with fewer than half of its replicas a queue \
                      takes and gives nothing";
        facts.push(Fact::danger("cluster", unwell.join(", "), advice));
    }
    facts
}

/// The streams of which there is something to say, with that.
fn named(streams: &[Value], say: impl Fn(&Value) -> Option<String>) -> Option<String> {
    let said = streams.iter().filter_map(|stream| {
        let name = stream["config"]["name"].as_str().unwrap_or("a stream");
        say(stream).map(|what| match what.is_empty() {
            true => name.to_owned(),
            false => format!("{name}: {what}"),
        })
    });
    let said: Vec<String> = said.collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// What a stream throws away or refuses.
fn bounds(config: &Value) -> Option<String> {
    let limits = [
        "max_age",
        "max_msgs",
        "max_bytes",
        "max_msgs_per_subject",
        "max_msg_size",
    ];
    let limits = limits.into_iter().filter_map(|key| {
        let limit = config[key].as_i64().filter(|limit| *limit > 0)?;
        Some(format!("{key} {limit}"))
    });
    let flags = ["sealed", "deny_delete", "deny_purge"];
    let flags = flags.into_iter().filter(|key| config[*key] == json!(true));
    let all: Vec<String> = limits.chain(flags.map(ToOwned::to_owned)).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

/// How many servers keep each queue.
fn replicas(told: &Told, config: &NatsConfig) -> Fact {
    let (name, wanted) = ("replicas", u64::from(config.replicas));
    let fewer = named(&told.streams, |stream| {
        let found = stream["config"]["num_replicas"].as_u64().unwrap_or(1);
        (found < wanted).then(|| found.to_string())
    });
    if let Some(fewer) = fewer {
        let advice = format!("set {wanted} with `nats stream edit --replicas`, as the URL says");
        return Fact::warning(name, format!("fewer than {wanted}: {fewer}"), advice);
    }
    let is_cluster = |stream: &Value| stream["cluster"]["name"].is_string();
    match wanted == 1 && told.streams.iter().any(is_cluster) {
        true => Fact::warning(
            name,
            "1, in a cluster",
            "make queues with replicas=3 in the URL: the end of a server makes those on it unreachable, and the \
             loss of its disk takes them",
        ),
        false => Fact::info(name, wanted.to_string()),
    }
}

/// What is amiss with the servers of a stream.
fn unwell(cluster: &Value) -> Option<String> {
    if !cluster["name"].is_string() {
        return None;
    }
    if cluster["leader"].as_str().unwrap_or_default().is_empty() {
        return Some("no leader".to_owned());
    }
    let replicas = cluster["replicas"].as_array()?.iter();
    let amiss = replicas.filter_map(|replica| {
        let is = |key: &str| replica[key] == json!(true);
        let what = match (is("offline"), is("current")) {
            (true, _) => "offline",
            (false, false) => "behind",
            (false, true) => return None,
        };
        let name = replica["name"].as_str().unwrap_or("a server");
        Some(format!("{name} {what}"))
    });
    let amiss: Vec<String> = amiss.collect();
    (!amiss.is_empty()).then(|| amiss.join(" "))
}

/// Who could listen or come in, when the way to the server is longer than this host.
fn of_network(config: &NatsConfig) -> Vec<Fact> {
    let is_local = |(host, _): &(String, u16)| {
        let address: Option<IpAddr> = host.parse().ok();
        host == "localhost" || address.is_some_and(|it| it.is_loopback())
    };
    let is_here = config.servers.iter().all(is_local);
    let name = "encryption";
    let mut facts = vec![match (&config.tls, is_here) {
        (Tls::Off, true) => Fact::info(name, "none, on this host"),
        (Tls::Off, false) => {
            let advice = "use a tls+nats:// URL: jobs and password can be read on the way";
            Fact::warning(name, "none", advice)
        }
        (Tls::System | Tls::Authority(_), _) => Fact::info(name, "TLS"),
    }];
    if config.login == Login::Nobody && config.identity.is_none() && !is_here {
        facts.push(Fact::warning(
            "login",
            "none",
            "give the server users: whoever reaches it can take and forge jobs",
        ));
    }
    facts
}

/// Bytes as people write them.
fn size(bytes: u64) -> String {
    let mebibytes = bytes / (1 << 20);
    match mebibytes {
        0 => format!("{} KiB", bytes / 1024),
        1..10_240 => format!("{mebibytes} MiB"),
        _ => format!("{} GiB", mebibytes / 1024),
    }
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
