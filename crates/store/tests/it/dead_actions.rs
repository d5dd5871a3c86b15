//! Groups of dead letters, and the book of what people did to them.

use mailfleet_model::{Class, JobId};
use mailfleet_store::{
    ActionKind, ActionOutcome, Actor, Came, DeadFilter, DeadState, Discarded, NewDeadLetter, Progress,
};
use serde_json::json;

use crate::support::World;

pub fn actor() -> Actor {
    Actor { os_user: "ann".to_owned(), host: "ops.example".to_owned(), by: Some("ticket 7".to_owned()) }
}

/// Buries letters, one for each; gives their numbers.
async fn bury(world: &World, letters: &[NewDeadLetter]) -> Vec<i64> {
    world.store.dead_letter(letters).await.unwrap();
    let mut ids = Vec::new();
    for letter in letters {
        ids.push(world.store.dead_letter_by_job(&letter.job).await.unwrap().unwrap().id);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_one_cause_are_one_group_whatever_differs_from_mail_to_mail() {
    let world = World::new().await;
    let refused = |n: u32, error: String| NewDeadLetter {
        reason: "refused_by_postgresql".to_owned(),
        class: Class::Data,
        error,
        ..world.letter(n)
    };
    let alike = [
        "(23514): row 17 of <a.1@x.example> by ann@acme.example, key (id)=(17), 6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d0001",
        "(23514): row 4 of <b.2@y.example> by Bob.B@acme.example, key (id)=(4), 6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7dffff",
        "(23514): Row 99 of <> by x@acme.example, key (id)=(zz), 00000000-52a4-4f0e-9d5f-8f8a6d7d0001",
    ];
    // Another code, another domain: another cure.
    let others = [
        "(23505): row 17 of <a.1@x.example> by ann@acme.example, key (id)=(17), 6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d0001",
        "(23514): row 17 of <a.1@x.example> by ann@other.example, key (id)=(17), 6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d0001",
    ];
    let errors = alike.iter().chain(&others);
    let letters: Vec<_> = (1..).zip(errors).map(|(n, error)| refused(n, (*error).to_owned())).collect();
    let ids = bury(&world, &letters).await;
    // One from before there were groups, of the same cause.
    let old = bury(&world, &[refused(9, alike[0].to_owned())]).await[0];
    world.sql(&format!("UPDATE mailfleet.dead_letters SET fingerprint = NULL WHERE id = {old}"));

    let groups = world.store.dead_groups(&DeadFilter::default()).await.unwrap();
    assert_eq!(groups.iter().map(|group| group.count).collect::<Vec<_>>(), [4, 1, 1], "{groups:?}");
    let (first, letter) = (&groups[0], world.store.dead_letter_by_id(ids[0]).await.unwrap().unwrap());
    assert_eq!((&first.fingerprint, first.example, first.first), (&letter.fingerprint, old, letter.died));
    assert_eq!((first.reason.as_str(), first.class), ("refused_by_postgresql", Class::Data));
    assert!(first.last > first.first);
    let group = DeadFilter { fingerprint: Some(first.fingerprint.clone()), ..DeadFilter::default() };
    assert_eq!(world.store.dead_letters_count(&group).await.unwrap(), 4);
    // Another reason, or another class, is another cause.
    let other = NewDeadLetter { class: Class::Fault, ..refused(1, alike[0].to_owned()) };
    bury(&world, &[other]).await;
    assert_eq!(world.store.dead_letters_count(&group).await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_died_before_its_tenant_was_known_is_of_the_tenant_of_its_account() {
    let world = World::new().await;
    let (owned, shared) = (world.letter(1), world.letter(2));
    bury(&world, &[NewDeadLetter { tenant: None, ..owned }, shared]).await;
    let of_tenant = DeadFilter { tenant: Some(world.tenant), ..DeadFilter::default() };
    world.sql("UPDATE mailfleet.email_accounts SET tenant_id = NULL");
    world.sql("UPDATE mailfleet.dead_letters SET tenant_id = NULL");
    assert_eq!(world.store.dead_letters_count(&of_tenant).await.unwrap(), 0);
    world.sql(&format!("UPDATE mailfleet.email_accounts SET tenant_id = '{}'", world.tenant));
    assert_eq!(world.store.dead_letters_count(&of_tenant).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_tells_what_became_of_the_letters_of_a_replay() {
    let world = World::new().await;
    let letters: Vec<_> = (1..=5).map(|number| world.letter(number)).collect();
    let ids = bury(&world, &letters).await;
    let which = json!({ "reason": "unknown_tenant" });
    let action = world.store.begin_replay(&actor(), &which, 5).await.unwrap();
    assert_eq!(world.store.mark_replayed(&ids, Some(action)).await.unwrap().len(), 5);
    let jobs: Vec<JobId> = letters.iter().map(|letter| letter.job.clone()).collect();
    assert_eq!(world.store.replayed_jobs(&jobs).await.unwrap().len(), 5);

    world.store.persist(&[world.mail(1)]).await.unwrap();
    world.store.dead_letter(&letters[1..3]).await.unwrap();
    world.store.reopen(&ids[3..4]).await.unwrap();
    let mut came = world.store.came(action, &ids).await.unwrap();
    came.sort_by_key(|(id, _)| *id);
    let fates: Vec<Came> = came.into_iter().map(|(_, came)| came).collect();
    let want = [Came::Stored, Came::DiedAgain, Came::DiedAgain, Came::GivenBack, Came::UnderWay];
    assert_eq!(fates, want);
    assert_eq!(world.store.replayed_jobs(&jobs).await.unwrap().into_iter().collect::<Vec<_>>(), jobs[4..]);
    // What died again stays so in the book, whatever a later replay makes of it.
    world.store.mark_replayed(&ids[1..2], None).await.unwrap();
    world.store.persist(&[world.mail(2)]).await.unwrap();

    let progress = Progress { done: 5, already_queued: 1, failed: 2 };
    world.store.note_replay(action, progress).await.unwrap();
    let book = world.store.dead_letter_actions(10).await.unwrap();
    assert_eq!((book[0].ended, book[0].outcome, book[0].progress), (None, None, progress));
    world.store.end_replay(action, progress, ActionOutcome::Stopped).await.unwrap();
    world.store.end_replay(action, Progress::default(), ActionOutcome::Completed).await.unwrap();
    let book = world.store.dead_letter_actions(10).await.unwrap();
    let [line] = book.as_slice() else { panic!("{book:?}") };
    assert_eq!((line.kind, &line.actor, &line.filter), (ActionKind::Replay, &actor(), &which));
    assert_eq!((line.stored, line.died_again, line.under_way), (1, 2, 1));
    assert_eq!((line.outcome, line.progress, line.matched), (Some(ActionOutcome::Stopped), progress, 5));
    assert!(line.ended >= Some(line.began) && !line.login.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discard_is_of_as_many_as_was_said_or_of_none() {
    let world = World::new().await;
    let letters: Vec<_> = (1..=3).map(|number| world.letter(number)).collect();
    let ids = bury(&world, &letters).await;
    let (all, which) = (DeadFilter::default(), json!({ "all": true }));
    for wrong in [2, 4] {
        let said = world.store.discard(&all, wrong, &actor(), &which).await.unwrap();
        assert_eq!(said, Discarded::Otherwise { found: 3 });
    }
    assert_eq!(world.store.dead_letters_count(&all).await.unwrap(), 3);
    assert_eq!(world.store.dead_letter_actions(10).await.unwrap(), []);

    let done = world.store.discard(&all, 3, &actor(), &which).await.unwrap();
    let Discarded::Done { action } = done else { panic!("{done:?}") };
    assert_eq!(world.store.dead_letters_count(&all).await.unwrap(), 0);
    for id in &ids {
        let letter = world.store.dead_letter_by_id(*id).await.unwrap().unwrap();
        assert_eq!((letter.state, letter.raw.is_some()), (DeadState::Discarded, true));
    }
    let book = world.store.dead_letter_actions(10).await.unwrap();
    assert_eq!((book[0].id, book[0].kind, book[0].progress.done), (action, ActionKind::Discard, 3));
    assert_eq!(book[0].outcome, Some(ActionOutcome::Completed));
    let page = world.store.action_jobs(action, 0, 2).await.unwrap();
    let rest = world.store.action_jobs(action, page[1].0, 2).await.unwrap();
    let jobs: Vec<JobId> = page.into_iter().chain(rest).filter_map(|(_, job)| job).collect();
    assert_eq!(jobs, letters.iter().map(|letter| letter.job.clone()).collect::<Vec<_>>());
    // A discard can be taken back, by number.
    assert_eq!(world.store.mark_replayed(&ids[..1], None).await.unwrap(), ids[..1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_operators_reads_the_book_and_nobody_removes_from_it() {
    let world = World::new().await;
    for table in ["dead_letter_actions", "dead_letter_action_letters"] {
        let may = |role: &str, right: &str| {
            world.sql(&format!("SELECT has_table_privilege('{role}', 'mailfleet.{table}', '{right}')")) == "t"
        };
        for role in ["mailfleet_writer", "mailfleet_reader"] {
            assert!(
                ["SELECT", "INSERT", "UPDATE", "DELETE"].iter().all(|right| !may(role, right)),
                "{table}"
            );
        }
        assert!(may("mailfleet_maintenance", "SELECT") && !may("mailfleet_maintenance", "DELETE"), "{table}");
    }
}
