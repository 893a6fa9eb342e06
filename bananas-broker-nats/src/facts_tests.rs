//! Tests of what is said of the servers.

use bananas_core::FactLevel;

use super::*;

fn told() -> Told {
    let stream = |name: &str| {
        json!({ "config": {
            "name": name, "storage": "file", "num_replicas": 1, "max_age": 0, "max_msgs": -1,
            "max_bytes": -1, "max_msgs_per_subject": -1, "max_msg_size": -1,
        } })
    };
    Told {
        version: "2.12.4".to_owned(),
        account: json!({ "storage": 1 << 20, "streams": 2, "limits": {
            "max_storage": -1, "max_streams": -1, "max_bytes_required": false,
        } }),
        streams: vec![stream("Q+bananas+mail"), stream("D+bananas+mail")],
        missing: Vec::new(),
    }
}

fn config(url: &str) -> NatsConfig {
    NatsConfig::from_url(url).unwrap()
}

fn amiss(told: &Told, url: &str) -> Vec<(&'static str, FactLevel, String)> {
    let facts = facts(told, Durability::D3, &config(url), "bananas");
    let amiss = facts
        .into_iter()
        .filter(|fact| fact.level > FactLevel::Info);
    amiss
        .map(|fact| (fact.name, fact.level, fact.value))
        .collect()
}

const SYNCED: &str = "nats://localhost?sync_interval=always";

#[test]
fn a_server_that_keeps_what_it_confirms_has_nothing_amiss() {
    assert_eq!(amiss(&told(), SYNCED), []);
    let facts = facts(&told(), Durability::D3, &config(SYNCED), "bananas");
    let shown: Vec<_> = facts
        .iter()
        .map(|fact| (fact.name, fact.value.as_str()))
        .collect();
    let expected = [
        (
            "durability",
            "D3, survives the loss of power, not that of the disk",
        ),
        ("disk sync", "always, as the URL says"),
        ("server version", "2.12.4"),
        ("storage", "1 MiB without a limit for the account"),
        ("queues", "1"),
        ("storage type", "file"),
        ("replicas", "1"),
        ("encryption", "none, on this host"),
    ];
    assert_eq!(shown, expected);
}

/// The same with one thing changed, a limit of a mebibyte, and nothing stored.
fn changed(path: &str, value: Value) -> Told {
    let told = told();
    let mut all = json!({ "account": told.account, "streams": told.streams });
    all["account"]["limits"]["max_storage"] = json!(1 << 20);
    all["account"]["storage"] = json!(0);
    let (parent, key) = path.rsplit_once('/').unwrap();
    all.pointer_mut(parent).unwrap()[key] = value;
    let streams = all["streams"].as_array().unwrap().clone();
    let account = all["account"].take();
    Told {
        account,
        streams,
        ..told
    }
}

fn assert_flagged(path: &str, value: Value, (name, level, text): (&str, FactLevel, &str)) {
    let found = amiss(&changed(path, value), SYNCED);
    let is_it =
        |(n, l, v): &(&str, FactLevel, String)| (*n, *l) == (name, level) && v.contains(text);
    assert!(found.iter().any(is_it), "{path}: {found:?}");
}

#[test]
fn an_account_that_is_full_soon_or_refuses_queues_is_flagged() {
    let (warning, danger) = (FactLevel::Warning, FactLevel::Danger);
    let hundredth = (1 << 20) / 100 + 1;
    for (path, value, expected) in [
        (
            "storage",
            json!(80 * hundredth),
            ("storage", warning, "80 %"),
        ),
        (
            "storage",
            json!(95 * hundredth),
            ("storage", danger, "95 %"),
        ),
        (
            "limits/max_streams",
            json!(3),
            ("streams", warning, "2 of 3"),
        ),
        (
            "limits/max_bytes_required",
            json!(true),
            ("max_bytes_required", danger, "true"),
        ),
    ] {
        assert_flagged(&format!("/account/{path}"), value, expected);
    }
}

#[test]
fn a_stream_that_throws_jobs_away_or_refuses_them_is_flagged_by_its_name() {
    let danger = FactLevel::Danger;
    for (path, value, name, text) in [
        (
            "0/config/storage",
            json!("memory"),
            "storage type",
            "Q+bananas+mail",
        ),
        (
            "0/config/max_age",
            json!(5),
            "limits of streams",
            "max_age 5",
        ),
        (
            "1/config/max_msgs",
            json!(9),
            "limits of streams",
            "D+bananas+mail",
        ),
        (
            "0/config/sealed",
            json!(true),
            "limits of streams",
            "sealed",
        ),
    ] {
        assert_flagged(&format!("/streams/{path}"), value, (name, danger, text));
    }
}

#[test]
fn a_queue_whose_servers_are_away_or_too_few_is_flagged() {
    let (warning, danger) = (FactLevel::Warning, FactLevel::Danger);
    let away = json!({ "name": "c", "leader": "a", "replicas": [
        { "name": "b", "current": true }, { "name": "d", "current": false, "offline": true },
        { "name": "e", "current": false },
    ] });
    for (cluster, expected) in [
        (
            json!({ "name": "c", "leader": "a" }),
            ("replicas", warning, "in a cluster"),
        ),
        (json!({ "name": "c" }), ("cluster", danger, "no leader")),
        (
            away,
            ("cluster", danger, "Q+bananas+mail: d offline e behind"),
        ),
    ] {
        assert_flagged("/streams/0/cluster", cluster, expected);
    }
}

#[test]
fn what_no_server_tells_is_a_warning_and_an_old_release_is_one() {
    let names = |told: &Told, url: &str| {
        let amiss = amiss(told, url).into_iter();
        amiss
            .map(|(name, level, _)| (name, level))
            .collect::<Vec<_>>()
    };
    let unknown = [("disk sync", FactLevel::Warning)];
    assert_eq!(names(&told(), "nats://localhost"), unknown);
    let mut old = told();
    old.version = "2.9.10".to_owned();
    assert_eq!(
        names(&old, SYNCED),
        [("server version", FactLevel::Warning)]
    );
    let mut silent = told();
    silent.missing = vec!["Q+bananas+mail".to_owned()];
    assert_eq!(names(&silent, SYNCED), [("cluster", FactLevel::Danger)]);
}

#[test]
fn limits_that_belong_to_a_number_of_replicas_are_those_of_ours() {
    let tier = |limit: u64| json!({ "storage": 90, "limits": { "max_storage": limit } });
    let account = json!({ "tiers": { "R1": tier(100), "R3": tier(1_000) } });
    let level = |replicas| of_account(&account, replicas)[0].level;
    assert_eq!(level(1), FactLevel::Warning);
    assert_eq!(level(3), FactLevel::Info);
}

#[test]
fn a_way_over_the_network_wants_encryption_and_a_login() {
    let of = |url: &str| {
        let facts = of_network(&config(url));
        let amiss = facts.iter().filter(|fact| fact.level > FactLevel::Info);
        amiss.map(|fact| fact.name).collect::<Vec<_>>()
    };
    assert_eq!(of("nats://127.0.0.1"), [""; 0]);
    assert_eq!(of("nats://[::1]"), [""; 0]);
    assert_eq!(of("nats://localhost,db.example"), ["encryption", "login"]);
    assert_eq!(of("nats://word@db.example"), ["encryption"]);
    assert_eq!(of("tls+nats://word@db.example"), [""; 0]);
}
