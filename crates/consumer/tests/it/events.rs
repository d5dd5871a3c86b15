//! Delivery events through their queue: applied once, whoever dies and whatever is away.

use mailfleet_model::{
    Class, Counters, DeliveryEvent, ENVELOPE_VERSION, Encoding, Envelope, EventKind, InboxId, JobId, Lane,
    Permanence, Work,
};
use mailfleet_queue::{Enqueued, NewJob, Queue, Queues, State};
use mailfleet_store::{DeadState, NewOutbound};
use mailfleet_testkit::{PostgresServer, eventually};

use crate::world::{Consumer, LONG, World, mails};

const ANN: &str = "ann@example.com";

/// The queue of events beside the world's queue of mails.
fn events_queue(world: &World<'_>) -> Queue {
    Queue::connect(&world.queue.config().for_events()).unwrap()
}

async fn register(world: &World<'_>, numbers: std::ops::RangeInclusive<u32>) {
    let messages: Vec<NewOutbound> = numbers
        .map(|number| NewOutbound {
            tenant: world.tenant,
            message_id: format!("{number}@acme.example"),
            account: Some(world.own.0),
            campaign: None,
            lead: None,
            from: "sales@acme.example".to_owned(),
            recipients: vec![ANN.to_owned()],
            to_header: ANN.to_owned(),
            subject: "Offer".to_owned(),
            aliases: Vec::new(),
            created: chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        })
        .collect();
    world.store.register_outbound(&messages).await.unwrap();
}

fn bounce(number: u32) -> DeliveryEvent {
    DeliveryEvent {
        message_id: Some(format!("{number}@acme.example")),
        permanence: Some(Permanence::Hard),
        ..DeliveryEvent::new(EventKind::Bounced, ANN)
    }
}

/// A webhook call that was taken: its row, with whatever JSON.
fn call(world: &World<'_>, events: &str) -> InboxId {
    let sql = format!(
        "INSERT INTO mailfleet.webhook_inbox (endpoint_id, tenant_id, provider, dedupe, body, events) \
         VALUES (gen_random_uuid(), '{}', 'generic', 'x', '', '{events}') RETURNING id",
        world.tenant
    );
    InboxId(world.sql(&sql).lines().next().unwrap().parse().unwrap())
}

fn calls(world: &World<'_>, numbers: std::ops::RangeInclusive<u32>) -> Vec<InboxId> {
    numbers.map(|number| call(world, &serde_json::to_string(&[bounce(number)]).unwrap())).collect()
}

fn job(inbox: InboxId) -> NewJob {
    let envelope = Envelope {
        v: ENVELOPE_VERSION,
        work: Work::Events { inbox },
        size: 0,
        message_id: None,
        direction: mailfleet_model::Direction::default(),
        flags: Vec::new(),
        internal_date_ms: None,
        enqueued_at_ms: 1_700_000_000_000,
        encoding: Encoding::Identity,
        traceparent: None,
    };
    NewJob { envelope, lane: Lane::High, raw: bytes::Bytes::new() }
}

async fn enqueue(queue: &Queue, rows: &[InboxId]) -> Vec<JobId> {
    let answers = queue.enqueue(rows.iter().copied().map(job).collect()).await.unwrap();
    assert!(answers.iter().all(|answer| *answer == Enqueued::Queued), "{answers:?}");
    rows.iter().copied().map(JobId::events).collect()
}

async fn until_empty(queue: &Queue) {
    eventually("an empty queue of events", LONG, || async {
        let depth = queue.depth().await.ok()?;
        Lane::ALL.into_iter().all(|lane| depth.lane(lane).total() == Some(0)).then_some(())
    })
    .await;
}

fn bounced(world: &World<'_>) -> String {
    world.sql("SELECT count(*) FROM email_messages WHERE status = 'bounced'")
}

async fn until_bounced(world: &World<'_>, count: u32) {
    eventually(&format!("{count} bounced messages"), LONG, || async {
        (bounced(world) == count.to_string()).then_some(())
    })
    .await;
}

async fn until_in_flight(queue: &Queue, job: &JobId) {
    eventually("the entry in a consumer's hands", LONG, || async {
        let location = queue.locate(job).await.unwrap()?;
        matches!(location.state, State::InFlight { .. }).then_some(())
    })
    .await;
}

fn applied(consumer: &Consumer, result: &str) -> u64 {
    consumer.metric("mailfleet_events_applied_total", &[&format!("result=\"{result}\"")])
}

#[tokio::test]
async fn an_event_that_is_enqueued_changes_the_status_of_its_message() {
    let world = World::new().await;
    let queue = events_queue(&world);
    let consumer = world.consumer("");
    register(&world, 1..=1).await;
    enqueue(&queue, &calls(&world, 1..=2)).await;
    until_bounced(&world, 1).await;
    until_empty(&queue).await;
    // Mails go on beside it, and each queue shows its own depth.
    world.enqueue(mails(1..=3)).await;
    world.until_stored(4).await;
    assert_eq!((applied(&consumer, "matched"), applied(&consumer, "waiting")), (1, 1));
    assert_eq!((consumer.processed("applied"), consumer.processed("persisted")), (2, 3));
    for name in ["delivery:events", "email:processing"] {
        let shown = format!("mailfleet_queue_backlog_entries{{queue=\"{name}\"}}");
        eventually(&shown, LONG, || async { consumer.get("/metrics").1.contains(&shown).then_some(()) })
            .await;
    }
    // The second one's message comes later.
    register(&world, 2..=2).await;
    assert_eq!(bounced(&world), "2");
    assert!(world.letters().await.is_empty());
}

#[tokio::test]
async fn killed_again_and_again_every_event_is_applied_once_and_none_is_dead() {
    let world = World::new().await;
    let queue = events_queue(&world);
    register(&world, 1..=120).await;
    // Slow enough that each death finds work in hand.
    world.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON mailfleet.delivery_events FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    enqueue(&queue, &calls(&world, 1..=120)).await;
    for round in 1..=3 {
        let consumer = world.consumer("event_workers = 2\nbatch_count = 20\n");
        eventually(&format!("work in hand, round {round}"), LONG, || async {
            let depth = queue.depth().await.ok()?;
            let done: u32 = bounced(&world).parse().unwrap();
            (depth.lane(Lane::High).in_flight? > 0 && done >= round * 20).then_some(())
        })
        .await;
        consumer.0.sigkill();
    }
    let consumer = world.consumer("");
    until_bounced(&world, 120).await;
    until_empty(&queue).await;
    assert_eq!(
        world.sql("SELECT count(*), count(DISTINCT message_id) FROM mailfleet.delivery_events"),
        "120|120"
    );
    assert_eq!(world.sql("SELECT count(*) FROM mailfleet.webhook_inbox WHERE applied IS NULL"), "0");
    assert_eq!(applied(&consumer, "duplicate"), 0, "a row is marked in the transaction of its events");
    assert!(world.letters().await.is_empty());
    assert_eq!(consumer.processed("retried"), 0);
}

#[tokio::test]
async fn an_outage_of_postgresql_burns_nothing() {
    let postgres = PostgresServer::start().unwrap();
    let world = World::on(&postgres).await;
    let queue = events_queue(&world);
    register(&world, 1..=10).await;
    // The first event waits for the test, so that the outage finds it under way.
    world.sql(
        "CREATE TABLE door (id integer); INSERT INTO door VALUES (1); GRANT SELECT ON door TO PUBLIC; \
         CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60) FROM door; RETURN NEW; END $$; \
         CREATE TRIGGER act BEFORE INSERT ON mailfleet.delivery_events FOR EACH ROW EXECUTE FUNCTION act()",
    );
    let consumer = world.consumer("");
    let rows = calls(&world, 1..=10);
    let mut jobs = enqueue(&queue, &rows[..1]).await;
    eventually("work in hand", LONG, || async {
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        (world.sql(sleeping) == "1").then_some(())
    })
    .await;
    postgres.kill();
    consumer.until_ready(503).await;
    jobs.extend(enqueue(&queue, &rows[1..]).await);
    for job in &jobs {
        assert_eq!(queue.locate(job).await.unwrap().unwrap().counters, Counters::default());
    }
    assert_eq!(queue.depth().await.unwrap().lane(Lane::High).waiting, Some(9), "nothing is claimed");
    postgres.start_again().unwrap();
    world.sql("DELETE FROM door");
    until_bounced(&world, 10).await;
    until_empty(&queue).await;
    consumer.until_ready(200).await;
    assert_eq!((consumer.processed("applied"), consumer.processed("retried")), (10, 0));
    assert!(world.letters().await.is_empty());
}

#[tokio::test]
async fn a_row_that_cannot_be_applied_is_a_dead_letter_that_can_be_replayed() {
    let world = World::new().await;
    let queue = events_queue(&world);
    let consumer = world.consumer("");
    register(&world, 1..=3).await;
    let mut rows = calls(&world, 1..=2);
    rows.push(call(&world, r#"{"no": "list"}"#));
    let job = enqueue(&queue, &rows).await.remove(2);
    let letter = world.until_dead(&job).await;
    until_empty(&queue).await;
    until_bounced(&world, 2).await;
    assert_eq!((letter.reason.as_str(), letter.class), ("refused_by_postgresql", Class::Data));
    assert_eq!((letter.tenant, letter.at, letter.raw), (Some(world.tenant), None, None));
    assert_eq!((consumer.processed("applied"), consumer.processed("dead_lettered")), (2, 1));

    let events = serde_json::to_string(&[bounce(3)]).unwrap();
    world.sql(&format!("UPDATE mailfleet.webhook_inbox SET events = '{events}' WHERE applied IS NULL"));
    let envelope = Envelope::decode(letter.envelope_json.to_string().as_bytes()).unwrap();
    let again = NewJob { envelope, lane: letter.lane, raw: bytes::Bytes::new() };
    let queues = Queues::connect(world.queue.config()).unwrap();
    assert_eq!(queues.replay(vec![again]).await.unwrap(), [Enqueued::Queued]);
    until_bounced(&world, 3).await;
    until_empty(&queue).await;
    assert_eq!(world.until_dead(&job).await.state, DeadState::Resolved);
}

#[tokio::test]
async fn an_event_that_missed_its_message_is_matched_by_a_consumer_that_runs() {
    let world = World::new().await;
    register(&world, 1..=2).await;
    // They stand apart although both are there: whoever wrote these events took no lock and did not look.
    let missed = |number: u32| {
        world.sql(&format!(
            "INSERT INTO mailfleet.delivery_events (source, tenant_id, kind, message_id, recipient, permanence, occurred) \
             VALUES ('w:{number}:0', '{}', 'bounced', '{number}@acme.example', '{ANN}', 'hard', now())",
            world.tenant
        ))
    };
    missed(1);
    // The message of this one is nowhere: it goes on waiting.
    missed(3);
    assert_eq!(bounced(&world), "0");
    let consumer = world.consumer("match_sweep_seconds = 1\n");
    until_bounced(&world, 1).await;
    consumer.until_metric("mailfleet_events_matched_late_total", &[], 1).await;
    // Not only once, at the start.
    missed(2);
    until_bounced(&world, 2).await;
    consumer.until_metric("mailfleet_events_matched_late_total", &[], 2).await;
    assert_eq!(
        world.sql(
            "SELECT e.message_id, m.message_id FROM mailfleet.delivery_events e \
             LEFT JOIN mailfleet.messages m USING (storage_key) ORDER BY 1"
        ),
        "1@acme.example|1@acme.example\n2@acme.example|2@acme.example\n3@acme.example|"
    );
    consumer.0.wait_for_line("events had missed their messages", LONG).unwrap();
}

#[tokio::test]
async fn an_entry_whose_row_is_gone_is_done_and_counted() {
    let world = World::new().await;
    let queue = events_queue(&world);
    let consumer = world.consumer("");
    enqueue(&queue, &[InboxId(4_711)]).await;
    until_empty(&queue).await;
    consumer.until_metric("mailfleet_inbox_rows_missing_total", &[], 1).await;
    assert!(world.letters().await.is_empty());
}

#[tokio::test]
async fn a_stopping_consumer_hands_events_back_within_its_deadline() {
    let world = World::new().await;
    let queue = events_queue(&world);
    register(&world, 1..=1).await;
    world.sql(
        "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$; \
         CREATE TRIGGER act BEFORE INSERT ON mailfleet.delivery_events FOR EACH ROW EXECUTE FUNCTION act()",
    );
    let consumer = world.consumer("[shutdown]\ndrain_seconds = 3\n");
    let job = enqueue(&queue, &calls(&world, 1..=1)).await.remove(0);
    until_in_flight(&queue, &job).await;
    consumer.0.sigterm();
    let status = consumer.0.wait_exit(std::time::Duration::from_secs(4)).unwrap();
    assert!(status.success(), "{status}\n{}", consumer.0.stderr());
    let location = queue.locate(&job).await.unwrap().unwrap();
    assert!(matches!(location.state, State::Waiting), "{location:?}");
    let counters = location.counters;
    assert_eq!((counters.attempts, counters.crashes, counters.drains), (0, 0, 1));
    world.sql("DROP TRIGGER act ON mailfleet.delivery_events");
    let _consumer = world.consumer("");
    until_bounced(&world, 1).await;
}

/// What a server sends back that forwards `ann@example.com` to an address that fails.
fn forwarded_report(number: u32) -> Vec<u8> {
    let report = format!(
        "From: MAILER-DAEMON@mx.example.com\nTo: sales@acme.example\nSubject: Undelivered Mail\n\
         Message-ID: <dsn.{number}@mx.example.com>\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
         --b\nContent-Type: text/plain\n\nSorry.\n\
         --b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.com\n\n\
         Original-Recipient: rfc822;{ANN}\nFinal-Recipient: rfc822;x@elsewhere.example\nAction: failed\nStatus: 5.1.1\n\n\
         --b\nContent-Type: message/rfc822\n\nMessage-ID: <{number}@acme.example>\nTo: {ANN}\n\nHi\n--b--\n"
    );
    report.replace('\n', "\r\n").into_bytes()
}

#[tokio::test]
async fn a_report_of_a_server_that_forwards_counts_for_the_recipient_we_wrote_to() {
    let world = World::new().await;
    let _consumer = world.consumer("");
    register(&world, 1..=1).await;
    world.enqueue((1..=2).map(|number| (number, forwarded_report(number)))).await;
    until_bounced(&world, 1).await;
    // Also where the message becomes known after its report.
    world.until_stored(3).await;
    register(&world, 2..=2).await;
    assert_eq!(bounced(&world), "2");
    let sql = "SELECT count(*), string_agg(DISTINCT recipient || '=' || status, ' ') FROM mailfleet.message_recipients";
    assert_eq!(world.sql(sql), format!("2|{ANN}=5"));
    let sql = "SELECT string_agg(split_part(source, ':', 3) || ' ' || recipient, ', ' ORDER BY id) FROM mailfleet.delivery_events";
    assert_eq!(world.sql(sql), "0 x@elsewhere.example, 0 x@elsewhere.example");
}

#[tokio::test]
async fn events_of_a_newer_version_wait_uncounted_for_a_consumer_that_knows_them() {
    let world = World::new().await;
    let queue = events_queue(&world);
    let consumer = world.consumer("");
    consumer.until_ready(200).await;
    assert!(
        consumer.get("/metrics").1.contains("\nmailfleet_inbox_rows_newer_total 0\n"),
        "there from the start"
    );
    register(&world, 1..=2).await;
    let newer = call(&world, r#"[{"kind": "exploded", "recipient": "x"}]"#);
    let rows = [newer, calls(&world, 1..=1).remove(0)];
    let job = enqueue(&queue, &rows).await.remove(0);
    until_bounced(&world, 1).await;
    eventually("the newer one put off", LONG, || async {
        (consumer.processed("put_off") >= 1).then_some(())
    })
    .await;
    assert_eq!(queue.locate(&job).await.unwrap().unwrap().counters, Counters::default());
    consumer.0.wait_for_line("events of a newer version", LONG).unwrap();
    assert!(consumer.metric("mailfleet_inbox_rows_newer_total", &[]) >= 1);
    // As if the consumer were the newer one now.
    let known = serde_json::to_string(&[bounce(2)]).unwrap();
    world.sql(&format!("UPDATE mailfleet.webhook_inbox SET events = '{known}' WHERE id = {newer}"));
    until_bounced(&world, 2).await;
    until_empty(&queue).await;
    assert_eq!((consumer.processed("retried"), consumer.processed("dead_lettered")), (0, 0));
}
