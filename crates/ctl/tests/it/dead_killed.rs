//! `dead discard` and `dead replay` die between any two round trips, to either server: run again they come to the same end,
//! and the book, the index and the queue say what happened.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mailfleet_model::{JobId, Lane};
use mailfleet_queue::ConsumerName;
use mailfleet_store::NewDeadLetter;
use mailfleet_testkit::{Cut, PostgresServer, Proxy, eventually, eventually_blocking};

use crate::dead::{bury, letter};
use crate::dead_replay::places;
use crate::fleet::Fleet;
use crate::support::command;

const DISCARD: [&str; 6] = ["dead", "discard", "--reason", "refused", "--yes", "3"];
const REPLAY: [&str; 3] = ["dead", "replay", "--all"];
const LONG: Duration = Duration::from_secs(20);

/// A server that a command reaches through a proxy.
struct Way {
    /// The setting that names it.
    variable: &'static str,
    port: u16,
    /// Its address by way of another port.
    url: fn(&Fleet, u16) -> String,
}

fn to_postgres() -> Way {
    let url = |fleet: &Fleet, port: u16| {
        let postgres = PostgresServer::shared();
        postgres.url(&fleet.database).replace(&format!(":{}/", postgres.port()), &format!(":{port}/"))
    };
    Way { variable: "MAILFLEET_POSTGRES__URL", port: PostgresServer::shared().port(), url }
}

fn to_redis() -> Way {
    let url = Fleet::bare().redis_url;
    let digits = url.rsplit(':').next().expect("a port").split('/').next().expect("digits");
    let port = digits.parse().expect("a number");
    Way { variable: "MAILFLEET_QUEUE__URL", port, url: |_, port| format!("redis://127.0.0.1:{port}") }
}

impl Way {
    /// Runs the command, which is killed at its `n`-th round trip there; whether it came so far.
    fn dies(&self, fleet: &Fleet, args: &[&str], n: u64, cut: Cut) -> bool {
        let proxy = Proxy::start(self.port).expect("a proxy");
        proxy.cut_at(n, cut);
        let mut child = command()
            .arg("--config")
            .arg(&fleet.config)
            .args(args)
            .env(self.variable, (self.url)(fleet, proxy.port()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mailfleet starts");
        eventually_blocking("it is cut off, or at its end", LONG, || {
            if !proxy.is_armed() {
                // It may have ended of it by itself.
                let _ = child.kill();
            }
            child.try_wait().expect("asked").map(|_| ())
        });
        !proxy.is_armed()
    }
}

/// All letters are open, with their lines in the index, and nobody has done anything.
async fn as_before(fleet: &Fleet, jobs: &[JobId]) {
    fleet.sql("DELETE FROM mailfleet.dead_letter_action_letters");
    fleet.sql("DELETE FROM mailfleet.dead_letter_actions");
    fleet.sql("UPDATE mailfleet.dead_letters SET state = 'open', closed = NULL");
    let lines: Vec<_> = jobs.iter().map(|job| (job.clone(), Lane::High, "refused".to_owned())).collect();
    fleet.queue().rebuild_dead_index(&lines).await.expect("indexed");
    assert_eq!(fleet.queue().depth().await.expect("asked").dead, Some(jobs.len() as u64));
}

async fn discard_killed_at_every_round_trip(way: &Way) {
    let fleet = Fleet::new();
    let mut letters: Vec<NewDeadLetter> = places(4).into_iter().map(|at| letter(at, "refused")).collect();
    "unknown_tenant".clone_into(&mut letters[3].reason);
    bury(&fleet, &letters).await;
    let jobs: Vec<JobId> = letters.into_iter().map(|letter| letter.job).collect();
    let mut deaths = 0;
    for cut in [Cut::BeforeRequest, Cut::BeforeReply] {
        for n in 1.. {
            as_before(&fleet, &jobs).await;
            if !way.dies(&fleet, &DISCARD, n, cut) {
                assert!(n > 2, "it asks {} for nothing", way.variable);
                break;
            }
            deaths += 1;
            assert!(n < 200, "it never comes to its end");
            let said = fleet.run(&DISCARD).with_code(0).out;
            assert!(said == "3 letters discarded\n" || said == "0 letters discarded\n", "{said}");
            let book = "SELECT action, outcome, done, matched, (SELECT count(*) FROM \
                 mailfleet.dead_letter_action_letters l WHERE l.action_id = a.id) FROM mailfleet.dead_letter_actions a";
            assert_eq!(fleet.sql(book), "discard|completed|3|3|3", "{cut:?} {n}: one line in the book");
            let states = "SELECT state, count(*) FROM mailfleet.dead_letters GROUP BY 1 ORDER BY 1";
            assert_eq!(fleet.sql(states), "discarded|3\nopen|1", "{cut:?} {n}");
            assert_eq!(fleet.queue().depth().await.expect("asked").dead, Some(1), "{cut:?} {n}: the index");
        }
    }
    assert!(deaths >= 4, "{deaths} deaths");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discard_that_dies_on_its_way_to_postgresql_is_finished_by_the_next() {
    discard_killed_at_every_round_trip(&to_postgres()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discard_that_dies_on_its_way_to_the_index_is_finished_by_the_next() {
    discard_killed_at_every_round_trip(&to_redis()).await;
}

/// How often each job was taken out of the queue.
type Runs = Arc<Mutex<HashMap<JobId, u32>>>;

/// Works off whatever is replayed, until it is aborted or a test's time is over. The letters keep their mails, so that they
/// can be opened again.
fn worker(fleet: &Fleet, runs: &Runs) -> tokio::task::JoinHandle<()> {
    let (consumer, runs) = (fleet.queue().consumer(ConsumerName::for_this_process()), Arc::clone(runs));
    let database = fleet.database.clone();
    tokio::spawn(async move {
        let end = Instant::now() + LONG * 6;
        while Instant::now() < end {
            let held = consumer.claim(20).await.expect("claimed");
            for delivery in &held {
                let job = delivery.job_id();
                *runs.lock().expect("no panic").entry(job.clone()).or_default() += 1;
                let sql = format!(
                    "UPDATE mailfleet.dead_letters SET state = 'resolved', closed = now() WHERE job_id = '{job}'"
                );
                PostgresServer::shared().psql(&database, &sql).expect("resolved");
            }
            consumer.done(held).await.expect("done");
            consumer.wait(Duration::from_secs(1)).await;
        }
    })
}

/// Waits until none of the jobs is in the queue.
async fn until_worked_off(fleet: &Fleet, jobs: &[JobId]) {
    let queue = fleet.queue();
    eventually("all that was replayed worked off", LONG, || async {
        let live = queue.live(jobs).await.ok()?;
        (!live.contains(&true)).then_some(())
    })
    .await;
}

/// Killed in each of these ways at every round trip from the `first` on.
async fn replay_killed_half_way(way: &Way, cuts: &[Cut], first: u64) {
    let fleet = Fleet::new();
    let letters: Vec<NewDeadLetter> = places(3).into_iter().map(|at| letter(at, "refused")).collect();
    bury(&fleet, &letters).await;
    let jobs: Vec<JobId> = letters.into_iter().map(|letter| letter.job).collect();
    let runs = Runs::default();
    let worker = worker(&fleet, &runs);
    let (mut deaths, mut finished) = (0, 0);
    for &cut in cuts {
        for n in first.. {
            as_before(&fleet, &jobs).await;
            runs.lock().expect("no panic").clear();
            let died = way.dies(&fleet, &REPLAY, n, cut);
            // What it had put into the queue is done before the next comes, so that the next must know of it.
            until_worked_off(&fleet, &jobs).await;
            if !died {
                break;
            }
            deaths += 1;
            assert!(n < 200, "it never comes to its end");
            let said = fleet.run(&REPLAY).with_code(0).out;
            finished += u32::from(!said.starts_with("0 replayed"));
            until_worked_off(&fleet, &jobs).await;
            let once: HashMap<JobId, u32> = jobs.iter().map(|job| (job.clone(), 1)).collect();
            assert_eq!(*runs.lock().expect("no panic"), once, "{cut:?} {n}: {said}");
            let states = "SELECT state, count(*) FROM mailfleet.dead_letters GROUP BY 1";
            assert_eq!(fleet.sql(states), "resolved|3", "{cut:?} {n}");
            assert_eq!(fleet.queue().depth().await.expect("asked").dead, Some(0), "{cut:?} {n}: the index");
        }
    }
    worker.abort();
    assert!(deaths >= 4 && finished >= 2, "{deaths} deaths, {finished} of them with letters left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_dies_on_its_way_to_postgresql_is_finished_by_the_next_and_nothing_runs_twice() {
    // The first connect and read. A request that is not sent leaves what the one before it had left.
    replay_killed_half_way(&to_postgres(), &[Cut::BeforeReply], 14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_dies_on_its_way_to_the_queue_is_finished_by_the_next_and_nothing_runs_twice() {
    replay_killed_half_way(&to_redis(), &[Cut::BeforeRequest, Cut::BeforeReply], 1).await;
}
