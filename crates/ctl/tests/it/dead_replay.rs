//! Replays of many letters: paced, killed half-way, forgotten by Redis, stopped by themselves.

use std::process::Stdio;
use std::time::{Duration, Instant};

use mailfleet_model::{JobId, MailRef, MailboxId, Uid, UidValidity};
use mailfleet_queue::{ConsumerName, Delivery, Queue};
use mailfleet_store::{NewDeadLetter, Store};
use mailfleet_testkit::{RedisServer, eventually};

use crate::dead::{bury, lane, letter};
use crate::fleet::Fleet;
use crate::support::command;

const SOON: Duration = Duration::from_secs(15);

/// Places of mails of an account that nobody has to know.
pub fn places(mails: u32) -> Vec<MailRef> {
    let account = "6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d0001".parse().expect("an id");
    let uidvalidity = UidValidity::new(1).expect("not zero");
    let at =
        |uid| MailRef { account, mailbox: MailboxId(1), uidvalidity, uid: Uid::new(uid).expect("not zero") };
    (1..=mails).map(at).collect()
}

/// A fleet with so many open letters.
async fn fleet_with(letters: u32) -> (Fleet, Vec<JobId>) {
    let fleet = Fleet::new();
    let jobs = fill(&fleet, letters).await;
    (fleet, jobs)
}

async fn fill(fleet: &Fleet, letters: u32) -> Vec<JobId> {
    let letters: Vec<NewDeadLetter> =
        places(letters).into_iter().map(|at| letter(at, "unknown_tenant")).collect();
    bury(fleet, &letters).await;
    letters.into_iter().map(|letter| letter.job).collect()
}

/// How many of the jobs are in the queue.
async fn live(queue: &Queue, jobs: &[JobId]) -> usize {
    queue.live(jobs).await.expect("asked").into_iter().filter(|live| *live).count()
}

/// A replay is killed half-way, Redis is flushed or not, and the replay is run again.
async fn killed_half_way(flush: bool) {
    let redis = RedisServer::start().expect("redis");
    let fleet = Fleet::with_redis(&redis.url());
    fleet.run(&["migrate"]).with_code(0);
    let jobs = fill(&fleet, 8).await;
    let queue = fleet.queue();
    let mut killed = command()
        .arg("--config")
        .arg(&fleet.config)
        .args(["dead", "replay", "--all", "--rate", "4/s"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mailfleet starts");
    eventually("a part of the letters", SOON, || async { (live(&queue, &jobs).await >= 3).then_some(()) })
        .await;
    killed.kill().expect("killed");
    killed.wait().expect("gone");
    let before = live(&queue, &jobs).await;
    assert!(before < jobs.len(), "it had ended before it was killed");
    if flush {
        redis.flushall().await;
    }

    let said = fleet.run(&["dead", "replay", "--all", "--by", "night shift"]).with_code(0).out;
    let again = if flush { 8 } else { 8 - before };
    assert!(said.starts_with(&format!("{again} replayed, 0 were in the queue already")), "{said}");
    assert!(fleet.run(&["dead", "replay", "--all"]).with_code(0).out.starts_with("0 replayed"));
    // Each is there, once.
    let consumer = queue.consumer(ConsumerName::for_this_process());
    let mut claimed: Vec<JobId> = Vec::new();
    for delivery in consumer.claim(100).await.expect("claimed") {
        let at = delivery.job_id().mail_ref().expect("a mail");
        assert_eq!(delivery.lane(), lane(at), "each on the lane that it died on");
        claimed.push(delivery.job_id().clone());
    }
    claimed.sort_by_key(|job| job.mail_ref().map(|at| at.uid));
    assert_eq!(claimed, jobs);

    let log = fleet.run(&["dead", "log", "--json"]).with_code(0).json();
    let [second, first] = log.as_slice() else { panic!("{log:?}") };
    assert_eq!((&second["by"], &second["outcome"]), (&"night shift".into(), &"completed".into()), "{second}");
    assert_eq!((&first["matched"], &first["ended"]), (&8.into(), &serde_json::Value::Null), "{first}");
    assert!(first["done"].as_u64().is_some_and(|done| done < 8), "{first}");
    fleet.sql("UPDATE mailfleet.dead_letter_actions SET progressed = now() - interval '2 min'");
    let log = fleet.run(&["dead", "log"]).with_code(0).out;
    assert!(log.contains("interrupted") && log.contains("completed") && log.contains("night shift"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_killed_half_way_is_finished_by_the_next_and_nothing_is_doubled() {
    killed_half_way(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_killed_and_that_redis_forgets_is_made_whole_from_postgresql() {
    killed_half_way(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_go_no_faster_than_was_said() {
    let (fleet, jobs) = fleet_with(7).await;
    let begun = Instant::now();
    fleet.run(&["dead", "replay", "--all", "--rate", "5"]).with_code(0);
    // The first goes at once, each of the others a fifth of a second later.
    assert!(begun.elapsed() >= Duration::from_millis(1_200), "{:?}", begun.elapsed());
    assert_eq!(live(&fleet.queue(), &jobs).await, 7);
}

/// Works off what is in the queue until it is aborted, or a test's time is over: every `stores`th letter is stored, the others die again.
fn worker(fleet: &Fleet, stores: u32) -> tokio::task::JoinHandle<()> {
    let (store, consumer) = (fleet.store(), fleet.queue().consumer(ConsumerName::for_this_process()));
    let database = fleet.database.clone();
    tokio::spawn(async move {
        let end = Instant::now() + SOON * 4;
        while Instant::now() < end {
            for delivery in consumer.claim(20).await.expect("claimed") {
                let at = delivery.envelope().work.mail().expect("a mail");
                if at.uid.get() % stores == 0 {
                    let sql = format!("SELECT mailfleet.resolve_letters('{{{}}}')", delivery.job_id());
                    mailfleet_testkit::PostgresServer::shared().psql(&database, &sql).expect("resolved");
                    consumer.done(vec![delivery]).await.expect("done");
                } else {
                    die_again(&store, &consumer, at, delivery).await;
                }
            }
            // Whoever replays rings.
            consumer.wait(Duration::from_secs(1)).await;
        }
    })
}

async fn die_again(store: &Store, consumer: &mailfleet_queue::Consumer, at: MailRef, delivery: Delivery) {
    let again = NewDeadLetter { error: "nobody owns it still".to_owned(), ..letter(at, "unknown_tenant") };
    store.dead_letter(&[again]).await.expect("written");
    consumer.dead_letter(vec![(delivery, "unknown_tenant".to_owned())]).await.expect("moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_stops_by_itself_when_most_of_what_it_replays_dies_again() {
    let (fleet, jobs) = fleet_with(40).await;
    let worker = worker(&fleet, 5);
    let said = fleet.run(&["dead", "replay", "--all", "--json"]).with_code(1);
    worker.abort();
    said.error_naming(&["stopped", "8 of the 10", "dead groups"]);
    let lines = said.json();
    let end = lines.last().expect("a summary");
    for (name, number) in [("matched", 40), ("replayed", 10), ("left", 30), ("stored", 2), ("died_again", 8)]
    {
        assert_eq!(end[name], number, "{name}: {end}");
    }
    assert_eq!((&end["outcome"], lines.len()), (&"stopped".into(), 11), "{end}");
    let log = &fleet.run(&["dead", "log", "--json"]).with_code(0).json()[0];
    assert_eq!(
        (&log["outcome"], &log["died_again"], &log["stored"]),
        (&"stopped".into(), &8.into(), &2.into())
    );

    // The history of both deaths is there.
    let shown = fleet.run(&["dead", "show", jobs[0].as_str()]).with_code(0).out;
    assert!(shown.contains("nobody owns it still") && shown.contains("(1 former death)"), "{shown}");
    let before = shown.lines().find(|line| line.starts_with("before")).expect("its former death");
    assert!(
        before.contains("nobody owns the domain nobody.example") && before.contains("replayed"),
        "{before}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_which_most_is_stored_goes_on_to_its_end() {
    let (fleet, _) = fleet_with(40).await;
    let worker = worker(&fleet, 1);
    let said = fleet.run(&["dead", "replay", "--all"]).with_code(0).out;
    worker.abort();
    assert!(said.starts_with("40 replayed, ") && said.contains(" of them have run, 0 died again"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_letters_that_die_again_at_once_are_no_success() {
    let (fleet, _) = fleet_with(3).await;
    let worker = worker(&fleet, 3);
    let said = fleet.run(&["dead", "replay", "--all"]).with_code(1);
    worker.abort();
    said.error_naming(&["2 of the 3 that have run died again", "dead groups"]);
    assert!(said.out.ends_with("0 left; 3 of them have run, 2 died again\n"), "{}", said.out);
    let log = &fleet.run(&["dead", "log", "--json"]).with_code(0).json()[0];
    assert_eq!((&log["outcome"], &log["died_again"]), (&"completed".into(), &2.into()), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_nobody_works_off_says_so_and_goes_on() {
    let (fleet, jobs) = fleet_with(12).await;
    let said = fleet.run(&["dead", "replay", "--all"]).with_code(0);
    assert!(said.err.contains("has not run yet") && said.out.starts_with("12 replayed"), "{}", said.err);
    assert_eq!(live(&fleet.queue(), &jobs).await, 12);
}
