//! What is true of NATS alone: who may come in, what its streams are seen to hold, what is left of a settlement
//! that was cut in two, and a server that falls silent while one waits.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bananas_broker_nats::{NatsConfig, NatsEngine};
use bananas_core::{
    Broker, Bucket, Consumer, ConsumerSpec, DEAD_REASON_PROPERTY, Delivery, Depth, Durability, Env,
    Error, ErrorKind, Fact, FactLevel, JobId, Publish, QueueName, QueueSpec, RawMessage, Result,
    Settle, Settled, Settlement, Status,
};
use base64::Engine as _;
use conformance_tests::fault::{Authority, Direction, Proxy};
use serde_json::{Value, json};
use servers::{Server, all};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

mod servers;

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

const LOOK: Duration = Duration::from_millis(100);

/// Waits for that, and fails when it takes too long.
async fn until(env: &Arc<dyn Env>, what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = env.monotonic() + DEADLINE;
    while !is_so().await {
        assert!(env.monotonic() < deadline, "never so: {what}");
        env.sleep(LOOK).await;
    }
}

/// A client with one queue.
struct Rig {
    env: Arc<dyn Env>,
    broker: Arc<dyn Broker>,
    queue: QueueName,
}

impl Rig {
    async fn open(env: &Arc<dyn Env>, url: &str) -> Result<Self> {
        let config = NatsConfig::from_url(url)?;
        let broker = NatsEngine::open(config, Arc::clone(env)).await?.broker();
        let queue = QueueName::new("mail").unwrap();
        broker.ensure(&[QueueSpec::new(queue.clone())]).await?;
        let env = Arc::clone(env);
        Ok(Self { env, broker, queue })
    }

    async fn of(server: &Server) -> Self {
        let url = format!("nats://{}", server.process.address());
        Self::open(&server.env, &url).await.unwrap()
    }

    fn message(&self, body: &str) -> RawMessage {
        RawMessage::new(self.env.job_id(), body.to_owned().into())
    }

    async fn publish(&self, message: RawMessage) -> JobId {
        let queue = self.queue.clone();
        let batch = vec![Publish { queue, message }];
        let answer = self.broker.publish(batch).await.remove(0);
        answer.unwrap().id.unwrap()
    }

    async fn consumer(&self, lease: Duration) -> Box<dyn Consumer> {
        let mut spec = ConsumerSpec::new(self.queue.clone());
        spec.lease = lease;
        self.broker.consume(spec).await.unwrap()
    }

    async fn one(&self, consumer: &mut dyn Consumer) -> Delivery {
        let mut taken = consumer.reserve(1, DEADLINE).await.unwrap();
        taken.remove(0)
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Settled {
        let receipt = delivery.receipt.clone();
        let batch = vec![Settle {
            receipt,
            settlement,
        }];
        self.broker.settle(batch).await.remove(0).unwrap()
    }

    async fn set_aside(&self, body: &str) -> JobId {
        let id = self.publish(self.message(body)).await;
        let delivery = self.one(self.consumer(DEADLINE).await.as_mut()).await;
        let dead = Settlement::DeadLetter {
            reason: "no good".to_owned(),
            message: None,
        };
        assert_eq!(self.settle(&delivery, dead).await, Settled::Done);
        id
    }

    async fn depth(&self) -> Depth {
        let admin = self.broker.admin().unwrap();
        let depths = admin.depth(std::slice::from_ref(&self.queue)).await;
        depths.unwrap().remove(0)
    }

    async fn counts(&self) -> [u64; 4] {
        let depth = self.depth().await;
        [depth.ready, depth.in_flight, depth.delayed, depth.dead]
            .map(|count| count.value().unwrap())
    }

    async fn peek(&self, bucket: Bucket) -> Vec<RawMessage> {
        let admin = self.broker.admin().unwrap();
        admin.peek(&self.queue, bucket, 10).await.unwrap()
    }
}

/// Publishes or asks as another program does, and waits until the server has done it.
async fn publish_raw(server: &Server, subject: &str, payload: &[u8]) {
    let mut stream = TcpStream::connect(server.process.address()).await.unwrap();
    let size = payload.len();
    let head = format!("CONNECT {{}}\r\nSUB here 1\r\nPUB {subject} here {size}\r\n");
    let request = [head.as_bytes(), payload, b"\r\n"].concat();
    stream.write_all(&request).await.unwrap();
    let mut heard = String::new();
    while !heard.contains("seq\":") && !heard.contains("\"error\"") {
        let mut bytes = [0; 1024];
        let length = stream.read(&mut bytes).await.unwrap();
        assert!(length > 0, "{heard}");
        heard += &String::from_utf8_lossy(&bytes[..length]);
    }
    assert!(!heard.contains("error"), "{heard}");
}

#[tokio::test]
async fn each_bucket_is_counted_seen_and_purged_apart() {
    for server in all("").await {
        let rig = Rig::of(&server).await;
        let dead = rig.set_aside("bad").await;
        for body in ["one", "two", "three"] {
            rig.publish(rig.message(body)).await;
        }
        let mut consumer = rig.consumer(DEADLINE).await;
        let held = rig.one(consumer.as_mut()).await;
        let mut delayed = 0;
        if server.schedules {
            let mut later = rig.message("later");
            later.not_before = Some(rig.env.now() + DEADLINE * 60);
            rig.publish(later).await;
            delayed = 1;
        }
        assert_eq!(rig.counts().await, [2, 1, delayed, 1]);
        let bodies = |seen: Vec<RawMessage>| -> Vec<_> {
            seen.into_iter().map(|message| message.body).collect()
        };
        assert_eq!(bodies(rig.peek(Bucket::Ready).await), ["two", "three"]);
        let waiting = bodies(rig.peek(Bucket::Delayed).await);
        assert_eq!(waiting.len() as u64, delayed);
        let seen = rig.peek(Bucket::Dead).await.remove(0);
        assert_eq!(seen.id, Some(dead));
        assert_eq!(seen.property(DEAD_REASON_PROPERTY).unwrap(), "no good");

        let admin = rig.broker.admin().unwrap();
        let purge = async |bucket| admin.purge(&rig.queue, bucket).await.unwrap();
        assert_eq!(purge(Bucket::Ready).await, 2);
        assert_eq!(rig.counts().await, [0, 1, delayed, 1]);
        assert_eq!(purge(Bucket::Delayed).await, delayed);
        assert_eq!(purge(Bucket::Dead).await, 1);
        assert_eq!(rig.settle(&held, Settlement::Ack).await, Settled::Done);
        assert_eq!(rig.counts().await, [0; 4]);
        let id = rig.publish(rig.message("after all that")).await;
        assert_eq!(rig.one(consumer.as_mut()).await.message.id, Some(id));
    }
}

#[tokio::test]
async fn a_dead_message_comes_back_once_and_its_queue_can_be_deleted() {
    for server in all("").await {
        let rig = Rig::of(&server).await;
        let ids = [rig.set_aside("one").await, rig.set_aside("two").await];
        let admin = rig.broker.admin().unwrap();
        let one = admin.redrive(&rig.queue, Some(&ids[1..])).await.unwrap();
        assert_eq!(one, 1);
        let mut consumer = rig.consumer(DEADLINE).await;
        let back = rig.one(consumer.as_mut()).await;
        assert_eq!((back.message.id, back.count.known()), (Some(ids[1]), 1));
        assert_eq!(admin.redrive(&rig.queue, None).await.unwrap(), 1);
        assert_eq!(admin.redrive(&rig.queue, None).await.unwrap(), 0);
        assert_eq!(rig.one(consumer.as_mut()).await.message.id, Some(ids[0]));
        assert!(consumer.reserve(1, LOOK).await.unwrap().is_empty());

        let incarnation = rig.depth().await.incarnation;
        let queues = admin.queues().await.unwrap();
        assert_eq!(queues, std::slice::from_ref(&rig.queue));
        admin.delete(&rig.queue).await.unwrap();
        assert_eq!(admin.queues().await.unwrap(), []);
        // It asks for heartbeats, which no longer come.
        let error = consumer.reserve(1, DEADLINE).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let specs = [QueueSpec::new(rig.queue.clone())];
        rig.broker.ensure(&specs).await.unwrap();
        assert_ne!(rig.depth().await.incarnation, incarnation);
    }
}

#[tokio::test]
async fn a_message_whose_setting_aside_was_cut_in_two_is_dead_and_not_delivered() {
    for server in all("").await {
        let rig = Rig::of(&server).await;
        for redriven_first in [false, true] {
            rig.publish(rig.message("bad")).await;
            let mut hasty = rig.consumer(Duration::from_secs(1)).await;
            rig.one(hasty.as_mut()).await;
            // As if its holder had died between the copy and the acknowledgement.
            let last = rig.peek(Bucket::Dead).await.len();
            assert_eq!(last, 0);
            let sequence = if redriven_first { 2 } else { 1 };
            let subject = format!("bn.bananas.mail.x.{sequence}");
            publish_raw(&server, &subject, b"a copy").await;
            let mut consumer = rig.consumer(DEADLINE).await;
            let admin = rig.broker.admin().unwrap();
            if !redriven_first {
                let taken = consumer.reserve(1, Duration::from_secs(3)).await.unwrap();
                assert!(taken.is_empty(), "it was set aside, and delivered");
                assert_eq!(admin.purge(&rig.queue, Bucket::Dead).await.unwrap(), 1);
                continue;
            }
            assert_eq!(admin.redrive(&rig.queue, None).await.unwrap(), 1);
            let back = rig.one(consumer.as_mut()).await;
            assert_eq!(&back.message.body[..], b"a copy");
            let taken = consumer.reserve(1, Duration::from_secs(3)).await.unwrap();
            assert!(taken.is_empty(), "it came back, and was delivered itself");
        }
    }
}

#[tokio::test]
async fn a_queue_with_other_lanes_is_a_conflict_that_says_so() {
    for server in all("").await {
        let rig = Rig::of(&server).await;
        let address = server.process.address();
        let url = format!("nats://{address}?lanes=5");
        let error = Rig::open(&rig.env, &url).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let text = error.to_string();
        let named = text.contains("lanes=3") && text.contains("lanes=5");
        assert!(named, "{text}");
    }
}

#[tokio::test]
async fn a_queue_of_an_older_server_learns_to_wait() {
    for server in all("").await.into_iter().filter(|server| server.schedules) {
        let rig = Rig::of(&server).await;
        rig.broker
            .admin()
            .unwrap()
            .delete(&rig.queue)
            .await
            .unwrap();
        let config = r#"{"name": "Q+bananas+mail", "retention": "workqueue", "storage": "file",
            "subjects": ["bn.bananas.mail.p0", "bn.bananas.mail.p1", "bn.bananas.mail.p2",
            "bn.bananas.mail.s.>"], "description": "a queue of bananas, lanes=3", "discard": "new",
            "max_msgs": -1, "max_bytes": -1, "max_age": 0, "num_replicas": 1}"#;
        let mut stream = TcpStream::connect(server.process.address()).await.unwrap();
        let size = config.len();
        let subject = "$JS.API.STREAM.CREATE.Q+bananas+mail";
        let words = format!("CONNECT {{}}\r\nPUB {subject} nobody {size}\r\n{config}\r\nPING\r\n");
        stream.write_all(words.as_bytes()).await.unwrap();
        let specs = [QueueSpec::new(rig.queue.clone())];
        let admin = rig.broker.admin().unwrap();
        until(&rig.env, "the queue is there", async || {
            !admin.queues().await.unwrap().is_empty()
        })
        .await;
        rig.broker.ensure(&specs).await.unwrap();
        let mut later = rig.message("later");
        let due = rig.env.now() + Duration::from_secs(1);
        later.not_before = Some(due);
        let id = rig.publish(later).await;
        let delivery = rig.one(rig.consumer(DEADLINE).await.as_mut()).await;
        assert_eq!(delivery.message.id, Some(id));
        assert!(rig.env.now() >= due);
    }
}

#[tokio::test]
async fn what_is_given_back_for_later_waits_where_the_server_can_and_is_refused_elsewhere() {
    for server in all("").await {
        let rig = Rig::of(&server).await;
        let id = rig.publish(rig.message("later")).await;
        let mut consumer = rig.consumer(DEADLINE).await;
        let delivery = rig.one(consumer.as_mut()).await;
        let delay = Duration::from_secs(1);
        let due = rig.env.monotonic() + delay;
        if !server.schedules {
            let batch = vec![Settle {
                receipt: delivery.receipt,
                settlement: Settlement::Release { delay },
            }];
            let refused = rig.broker.settle(batch).await.remove(0).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unsupported);
            continue;
        }
        let settled = rig.settle(&delivery, Settlement::Release { delay }).await;
        assert_eq!(settled, Settled::Done);
        assert_eq!(rig.one(consumer.as_mut()).await.message.id, Some(id));
        assert!(rig.env.monotonic() >= due, "it came too early");
    }
}

#[tokio::test]
async fn a_delivery_that_a_killed_server_has_forgotten_is_given_up_and_comes_again() {
    // An old server says of whatever it does not know that it has heard it.
    let newer = all("").await.into_iter().filter(|server| server.schedules);
    for mut server in newer {
        let rig = Rig::of(&server).await;
        let id = rig.publish(rig.message("forgotten")).await;
        let mut consumer = rig.consumer(DEADLINE * 10).await;
        let delivery = rig.one(consumer.as_mut()).await;
        let begin = rig.env.monotonic();
        server.process.kill().await.unwrap();
        // What a server remembers of deliveries is written later than they are made.
        std::fs::remove_file(server.remembered("Q+bananas+mail", "lane1")).unwrap();
        server.process.start_again().await.unwrap();
        let settled = loop {
            let receipt = delivery.receipt.clone();
            let settlement = Settlement::Ack;
            let batch = vec![Settle {
                receipt,
                settlement,
            }];
            if let Ok(settled) = rig.broker.settle(batch).await.remove(0) {
                break settled;
            }
            let waited = rig.env.monotonic().since(begin);
            assert!(waited < DEADLINE, "it is not known what became of it");
        };
        assert_eq!(settled, Settled::LeaseLost);
        assert_eq!(rig.one(consumer.as_mut()).await.message.id, Some(id));
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_while_one_waits_is_noticed() {
    let servers = all("").await;
    futures::future::join_all(servers.iter().map(async |server| {
        let address = server.process.address();
        let proxy = Proxy::start(&server.env, address).unwrap();
        let url = format!("nats://{}?timeout_ms=1000", proxy.address());
        let behind = Rig::open(&server.env, &url).await.unwrap();
        let rig = Rig::of(server).await;
        let mut consumer = behind.consumer(DEADLINE).await;
        let begin = rig.env.monotonic();
        let waiting = consumer.reserve(1, DEADLINE * 10);
        let unheard = async {
            // What comes though nothing was asked meanwhile are the heartbeats of a request that waits.
            let before = Cell::new(proxy.counts());
            until(&rig.env, "it waits", async || {
                let (was, now) = (before.replace(proxy.counts()), proxy.counts());
                now.to_client > was.to_client && now.to_server == was.to_server
            })
            .await;
            // The connection stays, and nothing comes over it any more.
            proxy.blackhole(Direction::ToClient);
            let accepted = proxy.counts().accepted;
            let id = rig.publish(rig.message("unheard")).await;
            until(&rig.env, "another connection is tried", async || {
                proxy.counts().accepted > accepted
            })
            .await;
            proxy.heal().unwrap();
            id
        };
        let (taken, id) = tokio::join!(waiting, unheard);
        assert_eq!(taken.unwrap()[0].message.id, Some(id));
        let waited = rig.env.monotonic().since(begin);
        assert!(waited < DEADLINE, "it was noticed after {waited:?}");
    }))
    .await;
}

/// What becomes of opening a client with this URL.
async fn refusal(server: &Server, url: &str) -> Error {
    Rig::open(&server.env, url).await.err().unwrap()
}

#[tokio::test]
async fn who_does_not_say_the_right_word_does_not_come_in() {
    for server in all("authorization { token: \"the word\" }").await {
        let address = server.process.address();
        let rig = Rig::open(&server.env, &format!("nats://the%20word@{address}")).await;
        let rig = rig.unwrap();
        rig.publish(rig.message("by a friend")).await;
        for wrong in ["nats://", "nats://another%20word@", "nats://me:hidden@"] {
            let url = format!("{wrong}{address}?timeout_ms=1000");
            let error = refusal(&server, &url).await;
            assert_eq!(
                (error.kind(), error.status()),
                (ErrorKind::Auth, Status::Permanent),
                "{error}"
            );
            let text = format!("{error:?}");
            assert!(!text.contains("word") && !text.contains("hidden"), "{text}");
        }
    }
}

#[tokio::test]
async fn an_nkey_opens_the_door_with_no_more_rights_than_the_guide_lists() {
    let folder = TempDir::new().unwrap();
    let pair = nkeys::KeyPair::new_user();
    let seed = folder.path().join("user.nk");
    std::fs::write(&seed, pair.seed().unwrap()).unwrap();
    let settings = format!(
        "authorization {{ users = [ {{ nkey: {}, permissions: {{
            publish: [\"bn.bananas.>\", \"$JS.API.>\", \"$JS.ACK.>\"],
            subscribe: [\"bn.bananas.>\", \"_INBOX.>\"] }} }} ] }}",
        pair.public_key()
    );
    for server in all(&settings).await {
        let address = server.process.address();
        let url = format!("nats://{address}?nkey={}", seed.display());
        let rig = Rig::open(&server.env, &url).await.unwrap();
        let dead = rig.set_aside("bad").await;
        assert_eq!(rig.peek(Bucket::Dead).await[0].id, Some(dead));
        let id = rig.publish(rig.message("good")).await;
        let mut consumer = rig.consumer(DEADLINE).await;
        assert_eq!(rig.one(consumer.as_mut()).await.message.id, Some(id));
        // What was waited for in vain is taken back, which needs a right, too.
        assert!(consumer.reserve(1, LOOK).await.unwrap().is_empty());
        let other = nkeys::KeyPair::new_user();
        std::fs::write(&seed, other.seed().unwrap()).unwrap();
        let error = refusal(&server, &(url + "&timeout_ms=1000")).await;
        assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
        std::fs::write(&seed, pair.seed().unwrap()).unwrap();
    }
}

/// A token that `issuer` has signed: who `subject` is, and what he may do.
fn token(issuer: &nkeys::KeyPair, subject: &str, rights: &Value) -> String {
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let claims = json!({
        "jti": "none", "iat": 1_700_000_000, "iss": issuer.public_key(), "name": "bananas", "sub": subject,
        "nats": rights,
    });
    let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" }).to_string();
    let said = [head, claims.to_string()]
        .map(|part| engine.encode(part))
        .join(".");
    let signature = engine.encode(issuer.sign(said.as_bytes()).unwrap());
    format!("{said}.{signature}")
}

#[tokio::test]
async fn a_credentials_file_opens_the_door_of_its_account() {
    let [operator, system, account, user] = [
        nkeys::KeyPair::new_operator(),
        nkeys::KeyPair::new_account(),
        nkeys::KeyPair::new_account(),
        nkeys::KeyPair::new_user(),
    ];
    let (theirs, ours) = (account.public_key(), user.public_key());
    let system = system.public_key();
    let plain = json!({ "subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1 });
    let all = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
        "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let rights = |limits| json!({ "type": "account", "version": 2, "limits": limits });
    let settings = format!(
        "operator: {}\nsystem_account: {system}\nresolver: MEMORY\n\
         resolver_preload: {{ {system}: {}, {theirs}: {} }}",
        token(
            &operator,
            &operator.public_key(),
            &json!({ "type": "operator", "version": 2 })
        ),
        token(&operator, &system, &rights(plain)),
        token(&operator, &theirs, &rights(all)),
    );
    let rights = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("user.creds");
    let write = |seed: String| {
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n",
            token(&account, &ours, &rights)
        );
        std::fs::write(&file, text).unwrap();
    };
    for server in servers::all(&settings).await {
        write(user.seed().unwrap());
        let url = format!(
            "nats://{}?creds={}",
            server.process.address(),
            file.display()
        );
        let rig = Rig::open(&server.env, &url).await.unwrap();
        let id = rig.publish(rig.message("with credentials")).await;
        let delivery = rig.one(rig.consumer(DEADLINE).await.as_mut()).await;
        assert_eq!(delivery.message.id, Some(id));
        write(nkeys::KeyPair::new_user().seed().unwrap());
        let error = refusal(&server, &(url + "&timeout_ms=1000")).await;
        assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    }
}

#[tokio::test]
async fn tls_proves_each_side_to_the_other_and_an_nkey_who_it_is() {
    let folder = TempDir::new().unwrap();
    let ours = Authority::create(&folder.path().join("ours")).unwrap();
    let other = Authority::create(&folder.path().join("other")).unwrap();
    let pair = nkeys::KeyPair::new_user();
    let seed = folder.path().join("user.nk");
    std::fs::write(&seed, pair.seed().unwrap()).unwrap();
    let (certificate, key) = (ours.server_certificate.display(), ours.server_key.display());
    let settings = format!(
        "tls {{ cert_file: \"{certificate}\", key_file: \"{key}\", ca_file: \"{}\", verify: true }}
         authorization {{ users = [ {{ nkey: {} }} ] }}",
        ours.certificate.display(),
        pair.public_key()
    );
    for server in all(&settings).await {
        let address = server.process.address();
        let stranger = |authority: &Authority| {
            let authority = authority.certificate.display();
            let seed = seed.display();
            format!("tls+nats://{address}?ca={authority}&nkey={seed}&timeout_ms=2000")
        };
        let identity = format!("&cert={certificate}&key={key}");
        let rig = Rig::open(&server.env, &(stranger(&ours) + &identity)).await;
        let rig = rig.unwrap();
        let id = rig.publish(rig.message("in secret")).await;
        let delivery = rig.one(rig.consumer(DEADLINE).await.as_mut()).await;
        assert_eq!(delivery.message.id, Some(id));
        let mistrusted = stranger(&other) + &identity;
        for url in [mistrusted, stranger(&ours)] {
            let error = refusal(&server, &url).await;
            assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        }
    }
}

#[tokio::test]
async fn an_account_without_jetstream_is_told_apart_from_a_missing_queue() {
    let settings = "accounts { PLAIN { users = [ { user: me, password: plain } ] } }";
    for server in all(settings).await {
        let url = format!("nats://me:plain@{}", server.process.address());
        let error = refusal(&server, &url).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("JetStream"), "{error}");
    }
}

#[tokio::test]
async fn what_somebody_changed_on_the_server_is_among_the_facts() {
    for server in all("").await {
        let rig = Rig::of(&server).await;
        let amiss = async || {
            let facts = rig.broker.facts().await.unwrap();
            let amiss = facts
                .into_iter()
                .filter(|fact| fact.level > FactLevel::Info);
            amiss.map(|fact| fact.name).collect::<Vec<_>>()
        };
        let mut expected = vec!["disk sync"];
        expected.extend((!server.schedules).then_some("server version"));
        assert_eq!(amiss().await, expected);
        let config = r#"{"name": "D+bananas+mail", "subjects": ["bn.bananas.mail.x.>"], "storage": "file",
            "retention": "limits", "max_age": 3600000000000, "num_replicas": 1}"#;
        let subject = "$JS.API.STREAM.UPDATE.D+bananas+mail";
        publish_raw(&server, subject, config.as_bytes()).await;
        expected.push("limits of streams");
        assert_eq!(amiss().await, expected);
    }
}

#[tokio::test]
async fn the_class_that_is_printed_is_that_of_sync_and_replicas() {
    for server in all("").await {
        let settings = [
            ("", Durability::D2),
            ("?replicas=3", Durability::D2),
            ("?sync_interval=always", Durability::D3),
            ("?sync_interval=always&replicas=3", Durability::D4),
        ];
        for (settings, class) in settings {
            let url = format!("nats://{}{settings}", server.process.address());
            let config = NatsConfig::from_url(&url).unwrap();
            match NatsEngine::open(config, Arc::clone(&server.env)).await {
                Ok(engine) => {
                    let broker = engine.broker();
                    assert_eq!(broker.info().capabilities.durability, class, "{settings}");
                    let facts = broker.facts().await.unwrap();
                    let printed = facts.into_iter().find(|fact| fact.name == Fact::DURABILITY);
                    assert!(printed.unwrap().value.contains(&class.to_string()));
                }
                Err(e) => assert!(!server.schedules && e.to_string().contains("2.10"), "{e}"),
            }
        }
    }
}
