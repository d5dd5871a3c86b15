//! Dead letters that were replayed and that Redis then lost: PostgreSQL has them, so they go on.

use mailfleet_model::{Class, Counters, InboxId, JobId, Lane, MailRef, Work};
use mailfleet_queue::Queues;
use mailfleet_store::{DeadState, NewDeadLetter};
use mailfleet_testkit::eventually;

use crate::world::{LONG, Producer, World, job, mail};

fn letter(at: MailRef, lane: Lane, raw: Option<&[u8]>) -> NewDeadLetter {
    let job = job(at, lane, raw.unwrap_or_default());
    NewDeadLetter {
        job: job.job_id(),
        at: Some(at),
        lane,
        envelope_json: serde_json::to_value(&job.envelope).unwrap(),
        raw: raw.map(|raw| raw.to_vec().into()),
        reason: "unknown_tenant".to_owned(),
        class: Class::Policy,
        error: "nobody owns the domain".to_owned(),
        counters: Counters { attempts: 5, crashes: 1, drains: 0 },
        history: serde_json::json!([]),
        tenant: None,
        account: Some(at.account),
        message_id: None,
    }
}

/// A world whose INBOX holds `mails` mails.
async fn world_with(mails: usize) -> (World<'static>, Vec<MailRef>) {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "mail", mails);
    let account = world.id("box").await;
    let mut places = Vec::new();
    for uid in (1..).take(mails) {
        places.push(world.at(account, "ada", "INBOX", uid).await);
    }
    (world, places)
}

async fn bury_and_mark_replayed(world: &World<'_>, letters: &[NewDeadLetter]) {
    world.store.dead_letter(letters).await.unwrap();
    for letter in letters {
        let id = world.store.dead_letter_by_job(&letter.job).await.unwrap().unwrap().id;
        assert_eq!(world.store.mark_replayed(&[id], None).await.unwrap(), [id]);
    }
}

/// The replay of this message was minutes ago.
fn long_ago(world: &World<'_>, uid: u32) {
    world.sql(&format!(
        "UPDATE mailfleet.dead_letters SET closed = now() - interval '5 min' WHERE uid = {uid}"
    ));
}

async fn state(world: &World<'_>, letter: &NewDeadLetter) -> DeadState {
    world.store.dead_letter_by_job(&letter.job).await.unwrap().unwrap().state
}

const WARNING: &str = "Redis had lost replayed dead letters";

async fn until_swept(producer: &Producer) {
    producer.until_metric("mailfleet_sweep_seconds_count", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_redis_loses_goes_on_from_postgresql_on_its_own_lane() {
    let (world, places) = world_with(5).await;
    // One that waits for a person.
    world.store.dead_letter(&[letter(places[4], Lane::High, None)]).await.unwrap();
    let raw = |number: usize| mail(&format!("mail {number}"), "");
    let lanes = || (1..).zip(Lane::ALL);
    let letters: Vec<_> = lanes().map(|(n, lane)| letter(places[n - 1], lane, Some(&raw(n)))).collect();
    bury_and_mark_replayed(&world, &letters).await;
    let jobs = lanes().map(|(n, lane)| job(places[n - 1], lane, &raw(n))).collect();
    world.queue.replay(jobs).await.unwrap();
    (1..=3).for_each(|uid| long_ago(&world, uid));

    let producer = world.producer("");
    until_swept(&producer).await;
    world.until_waiting(4).await;
    assert_eq!(
        producer.metric("mailfleet_lost_replays_total"),
        Some(0.0),
        "what is in the queue is left alone"
    );
    world.redis.flushall().await;
    producer.process.wait_for_line(WARNING, LONG).unwrap();
    world.until_waiting(4).await;
    assert_eq!(producer.metric("mailfleet_lost_replays_total"), Some(3.0));
    assert_eq!(producer.logged(WARNING), 1);
    for letter in &letters {
        assert_eq!(state(&world, letter).await, DeadState::Replayed);
        assert_eq!(world.queue.locate(&letter.job).await.unwrap().unwrap().counters, Counters::default());
    }
    // What waits for a person is in the index again.
    eventually("the open letter in the index", LONG, || async {
        let depth = world.queue.depth().await.ok()?;
        (depth.dead == Some(1)).then_some(())
    })
    .await;
    let taken: Vec<_> = world.drain().await.into_values().collect();
    for (number, lane) in lanes() {
        assert!(taken.contains(&(lane, format!("mail {number}"))), "{taken:?}");
    }
    assert!(taken.contains(&(Lane::Low, "mail 4".to_owned())), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_killed_half_way_is_made_good_and_one_under_way_is_left_alone() {
    let (world, places) = world_with(4).await;
    let raw = mail("mail", "");
    let letters = [
        letter(places[0], Lane::High, Some(&raw)),
        letter(places[1], Lane::High, None),
        letter(places[2], Lane::High, Some(&raw)),
        letter(places[3], Lane::High, Some(&raw)),
    ];
    // Marked, and never put into the queue: the first two long ago, the third just now. The fourth is not replayed.
    bury_and_mark_replayed(&world, &letters[..3]).await;
    world.store.dead_letter(&letters[3..]).await.unwrap();
    long_ago(&world, 1);
    long_ago(&world, 2);

    let producer = world.producer("");
    producer.until_metric("mailfleet_lost_replays_total", 2.0).await;
    producer.process.wait_for_line(WARNING, LONG).unwrap();
    until_swept(&producer).await;
    let live = world.queue.live(&letters.each_ref().map(|letter| letter.job.clone())).await.unwrap();
    assert_eq!(live, [true, false, false, false]);
    // Opened again, and never closed: what a person on call is told of.
    producer.until_metric("mailfleet_dead_letters_open{reason=\"unknown_tenant\"}", 2.0).await;
    let mut states = Vec::new();
    for letter in &letters {
        states.push(state(&world, letter).await);
    }
    // Without its raw mail the second cannot be replayed by anybody: a person must look at it.
    assert_eq!(states, [DeadState::Replayed, DeadState::Open, DeadState::Replayed, DeadState::Open]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_nobody_can_read_keeps_no_other_from_the_index() {
    let (world, places) = world_with(1).await;
    world.store.dead_letter(&[letter(places[0], Lane::High, None)]).await.unwrap();
    // A newer version's, or somebody's hands.
    world.sql(
        "INSERT INTO mailfleet.dead_letters (job_id, lane, envelope, reason, class, error, attempts, crashes, drains, state, \
         closed) VALUES ('nonsense', 'high', '{}', 'odd', 'fault', 'odd', 0, 0, 0, 'replayed', now() - interval '1 h')",
    );
    let producer = world.producer("");
    producer.process.wait_for_line("some dead letters cannot be read here", LONG).unwrap();
    until_swept(&producer).await;
    assert_eq!(producer.logged("cannot look for lost replays"), 0);
    eventually("the open letter in the index", LONG, || async {
        let depth = world.queue.depth().await.ok()?;
        (depth.dead == Some(1)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_replay_of_delivery_events_needs_no_raw_mail_and_goes_into_their_queue() {
    let (world, places) = world_with(1).await;
    let inbox = InboxId(7);
    let mut envelope = job(places[0], Lane::High, b"").envelope;
    envelope.work = Work::Events { inbox };
    let letter = NewDeadLetter {
        job: JobId::events(inbox),
        at: None,
        account: None,
        envelope_json: serde_json::to_value(envelope).unwrap(),
        ..letter(places[0], Lane::High, None)
    };
    bury_and_mark_replayed(&world, std::slice::from_ref(&letter)).await;
    world.sql("UPDATE mailfleet.dead_letters SET closed = now() - interval '5 min'");
    let producer = world.producer("");
    producer.until_metric("mailfleet_lost_replays_total", 1.0).await;
    let queues = Queues::connect(world.queue.config()).unwrap();
    assert_eq!(queues.events.live(std::slice::from_ref(&letter.job)).await.unwrap(), [true]);
    assert_eq!(queues.mails.live(std::slice::from_ref(&letter.job)).await.unwrap(), [false]);
    assert_eq!(state(&world, &letter).await, DeadState::Replayed);
}
