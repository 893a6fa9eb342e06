//! What about the queues decides what is kept and for how long, for the people who run them.

use aws_sdk_sqs::types::QueueAttributeName;
use bananas_core::{Durability, ErrorKind, Fact, QueueName};
use futures::stream::{self, StreamExt};

use super::admin;
use super::queues::{self, Attributes, RETENTION};
use crate::error::Error;
use crate::names::Place;
use crate::shared::Shared;

/// So many queues are looked at at a time.
const AT_ONCE: usize = 8;

/// So many queues are named where one thing is amiss with several.
const NAMED: usize = 3;

/// SQS hands out no more than 120,000 messages of a queue at a time; this is close to it.
const NEARLY_ALL_OUT: u64 = 100_000;

const SETTINGS: &str = "settings of queues";

/// A queue of the namespace, with its dead messages or without, as the server describes it.
#[derive(Debug)]
struct Told {
    queue: QueueName,
    place: Place,
    found: Attributes,
}

/// The facts of all queues of the namespace. What may not be asked is a fact, too.
pub(super) async fn facts(shared: &Shared) -> Result<Vec<Fact>, Error> {
    let mut facts = vec![durability(shared.info.capabilities.durability)];
    match told(shared).await {
        Ok(told) => facts.extend(of_queues(shared, &told)),
        Err(error) if error.kind() == ErrorKind::Auth => facts.push(Fact::warning(
            SETTINGS,
            format!("unknown: {error}"),
            "allow sqs:ListQueues, sqs:GetQueueUrl and sqs:GetQueueAttributes to these keys",
        )),
        Err(error) => return Err(error),
    }
    Ok(facts)
}

fn durability(class: Durability) -> Fact {
    let advice = if class < Durability::D4 {
        "nothing is known of an endpoint that is not Amazon's; what must not be lost belongs on sqs://REGION (D4)"
    } else {
        ""
    };
    Fact::durability(class, advice)
}

/// What the server says of every queue. One that is deleted meanwhile has nothing amiss.
async fn told(shared: &Shared) -> Result<Vec<Told>, Error> {
    let queues = admin::queues(shared).await?;
    let both = |queue: QueueName| [(queue.clone(), Place::Live), (queue, Place::Dead)];
    let asked = queues.into_iter().flat_map(both);
    let asked =
        asked.map(
            async |(queue, place)| match queues::attributes(shared, &queue, place).await {
                Ok(found) => Ok(Some(Told {
                    queue,
                    place,
                    found,
                })),
                Err(Error::NoQueue(_)) => Ok(None),
                Err(error) => Err(error),
            },
        );
    let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    answers.into_iter().filter_map(Result::transpose).collect()
}

fn of_queues(shared: &Shared, told: &[Told]) -> Vec<Fact> {
    let live = || told.iter().filter(|one| one.place == Place::Live);
    let refused: Vec<String> = live()
        .filter_map(|one| queues::check(shared, &one.queue, &one.found).err())
        .map(|error| match &error {
            Error::Setting { queue, .. } => format!("{queue}: {error}"),
            error => error.to_string(),
        })
        .collect();
    let settings = match some_of(&refused) {
        None => Fact::info(SETTINGS, format!("fit, on {} queues", live().count())),
        Some(value) => Fact::danger(
            SETTINGS,
            value,
            "change them on the queue; until then no worker starts on it",
        ),
    };
    vec![settings, retention(told), in_flight(told)]
}

/// SQS deletes what is older, without a word.
fn retention(told: &[Told]) -> Fact {
    let name = "retention";
    let longest: u64 = RETENTION.parse().unwrap_or(u64::MAX);
    let short: Vec<String> = told
        .iter()
        .filter_map(|one| {
            let seconds = number(&one.found, &QueueAttributeName::MessageRetentionPeriod)?;
            let dead = match one.place {
                Place::Live => "",
                Place::Dead => " (dead)",
            };
            (seconds < longest).then(|| format!("{seconds} s on {}{dead}", one.queue))
        })
        .collect();
    match some_of(&short) {
        None => Fact::info(name, "14 days, the longest that there is"),
        Some(value) => Fact::warning(
            name,
            value,
            format!(
                "set MessageRetentionPeriod = {RETENTION}; SQS deletes what is older, whether it was worked on or not"
            ),
        ),
    }
}

fn in_flight(told: &[Told]) -> Fact {
    let name = "messages out at a time";
    let out = |one: &Told| {
        number(
            &one.found,
            &QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        )
    };
    let most = told.iter().filter_map(out).max().unwrap_or(0);
    let value = format!("about {most} on one queue");
    if most < NEARLY_ALL_OUT {
        return Fact::info(name, value);
    }
    let advice = "SQS hands out no more than 120000 of a queue; give workers less credit, or use several queues";
    Fact::warning(name, value, advice)
}

fn number(found: &Attributes, name: &QueueAttributeName) -> Option<u64> {
    found.get(name)?.parse().ok()
}

/// The first few, and how many more there are; `None` of none.
fn some_of(all: &[String]) -> Option<String> {
    if all.is_empty() {
        return None;
    }
    let (named, rest) = all.split_at(all.len().min(NAMED));
    let mut text = named.join(", ");
    if !rest.is_empty() {
        text += &format!(", and {} more", rest.len());
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bananas_core::FactLevel;

    fn told(queue: &str, place: Place, name: QueueAttributeName, value: &str) -> Told {
        Told {
            queue: QueueName::new(queue).unwrap(),
            place,
            found: Attributes::from([(name, value.to_owned())]),
        }
    }

    #[test]
    fn an_endpoint_of_somebody_else_is_flagged_and_amazons_is_not() {
        assert_eq!(durability(Durability::D1).level, FactLevel::Warning);
        let amazon = durability(Durability::D4);
        assert_eq!((amazon.level, amazon.advice), (FactLevel::Info, None));
    }

    #[test]
    fn queues_that_forget_too_soon_are_named_with_their_seconds() {
        let period = QueueAttributeName::MessageRetentionPeriod;
        let fine = told("a", Place::Live, period.clone(), RETENTION);
        assert_eq!(retention(&[fine]).level, FactLevel::Info);
        let short = |place| told("mail", place, period.clone(), "345600");
        let all = [
            short(Place::Live),
            short(Place::Dead),
            short(Place::Live),
            short(Place::Live),
        ];
        let fact = retention(&all);
        assert_eq!(fact.level, FactLevel::Warning);
        let value = "345600 s on mail, 345600 s on mail (dead), 345600 s on mail, and 1 more";
        assert_eq!(fact.value, value);
    }

    #[test]
    fn a_queue_that_can_hardly_hand_out_more_is_flagged() {
        let hidden = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let of = |value| told("a", Place::Live, hidden.clone(), value);
        assert_eq!(in_flight(&[of("99999")]).level, FactLevel::Info);
        let fact = in_flight(&[of("3"), of("119000")]);
        assert_eq!(fact.level, FactLevel::Warning);
        assert!(fact.value.contains("119000"), "{fact:?}");
    }
}
