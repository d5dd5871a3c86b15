//! Failures that may pass cost attempts; a bad day costs nobody any.

use std::time::Duration;

use mailfleet_model::Class;
use mailfleet_testkit::eventually;

use crate::world::{LONG, World, mail, mails};

#[tokio::test]
async fn a_failure_that_passes_ends_stored_and_one_that_does_not_ends_dead_with_its_history() {
    let world = World::new().await;
    // A sequence counts on when its transaction is rolled back.
    world.sql("CREATE SEQUENCE shaken");
    world.on_message(
        "IF NEW.subject = 'shaky' AND nextval('shaken') <= 12 THEN RAISE 'not yet' USING ERRCODE = '40001'; END IF; \
         IF NEW.subject = 'stuck' THEN RAISE 'never' USING ERRCODE = '55P03'; END IF;",
    );
    let mut batch: Vec<(u32, Vec<u8>)> = mails(1..=20).collect();
    batch.push((21, mail("shaky", "")));
    batch.push((22, mail("stuck", "")));
    let jobs = world.enqueue(batch).await;
    let consumer = world.consumer("");
    world.until_stored(21).await;
    // Only while others are stored is the stuck one to blame, and not the day: mails go on coming.
    let begun = std::time::Instant::now();
    let mut stored = 21;
    let letter = loop {
        if let Some(letter) = world.store.dead_letter_by_job(&jobs[21]).await.unwrap() {
            break letter;
        }
        assert!(begun.elapsed() < LONG, "the stuck one is not dead after {stored} others");
        let uid = u32::try_from(stored).unwrap() + 2;
        world.enqueue([(uid, mail(&format!("mail {uid}"), ""))]).await;
        stored += 1;
        world.until_stored(stored).await;
    };
    world.until_empty().await;

    assert_eq!((letter.reason.as_str(), letter.class), ("attempts_exhausted", Class::Transient));
    assert_eq!((letter.counters.attempts, letter.counters.crashes), (5, 0));
    assert!(letter.error.contains("55P03") && letter.error.contains("never"), "{}", letter.error);
    let history = letter.history.as_array().unwrap();
    assert_eq!(history.len(), 5, "{history:?}");
    assert!(
        history.iter().all(|attempt| attempt["error"].as_str().unwrap().contains("55P03")),
        "{history:?}"
    );
    let times: Vec<i64> = history.iter().map(|attempt| attempt["at_ms"].as_i64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(world.letters().await.len(), 1, "the shaky one left none");
    assert_eq!(consumer.processed("persisted"), u64::try_from(stored).unwrap());
    assert_eq!(consumer.processed("dead_lettered"), 1);
    assert!(consumer.processed("retried") >= 5, "four of the stuck one, at least one of the shaky one");
}

#[tokio::test]
async fn a_fault_of_one_row_holds_nobody_and_a_fault_of_all_costs_nobody_an_attempt() {
    let world = World::new().await;
    let raise = "RAISE 'the trigger is broken' USING ERRCODE = 'XX000';";
    world.on_message(&format!("IF NEW.subject = 'strange' THEN {raise} END IF;"));
    let mut batch: Vec<(u32, Vec<u8>)> = mails(1..=20).collect();
    batch.insert(5, (100, mail("strange", "")));
    let strange = world.enqueue(batch).await.remove(5);
    let consumer = world.consumer("");
    world.until_stored(20).await;
    // Others were stored after it had failed, and then it failed again: it is the one to blame, not the day.
    let counters = eventually("an attempt of the strange one", LONG, || async {
        let location = world.queue.locate(&strange).await.unwrap().unwrap();
        (location.counters.attempts > 0).then_some(location.counters)
    })
    .await;
    assert_eq!(counters.crashes, 0);
    consumer.until_ready(200).await;

    // Now every row fails. Nobody is to blame, nothing is counted, and it shows.
    world.on_message(raise);
    let retried = consumer.processed("retried");
    let jobs = world.enqueue(mails(21..=25)).await;
    let body = consumer.until_ready(503).await;
    assert!(body.contains("XX000"), "{body}");
    eventually("all of them put off", LONG, || async { (consumer.processed("put_off") >= 5).then_some(()) })
        .await;
    for job in &jobs {
        let location = world.queue.locate(job).await.unwrap().unwrap();
        assert_eq!(location.counters, mailfleet_model::Counters::default());
    }
    // The strange one may have come again just before, and been blamed for what it did then.
    assert!(consumer.processed("retried") <= retried + 1);
    assert!(world.letters().await.is_empty());
    world.sql("DROP TRIGGER act ON email_messages");
    world.until_stored(26).await;
    world.until_empty().await;
    assert!(world.letters().await.is_empty());
    consumer.until_ready(200).await;
}

#[tokio::test]
async fn losing_against_other_transactions_costs_nobody_an_attempt() {
    let world = World::new().await;
    let consumer = world.consumer("");
    for (round, code) in ["40P01", "40001", "55P03", "26000"].into_iter().enumerate() {
        world.on_message(&format!("RAISE 'somebody else won' USING ERRCODE = '{code}';"));
        let first = u32::try_from(round).unwrap() * 3 + 1;
        let put_off = consumer.processed("put_off");
        let jobs = world.enqueue(mails(first..=first + 2)).await;
        eventually("all of them put off", LONG, || async {
            (consumer.processed("put_off") >= put_off + 3).then_some(())
        })
        .await;
        for job in &jobs {
            let location = world.queue.locate(job).await.unwrap().unwrap();
            assert_eq!(location.counters, mailfleet_model::Counters::default(), "{code}");
        }
    }
    world.sql("DROP TRIGGER act ON email_messages");
    world.until_stored(12).await;
    world.until_empty().await;
    assert_eq!((consumer.processed("retried"), consumer.processed("dead_lettered")), (0, 0));
}

#[tokio::test]
async fn a_missing_table_closes_the_gate_until_it_is_there_again() {
    let world = World::new().await;
    let consumer = world.consumer("");
    consumer.until_ready(200).await;
    world.sql("ALTER TABLE attachments RENAME TO mislaid");
    let jobs = world.enqueue([(1, with_attachment()), (2, with_attachment())]).await;
    let body = consumer.until_ready(503).await;
    assert!(body.contains("attachments"), "{body}");
    let mark = consumer.0.mark();
    world.enqueue(mails(3..=4)).await;
    // Unready for as long as it is missing, although every ping is answered.
    let begun = std::time::Instant::now();
    eventually("three seconds of it", LONG, || async {
        assert_eq!(consumer.get("/readyz").0, 503);
        (begun.elapsed() >= Duration::from_secs(3)).then_some(())
    })
    .await;
    assert!(consumer.0.mark() - mark <= 4, "{}", consumer.0.stderr());
    world.sql("ALTER TABLE mislaid RENAME TO attachments");
    world.until_stored(4).await;
    world.until_empty().await;
    consumer.until_ready(200).await;
    assert_eq!((consumer.processed("retried"), consumer.processed("dead_lettered")), (0, 0));
    assert_eq!(world.queue.live(&jobs).await.unwrap(), [false, false]);
}

fn with_attachment() -> Vec<u8> {
    let more = "Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n";
    let mut mail = mail("with attachment", more);
    mail.extend_from_slice(format!("{}\r\n", fastrand::u64(..)).as_bytes());
    mail
}
