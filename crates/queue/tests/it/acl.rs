//! The rights that the documentation names are enough for everything, and no more than what is needed.

use std::time::Duration;

use mailfleet_model::{Class, Classify, Lane, Secret};
use mailfleet_queue::{ACL_RULES, Config, ConsumerName, CountPlace, Enqueued, Failure, Queue, Settled};
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, SOON, claim_one, die_with, id, job, reclaimed, uids, until_it_listens};

/// A queue of user `fleet`, who has the documented rights and then these.
fn fleet(f: &Fixture, more: &str) -> Queue {
    let cluster = if f.is_cluster() { " +cluster|slots +cluster|info" } else { "" };
    let _: Vec<String> = f.everywhere(&format!("ACL SETUSER fleet reset on >pw {ACL_RULES}{cluster}{more}"));
    let url = f.queue.config().url.expose().replace("://", "://fleet:pw@");
    Queue::connect(&Config { url: Secret::new(url), ..f.queue.config().clone() }).unwrap()
}

#[test]
fn the_readme_names_these_rights() {
    let readme = include_str!("../../../../README.md");
    let words = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(ACL_RULES), "README.md must say: ACL SETUSER mailfleet … {ACL_RULES}");
}

#[tokio::test]
async fn the_documented_rights_are_enough_for_every_step_and_nothing_is_refused_in_silence() {
    let f = Fixture::start();
    let queue = fleet(&f, "");
    queue.prepare().await.unwrap();
    queue.run_id().await.unwrap();
    queue.memory().await.unwrap();
    assert_eq!(queue.server_info().await.unwrap().maxmemory_policy.as_deref(), Some("noeviction"));
    let consumer = queue.consumer(ConsumerName::for_this_process());
    let _keeper = consumer.spawn_keeper().unwrap();
    until_it_listens(&consumer).await;

    let mails = (1..=8).map(|uid| job(uid, Lane::Normal, vec![b'x'; 9_000 * (uid as usize % 2)])).collect();
    assert_eq!(queue.enqueue(mails).await.unwrap(), [Enqueued::Queued; 8]);
    queue.find_message("a@b", 10).await.unwrap();
    queue.depth().await.unwrap();
    queue.pause(Some(Lane::Normal), "alice", "why").await.unwrap();
    assert!(consumer.claim(1).await.unwrap().is_empty());
    queue.close("alice", "why").await.unwrap();
    queue.paused().await.unwrap();
    assert!(queue.resume(None).await.unwrap());

    let mut held = consumer.claim(6).await.unwrap();
    assert_eq!(uids(&held), [1, 2, 3, 4, 5, 6]);
    queue.locate(&id(1)).await.unwrap().unwrap();
    assert_eq!(queue.live(&[id(1)]).await.unwrap(), [true]);
    assert_eq!(consumer.done(vec![held.remove(0)]).await.unwrap(), [Settled::Done]);
    let failure = Failure::new(Class::Transient, "no");
    consumer.retry(held.remove(0), Duration::from_millis(50), &failure).await.unwrap();
    consumer.dead_letter(vec![(held.remove(0), "data".to_owned())]).await.unwrap();
    assert_eq!(queue.replay(vec![job(3, Lane::Normal, "again")]).await.unwrap(), [Enqueued::Queued]);
    consumer.hand_back(vec![held.remove(0)]).await.unwrap();
    queue.rebuild_dead_index(&[(id(99), Lane::Low, "data".to_owned())]).await.unwrap();
    queue.forget_dead(&[id(99)]).await.unwrap();
    let mut place = Some(CountPlace::default());
    for _ in 0..100 {
        let Some(from) = place else { break };
        place = queue.recount_accounts(from, 100).await.unwrap();
    }
    assert!(place.is_none(), "the count comes to its end");

    // Somebody else dies with two of them.
    let dying = queue.consumer(ConsumerName::for_this_process());
    die_with(dying.claim(2).await.unwrap());
    let mut left = reclaimed(&consumer).await;
    left.extend(held);
    consumer.done(left).await.unwrap();
    eventually("an empty queue", SOON, || async {
        let rest =
            [consumer.claim(9).await.unwrap(), consumer.reclaim(9).await.unwrap()].into_iter().flatten();
        consumer.done(rest.collect()).await.unwrap();
        let depth = queue.depth().await.unwrap();
        Lane::ALL.into_iter().all(|lane| depth.lane(lane).total() == Some(0)).then_some(())
    })
    .await;
    consumer.leave().await.unwrap();

    let refused: Vec<Vec<redis::Value>> = f.everywhere("ACL LOG");
    assert!(refused.iter().all(Vec::is_empty), "{refused:?}");
}

#[tokio::test]
async fn with_these_rights_nothing_of_others_can_be_touched() {
    let f = Fixture::start();
    fleet(&f, "");
    let mut connection = f.redis.connection().await;
    let _: () = redis::cmd("AUTH").arg("fleet").arg("pw").query_async(&mut connection).await.unwrap();
    for line in [
        "GET other",
        "FLUSHALL",
        "CONFIG GET *",
        "KEYS *",
        "PUBLISH other x",
        "ACL LIST",
        "CLIENT LIST",
        "EVAL 1 0",
    ] {
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        let error = command.query_async::<redis::Value>(&mut connection).await.unwrap_err();
        assert_eq!(error.code(), Some("NOPERM"), "{line}: {error}");
    }
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_a_fault_that_names_the_remedy_and_costs_nothing() {
    let f = Fixture::start();
    let queue = fleet(&f, "");
    let consumer = queue.consumer(ConsumerName::for_this_process());
    f.enqueue(Lane::Normal, 1..=2).await;
    let held = claim_one(&consumer).await;
    fleet(&f, " -evalsha");
    let claim = consumer.claim(1).await.unwrap_err();
    let (done, held) = consumer.done(vec![held]).await.unwrap_err();
    for error in [claim, done] {
        let text = error.to_string();
        assert_eq!(error.class(), Class::Fault, "{text}");
        assert!(text.contains("NOPERM") && text.contains(ACL_RULES), "{text}");
    }
    // In hand is in hand: given back, it is done.
    fleet(&f, "");
    assert_eq!(consumer.done(held).await.unwrap(), [Settled::Done]);
}
