//! What decides about what the server keeps, said for the people who run it. The protocol tells little of that, so
//! a part is tried out, and the rest is named as unknown.

use std::net::IpAddr;

use bananas_core::{BrokerInfo, Durability, ErrorKind, Fact};

use crate::config::{AmqpConfig, QueueType, Tls};
use crate::error::Error;
use crate::publisher::answered;
use crate::shared::Shared;

/// The facts of the server behind a client.
///
/// An alarm of the server is seen only by publishing, so a message is published that no queue can take.
pub(crate) async fn of(shared: &Shared) -> Result<Vec<Fact>, Error> {
    shared.check_open()?;
    let letter = shared.letter_to_nobody()?;
    let mut took = Ok(());
    for answer in shared.publisher.post(vec![letter]) {
        took = answered(answer).await;
    }
    let publishing = match took {
        Ok(()) | Err(Error::NoQueue(_)) => Fact::info("publishing", "taken"),
        Err(e) if matches!(e.kind(), ErrorKind::Throttled | ErrorKind::Timeout) => alarm(&e),
        Err(e) => return Err(e),
    };
    let mut facts = of_settings(&shared.info, shared.publishing.config());
    facts.push(publishing);
    Ok(facts)
}

fn alarm(why: &Error) -> Fact {
    Fact::danger(
        "publishing",
        format!("not taken: {why}"),
        "the server is short of memory or disk, and takes no message until it has more: look at `rabbitmqctl status`, \
         and let workers catch up",
    )
}

fn of_settings(info: &BrokerInfo, config: &AmqpConfig) -> Vec<Fact> {
    let version = info.version.as_deref().unwrap_or("not told");
    let mut facts = vec![
        durability(config.queue_type, info.capabilities.durability),
        Fact::info("server version", version),
        Fact::info("queue type", config.queue_type.name()),
        settings(config),
    ];
    facts.extend(of_network(config));
    facts
}

fn durability(kind: QueueType, class: Durability) -> Fact {
    let advice = match kind {
        QueueType::Classic => {
            "with quorum queues, which are the default, the loss of power is survived, too (D3)"
        }
        QueueType::Quorum => {
            "on a cluster of three nodes the loss of one is survived, too; a single one is lost with its disk"
        }
    };
    Fact::durability(class, advice)
}

/// What only the operator can see.
fn settings(config: &AmqpConfig) -> Fact {
    let timeout = config.consumer_timeout.as_millis();
    let advice = format!(
        "see that no policy with expires, message-ttl or max-length is for queues that begin with {:?} \
         (`rabbitmqctl list_policies`), and that consumer_timeout is {timeout} ms or more (`rabbitmqctl environment`)",
        config.namespace
    );
    Fact::warning(
        "settings",
        "unknown: the protocol tells neither policies nor consumer_timeout",
        advice,
    )
}

/// Who could listen or come in, when the way to the server is longer than this host.
fn of_network(config: &AmqpConfig) -> Vec<Fact> {
    let address: Option<IpAddr> = config.host.parse().ok();
    let is_here = config.host == "localhost" || address.is_some_and(|it| it.is_loopback());
    let mut facts = Vec::new();
    let name = "encryption";
    match (&config.tls, is_here) {
        (Tls::Off, true) => facts.push(Fact::info(name, "none, on this host")),
        (Tls::Off, false) => facts.push(Fact::warning(
            name,
            "none",
            "use an amqps:// URL: jobs and password can be read on the way",
        )),
        _ => facts.push(Fact::info(name, "TLS")),
    }
    let usual = AmqpConfig::default();
    let is_usual = (&config.username, &config.password) == (&usual.username, &usual.password);
    if is_usual && !is_here {
        facts.push(Fact::warning(
            "password",
            "that of every new server",
            "make a user for this application, and delete guest: whoever reaches the server can take and forge jobs",
        ));
    }
    facts
}

#[cfg(test)]
mod tests {
    use bananas_core::FactLevel;

    use super::*;

    fn facts(url: &str) -> Vec<Fact> {
        let config = AmqpConfig::from_url(url).unwrap();
        let info = BrokerInfo {
            backend: "amqp",
            url: url.to_owned(),
            version: Some("3.10.8".to_owned()),
            capabilities: config.capabilities(),
        };
        of_settings(&info, &config)
    }

    fn amiss(url: &str) -> Vec<&'static str> {
        let facts = facts(url);
        let amiss = facts.iter().filter(|fact| fact.level > FactLevel::Info);
        amiss.map(|fact| fact.name).collect()
    }

    #[test]
    fn what_the_server_does_not_tell_is_a_warning_and_nothing_else_is() {
        assert_eq!(amiss("amqp://localhost"), ["settings"]);
        assert_eq!(amiss("amqps://a:b@mq.example?queues=classic"), ["settings"]);
    }

    #[test]
    fn a_way_over_the_network_wants_encryption_and_a_password() {
        assert_eq!(amiss("amqp://[::1]"), ["settings"]);
        assert_eq!(amiss("amqp://a:b@mq.example"), ["settings", "encryption"]);
        assert_eq!(amiss("amqps://mq.example"), ["settings", "password"]);
    }

    #[test]
    fn the_operator_is_told_what_to_look_for() {
        let facts = facts("amqp://localhost?consumer_timeout_ms=900000");
        let settings = facts.iter().find(|fact| fact.name == "settings").unwrap();
        let advice = settings.advice.as_deref().unwrap();
        assert!(advice.contains("\"bananas\""), "{advice}");
        assert!(advice.contains("900000 ms"), "{advice}");
    }

    #[test]
    fn a_server_that_takes_nothing_is_a_danger() {
        let fact = alarm(&Error::Blocked("amqp://mq".to_owned()));
        assert_eq!(fact.level, FactLevel::Danger);
        assert!(fact.value.contains("short of memory or disk"), "{fact:?}");
    }
}
