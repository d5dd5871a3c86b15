use std::collections::BTreeSet;

use mailfleet_model::{Direction, StorageKey};

use crate::support::{World, epoch, store, uid};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Dead,
    Vanished,
    Persist,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_order_the_greatest_outcome_stays() {
    use Step::{Dead, Persist, Vanished};
    let world = World::new().await;
    let orders: [&[Step]; 12] = [
        &[Dead, Vanished, Persist],
        &[Dead, Persist, Vanished],
        &[Vanished, Dead, Persist],
        &[Vanished, Persist, Dead],
        &[Persist, Dead, Vanished],
        &[Persist, Vanished, Dead],
        &[Dead, Vanished],
        &[Vanished, Dead],
        &[Dead, Persist],
        &[Persist, Dead],
        &[Dead],
        &[Vanished],
    ];
    for (number, order) in (1..).zip(orders) {
        for step in order {
            match step {
                Dead => {
                    world.store.dead_letter(&[world.letter(number)]).await.unwrap();
                }
                Vanished => {
                    world.store.record_vanished(world.mailbox.id, epoch(7), &[uid(number)]).await.unwrap();
                }
                Persist => {
                    world.store.persist(&[world.mail(number)]).await.unwrap();
                }
            }
        }
        let greatest = order.iter().max().map(|step| *step as i16 + 1).unwrap();
        assert_eq!(world.outcome(number), greatest, "{order:?}");
        let policy = format!("SELECT policy FROM mailfleet.mailbox_messages WHERE uid = {number}");
        assert_eq!(world.sql(&policy), if greatest == 2 { "1" } else { "" }, "{order:?}");
        // What is persisted has no dead letter that anybody would look at.
        let open = world.store.dead_letter_by_job(&world.mail(number).job).await.unwrap();
        let open = open.is_some_and(|letter| letter.state == mailfleet_store::DeadState::Open);
        assert_eq!(open, greatest < 3 && order.contains(&Dead), "{order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vanished_messages_are_counted_once_and_listed_as_outcomes() {
    let world = World::new().await;
    world.store.persist(&[world.mail(5)]).await.unwrap();
    let uids = [4, 5, 6, 6, 4_294_967_295].map(uid);
    assert_eq!(world.store.record_vanished(world.mailbox.id, epoch(7), &uids).await.unwrap(), 3);
    assert_eq!(world.store.record_vanished(world.mailbox.id, epoch(7), &uids).await.unwrap(), 0);
    let outcomes =
        async |from, to| world.store.outcomes(world.mailbox.id, epoch(7), uid(from), uid(to)).await.unwrap();
    assert_eq!(outcomes(1, u32::MAX).await, BTreeSet::from([4, 5, 6, u32::MAX].map(uid)));
    assert_eq!(outcomes(5, 6).await, BTreeSet::from([5, 6].map(uid)));
    assert_eq!(
        world.store.outcomes(world.mailbox.id, epoch(8), uid(1), uid(9)).await.unwrap(),
        BTreeSet::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_moves_up_and_within_its_epoch_alone() {
    let world = World::new().await;
    let id = world.mailbox.id;
    assert_eq!((world.mailbox.uidvalidity, world.mailbox.last_uid), (None, 0));
    assert!(!world.store.advance_cursor(id, epoch(7), uid(5)).await.unwrap(), "before the first contact");

    let begun = world.store.begin_epoch(id, epoch(7), 100).await.unwrap();
    assert_eq!((begun.uidvalidity, begun.last_uid, begun.backfill_below), (Some(epoch(7)), 0, 100));
    assert!(world.store.advance_cursor(id, epoch(7), uid(5)).await.unwrap());
    assert!(!world.store.advance_cursor(id, epoch(7), uid(5)).await.unwrap(), "the same again");
    assert!(!world.store.advance_cursor(id, epoch(7), uid(4)).await.unwrap(), "down");
    assert!(!world.store.advance_cursor(id, epoch(8), uid(6)).await.unwrap(), "another epoch");
    // UIDs are unsigned: beyond 2^31 is up.
    assert!(world.store.advance_cursor(id, epoch(7), uid(3_000_000_000)).await.unwrap());

    let again = world.store.begin_epoch(id, epoch(7), 1).await.unwrap();
    assert_eq!((again.last_uid, again.backfill_below), (3_000_000_000, 100), "a repetition changes nothing");
    let next = world.store.begin_epoch(id, epoch(4_000_000_000), 9).await.unwrap();
    assert_eq!((next.uidvalidity, next.last_uid, next.backfill_below), (Some(epoch(4_000_000_000)), 0, 9));
    assert!(
        !world.store.advance_cursor(id, epoch(7), uid(6)).await.unwrap(),
        "a late answer of the old epoch"
    );
    assert_eq!(world.store.mailbox(world.account, "INBOX").await.unwrap(), next);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_first_looks_make_one_mailbox() {
    let world = World::new().await;
    let looks: Vec<_> = (0..8)
        .map(|_| {
            let (store, account) = (store(&world.url), world.account);
            tokio::spawn(async move { store.mailbox(account, "Füße/&").await.unwrap().id })
        })
        .collect();
    let mut ids = BTreeSet::new();
    for look in looks {
        ids.insert(look.await.unwrap());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(world.store.mailboxes(world.account).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_outbound_messages_of_ours_are_known() {
    let world = World::new().await;
    let mut sent = world.mail(1);
    sent.direction = Direction::Outbound;
    sent.key = StorageKey::outbound("sent@acme.example", world.tenant);
    world.store.persist(&[sent.clone(), world.mail(2)]).await.unwrap();
    let asked = [
        sent.key.clone(),
        world.mail(2).key,
        StorageKey::outbound("sent@acme.example", mailfleet_model::TenantId(uuid::Uuid::from_u128(1))),
    ];
    let known = world.store.known_outbound(&[world.tenant].into(), &asked).await.unwrap();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), [sent.key]);
    assert!(world.store.known_outbound(&[world.tenant].into(), &[]).await.unwrap().is_empty());
}
