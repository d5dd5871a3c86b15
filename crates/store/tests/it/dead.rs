use std::time::Duration;

use chrono::{DateTime, Utc};
use mailfleet_model::{Class, Counters, EventKind, InboxId, JobId, Lane};
use mailfleet_store::{DeadFilter, DeadOutcome, DeadState, Discarded, InboxFate, NewDeadLetter, Persisted};
use serde_json::json;

use crate::dead_actions::actor;
use crate::events::{ANN, call, event};
use crate::support::{World, store};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_keeps_all_that_is_needed_to_see_why_and_to_go_on() {
    let world = World::new().await;
    let written = world.letter(1);
    assert_eq!(
        world.store.dead_letter(std::slice::from_ref(&written)).await.unwrap(),
        [DeadOutcome::Recorded]
    );
    let letter = world.store.dead_letter_by_job(&written.job).await.unwrap().unwrap();
    assert_eq!(world.store.dead_letter_by_id(letter.id).await.unwrap().unwrap(), letter);
    assert_eq!((letter.at, letter.lane, letter.class), (written.at, Lane::Normal, Class::Policy));
    assert_eq!((&letter.raw, letter.raw_size_bytes), (&written.raw, Some(10)));
    assert_eq!((&letter.envelope_json, &letter.history), (&written.envelope_json, &written.history));
    assert_eq!(letter.counters, Counters { attempts: 2, crashes: 1, drains: 3 });
    assert_eq!((letter.state, letter.closed, letter.account), (DeadState::Open, None, Some(world.account)));
    assert_eq!(letter.message_id.as_deref(), Some("1@mail.example"));
    let listed = world.store.dead_letters(&DeadFilter::default()).await.unwrap().letters;
    assert_eq!((listed.len(), &listed[0].raw, listed[0].raw_size_bytes), (1, &None, Some(10)));
    assert_eq!(world.outcome(1), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_letter_is_resolved_in_the_transaction_that_stores_its_mail() {
    let world = World::new().await;
    let job = world.letter(1).job;
    world.store.dead_letter(&[world.letter(1)]).await.unwrap();
    let id = world.store.dead_letter_by_job(&job).await.unwrap().unwrap().id;
    assert_eq!(world.store.mark_replayed(&[id], None).await.unwrap(), [id]);
    assert_eq!(world.store.mark_replayed(&[id], None).await.unwrap(), Vec::<i64>::new());
    assert_eq!(world.store.dead_count().await.unwrap(), []);
    assert_eq!(world.store.persist(&[world.mail(1)]).await.unwrap(), [Persisted::New]);
    let letter = world.store.dead_letter_by_job(&job).await.unwrap().unwrap();
    assert_eq!((letter.state, letter.raw, letter.raw_size_bytes), (DeadState::Resolved, None, Some(10)));
    assert!(letter.closed.is_some());
    assert_eq!(world.outcome(1), 3);
    // The loser of a race cannot bury what is stored.
    let again = world.store.dead_letter(&[world.letter(1), world.letter(2)]).await.unwrap();
    assert_eq!(again, [DeadOutcome::AlreadyPersisted, DeadOutcome::Recorded]);
    assert_eq!(world.store.dead_letter_by_job(&job).await.unwrap().unwrap().state, DeadState::Resolved);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_dies_again_is_open_again_and_remembers_its_former_deaths() {
    let world = World::new().await;
    let mut letter = world.letter(1);
    world.store.dead_letter(std::slice::from_ref(&letter)).await.unwrap();
    // Written again before the entry left its lane: still one death.
    world.store.dead_letter(&[letter.clone(), letter.clone()]).await.unwrap();
    let first = world.store.dead_letter_by_job(&letter.job).await.unwrap().unwrap();
    assert_eq!(first.previous, json!([]));
    letter.reason = "attempts_exhausted".to_owned();
    letter.raw = None;
    for death in 1..=25 {
        assert_eq!(world.store.mark_replayed(&[first.id], None).await.unwrap(), [first.id]);
        letter.error = format!("death {death}");
        world.store.dead_letter(std::slice::from_ref(&letter)).await.unwrap();
    }
    let again = world.store.dead_letter_by_job(&letter.job).await.unwrap().unwrap();
    assert_eq!((again.id, again.state, again.created), (first.id, DeadState::Open, first.created));
    assert_eq!(again.raw, first.raw, "the raw mail stays where a later death has none");
    let previous = again.previous.as_array().unwrap();
    assert_eq!(previous.len(), 20);
    assert_eq!((&previous[0]["error"], &previous[19]["error"]), (&json!("death 5"), &json!("death 24")));
    assert_eq!(previous[19]["state"], "replayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_found_by_reason_tenant_time_and_state() {
    let world = World::new().await;
    let mut letters: Vec<_> = (1..=6).map(|number| world.letter(number)).collect();
    let other = world.store.add_tenant(None, "other", &["other.example".to_owned()]).await.unwrap();
    letters[0].tenant = Some(other);
    letters[1].reason = "too_large".to_owned();
    world.store.dead_letter(&letters).await.unwrap();
    let found = async |filter: DeadFilter| world.store.dead_letters(&filter).await.unwrap().letters.len();
    let all = DeadFilter::default;
    assert_eq!(found(all()).await, 6);
    assert_eq!(found(DeadFilter { limit: 4, ..all() }).await, 4);
    assert_eq!(found(DeadFilter { reason: Some("too_large".to_owned()), ..all() }).await, 1);
    assert_eq!(found(DeadFilter { tenant: Some(other), ..all() }).await, 1);
    assert_eq!(found(DeadFilter { tenant: Some(world.tenant), ..all() }).await, 5, "by their account");
    assert_eq!(found(DeadFilter { class: Some(Class::Policy), ..all() }).await, 6);
    assert_eq!(found(DeadFilter { class: Some(Class::Hostile), ..all() }).await, 0);
    assert_eq!(found(DeadFilter { account: Some(world.account), ..all() }).await, 6);
    assert_eq!(found(DeadFilter { since: Some(DateTime::<Utc>::MIN_UTC), ..all() }).await, 6);
    assert_eq!(found(DeadFilter { since: Some(DateTime::<Utc>::MAX_UTC), ..all() }).await, 0);
    let by_reason = [("too_large".to_owned(), 1), ("unknown_tenant".to_owned(), 5)];
    assert_eq!(world.store.dead_count().await.unwrap(), by_reason);

    let id = async |number: u32| {
        world.store.dead_letter_by_job(&world.letter(number).job).await.unwrap().unwrap().id
    };
    let (third, fourth) = (id(3).await, id(4).await);
    let one = DeadFilter { ids: Some(vec![third]), ..all() };
    let done = world.store.discard(&one, 1, &actor(), &json!({})).await.unwrap();
    assert!(matches!(done, Discarded::Done { .. }), "{done:?}");
    assert_eq!(world.store.mark_replayed(&[fourth, -1], None).await.unwrap(), [fourth]);
    assert_eq!(found(DeadFilter { state: Some(DeadState::Discarded), ..all() }).await, 1);
    assert_eq!(found(DeadFilter { state: None, ..all() }).await, 6);
    // A replay that the queue lost is opened again; what is open or given up is not touched by that.
    assert_eq!(world.store.reopen(&[third, fourth]).await.unwrap(), 1);
    assert_eq!(found(all()).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn replayed_letters_are_listed_page_by_page_once_their_grace_is_over() {
    let world = World::new().await;
    let letters: Vec<_> = (1..=5).map(|number| world.letter(number)).collect();
    world.store.dead_letter(&letters).await.unwrap();
    let mut ids = Vec::new();
    for letter in &letters {
        ids.push(world.store.dead_letter_by_job(&letter.job).await.unwrap().unwrap().id);
    }
    // The fifth stays open; the fourth is replayed only now.
    assert_eq!(world.store.mark_replayed(&ids[..4], None).await.unwrap().len(), 4);
    world.sql(&format!(
        "UPDATE mailfleet.dead_letters SET closed = now() - interval '61 s' WHERE id IN ({}, {}, {})",
        ids[0], ids[1], ids[2]
    ));
    let page = async |after: i64, limit: u32| -> Vec<i64> {
        let grace = Duration::from_secs(60);
        let letters = world.store.replayed_letters(grace, after, limit).await.unwrap().letters;
        assert!(letters.iter().all(|letter| letter.raw.is_none() && letter.state == DeadState::Replayed));
        letters.iter().map(|letter| letter.id).collect()
    };
    assert_eq!(page(0, 2).await, ids[..2]);
    assert_eq!(page(ids[1], 2).await, ids[2..3]);
    assert_eq!(page(ids[2], 2).await, Vec::<i64>::new());
    assert_eq!(world.store.replayed_letters(Duration::ZERO, 0, 10).await.unwrap().letters.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_burials_and_one_storage_end_with_the_mail_stored() {
    let world = World::new().await;
    for round in 0..10u32 {
        let numbers = || (round * 10 + 1)..=(round * 10 + 10);
        let letters: Vec<_> = numbers().map(|number| world.letter(number)).collect();
        let mails = world.mails(numbers());
        let (grave, shelf) = (store(&world.url), store(&world.url));
        let (buried, kept) = tokio::join!(
            tokio::spawn(async move { grave.dead_letter(&letters).await }),
            tokio::spawn(async move { shelf.persist(&mails).await }),
        );
        buried.unwrap().unwrap();
        assert_eq!(kept.unwrap().unwrap(), vec![Persisted::New; 10]);
    }
    assert_eq!(world.count("mailfleet.mailbox_messages WHERE outcome = 3"), 100);
    assert_eq!(world.count("mailfleet.dead_letters WHERE state <> 'resolved'"), 0);
}

/// The dead letter of what a webhook call brought. A job that died before it was read has no tenant.
fn letter_of(world: &World, inbox: InboxId) -> NewDeadLetter {
    NewDeadLetter {
        job: JobId::events(inbox),
        at: None,
        raw: None,
        account: None,
        message_id: None,
        ..world.letter(1)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_events_is_resolved_by_any_run_that_finds_nothing_left_to_do() {
    let world = World::new().await;
    let inbox = call(&world, &[event(EventKind::Sent, "1@acme.example", ANN)]);
    // One that is gone leaves nothing to do either.
    let gone = InboxId(4_711);
    let state = async |inbox: InboxId| {
        world.store.dead_letter_by_job(&JobId::events(inbox)).await.unwrap().unwrap().state
    };
    for inbox in [inbox, gone] {
        let outcomes = world.store.dead_letter(&[letter_of(&world, inbox)]).await.unwrap();
        assert_eq!(outcomes, [DeadOutcome::Recorded]);
        let id = world.store.dead_letter_by_job(&JobId::events(inbox)).await.unwrap().unwrap().id;
        assert_eq!(world.store.mark_replayed(&[id], None).await.unwrap(), [id]);
    }
    // As if the run that applied it had been one that closed no letters.
    world.sql("UPDATE mailfleet.webhook_inbox SET applied = now()");
    assert_eq!(state(inbox).await, DeadState::Replayed);
    let applied = world.store.apply_inbox(&[inbox, gone]).await.unwrap();
    assert_eq!((&applied[0].fate, &applied[1].fate), (&InboxFate::AlreadyApplied, &InboxFate::Missing));
    assert_eq!((state(inbox).await, state(gone).await), (DeadState::Resolved, DeadState::Resolved));
    assert_eq!(world.store.replayed_letters(Duration::ZERO, 0, 10).await.unwrap().letters, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_cannot_be_buried_and_what_lay_in_its_grave_is_resolved() {
    let world = World::new().await;
    let rows = [1, 2].map(|n| call(&world, &[event(EventKind::Sent, &format!("{n}@acme.example"), ANN)]));
    let letters = rows.map(|inbox| letter_of(&world, inbox));
    assert_eq!(world.store.dead_letter(&letters[..1]).await.unwrap(), [DeadOutcome::Recorded]);
    world.sql(&format!("UPDATE mailfleet.webhook_inbox SET applied = now() WHERE id = {}", rows[0]));
    let again = world.store.dead_letter(&letters).await.unwrap();
    assert_eq!(again, [DeadOutcome::AlreadyPersisted, DeadOutcome::Recorded]);
    assert_eq!(
        world.sql("SELECT string_agg(state, ',' ORDER BY id) FROM mailfleet.dead_letters"),
        "resolved,open"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_burials_and_one_application_leave_no_letter_open() {
    let world = World::new().await;
    for round in 0..10 {
        let rows: Vec<InboxId> = (0..5)
            .map(|n| call(&world, &[event(EventKind::Sent, &format!("{round}.{n}@acme.example"), ANN)]))
            .collect();
        let letters: Vec<_> = rows.iter().map(|&inbox| letter_of(&world, inbox)).collect();
        let (grave, hand) = (store(&world.url), store(&world.url));
        let (buried, applied) = tokio::join!(
            tokio::spawn(async move { grave.dead_letter(&letters).await }),
            tokio::spawn(async move { hand.apply_inbox(&rows).await }),
        );
        buried.unwrap().unwrap();
        assert!(applied.unwrap().unwrap().iter().all(|row| matches!(row.fate, InboxFate::Applied(_))));
    }
    assert_eq!(world.count("mailfleet.webhook_inbox WHERE applied IS NOT NULL"), 50);
    assert_eq!(world.count("mailfleet.dead_letters WHERE state <> 'resolved'"), 0);
}
