//! Which wrappers a configuration needs around a broker, and why.

use std::sync::Arc;
use std::time::Duration;

use super::claim_check::{self, ClaimCheck};
use super::lanes::{LanePlan, Lanes, PriorityLanes};
use crate::config::{Config, QueueConfig};
use crate::{
    Broker, BrokerInfo, Delay, Env, Error, ErrorKind, QueueName, Result, StateStore, StoreInfo,
};

/// The lanes that queues have on a broker that tells no priorities apart.
const USUAL_LANES: u8 = 3;

/// A longest delay that is none for a reader: ten years.
const FOR_EVER: Duration = Duration::from_secs(3_650 * 24 * 3_600);

/// The store beside a broker.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Who it is.
    pub store: StoreInfo,
    /// Whether it keeps large bodies.
    pub blobs: bool,
}

impl Beside {
    /// What there is to know of a store.
    #[must_use]
    pub fn of(store: &dyn StateStore) -> Self {
        Self {
            store: store.info().clone(),
            blobs: store.blobs().is_some(),
        }
    }
}

/// The wrappers that a configuration needs around a broker, each with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapping {
    lanes: LanePlan,
    claim_check: bool,
    reasons: Vec<String>,
}

impl Wrapping {
    /// What a configuration asks for beyond what the broker can do.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, with the key, for lanes that make no sense.
    pub fn of(config: &Config, broker: &BrokerInfo) -> Result<Self> {
        let mut reasons = Vec::new();
        let lanes = lanes(config, broker, &mut reasons)?;
        reasons.extend(long_delays(broker));
        Ok(Self {
            lanes,
            claim_check: false,
            reasons,
        })
    }

    /// And what the store beside the broker can do for it.
    #[must_use]
    pub fn beside(mut self, broker: &BrokerInfo, beside: &Beside) -> Self {
        let large = large_bodies(broker, beside);
        self.claim_check = large.is_some();
        self.reasons.extend(large);
        self
    }

    /// One line for each wrapper and queue: what it serves, and why.
    #[must_use]
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }

    /// Puts those around the broker that need no store.
    #[must_use]
    pub fn around(&self, mut broker: Arc<dyn Broker>, env: &Arc<dyn Env>) -> Arc<dyn Broker> {
        for reason in &self.reasons {
            tracing::info!("{reason}");
        }
        if self.lanes.has_lanes() {
            let lanes = PriorityLanes::new(broker, self.lanes.clone(), Arc::clone(env));
            broker = Arc::new(lanes);
        }
        broker
    }

    /// Puts the one around it that keeps large bodies in the store, outside the lanes, so that what crosses them is
    /// small.
    ///
    /// # Errors
    ///
    /// `Unsupported` when the store keeps none, although it was said to.
    pub fn keeping_bodies(
        &self,
        broker: Arc<dyn Broker>,
        store: &Arc<dyn StateStore>,
        env: &Arc<dyn Env>,
    ) -> Result<Arc<dyn Broker>> {
        if !self.claim_check {
            return Ok(broker);
        }
        let checked = ClaimCheck::new(broker, Arc::clone(store), Arc::clone(env))?;
        Ok(Arc::new(checked))
    }
}

fn lanes(config: &Config, broker: &BrokerInfo, reasons: &mut Vec<String>) -> Result<LanePlan> {
    let mut plan = LanePlan::new();
    if broker.capabilities.priority_levels < 2 {
        plan = plan.others(Lanes::strict(USUAL_LANES)?);
        reasons.push(format!(
            "PriorityLanes: each queue has {USUAL_LANES} lanes, as {} tells no priorities apart",
            broker.backend
        ));
    }
    for (name, queue) in &config.queues {
        let Some(lanes) = lanes_of(name, queue)? else {
            continue;
        };
        let key = match queue.lane_weights {
            Some(_) => "lane_weights",
            None => "lanes",
        };
        let so = match (&lanes, plan.has_lanes()) {
            (Some(lanes), _) => Some(format!("has {} lanes", lanes.count())),
            (None, true) => Some("has no lanes".to_owned()),
            (None, false) => None,
        };
        reasons.extend(so.map(|so| {
            format!("PriorityLanes: the queue {name:?} {so}, as queues.{name}.{key} says")
        }));
        plan = plan.queue(name.clone(), lanes);
    }
    Ok(plan)
}

/// Why bodies go to the store, if some do.
fn large_bodies(broker: &BrokerInfo, beside: &Beside) -> Option<String> {
    let (takes, limit) = (
        broker.capabilities.max_message,
        claim_check::limit(&beside.store),
    );
    let backend = broker.backend;
    (beside.blobs && takes < limit).then(|| {
        format!(
            "ClaimCheck: bodies over {} KiB, up to {} KiB, are kept in the store, as {backend} takes no larger ones",
            (takes + 512) / 1024,
            limit / 1024
        )
    })
}

/// What becomes of delays that the broker cannot keep: no wrapper's work, but of the same kind for a reader.
fn long_delays(broker: &BrokerInfo) -> Option<String> {
    let (which, keeps) = match broker.capabilities.delay {
        Delay::Native { max: None, .. } => return None,
        Delay::Native { max: Some(max), .. } if max >= FOR_EVER => return None,
        Delay::Native { max: Some(max), .. } => {
            let max = humantime::format_duration(max);
            (format!("delays beyond {max}"), "none longer")
        }
        Delay::Unsupported => ("delays".to_owned(), "none"),
    };
    let backend = broker.backend;
    Some(format!(
        "the store: {which} of untracked jobs wait there, as {backend} keeps {keeps}"
    ))
}

/// What a queue's configuration says of its lanes: `None` is nothing, `Some(None)` that it has none.
fn lanes_of(name: &QueueName, queue: &QueueConfig) -> Result<Option<Option<Lanes>>> {
    let invalid = |key: &str, why: &dyn std::fmt::Display| {
        let text = format!("queues.{name}.{key}: {why}");
        Error::new(ErrorKind::InvalidArgument, text)
    };
    match (queue.lanes, &queue.lane_weights) {
        (None, None) => Ok(None),
        (Some(1), None) => Ok(Some(None)),
        (Some(count), None) => {
            let lanes = Lanes::strict(count);
            Ok(Some(Some(lanes.map_err(|e| invalid("lanes", &e))?)))
        }
        (count, Some(weights)) => {
            if let Some(count) = count.filter(|count| usize::from(*count) != weights.len()) {
                let why = format!("{} weights for {count} lanes", weights.len());
                return Err(invalid("lane_weights", &why));
            }
            let lanes = Lanes::weighted(weights.clone());
            Ok(Some(Some(lanes.map_err(|e| invalid("lane_weights", &e))?)))
        }
    }
}

impl Config {
    /// Whether the lanes make sense, on whatever broker.
    pub(crate) fn check_lanes(&self) -> Result<()> {
        for (name, queue) in &self.queues {
            lanes_of(name, queue)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Capabilities, Durability};

    fn reasons(text: &str, levels: u8) -> Vec<String> {
        let mut capabilities = Capabilities::exact();
        capabilities.priority_levels = levels;
        let wrapping = wrapping(text, capabilities);
        assert_eq!(wrapping.lanes.has_lanes(), !wrapping.reasons().is_empty());
        wrapping.reasons().to_vec()
    }

    fn wrapping(text: &str, capabilities: Capabilities) -> Wrapping {
        let config = Config::read("bananas.toml", text, []).unwrap();
        let broker = BrokerInfo {
            backend: "nats",
            url: "nats://localhost".to_owned(),
            version: None,
            capabilities,
        };
        let wrapping = Wrapping::of(&config, &broker).unwrap();
        wrapping.beside(&broker, &beside(true))
    }

    fn beside(blobs: bool) -> Beside {
        let store = StoreInfo {
            backend: "sqlite",
            url: "sqlite://jobs.db".to_owned(),
            durability: Durability::D2,
            max_value: 64 * 1024 * 1024,
        };
        Beside { store, blobs }
    }

    #[test]
    fn bodies_that_the_broker_does_not_take_are_said_to_be_kept_in_the_store_that_can() {
        let mut capabilities = Capabilities::exact();
        capabilities.max_message = 1_000 * 1024;
        let large = "ClaimCheck: bodies over 1000 KiB, up to 16384 KiB, are kept in the store, as nats takes no larger ones";
        assert_eq!(wrapping("", capabilities.clone()).reasons(), [large]);
        let broker = BrokerInfo {
            backend: "nats",
            url: String::new(),
            version: None,
            capabilities,
        };
        assert_eq!(large_bodies(&broker, &beside(false)), None);
    }

    #[test]
    fn delays_that_the_broker_cannot_keep_are_said_to_wait_in_the_store() {
        let mut capabilities = Capabilities::exact();
        capabilities.delay = Delay::Native {
            max: Some(Duration::from_secs(900)),
            granularity: Duration::from_secs(1),
        };
        let quarter =
            "the store: delays beyond 15m of untracked jobs wait there, as nats keeps none longer";
        assert_eq!(wrapping("", capabilities.clone()).reasons(), [quarter]);
        capabilities.delay = Delay::Unsupported;
        let any = "the store: delays of untracked jobs wait there, as nats keeps none";
        assert_eq!(wrapping("", capabilities).reasons(), [any]);
    }

    #[test]
    fn a_broker_that_can_do_all_that_is_asked_is_left_alone() {
        let nothing: [&str; 0] = [];
        assert_eq!(reasons("", 101), nothing);
        assert_eq!(reasons("[queues.mail]\nlanes = 1\n", 101), nothing);
    }

    #[test]
    fn each_wrapper_says_whom_it_serves_and_why() {
        let all = "PriorityLanes: each queue has 3 lanes, as nats tells no priorities apart";
        assert_eq!(reasons("", 1), [all]);
        let mail = "PriorityLanes: the queue \"mail\" has 4 lanes, as queues.mail.lanes says";
        assert_eq!(reasons("[queues.mail]\nlanes = 4\n", 101), [mail]);
        let text = "[queues.mail]\nlane_weights = [1, 5]\n[queues.quick]\nlanes = 1\n";
        let mail =
            "PriorityLanes: the queue \"mail\" has 2 lanes, as queues.mail.lane_weights says";
        let quick = "PriorityLanes: the queue \"quick\" has no lanes, as queues.quick.lanes says";
        assert_eq!(reasons(text, 1), [all, mail, quick]);
    }

    #[test]
    fn lanes_that_make_no_sense_are_named_with_their_key() {
        for (text, says) in [
            ("lanes = 0", "queues.mail.lanes: 0 lanes"),
            ("lanes = 11", "queues.mail.lanes: 11 lanes"),
            ("lane_weights = [1]", "queues.mail.lane_weights: 1 lanes"),
            (
                "lane_weights = [1, 0]",
                "queues.mail.lane_weights: a lane of weight 0",
            ),
            (
                "lanes = 3\nlane_weights = [1, 2]",
                "queues.mail.lane_weights: 2 weights for 3 lanes",
            ),
        ] {
            let text = format!("[queues.mail]\n{text}\n");
            let error = Config::read("bananas.toml", &text, []).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
