//! Delivery events: each counts once, finds its message, and leads to one end in any order.

mod aliases;
mod sweep;

use std::fmt::Write as _;

use mailfleet_model::{DeliveryEvent, EventKind, InboxId, Permanence, RecipientStatus, TenantId};
use mailfleet_store::{EventFate, InboxFate, NewOutbound, Persisted, Registered};
use mailfleet_testkit::eventually;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::{SOON, World, store};

pub const ANN: &str = "ann@example.com";
pub const BEN: &str = "ben@example.com";

/// A message of the world's tenant to these recipients.
pub fn message(world: &World, message_id: &str, recipients: &[&str]) -> NewOutbound {
    NewOutbound {
        tenant: world.tenant,
        message_id: message_id.to_owned(),
        account: Some(world.account),
        campaign: None,
        lead: None,
        from: "sales@acme.example".to_owned(),
        recipients: recipients.iter().map(|&recipient| recipient.to_owned()).collect(),
        to_header: recipients.join(", "),
        subject: "Offer".to_owned(),
        aliases: Vec::new(),
        created: chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
    }
}

pub fn event(kind: EventKind, message_id: &str, recipient: &str) -> DeliveryEvent {
    DeliveryEvent {
        message_id: Some(message_id.to_owned()),
        occurred_ms: Some(1_700_000_000_000),
        ..DeliveryEvent::new(kind, recipient)
    }
}

pub fn bounce(permanence: Permanence, message_id: &str, recipient: &str) -> DeliveryEvent {
    DeliveryEvent { permanence: Some(permanence), ..event(EventKind::Bounced, message_id, recipient) }
}

fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

/// A webhook call that was taken: its row of the inbox, with whatever JSON.
fn call_with(world: &World, tenant: TenantId, events: &str) -> InboxId {
    let sql = format!(
        "INSERT INTO mailfleet.webhook_inbox (endpoint_id, tenant_id, provider, dedupe, body, events) \
         VALUES (gen_random_uuid(), '{tenant}', 'generic', 'x', '', '{}') RETURNING id",
        quoted(events)
    );
    InboxId(world.sql(&sql).lines().next().unwrap().parse().unwrap())
}

pub fn call(world: &World, events: &[DeliveryEvent]) -> InboxId {
    call_with(world, world.tenant, &serde_json::to_string(events).unwrap())
}

async fn apply(world: &World, events: &[DeliveryEvent]) -> Vec<EventFate> {
    let applied = world.store.apply_inbox(&[call(world, events)]).await.unwrap().remove(0);
    assert_eq!(applied.tenant, Some(world.tenant));
    let InboxFate::Applied(fates) = applied.fate else { panic!("{applied:?}") };
    assert_eq!(fates.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), kinds(events));
    fates.into_iter().map(|(_, fate)| fate).collect()
}

fn kinds(events: &[DeliveryEvent]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}

/// The status of a message and of its recipients: `bounced: ann@example.com=5 ben@example.com=0`.
pub fn standing(world: &World, message_id: &str) -> String {
    world.sql(&format!(
        "SELECT m.status || ':' || COALESCE((SELECT string_agg(' ' || r.recipient || '=' || r.status, '' ORDER BY r.recipient) \
         FROM mailfleet.message_recipients r WHERE r.storage_key = m.storage_key), '') FROM email_messages m \
         WHERE m.storage_key LIKE 'email\\_{}\\_%'",
        message_id.replace('_', "\\_")
    ))
}

/// All that is kept of a message's recipients, but for the times of writing.
fn details(world: &World, message_id: &str) -> String {
    world.sql(&format!(
        "SELECT r.recipient, r.status, r.enhanced_status, r.smtp_code, r.diagnostic, r.reason, r.changed \
         FROM mailfleet.message_recipients r WHERE r.storage_key LIKE 'email\\_{message_id}\\_%' ORDER BY r.recipient"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_raises_its_recipient_and_tells_why() {
    let world = World::new().await;
    let registered = world.store.register_outbound(&[message(&world, "1@acme.example", &[ANN, BEN])]).await;
    assert_eq!(registered.unwrap(), [Registered::New]);
    assert_eq!(standing(&world, "1@acme.example"), format!("queued: {ANN}=0 {BEN}=0"));
    let hard = DeliveryEvent {
        enhanced_status: Some("5.1.1".to_owned()),
        smtp_code: Some(550),
        diagnostic: Some("no such user".to_owned()),
        reason: Some("userunknown".to_owned()),
        ..bounce(Permanence::Hard, "<1@acme.example>", "<Ben@Example.com>")
    };
    let events = [event(EventKind::Delivered, "1@acme.example", ANN), hard];
    assert_eq!(apply(&world, &events).await, [EventFate::Matched; 2]);
    assert_eq!(standing(&world, "1@acme.example"), format!("bounced: {ANN}=3 {BEN}=5"));
    let kept = details(&world, "1@acme.example");
    assert!(
        kept.contains("ben@example.com|5|5.1.1|550|no such user|userunknown|2023-11-14 22:13:20"),
        "{kept}"
    );
    // A later, lower event changes nothing, the details neither.
    let late = DeliveryEvent {
        diagnostic: Some("ok".to_owned()),
        ..event(EventKind::Delivered, "1@acme.example", BEN)
    };
    assert_eq!(apply(&world, &[late]).await, [EventFate::Matched]);
    assert_eq!(details(&world, "1@acme.example"), kept);
    assert_eq!(world.count("mailfleet.delivery_events WHERE storage_key IS NOT NULL"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_the_inbox_takes_effect_once_whoever_runs_it_and_however_often() {
    let world = World::new().await;
    world.store.register_outbound(&[message(&world, "1@acme.example", &[ANN])]).await.unwrap();
    let rows: Vec<InboxId> = (0..20)
        .map(|_| call(&world, &[event(EventKind::Opened, "1@acme.example", ANN)]))
        .chain([InboxId(1_000_000)])
        .collect();
    let runs = (0..4).map(|run| {
        let (store, mut rows) = (store(&world.url), rows.clone());
        rows.rotate_left(run * 5);
        tokio::spawn(async move { store.apply_inbox(&rows).await.unwrap() })
    });
    let (mut applied, mut missing) = (0, 0);
    for run in runs.collect::<Vec<_>>() {
        for row in run.await.unwrap() {
            match row.fate {
                InboxFate::Applied(events) => {
                    assert_eq!(events, [(EventKind::Opened, EventFate::Matched)]);
                    applied += 1;
                }
                InboxFate::AlreadyApplied => {}
                InboxFate::Missing => missing += 1,
                InboxFate::Newer { .. } | InboxFate::Refused { .. } => panic!("{row:?}"),
            }
        }
    }
    assert_eq!((applied, missing), (20, 4));
    assert_eq!(world.count("mailfleet.delivery_events"), 20);
    assert_eq!(world.count("mailfleet.webhook_inbox WHERE applied IS NULL"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_row_was_not_marked_is_a_duplicate() {
    let world = World::new().await;
    let row = call(&world, &[event(EventKind::Sent, "1@acme.example", ANN)]);
    let fate = async || world.store.apply_inbox(&[row]).await.unwrap().remove(0).fate;
    assert_eq!(fate().await, InboxFate::Applied(vec![(EventKind::Sent, EventFate::Waiting)]));
    assert_eq!(fate().await, InboxFate::AlreadyApplied);
    world.sql("UPDATE mailfleet.webhook_inbox SET applied = NULL");
    assert_eq!(fate().await, InboxFate::Applied(vec![(EventKind::Sent, EventFate::Duplicate)]));
    assert_eq!(world.count("mailfleet.delivery_events"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_more_events_than_one_transaction_takes_is_applied_whole() {
    let world = World::new().await;
    world.store.register_outbound(&[message(&world, "1@acme.example", &[ANN])]).await.unwrap();
    let many: Vec<DeliveryEvent> =
        (0..1_234).map(|n| event(EventKind::Sent, "1@acme.example", &format!("{n}@example.com"))).collect();
    let rows = [call(&world, &many), call(&world, &[]), call(&world, &many[..3])];
    let fates = world.store.apply_inbox(&rows).await.unwrap();
    let counts: Vec<usize> = fates
        .iter()
        .map(|applied| match &applied.fate {
            InboxFate::Applied(events) => events.len(),
            fate => panic!("{fate:?}"),
        })
        .collect();
    assert_eq!(counts, [1_234, 0, 3]);
    assert_eq!(world.count("mailfleet.message_recipients"), 1_235);
    assert_eq!(world.count("mailfleet.webhook_inbox WHERE applied IS NULL"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_refused_is_found_and_the_others_take_effect() {
    let world = World::new().await;
    // PostgreSQL refuses one event for its data, whatever it is called.
    world.sql(
        "ALTER TABLE mailfleet.delivery_events ADD CONSTRAINT odd CHECK (recipient <> 'odd@example.com')",
    );
    let good = |n: u32| vec![event(EventKind::Sent, "1@acme.example", &format!("{n}@example.com"))];
    let mut rows: Vec<InboxId> = (0..30).map(|n| call(&world, &good(n))).collect();
    rows[11] = call(&world, &[event(EventKind::Sent, "1@acme.example", "odd@example.com")]);
    rows[17] = call_with(&world, world.tenant, r#"{"not": "a list"}"#);
    rows[18] = call_with(&world, world.tenant, r#"[{"kind": "sent"}]"#);
    let fates = world.store.apply_inbox(&rows).await.unwrap();
    for (n, applied) in fates.iter().enumerate() {
        match (&applied.fate, n) {
            (InboxFate::Refused { code, .. }, 11) => assert_eq!(code, "23514"),
            (InboxFate::Refused { code, .. }, 17 | 18) => assert_eq!(code, "unreadable"),
            (InboxFate::Applied(_), _) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.count("mailfleet.delivery_events"), 27);
    // Those two that were replaced above were not asked for.
    assert_eq!(world.count("mailfleet.webhook_inbox WHERE applied IS NULL"), 3 + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_about_another_recipient_makes_it_one_unless_it_stands_beside_the_status() {
    let world = World::new().await;
    world.store.register_outbound(&[message(&world, "1@acme.example", &[ANN])]).await.unwrap();
    apply(&world, &[event(EventKind::Delivered, "1@acme.example", ANN)]).await;
    for kind in [EventKind::Opened, EventKind::Clicked, EventKind::Unsubscribed] {
        assert_eq!(apply(&world, &[event(kind, "1@acme.example", BEN)]).await, [EventFate::Matched]);
    }
    assert_eq!(standing(&world, "1@acme.example"), format!("delivered: {ANN}=3"));
    apply(&world, &[event(EventKind::Deferred, "1@acme.example", BEN)]).await;
    assert_eq!(standing(&world, "1@acme.example"), format!("deferred: {ANN}=3 {BEN}=2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_event_with_the_same_message_id_changes_nothing() {
    let world = World::new().await;
    let other = world.store.add_tenant(None, "rival", &[]).await.unwrap();
    let aliases = vec!["ses:1".to_owned()];
    let ours = NewOutbound { aliases, ..message(&world, "1@acme.example", &[ANN]) };
    world.store.register_outbound(&[ours]).await.unwrap();
    let before = details(&world, "1@acme.example");
    let foreign = [
        bounce(Permanence::Hard, "1@acme.example", ANN),
        DeliveryEvent {
            message_id: None,
            alias: Some("ses:1".to_owned()),
            ..bounce(Permanence::Hard, "", ANN)
        },
    ];
    let row = call_with(&world, other, &serde_json::to_string(&foreign).unwrap());
    let applied = world.store.apply_inbox(&[row]).await.unwrap().remove(0);
    let waiting = (EventKind::Bounced, EventFate::Waiting);
    assert_eq!((applied.tenant, applied.fate), (Some(other), InboxFate::Applied(vec![waiting; 2])));
    assert_eq!(world.store.match_waiting(0, 100).await.unwrap().matched, 0);
    assert_eq!(details(&world, "1@acme.example"), before);
    assert_eq!(standing(&world, "1@acme.example"), format!("queued: {ANN}=0"));
    // The other tenant's own message has it.
    let theirs = NewOutbound { tenant: other, account: None, ..message(&world, "1@acme.example", &[ANN]) };
    world.store.register_outbound(&[theirs]).await.unwrap();
    assert_eq!(
        world.sql("SELECT string_agg(status, ',' ORDER BY status) FROM email_messages"),
        "bounced,queued"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_as_badly_off_as_the_model_says_for_every_pair_of_statuses() {
    let world = World::new().await;
    let of = |status: RecipientStatus, id: &str, recipient: &str| match status {
        RecipientStatus::Queued => None,
        RecipientStatus::Sent => Some(event(EventKind::Sent, id, recipient)),
        RecipientStatus::Deferred => Some(event(EventKind::Deferred, id, recipient)),
        RecipientStatus::Delivered => Some(event(EventKind::Delivered, id, recipient)),
        RecipientStatus::BouncedSoft => Some(bounce(Permanence::Soft, id, recipient)),
        RecipientStatus::BouncedHard => Some(bounce(Permanence::Hard, id, recipient)),
        RecipientStatus::Complained => Some(event(EventKind::Complained, id, recipient)),
    };
    let (mut messages, mut events, mut expected) = (Vec::new(), Vec::new(), String::new());
    for one in RecipientStatus::ALL {
        for other in RecipientStatus::ALL {
            let id = format!("{}{}@acme.example", one.rank(), other.rank());
            messages.push(message(&world, &id, &[ANN, BEN]));
            events.extend(of(one, &id, ANN));
            events.extend(of(other, &id, BEN));
            let worst = RecipientStatus::worst([one, other]).unwrap();
            writeln!(expected, "{}{}|{worst}", one.rank(), other.rank()).unwrap();
        }
    }
    world.store.register_outbound(&messages).await.unwrap();
    apply(&world, &events).await;
    let found =
        world.sql("SELECT substr(storage_key, 7, 2), status FROM email_messages ORDER BY storage_key");
    assert_eq!(found, expected.trim_end());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_newer_version_waits_for_it_whole() {
    let world = World::new().await;
    let newer = r#"[{"kind": "sent", "recipient": "a@example.com"}, {"kind": "exploded", "recipient": "x", "more": 1}]"#;
    let rows = [call_with(&world, world.tenant, newer), call(&world, &[event(EventKind::Sent, "1@a", ANN)])];
    let applied = world.store.apply_inbox(&rows).await.unwrap();
    let InboxFate::Newer { message } = &applied[0].fate else { panic!("{applied:?}") };
    assert!(message.contains("`exploded`"), "{message}");
    assert_eq!(applied[1].fate, InboxFate::Applied(vec![(EventKind::Sent, EventFate::Waiting)]));
    assert_eq!(world.count("mailfleet.delivery_events"), 1);
    assert_eq!(world.count("mailfleet.webhook_inbox WHERE applied IS NULL"), 1);
}

/// How an event names the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    Id,
    Alias,
    Both,
    /// By the alias, and by a Message-ID that the provider made up.
    Foreign,
}

/// What happens to one message, in some order.
#[derive(Debug, Clone)]
enum Step {
    /// With its alias, or without; to these.
    Register(bool, &'static [&'static str]),
    Event(Naming, DeliveryEvent),
    /// A mail that came back; it names one recipient or, from a server that forwards, two.
    Returned(DeliveryEvent),
}

impl Step {
    /// Whether it ties the alias to the message.
    fn ties(&self) -> bool {
        matches!(self, Self::Register(true, _) | Self::Event(Naming::Both, _))
    }
}

fn any_returned() -> impl Strategy<Value = Step> {
    let address = || {
        prop::sample::select(vec![ANN, BEN, "late@example.com", "new@example.com", "stranger@example.com"])
    };
    let permanence = prop::sample::select(vec![Permanence::Soft, Permanence::Hard]);
    (address(), prop::option::of(address()), permanence, 0i64..3).prop_map(
        |(recipient, original, permanence, second)| {
            Step::Returned(DeliveryEvent {
                permanence: Some(permanence),
                original_recipient: original.filter(|&original| original != recipient).map(str::to_owned),
                occurred_ms: Some(1_700_000_000_000 + second * 1_000),
                ..DeliveryEvent::new(EventKind::Bounced, recipient)
            })
        },
    )
}

fn any_event() -> impl Strategy<Value = Step> {
    let naming = prop::sample::select(vec![Naming::Id, Naming::Alias, Naming::Both, Naming::Foreign]);
    let recipient = prop::sample::select(vec![ANN, BEN, "new@example.com"]);
    let permanence = prop::option::of(prop::sample::select(vec![Permanence::Soft, Permanence::Hard]));
    (prop::sample::select(EventKind::ALL.to_vec()), permanence, recipient, 0i64..3, 0u16..3, naming).prop_map(
        |(kind, permanence, recipient, second, code, naming)| {
            let event = DeliveryEvent {
                permanence: permanence.filter(|_| kind == EventKind::Bounced),
                occurred_ms: Some(1_700_000_000_000 + second * 1_000),
                smtp_code: (code > 0).then_some(549 + code),
                ..DeliveryEvent::new(kind, recipient)
            };
            Step::Event(naming, event)
        },
    )
}

#[test]
fn whatever_order_events_and_registration_come_in_and_however_often_the_end_is_the_same() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::new());
    let number = std::cell::Cell::new(0u32);
    // Each case is two histories of a message: the same steps in two orders, in the second some of them twice.
    let step = || prop_oneof![3 => any_event(), 2 => any_returned()];
    let steps = (prop::collection::vec(step(), 1..8), any::<bool>()).prop_flat_map(|(mut steps, told)| {
        steps.push(Step::Register(told, &[ANN]));
        steps.push(Step::Register(false, &[BEN, "late@example.com"]));
        let mut again = steps.clone();
        again.extend_from_slice(&steps[..steps.len() / 2]);
        (Just(steps).prop_shuffle(), Just(again).prop_shuffle())
    });
    let config = ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&steps, |(one, other)| {
        let ends = [one.clone(), other].map(|steps| {
            number.set(number.get() + 1);
            runtime.block_on(live_through(&world, number.get(), &steps))
        });
        prop_assert_eq!(&ends[0], &ends[1]);
        // And it is the one of the model.
        let mut statuses = std::collections::BTreeMap::from([
            (ANN.to_owned(), RecipientStatus::Queued),
            (BEN.to_owned(), RecipientStatus::Queued),
            ("late@example.com".to_owned(), RecipientStatus::Queued),
        ]);
        let tied = one.iter().any(Step::ties);
        for step in &one {
            if let Step::Event(naming, event) = step
                && (tied || *naming == Naming::Id)
                && let Some(status) = event.status()
            {
                let known = statuses.entry(event.recipient.clone()).or_insert(RecipientStatus::Queued);
                *known = known.raised_by(status);
            }
        }
        // A returned mail makes no recipients: it is said of all of them that it names.
        for step in &one {
            if let Step::Returned(event) = step {
                for address in event.original_recipient.iter().chain([&event.recipient]) {
                    if let Some(known) = statuses.get_mut(address) {
                        *known = known.raised_by(event.status().unwrap());
                    }
                }
            }
        }
        let worst = RecipientStatus::worst(statuses.values().copied()).unwrap();
        let expected: Vec<String> =
            statuses.iter().map(|(recipient, status)| format!(" {recipient}={}", status.rank())).collect();
        prop_assert_eq!(&ends[0].0, &format!("{worst}:{}", expected.concat()));
        Ok(())
    });
    outcome.unwrap();
}

async fn live_through(world: &World, number: u32, steps: &[Step]) -> (String, String) {
    let (id, alias) = (format!("{number}@acme.example"), format!("ses:{number}"));
    for (at, step) in (1u32..).zip(steps) {
        match step {
            Step::Register(told, recipients) => {
                let aliases = told.then(|| alias.clone()).into_iter().collect();
                let message = NewOutbound { aliases, ..message(world, &id, recipients) };
                world.store.register_outbound(&[message]).await.unwrap();
            }
            Step::Returned(event) => {
                let mut mail = world.mail(number * 100 + at);
                mail.events = vec![DeliveryEvent { message_id: Some(id.clone()), ..event.clone() }];
                assert_eq!(world.store.persist(&[mail]).await.unwrap(), [Persisted::New]);
            }
            Step::Event(naming, event) => {
                let event = DeliveryEvent {
                    message_id: match naming {
                        Naming::Id | Naming::Both => Some(id.clone()),
                        Naming::Foreign => Some(format!("{number}@provider.example")),
                        Naming::Alias => None,
                    },
                    alias: (*naming != Naming::Id).then(|| alias.clone()),
                    ..event.clone()
                };
                apply(world, &[event]).await;
            }
        }
    }
    (standing(world, &id), details(world, &id))
}

/// Makes a transaction that wrote to `table` stand still at its COMMIT until the test lets go of lock 42.
fn stop_at_commit(world: &World, table: &str) {
    world.sql(&format!(
        "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(42); RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER stop AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION stop()"
    ));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Message,
    Event,
}

/// The first one has looked and stands right before its COMMIT when the second one comes; the standing at the end.
async fn at_one_moment(first: First, locks: bool) -> (World, String) {
    let world = World::new().await;
    stop_at_commit(
        &world,
        if first == First::Message { "email_messages" } else { "mailfleet.delivery_events" },
    );
    if !locks {
        // The match locks are a call that finds this function first; everything else is as ever.
        world.sql(
            "CREATE FUNCTION public.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS 'SELECT'; \
             DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$",
        );
    }
    // Connections that are new, so that they know of it.
    let (one, other) = (store(&world.url), store(&world.url));
    let message = message(&world, "1@acme.example", &[ANN]);
    let row = call(&world, &[bounce(Permanence::Hard, "1@acme.example", ANN)]);
    let rival = world.rival().await;
    rival.batch_execute("SELECT pg_catalog.pg_advisory_lock(42)").await.unwrap();
    let register = |store: mailfleet_store::Store| {
        tokio::spawn(async move { store.register_outbound(&[message]).await.map(|_| ()) })
    };
    let apply = |store: mailfleet_store::Store| {
        tokio::spawn(async move { store.apply_inbox(&[row]).await.map(|_| ()) })
    };
    let waiting = async |count: u32| {
        eventually("transactions that wait", SOON, async || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            (world.sql(sql) == count.to_string()).then_some(())
        })
        .await;
    };
    let (first, second) = if first == First::Message {
        let first = register(one);
        waiting(1).await;
        (first, apply(other))
    } else {
        let first = apply(one);
        waiting(1).await;
        (first, register(other))
    };
    let second = if locks {
        // The second one waits for the first one's match lock.
        waiting(2).await;
        rival.batch_execute("SELECT pg_catalog.pg_advisory_unlock(42)").await.unwrap();
        second
    } else {
        // The second one passes, and cannot see what the first one wrote.
        second.await.unwrap().unwrap();
        rival.batch_execute("SELECT pg_catalog.pg_advisory_unlock(42)").await.unwrap();
        tokio::spawn(async { Ok(()) })
    };
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    let standing = standing(&world, "1@acme.example");
    (world, standing)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_and_its_message_committed_at_one_moment_find_each_other() {
    for first in [First::Message, First::Event] {
        let (_, standing) = at_one_moment(first, true).await;
        assert_eq!(standing, format!("bounced: {ANN}=5"), "{first:?} first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_match_lock_they_miss_each_other_and_the_sweep_finds_them() {
    for first in [First::Message, First::Event] {
        let (world, standing_then) = at_one_moment(first, false).await;
        assert_eq!(standing_then, format!("queued: {ANN}=0"), "{first:?} first: what the lock is for");
        let swept = world.store.match_waiting(0, 10).await.unwrap();
        assert_eq!((swept.looked_at, swept.matched, swept.failed, swept.next), (1, 1, 0, None));
        assert_eq!(standing(&world, "1@acme.example"), format!("bounced: {ANN}=5"));
        assert_eq!(world.store.match_waiting(0, 10).await.unwrap().looked_at, 0);
    }
}
