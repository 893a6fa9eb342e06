//! Facts of RabbitMQ that need a server of their own, which takes many seconds to start: all of them share one.
//! Who may come in and how, queues of other applications, and a server that is short of memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use bananas_core::{Env, TokioEnv};
use server::Server;

mod alarm;
mod certificates;
mod foreign;
mod message;
mod rights;
mod server;

#[test]
fn certificates_rights_foreign_queues_and_alarms_are_what_the_guide_says() {
    let Some(program) = server::Program::find() else {
        return server::skip();
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let env: Arc<dyn Env> = Arc::new(TokioEnv::current());
        let server = Server::start(&env, program).await;
        certificates::an_authority_of_our_own_is_trusted_and_no_other(&server).await;
        certificates::a_certificate_logs_in_and_another_one_does_not(&server).await;
        rights::what_a_person_must_mend_is_told_apart_and_not_waited_for(&server).await;
        rights::the_rights_of_the_guide_are_enough(&server).await;
        foreign::a_queue_of_another_application_is_consumed_as_it_is(&server).await;
        foreign::a_foreign_queue_that_is_not_there_is_not_made(&server).await;
        alarm::a_blocked_publish_is_an_error_in_time_and_goes_on_after_the_alarm(&server).await;
    });
}
