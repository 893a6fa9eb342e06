//! Making queues, and checking those that exist.

use std::collections::HashMap;

use aws_sdk_sqs::types::QueueAttributeName;
use bananas_core::QueueName;

use crate::error::Error;
use crate::names::Place;
use crate::requests::Operation;
use crate::shared::Shared;

/// Two weeks, the longest that the server keeps a message.
pub(super) const RETENTION: &str = "1209600";

/// After how many deliveries the server itself sets a message aside: a net below the decisions of workers, and so
/// large that it never comes before them.
const MOST_DELIVERIES: u32 = 1_000;

/// Fewer deliveries than this would set aside what is only unlucky.
const FEWEST_DELIVERIES: u32 = 100;

/// What is known of a queue on the server, by the names of its attributes.
pub(super) type Attributes = HashMap<QueueAttributeName, String>;

/// Makes what is missing of a queue; a queue with settings that lose messages is refused.
pub(super) async fn ensure(shared: &Shared, queue: &QueueName) -> Result<(), Error> {
    let dead = made(shared, queue, Place::Dead, None).await?;
    let arn = dead.get(&QueueAttributeName::QueueArn);
    let arn = arn.ok_or_else(|| shared.wire.wrong_answer())?;
    let net = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"{MOST_DELIVERIES}"}}"#);
    let live = made(shared, queue, Place::Live, Some(net)).await?;
    check(shared, queue, &live)
}

/// The attributes of a queue, which is made if it is not there.
async fn made(
    shared: &Shared,
    queue: &QueueName,
    place: Place,
    net: Option<String>,
) -> Result<Attributes, Error> {
    // Asked anew, since the queue may have been deleted since it was found.
    if let Ok(name) = shared.names.of(queue, place) {
        crate::held::lock(&shared.urls).remove(&name);
    }
    match attributes(shared, queue, place).await {
        Err(Error::NoQueue(_)) => {
            make(shared, queue, place, net).await?;
            attributes(shared, queue, place).await
        }
        found => found,
    }
}

async fn make(
    shared: &Shared,
    queue: &QueueName,
    place: Place,
    net: Option<String>,
) -> Result<(), Error> {
    let name = shared.names.of(queue, place)?;
    let client = shared.wire.client();
    let mut request = client
        .create_queue()
        .queue_name(&name)
        .attributes(QueueAttributeName::MessageRetentionPeriod, RETENTION)
        .attributes(
            QueueAttributeName::MaximumMessageSize,
            shared.max_bytes.to_string(),
        );
    if let Some(net) = net {
        request = request.attributes(QueueAttributeName::RedrivePolicy, net);
    }
    if shared.is_fifo() {
        request = request
            .attributes(QueueAttributeName::FifoQueue, "true")
            .attributes(QueueAttributeName::DeduplicationScope, "messageGroup")
            .attributes(QueueAttributeName::FifoThroughputLimit, "perMessageGroupId");
    }
    let made = shared
        .wire
        .call(Operation::Other, 0, Box::pin(request.send()))
        .await;
    made.map(drop)
}

/// What the server says of a queue.
pub(super) async fn attributes(
    shared: &Shared,
    queue: &QueueName,
    place: Place,
) -> Result<Attributes, Error> {
    let url = shared.url(queue, place).await?;
    let client = shared.wire.client();
    let request = client
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::All);
    let answer = shared
        .wire
        .call(Operation::Other, 0, Box::pin(request.send()))
        .await;
    let answer = answer.map_err(|error| shared.told(queue, place, error))?;
    Ok(answer.attributes.unwrap_or_default())
}

/// B11: settings that would refuse messages, hold them up, or set them aside before their time.
pub(super) fn check(shared: &Shared, queue: &QueueName, found: &Attributes) -> Result<(), Error> {
    let number = |name: &QueueAttributeName| found.get(name)?.parse::<usize>().ok();
    let conflict = |setting, found: usize, wanted: String| {
        Err(Error::Setting {
            queue: queue.clone(),
            setting,
            found: found.to_string(),
            wanted,
        })
    };
    match number(&QueueAttributeName::DelaySeconds) {
        Some(0) | None => {}
        Some(delay) => return conflict("DelaySeconds", delay, "0".to_owned()),
    }
    match number(&QueueAttributeName::MaximumMessageSize) {
        Some(bytes) if bytes < shared.max_bytes => {
            let wanted = format!("{} (or max_bytes={bytes} in the URL)", shared.max_bytes);
            return conflict("MaximumMessageSize", bytes, wanted);
        }
        _ => {}
    }
    let policy = found.get(&QueueAttributeName::RedrivePolicy);
    match policy.and_then(|policy| most_deliveries(policy)) {
        Some(most) if most < FEWEST_DELIVERIES => {
            let most = usize::try_from(most).unwrap_or(0);
            conflict(
                "maxReceiveCount",
                most,
                format!("at least {FEWEST_DELIVERIES}"),
            )
        }
        _ => Ok(()),
    }
}

/// The number in a redrive policy, which is JSON with the number as a number or as text.
fn most_deliveries(policy: &str) -> Option<u32> {
    let (_, rest) = policy.split_once("\"maxReceiveCount\"")?;
    let digits: String = rest
        .chars()
        .skip_while(|c| matches!(c, ':' | ' ' | '"'))
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_deliveries_are_read_from_either_form_of_a_policy() {
        let arn = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:1:x""#;
        for (rest, most) in [
            (r#","maxReceiveCount":"1000"}"#, Some(1_000)),
            (r#", "maxReceiveCount": 5}"#, Some(5)),
            ("}", None),
        ] {
            assert_eq!(most_deliveries(&format!("{arn}{rest}")), most);
        }
    }
}
