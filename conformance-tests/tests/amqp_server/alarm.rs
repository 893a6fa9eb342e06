//! A server that is short of memory takes no messages.

use std::time::Duration;

use bananas_core::{Broker, ErrorKind, QueueSpec, RawMessage, Settlement, Status};
use bytes::Bytes;

use crate::message::{consumer, next, publish, queue, settle, works};
use crate::server::{Server, TIMEOUT};

/// How long a call may take beyond its timeout, on a busy machine.
const BUSY: Duration = Duration::from_secs(20);

pub(crate) async fn a_blocked_publish_is_an_error_in_time_and_goes_on_after_the_alarm(
    server: &Server,
) {
    let url = "amqp://guest:guest@127.0.0.1:PORT/%2f";
    let broker = server.open(url).await.unwrap();
    let alarm = queue("alarm");
    broker
        .ensure(&[QueueSpec::new(alarm.clone())])
        .await
        .unwrap();
    let message = || RawMessage::without_id(Bytes::from_static(b"before"));
    publish(&broker, &alarm, message()).await.unwrap();
    server.control(&["set_vm_memory_high_watermark", "0"]).await;
    // The first one has left before the server says that it takes none.
    for (what, kinds) in [
        ("first", [ErrorKind::Timeout, ErrorKind::Throttled]),
        ("second", [ErrorKind::Throttled; 2]),
    ] {
        let begun = server.env.monotonic();
        let blocked = publish(&broker, &alarm, message()).await.unwrap_err();
        assert!(kinds.contains(&blocked.kind()), "{what}: {blocked:?}");
        assert_ne!(blocked.status(), Status::Permanent, "{what}: {blocked:?}");
        let took = server.env.monotonic().since(begun);
        assert!(took < TIMEOUT + BUSY, "{what}: it took {took:?}");
    }
    // Who takes and acknowledges is not stopped.
    let mut consumer = consumer(&broker, &alarm).await;
    let delivery = next(&mut *consumer).await;
    settle(&broker, delivery, Settlement::Ack).await;
    let watermark = ["set_vm_memory_high_watermark", "absolute", "3GB"];
    server.control(&watermark).await;
    let deadline = server.env.monotonic() + BUSY;
    while let Err(blocked) = publish(&broker, &alarm, message()).await {
        assert_ne!(blocked.status(), Status::Permanent, "{blocked:?}");
        assert!(server.env.monotonic() < deadline, "{blocked:?}");
        server.env.sleep(Duration::from_millis(50)).await;
    }
    works(&broker).await;
}
