//! What an operator put back has one attempt: its first failure is a second death, with the history of both.

use mailfleet_model::{Class, Counters, JobId};
use mailfleet_store::{DeadState, NewDeadLetter};
use mailfleet_testkit::eventually;

use crate::crashes::{die_with, reclaimed};
use crate::world::{LONG, World, job, mail, mails};

/// A mail that has died before and is put back into the queue.
async fn replayed(world: &World<'_>, uid: u32, raw: Vec<u8>) -> JobId {
    let job = job(world.own, uid, raw.clone());
    let letter = NewDeadLetter {
        job: job.job_id(),
        at: job.envelope.work.mail(),
        lane: job.lane,
        envelope_json: serde_json::to_value(&job.envelope).unwrap(),
        raw: Some(raw.into()),
        reason: "attempts_exhausted".to_owned(),
        class: Class::Transient,
        error: "the first death".to_owned(),
        counters: Counters { attempts: 5, ..Counters::default() },
        history: serde_json::json!([{ "at_ms": 1, "worker": "w", "class": "transient", "error": "then" }]),
        tenant: Some(world.tenant),
        account: Some(world.own.0),
        message_id: None,
    };
    world.store.dead_letter(&[letter]).await.unwrap();
    let id = world.store.dead_letter_by_job(&job.job_id()).await.unwrap().unwrap().id;
    assert_eq!(world.store.mark_replayed(&[id], None).await.unwrap(), [id]);
    let name = job.job_id();
    world.queue.replay(vec![job]).await.unwrap();
    name
}

#[tokio::test]
async fn a_replayed_entry_dies_again_of_its_first_failure_and_keeps_both_histories() {
    let world = World::new().await;
    world.on_message("IF NEW.subject = 'stuck' THEN RAISE 'never' USING ERRCODE = '55P03'; END IF;");
    let stuck = replayed(&world, 1, mail("stuck", "")).await;
    let consumer = world.consumer("");
    // Only while others are stored is it to blame, and not the day: mails go on coming.
    let begun = std::time::Instant::now();
    let mut stored = 0;
    let letter = loop {
        let letter = world.store.dead_letter_by_job(&stuck).await.unwrap().unwrap();
        if letter.state == DeadState::Open {
            break letter;
        }
        assert!(begun.elapsed() < LONG, "it is not dead again after {stored} others");
        let uid = u32::try_from(stored).unwrap() + 2;
        world.enqueue([(uid, mail(&format!("mail {uid}"), ""))]).await;
        stored += 1;
        world.until_stored(stored).await;
    };
    assert_eq!((letter.counters.attempts, consumer.processed("retried")), (1, 0));
    assert_eq!((letter.reason.as_str(), letter.class), ("attempts_exhausted", Class::Transient));
    assert!(letter.error.contains("55P03"), "{}", letter.error);
    assert_eq!(letter.history.as_array().unwrap().len(), 1, "{}", letter.history);
    let former = &letter.previous[0];
    assert_eq!(
        (&former["error"], &former["history"][0]["error"]),
        (&"the first death".into(), &"then".into())
    );
    world.until_empty().await;
}

#[tokio::test]
async fn a_replayed_entry_on_which_a_process_dies_again_is_not_run_a_second_time() {
    let world = World::new().await;
    let deadly = replayed(&world, 1, mail("deadly", "")).await;
    // Once in a batch and once alone, which proves nothing; then by itself.
    die_with(world.victim().claim(10).await.unwrap());
    die_with(vec![reclaimed(&world.victim()).await]);
    let victim = world.victim();
    let taken = reclaimed(&victim).await;
    assert!(victim.begin(&taken).await.unwrap());
    die_with(vec![taken]);

    let consumer = world.consumer("");
    world.enqueue(mails(2..=3)).await;
    let letter = eventually("its second death", LONG, || async {
        let letter = world.store.dead_letter_by_job(&deadly).await.unwrap().unwrap();
        (letter.state == DeadState::Open).then_some(letter)
    })
    .await;
    world.until_empty().await;
    assert_eq!((letter.reason.as_str(), letter.class), ("crashes_exhausted", Class::Hostile));
    assert_eq!(
        (letter.counters.crashes, letter.message_id.as_deref()),
        (1, None),
        "its bytes are not looked at"
    );
    assert_eq!(letter.previous.as_array().unwrap().len(), 1);
    assert_eq!(
        (world.subjects(), consumer.processed("retried")),
        (vec!["mail 2".into(), "mail 3".into()], 0)
    );
}
