//! Deaths between any two steps: nothing is lost, nothing is there twice, and no letter is left open.

use mailfleet_model::{Class, Lane};
use mailfleet_queue::{Consumer, Delivery};
use mailfleet_store::{DeadOutcome, DeadState, NewDeadLetter};
use mailfleet_testkit::eventually;

use crate::world::{LONG, World, mail, mails};

#[tokio::test]
async fn an_entry_that_kills_its_process_three_times_alone_is_dead_lettered_unread() {
    let world = World::new().await;
    let job = world.enqueue([(1, mail("deadly", ""))]).await.remove(0);
    // Once in a batch and once alone, which proves nothing; then by itself.
    let victim = world.victim();
    die_with(victim.claim(10).await.unwrap());
    let mut died = Vec::new();
    for round in 0..4 {
        let victim = world.victim();
        let taken = reclaimed(&victim).await;
        assert!(taken.run_alone() && !taken.exhausted_crashes() && taken.is_suspect() == (round > 0));
        if taken.is_suspect() {
            assert!(victim.begin(&taken).await.unwrap());
            died.push(victim.name().to_string());
        }
        die_with(vec![taken]);
    }
    let consumer = world.consumer("");
    world.enqueue(mails(2..=5)).await;
    let letter = world.until_dead(&job).await;
    world.until_empty().await;
    assert_eq!((letter.reason.as_str(), letter.class), ("crashes_exhausted", Class::Hostile));
    assert_eq!((letter.counters.crashes, letter.counters.attempts), (3, 0));
    let history = letter.history.as_array().unwrap();
    let told: Vec<&str> = history.iter().map(|attempt| attempt["worker"].as_str().unwrap()).collect();
    assert_eq!(told, died, "who died of it, and nobody else");
    assert!(
        history.iter().all(|attempt| attempt["class"] == "hostile" && attempt["at_ms"].is_i64()),
        "{history:?}"
    );
    assert_eq!(letter.raw.as_deref(), Some(&mail("deadly", "")[..]));
    assert_eq!(world.subjects(), ["mail 2", "mail 3", "mail 4", "mail 5"]);
    assert_eq!(consumer.metric("mailfleet_reclaimed_total", &[]), 0, "read every few seconds");
}

#[tokio::test]
async fn death_between_the_dead_letter_and_the_move_leaves_one_letter_open_or_none() {
    let world = World::new().await;
    let stray = |domain: &str| mail(domain, &format!("Delivered-To: x@{domain}\r\n"));
    let jobs =
        world.enqueue_for(world.shared, [(1, stray("never.example")), (2, stray("later.example"))]).await;
    // The PostgreSQL half of a consumer that dies right after.
    let victim = world.victim();
    let taken = victim.claim(10).await.unwrap();
    let letters: Vec<NewDeadLetter> = taken.iter().map(letter).collect();
    assert_eq!(world.store.dead_letter(&letters).await.unwrap(), [DeadOutcome::Recorded; 2]);
    die_with(taken);
    world.store.add_domains(world.tenant, &["later.example".to_owned()]).await.unwrap();

    let consumer = world.consumer("");
    world.until_stored(1).await;
    world.until_empty().await;
    assert_eq!(world.subjects(), ["later.example"]);
    let letters = world.letters().await;
    assert_eq!(letters.iter().map(|letter| &letter.job).collect::<Vec<_>>(), jobs.iter().collect::<Vec<_>>());
    assert_eq!((letters[0].state, letters[1].state), (DeadState::Open, DeadState::Resolved));
    assert_eq!(letters[0].previous, serde_json::json!([]), "the same death, not a second one");
    assert_eq!(world.sql("SELECT outcome FROM mailfleet.mailbox_messages ORDER BY uid"), "1\n3");
    assert_eq!((consumer.processed("persisted"), consumer.processed("dead_lettered")), (1, 1));
    let depth = world.queue.depth().await.unwrap();
    assert_eq!(depth.dead, Some(1));
}

#[tokio::test]
async fn death_between_commit_and_done_changes_nothing_the_second_time() {
    let world = World::new().await;
    let consumer = world.consumer("");
    world.enqueue(mails(1..=10)).await;
    world.until_stored(10).await;
    world.until_empty().await;
    let before = world.sql("SELECT storage_key, updated, xmin FROM email_messages ORDER BY storage_key");
    // What a consumer finds that takes over from one that had committed: ledger rows, and the entries in their lane.
    world.enqueue(mails(1..=10)).await;
    // And the same mails under other numbers, as after a change of UIDVALIDITY.
    world.enqueue(mails(1..=3).map(|(uid, raw)| (uid + 100, raw))).await;
    world.until_empty().await;
    consumer.until_metric("mailfleet_processed_total", &["outcome=\"redelivered\""], 10).await;
    assert_eq!((consumer.processed("persisted"), consumer.processed("duplicate")), (10, 3));
    assert_eq!(
        world.sql("SELECT storage_key, updated, xmin FROM email_messages ORDER BY storage_key"),
        before
    );
    assert_eq!(world.sql("SELECT count(*) FROM mailfleet.mailbox_messages WHERE outcome = 3"), "13");
    assert!(world.letters().await.is_empty());
}

#[tokio::test]
async fn killed_again_and_again_every_mail_is_there_once_and_none_is_dead() {
    let world = World::new().await;
    // Slow enough that each death finds work in hand.
    world.on_message("PERFORM pg_sleep(0.005);");
    world.enqueue(mails(1..=300)).await;
    for round in 1..=3 {
        let consumer = world.consumer("workers = 2\nbatch_count = 20\n");
        eventually(&format!("work in hand, round {round}"), LONG, || async {
            let depth = world.queue.depth().await.ok()?;
            let stored: u32 = world.sql("SELECT count(*) FROM email_messages").parse().unwrap();
            (depth.lane(Lane::Normal).in_flight? > 0 && stored >= round * 20).then_some(())
        })
        .await;
        consumer.0.sigkill();
    }
    world.sql("DROP TRIGGER act ON email_messages");
    let consumer = world.consumer("");
    world.until_stored(300).await;
    world.until_empty().await;
    assert!(world.letters().await.is_empty());
    assert_eq!(consumer.processed("retried"), 0);
}

/// The one entry that `victim` reclaims next.
pub async fn reclaimed(victim: &Consumer) -> Delivery {
    let _keeper = victim.spawn_keeper().unwrap();
    eventually("a reclaim", LONG, || async { victim.reclaim(10).await.unwrap().pop() }).await
}

/// Forgets deliveries without any sign, as a process does that is killed.
pub fn die_with(deliveries: Vec<Delivery>) {
    assert!(!deliveries.is_empty());
    deliveries.into_iter().for_each(std::mem::forget);
}

fn letter(delivery: &Delivery) -> NewDeadLetter {
    NewDeadLetter {
        job: delivery.job_id().clone(),
        at: delivery.envelope().work.mail(),
        lane: delivery.lane(),
        envelope_json: serde_json::json!(delivery.envelope()),
        raw: Some(delivery.raw().clone()),
        reason: "unknown_tenant".to_owned(),
        class: Class::Policy,
        error: "nobody owns the domain".to_owned(),
        counters: delivery.counters(),
        history: serde_json::json!([]),
        tenant: None,
        account: delivery.envelope().work.mail().map(|at| at.account),
        message_id: None,
    }
}
