//! Who may not come in, and who may not do what is asked.

use bananas_core::{Broker, ErrorKind, QueueSpec, Status};

use crate::message::{queue, works};
use crate::server::{Server, TIMEOUT};

pub(crate) async fn what_a_person_must_mend_is_told_apart_and_not_waited_for(server: &Server) {
    for (who, what) in [
        ("clerk:wrong@127.0.0.1:PORT/%2f", "ACCESS_REFUSED"),
        (
            "guest:guest@127.0.0.1:PORT/absent",
            "vhost absent not found",
        ),
        (
            "stranger:of-no-use-to-you@127.0.0.1:PORT/%2f",
            "access to vhost",
        ),
    ] {
        let begun = server.env.monotonic();
        let refused = server.open(&format!("amqp://{who}")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth, "{who}: {refused:?}");
        assert_eq!(refused.status(), Status::Permanent, "{who}");
        let text = format!("{refused} {refused:?}");
        assert!(text.contains(what), "{who}: {text}");
        assert!(
            !text.contains("wrong@") && !text.contains("of-no-use"),
            "{text}"
        );
        let took = server.env.monotonic().since(begun);
        assert!(took < TIMEOUT, "{who}: it was waited for {took:?}");
    }
    let url = "amqp://visitor:of-no-use-to-you@127.0.0.1:PORT/%2f";
    let visitor = server.open(url).await.unwrap();
    let ensured = visitor.ensure(&[QueueSpec::new(queue("mail"))]).await;
    let refused = ensured.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused:?}");
    assert_eq!(refused.status(), Status::Permanent);
}

pub(crate) async fn the_rights_of_the_guide_are_enough(server: &Server) {
    let url = "amqp://clerk:of-no-use-to-you@127.0.0.1:PORT/%2f";
    works(&server.open(url).await.unwrap()).await;
}
