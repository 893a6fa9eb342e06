//! What decides about what the server keeps: asked of the server when somebody wants to know.

use std::net::IpAddr;

use bananas_core::{Durability, Error as Seen, Fact, FactLevel, Result, Tick};
use futures::future::try_join_all;

use crate::config::{RedisConfig, Tls};
use crate::confirm::Confirm;
use crate::engine::Shared;
use crate::error::Error;
use crate::link::Wire;
use crate::sentinel;
use crate::server::{field, info, setting};

/// What the server said; nothing where we may not ask.
#[derive(Debug, Default)]
struct Told {
    info: Option<String>,
    appendonly: Option<String>,
    appendfsync: Option<String>,
    eviction: Option<String>,
    replicas_needed: Option<String>,
}

/// The facts of the server behind an engine, or of all masters of a cluster; the same for both its sides.
pub(crate) async fn of(shared: &Shared) -> Result<Vec<Fact>> {
    let servers = shared.wire();
    servers.check_open()?;
    let until = shared.env.monotonic() + servers.timeout();
    let links = servers.all();
    let asked = try_join_all(links.iter().map(|link| ask(link.wire(), until))).await;
    let told = asked.map_err(|e| Seen::from(e).during("facts"))?;
    let (class, config) = (shared.store_info.durability, &servers.dialer.config);
    let each = links.iter().zip(&told).map(|(link, told)| {
        let facts = facts(told, class, config);
        (link.wire().address(), facts)
    });
    let mut facts = worst(each.collect());
    if let Some(sentinel) = &config.sentinel {
        facts.push(sentinel::fact(&servers.dialer, sentinel).await);
    }
    Ok(facts)
}

/// Of each fact the one that matters most among those of several servers, which are named by their addresses.
fn worst(each: Vec<(String, Vec<Fact>)>) -> Vec<Fact> {
    let mut worst: Vec<Fact> = Vec::new();
    let several = each.len() > 1;
    for (address, facts) in each {
        for mut fact in facts {
            if several && fact.level > FactLevel::Info && fact.name != Fact::DURABILITY {
                fact.value = format!("{} ({address})", fact.value);
            }
            match worst.iter_mut().find(|other| other.name == fact.name) {
                Some(other) if other.level < fact.level => *other = fact,
                Some(_) => {}
                None => worst.push(fact),
            }
        }
    }
    worst
}

async fn ask(wire: &Wire, until: Tick) -> std::result::Result<Told, Error> {
    Ok(Told {
        info: info(wire, "everything", until).await?,
        appendonly: setting(wire, "appendonly", until).await?,
        appendfsync: setting(wire, "appendfsync", until).await?,
        eviction: setting(wire, "maxmemory-policy", until).await?,
        replicas_needed: setting(wire, "min-replicas-to-write", until).await?,
    })
}

fn facts(told: &Told, class: Durability, config: &RedisConfig) -> Vec<Fact> {
    let mut facts = vec![durability(told, class)];
    match told.appendonly {
        Some(_) => facts.extend(of_settings(told)),
        None => facts.push(Fact::warning(
            "settings",
            "unknown: CONFIG GET is not allowed, so the weakest class is assumed",
            "allow it to this user (ACL SETUSER NAME +config|get); of a server that somebody else runs, ask for \
             maxmemory-policy noeviction and an append-only file",
        )),
    }
    match &told.info {
        Some(info) => {
            facts.extend(of_info(info));
            facts.extend(replicas(info, told, config.confirm));
        }
        None => facts.push(Fact::warning(
            "state",
            "unknown: INFO is not allowed",
            "allow it to this user (ACL SETUSER NAME +info)",
        )),
    }
    facts.extend(of_network(config));
    facts
}

fn durability(told: &Told, class: Durability) -> Fact {
    let advice = match class {
        Durability::D1 if told.appendonly.is_none() => {
            "if the server does have an append-only file, let it tell (ACL SETUSER NAME +config|get)"
        }
        Durability::D0 | Durability::D1 => {
            "set `appendonly yes` in redis.conf and with CONFIG SET, and the kill of the server is survived (D2); \
             with `appendfsync always` the loss of power, too (D3)"
        }
        Durability::D2 => "with `appendfsync always` the loss of power is survived, too (D3)",
        Durability::D3 | Durability::D4 => {
            "a server is lost with its disk, and replicas follow later; no setting of Redis gives D4"
        }
    };
    Fact::durability(class, advice)
}

fn of_settings(told: &Told) -> Vec<Fact> {
    let mut facts = Vec::new();
    let name = "append-only file";
    match (told.appendonly.as_deref(), told.appendfsync.as_deref()) {
        (Some("yes"), Some("no")) => facts.push(Fact::warning(
            name,
            "synced when the system likes to",
            "set `appendfsync everysec`, so that the loss of power takes one second at most",
        )),
        // While a sync is under way Redis puts the next write off, and answers before it.
        (Some("yes"), Some("everysec")) => facts.push(Fact::info(
            name,
            "synced everysec; while a sync is slow, the kill of the server can take up to 2 s",
        )),
        (Some("yes"), sync) => {
            let sync = sync.unwrap_or("at an unknown pace");
            facts.push(Fact::info(name, format!("synced {sync}")));
        }
        _ => facts.push(Fact::info(name, "none")),
    }
    match told.eviction.as_deref() {
        None => {}
        Some("noeviction") => facts.push(Fact::info("eviction policy", "noeviction")),
        Some(policy) => facts.push(Fact::danger(
            "eviction policy",
            policy,
            "set `maxmemory-policy noeviction`: the server throws jobs away when its memory is full",
        )),
    }
    facts
}

fn of_info(info: &str) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(version) = field(info, "redis_version") {
        facts.push(Fact::info("server version", version));
    }
    if let Some(mode) = field(info, "redis_mode") {
        facts.push(Fact::info("mode", mode));
    }
    facts.extend(memory(info));
    facts.extend(persistence(info));
    facts
}

/// How full its memory is.
fn memory(info: &str) -> Option<Fact> {
    let number = |name| field(info, name)?.parse::<u64>().ok();
    let used = number("used_memory")?;
    let name = "memory";
    let limit = number("maxmemory").filter(|limit| *limit > 0);
    let Some(limit) = limit else {
        return Some(Fact::info(name, format!("{} without a limit", size(used))));
    };
    let hundredths = used.saturating_mul(100) / limit;
    let value = format!("{} of {} ({hundredths} %)", size(used), size(limit));
    let advice = "raise maxmemory, or let workers catch up: when it is full no job is accepted";
    Some(match hundredths {
        95.. => Fact::danger(name, value, advice),
        80.. => Fact::warning(name, value, advice),
        _ => Fact::info(name, value),
    })
}

/// Whether the server could write what it wanted to keep.
fn persistence(info: &str) -> Vec<Fact> {
    let states = [
        (
            "aof_last_write_status",
            "last write to the append-only file",
        ),
        (
            "aof_last_bgrewrite_status",
            "last rewrite of the append-only file",
        ),
        ("rdb_last_bgsave_status", "last snapshot"),
    ];
    let failed = states.into_iter().filter_map(|(key, name)| {
        let state = field(info, key).filter(|state| *state != "ok")?;
        let advice = "look at the server's log and its disk: until this is mended it may refuse writes, and what \
                      it confirmed may be in memory only";
        Some(Fact::danger(name, state, advice))
    });
    failed.collect()
}

fn replicas(info: &str, told: &Told, confirm: Confirm) -> Option<Fact> {
    let count = field(info, "connected_slaves")?;
    let name = "replicas";
    if let Confirm::Replicas(wanted) = confirm
        && count.parse().is_ok_and(|count: u32| count < wanted)
    {
        let value = format!("{count} connected, and confirm=replicas:{wanted} waits for {wanted}");
        let advice = "start the replicas that are missing, or ask for fewer: until then nothing that is published is \
                      confirmed";
        return Some(Fact::danger(name, value, advice));
    }
    if count == "0" {
        return Some(Fact::info(name, "none"));
    }
    let needed = told.replicas_needed.as_deref().unwrap_or("unknown");
    let value = format!("{count}, min-replicas-to-write {needed}");
    if needed != "0" {
        return Some(Fact::info(name, value));
    }
    let advice = "set `min-replicas-to-write 1`, so that a server cut off from its replicas accepts nothing that a \
                  failover would lose";
    Some(Fact::warning(name, value, advice))
}

/// Who could listen or come in, when the way to the server is longer than this host.
fn of_network(config: &RedisConfig) -> Vec<Fact> {
    let is_local = |host: &str| {
        let address: Option<IpAddr> = host.parse().ok();
        host == "localhost" || address.is_some_and(|it| it.is_loopback())
    };
    let is_here = config.hosts.iter().all(|address| is_local(&address.host));
    let mut facts = Vec::new();
    let name = "encryption";
    match (&config.tls, is_here) {
        (Tls::Off, true) => facts.push(Fact::info(name, "none, on this host")),
        (Tls::Off, false) => facts.push(Fact::warning(
            name,
            "none",
            "use a rediss:// URL: jobs and password can be read on the way",
        )),
        _ => facts.push(Fact::info(name, "TLS")),
    }
    if config.password.is_none() && !is_here {
        facts.push(Fact::warning(
            "password",
            "none",
            "give the server one (requirepass, or an ACL user): whoever reaches it can take and forge jobs",
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
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n\
        used_memory:1048576\r\nmaxmemory:0\r\naof_last_write_status:ok\r\n\
        aof_last_bgrewrite_status:ok\r\nrdb_last_bgsave_status:ok\r\nconnected_slaves:0\r\n";

    fn told(info: &str) -> Told {
        let text = |text: &str| Some(text.to_owned());
        Told {
            info: text(info),
            appendonly: text("yes"),
            appendfsync: text("everysec"),
            eviction: text("noeviction"),
            replicas_needed: text("0"),
        }
    }

    fn amiss(told: &Told, class: Durability) -> Vec<(&'static str, FactLevel)> {
        let facts = facts(told, class, &RedisConfig::default());
        let amiss = facts.iter().filter(|fact| fact.level > FactLevel::Info);
        amiss.map(|fact| (fact.name, fact.level)).collect()
    }

    #[test]
    fn a_server_that_keeps_what_it_confirms_has_nothing_amiss() {
        assert_eq!(amiss(&told(INFO), Durability::D2), []);
        let names: Vec<_> = facts(&told(INFO), Durability::D2, &RedisConfig::default())
            .iter()
            .map(|fact| fact.name)
            .collect();
        let expected = [
            "durability",
            "append-only file",
            "eviction policy",
            "server version",
            "mode",
            "memory",
            "replicas",
            "encryption",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn each_setting_or_state_that_may_lose_jobs_is_flagged() {
        let (warning, danger) = (FactLevel::Warning, FactLevel::Danger);
        for (good, bad, name, level) in [
            ("maxmemory:0", "maxmemory:1100000", "memory", danger),
            ("maxmemory:0", "maxmemory:1300000", "memory", warning),
            (
                "aof_last_write_status:ok",
                "aof_last_write_status:err",
                "last write to the append-only file",
                danger,
            ),
            (
                "rdb_last_bgsave_status:ok",
                "rdb_last_bgsave_status:err",
                "last snapshot",
                danger,
            ),
            (
                "connected_slaves:0",
                "connected_slaves:2",
                "replicas",
                warning,
            ),
        ] {
            let info = INFO.replace(good, bad);
            assert_eq!(amiss(&told(&info), Durability::D2), [(name, level)]);
        }
        let mut evicting = told(INFO);
        evicting.eviction = Some("allkeys-lru".to_owned());
        assert_eq!(
            amiss(&evicting, Durability::D2),
            [("eviction policy", danger)]
        );
        let mut lazy = told(INFO);
        lazy.appendfsync = Some("no".to_owned());
        assert_eq!(
            amiss(&lazy, Durability::D2),
            [("append-only file", warning)]
        );
    }

    #[test]
    fn fewer_replicas_than_publishing_waits_for_are_a_danger() {
        let config = RedisConfig {
            confirm: Confirm::Replicas(2),
            ..RedisConfig::default()
        };
        let level = |count: &str| {
            let mut told = told(&INFO.replace("connected_slaves:0", count));
            told.replicas_needed = Some("1".to_owned());
            let facts = facts(&told, Durability::D2, &config);
            facts
                .iter()
                .find(|fact| fact.name == "replicas")
                .unwrap()
                .level
        };
        assert_eq!(level("connected_slaves:1"), FactLevel::Danger);
        assert_eq!(level("connected_slaves:2"), FactLevel::Info);
    }

    #[test]
    fn a_server_that_does_not_tell_is_a_warning_and_not_taken_for_a_good_one() {
        let warning = FactLevel::Warning;
        assert_eq!(
            amiss(&Told::default(), Durability::D1),
            [
                ("durability", warning),
                ("settings", warning),
                ("state", warning)
            ]
        );
    }

    #[test]
    fn of_several_servers_the_one_that_may_lose_jobs_is_named() {
        let mut evicting = told(INFO);
        evicting.eviction = Some("allkeys-lru".to_owned());
        let each = [("a:1", told(INFO)), ("b:2", evicting), ("c:3", told(INFO))];
        let each = each.map(|(address, told)| {
            let facts = facts(&told, Durability::D2, &RedisConfig::default());
            (address.to_owned(), facts)
        });
        let facts = worst(each.to_vec());
        let mut amiss = facts.iter().filter(|fact| fact.level > FactLevel::Info);
        let fact = amiss.next().unwrap();
        assert_eq!(
            (fact.name, fact.value.as_str()),
            ("eviction policy", "allkeys-lru (b:2)")
        );
        assert!(amiss.next().is_none());
        assert_eq!(facts.iter().filter(|fact| fact.name == "memory").count(), 1);
    }

    #[test]
    fn a_way_over_the_network_wants_encryption_and_a_password() {
        let of = |url: &str| {
            let facts = of_network(&RedisConfig::from_url(url).unwrap());
            let amiss = facts.iter().filter(|fact| fact.level > FactLevel::Info);
            amiss.map(|fact| fact.name).collect::<Vec<_>>()
        };
        assert_eq!(of("redis://127.0.0.1"), [""; 0]);
        assert_eq!(of("redis://[::1]"), [""; 0]);
        assert_eq!(of("redis://db.example"), ["encryption", "password"]);
        assert_eq!(of("redis://:x@db.example"), ["encryption"]);
        assert_eq!(of("rediss://:x@db.example"), [""; 0]);
    }
}
