//! What can never be stored becomes a dead letter with its reason, and takes nobody along.

use std::time::UNIX_EPOCH;

use mailfleet_model::{Class, Counters, JobId, Lane, Unreadable};
use mailfleet_store::DeadState;
use mailfleet_testkit::eventually;

use crate::rehearsal::entry;
use crate::world::{LONG, World, job, mail, mails};

#[tokio::test]
async fn a_bad_row_is_dead_lettered_with_reason_and_code_and_the_rest_of_its_batch_is_stored() {
    let world = World::new().await;
    world.sql("ALTER TABLE email_messages ADD CONSTRAINT no_curses CHECK (subject <> 'curse')");
    let raw = mail("taken", "");
    let key = mailfleet_model::StorageKey::inbound(Some("taken@acme.example"), world.own.0, &raw);
    // Somebody else's content under the very key.
    world.sql(&format!(
        "INSERT INTO email_content (storage_key, tenant_id, content_hash) VALUES ('{key}', '{}', 'other')",
        world.tenant
    ));
    let mut batch: Vec<(u32, Vec<u8>)> = mails(1..=50).collect();
    batch.insert(10, (101, mail("curse", "")));
    batch.insert(30, (102, raw));
    let jobs = world.enqueue(batch).await;
    let consumer = world.consumer("");
    world.until_stored(50).await;
    world.until_empty().await;

    let letters = world.letters().await;
    let [curse, taken] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((&curse.job, curse.reason.as_str()), (&jobs[10], "refused_by_postgresql"));
    assert!(curse.error.contains("23514") && curse.error.contains("no_curses"), "{}", curse.error);
    assert_eq!((&taken.job, taken.reason.as_str()), (&jobs[30], "key_conflict"));
    assert!(taken.error.contains(key.as_str()), "{}", taken.error);
    for letter in &letters {
        assert_eq!(
            (letter.class, letter.state, letter.tenant),
            (Class::Data, DeadState::Open, Some(world.tenant))
        );
        assert_eq!(letter.counters, Counters::default(), "no attempt changes what is refused");
    }
    assert_eq!(
        [consumer.processed("persisted"), consumer.processed("dead_lettered"), consumer.processed("retried")],
        [50, 2, 0]
    );
    assert_eq!(consumer.metric("mailfleet_dead_lettered_total", &["class=\"data\""]), 2);
    consumer.until_ready(200).await;
}

#[tokio::test]
async fn what_cannot_be_read_or_belongs_to_nobody_is_dead_lettered_and_the_rest_goes_on() {
    let world = World::new().await;
    let rubbish = job(world.own, 1, Vec::new()).job_id();
    world.redis(&format!(r#"XADD K:normal * j {rubbish} e "\xff\x00 nothing" r "raw \x00\xff bytes""#));
    let nobody = "6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d0001".parse().unwrap();
    let gone = world.enqueue_for((nobody, world.own.1), [(2, mail("of nobody", ""))]).await.remove(0);
    let stray = mail("stray", "Delivered-To: x@stray.example\r\n");
    let stray = world.enqueue_for(world.shared, [(3, stray)]).await.remove(0);
    // A header does not overrule the owner of an account, and To does not stand in for Delivered-To.
    world.enqueue([(4, mail("owned", "Delivered-To: x@stray.example\r\n"))]).await;
    let caught = mail("caught", "Delivered-To: Y@Acme.Example\r\nDelivered-To: x@stray.example\r\n");
    world.enqueue_for(world.shared, [(5, caught)]).await;
    let bare = world.enqueue_for(world.shared, [(6, mail("bare", ""))]).await.remove(0);
    let consumer = world.consumer("");
    world.until_empty().await;

    assert_eq!(world.subjects(), ["caught", "owned"]);
    let found: Vec<(JobId, String, Class)> =
        world.letters().await.into_iter().map(|letter| (letter.job, letter.reason, letter.class)).collect();
    let reason = |job: &JobId, reason: &str, class| (job.clone(), reason.to_owned(), class);
    assert_eq!(
        found,
        [
            reason(&rubbish, "malformed_entry", Class::Fault),
            reason(&gone, "unknown_account", Class::Policy),
            reason(&stray, "unknown_tenant", Class::Policy),
            reason(&bare, "unknown_tenant", Class::Policy),
        ]
    );
    // A rule that says no says so at once: nothing is tried again.
    assert_eq!(world.letters().await.iter().map(|letter| letter.counters.attempts).sum::<u32>(), 0);
    assert_eq!(consumer.processed("retried"), 0);
    let by_class =
        |class: &str| consumer.metric("mailfleet_dead_lettered_total", &[&format!("class=\"{class}\"")]);
    assert_eq!((by_class("policy"), by_class("fault"), by_class("data")), (3, 1, 0));
    let raw = world.store.dead_letter_by_job(&rubbish).await.unwrap().unwrap().raw;
    assert_eq!(raw.as_deref(), Some(&b"raw \x00\xff bytes"[..]));
    let letter = world.store.dead_letter_by_job(&rubbish).await.unwrap().unwrap();
    let kept = Unreadable::read(&letter.envelope_json).unwrap();
    assert_eq!(kept.value("e").as_deref(), Some(&b"\xff\x00 nothing"[..]), "every byte of it: {kept:?}");
    assert_eq!(kept.value("j").as_deref(), Some(rubbish.as_str().as_bytes()));
    let stray = world.store.dead_letter_by_job(&stray).await.unwrap().unwrap();
    assert!(
        stray.error.contains("stray.example") && stray.error.contains("tenant domain add"),
        "{}",
        stray.error
    );
    assert_eq!(stray.message_id.as_deref(), Some("stray@acme.example"));
    // Though it cost none of its attempts, it was one: who made it, and when.
    let told = consumer.0.wait_for_line("claims as ", LONG).unwrap();
    let now_ms = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    for letter in world.letters().await {
        let [attempt] = &letter.history.as_array().unwrap()[..] else { panic!("{}", letter.history) };
        assert!(told.contains(attempt["worker"].as_str().unwrap()), "{attempt}: {told}");
        assert!((now_ms - attempt["at_ms"].as_i64().unwrap()).abs() < 60_000, "{attempt}");
        assert_eq!(
            (&attempt["class"], &attempt["error"]),
            (&letter.class.as_str().into(), &letter.error.into())
        );
    }
    assert_eq!((consumer.processed("persisted"), consumer.processed("dead_lettered")), (2, 4));

    // Replay once the domain is somebody's: the letter is resolved by the mail that is stored.
    world.store.add_domains(world.tenant, &["stray.example".to_owned()]).await.unwrap();
    let again = mail("stray", "Delivered-To: x@stray.example\r\n");
    world.queue.replay(vec![job(world.shared, 3, again)]).await.unwrap();
    world.until_stored(3).await;
    assert_eq!(world.letters().await[2].state, DeadState::Resolved);
}

#[tokio::test]
async fn entries_without_a_job_become_dead_letters_with_every_byte_before_they_leave_redis() {
    let world = World::new().await;
    world.redis("XADD K:normal * note hello");
    world.redis(r#"XADD K:low * j nonsense e {} r "raw \x00\xff bytes""#);
    world.enqueue([(1, mail("ordinary", ""))]).await;
    // PostgreSQL takes no letter for now.
    world.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON mailfleet.dead_letters FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let consumer = world.consumer("");
    world.until_stored(1).await;
    consumer.0.wait_for_line("a dead letter could not be written", LONG).unwrap();
    let depth = world.queue.depth().await.unwrap();
    assert_eq!([Lane::Normal, Lane::Low].map(|lane| depth.lane(lane).total()), [Some(1), Some(1)]);
    world.sql("DROP TRIGGER refuse ON mailfleet.dead_letters");
    world.until_empty().await;

    let mut letters = world.letters().await;
    letters.sort_by_key(|letter| letter.lane);
    let kept: Vec<Vec<(String, String)>> =
        letters.iter().map(|letter| Unreadable::read(&letter.envelope_json).unwrap().shown()).collect();
    assert_eq!(kept[0], [("note".to_owned(), "hello".to_owned())]);
    let raw = Unreadable::read(&letters[1].envelope_json).unwrap().value("r");
    assert_eq!((kept[1].len(), raw.as_deref()), (3, Some(&b"raw \x00\xff bytes"[..])));
    for (letter, lane) in letters.iter().zip([Lane::Normal, Lane::Low]) {
        assert!(letter.job.as_str().starts_with(&format!("u:email:processing:0:{lane}:")), "{}", letter.job);
        assert_eq!((letter.reason.as_str(), letter.state), ("malformed_entry", DeadState::Open));
        assert!(letter.error.contains("find out who writes it"), "{}", letter.error);
    }
    consumer.until_metric("mailfleet_quarantined_total", &[], 2).await;
    assert_eq!(
        (consumer.processed("persisted"), consumer.processed("dead_lettered")),
        (1, 0),
        "they are no mail"
    );
    assert!(consumer.0.is_running());
}

#[tokio::test]
async fn a_letter_that_postgresql_refuses_holds_nobody_is_counted_and_is_written_once_it_is_taken() {
    let world = World::new().await;
    world.sql("ALTER TABLE email_messages ADD CONSTRAINT no_curses CHECK (subject NOT LIKE 'curse%')");
    let mut batch: Vec<(u32, Vec<u8>)> = mails(1..=10).collect();
    batch.insert(3, (101, mail("curse one", "")));
    batch.insert(6, (102, mail("curse two", "")));
    let jobs = world.enqueue(batch).await;
    let (refused, buried) = (&jobs[3], &jobs[6]);
    world.sql(&format!(
        "ALTER TABLE mailfleet.dead_letters ADD CONSTRAINT not_this CHECK (job_id <> '{refused}')"
    ));
    let consumer = world.consumer("");
    consumer.until_ready(200).await;
    assert!(
        consumer.get("/metrics").1.contains("\nmailfleet_dead_letters_refused_total "),
        "there before anything was refused"
    );
    world.until_stored(10).await;
    world.until_dead(buried).await;
    // What was stored and buried has left the queue before this one is put off.
    eventually("it to be put off", LONG, || async { (consumer.processed("put_off") > 0).then_some(()) })
        .await;
    let id = entry(&world);
    // It need not be waited for in real time.
    let hurry = || world.redis(&format!("ZADD K:delayed XX 1 n:{id}"));
    for tries in 1..=2 {
        eventually(&format!("try {tries} of its letter"), LONG, || async {
            let refused = consumer.metric("mailfleet_dead_letters_refused_total", &[]);
            (refused >= tries && consumer.processed("put_off") >= tries).then_some(())
        })
        .await;
        assert_eq!(world.queue.live(std::slice::from_ref(refused)).await.unwrap(), [true], "not lost");
        hurry();
    }
    let counters = world.queue.locate(refused).await.unwrap().unwrap().counters;
    assert_eq!(counters, Counters::default());
    consumer.0.wait_for_line("a dead letter could not be written", LONG).unwrap();
    consumer.until_ready(200).await;

    world.sql("ALTER TABLE mailfleet.dead_letters DROP CONSTRAINT not_this");
    eventually("its letter", LONG, || async {
        let letter = world.store.dead_letter_by_job(refused).await.unwrap();
        if letter.is_none() {
            hurry();
        }
        letter
    })
    .await;
    world.until_empty().await;
    assert_eq!((consumer.processed("persisted"), consumer.processed("dead_lettered")), (10, 2));
}

#[tokio::test]
async fn an_entry_whose_raw_mail_is_gone_is_counted_and_left_to_the_sweep() {
    let world = World::new().await;
    // Too large to travel inside its entry, and nothing that compression could make small.
    let mut random = fastrand::Rng::with_seed(7);
    let noise: String = std::iter::repeat_with(|| random.alphanumeric()).take(20_000).collect();
    let jobs = world.enqueue([(1, mail("noisy", &format!("X-Noise: {noise}\r\n")))]).await;
    assert!(world.redis(&format!("DEL K:blob:{}", jobs[0])).starts_with(":1"));
    world.enqueue(mails(2..=3)).await;
    let consumer = world.consumer("");
    world.until_stored(2).await;
    world.until_empty().await;
    consumer.until_metric("mailfleet_blob_gone_total", &[], 1).await;
    assert!(world.letters().await.is_empty());
    assert_eq!(world.queue.live(&jobs).await.unwrap(), [false], "the sweep may enqueue it again");
    assert_eq!(world.sql("SELECT count(*) FROM mailfleet.mailbox_messages"), "2");
}

#[tokio::test]
async fn entries_that_somebody_deletes_while_they_are_pending_are_counted() {
    let world = World::new().await;
    world.enqueue(mails(1..=2)).await;
    let victim = world.victim();
    let held = victim.claim(2).await.unwrap();
    let deleted = held[0].entry_id().to_owned();
    victim.hand_back(held).await.unwrap();
    assert!(world.redis(&format!("XDEL K:normal {deleted}")).starts_with(":1"));
    let consumer = world.consumer("");
    world.until_stored(1).await;
    consumer.until_metric("mailfleet_entries_vanished_total", &[], 1).await;
    assert_eq!(consumer.processed("persisted"), 1);
}
