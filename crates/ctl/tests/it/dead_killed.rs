//! `dead discard` dies between any two round trips, to either server: run again it comes to the same end, and the book and
//! the index say what happened.

use std::process::Stdio;
use std::time::{Duration, Instant};

use mailfleet_model::{JobId, Lane};
use mailfleet_store::NewDeadLetter;
use mailfleet_testkit::{Cut, PostgresServer, Proxy};

use crate::dead::{bury, letter};
use crate::dead_replay::places;
use crate::fleet::Fleet;
use crate::support::command;

const DISCARD: [&str; 6] = ["dead", "discard", "--reason", "refused", "--yes", "3"];
const LONG: Duration = Duration::from_secs(20);

/// Discards, and is killed where the proxy cuts it off; whether that was the case.
fn die_discarding(fleet: &Fleet, variable: &str, url: &str, proxy: &Proxy) -> bool {
    let mut child = command()
        .arg("--config")
        .arg(&fleet.config)
        .args(DISCARD)
        .env(variable, url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mailfleet starts");
    let end = Instant::now() + LONG;
    while child.try_wait().expect("asked").is_none() {
        if !proxy.is_armed() {
            // It may have ended of it by itself.
            let _ = child.kill();
        }
        assert!(Instant::now() < end, "neither cut off nor at its end");
        std::thread::yield_now();
    }
    !proxy.is_armed()
}

/// All letters are open, with their lines in the index, and nobody has done anything.
async fn as_before(fleet: &Fleet, jobs: &[JobId]) {
    fleet.sql("DELETE FROM mailfleet.dead_letter_action_letters");
    fleet.sql("DELETE FROM mailfleet.dead_letter_actions");
    fleet.sql("UPDATE mailfleet.dead_letters SET state = 'open', closed = NULL");
    let lines: Vec<_> = jobs.iter().map(|job| (job.clone(), Lane::High, "refused".to_owned())).collect();
    fleet.queue().rebuild_dead_index(&lines).await.expect("indexed");
    assert_eq!(fleet.queue().depth().await.expect("asked").dead, Some(4));
}

async fn killed_at_every_round_trip(variable: &str, server: u16, url: impl Fn(&Fleet, u16) -> String) {
    let fleet = Fleet::new();
    let mut letters: Vec<NewDeadLetter> = places(4).into_iter().map(|at| letter(at, "refused")).collect();
    "unknown_tenant".clone_into(&mut letters[3].reason);
    bury(&fleet, &letters).await;
    let jobs: Vec<JobId> = letters.into_iter().map(|letter| letter.job).collect();
    let mut deaths = 0;
    for cut in [Cut::BeforeRequest, Cut::BeforeReply] {
        for n in 1.. {
            as_before(&fleet, &jobs).await;
            let proxy = Proxy::start(server).expect("a proxy");
            proxy.cut_at(n, cut);
            if !die_discarding(&fleet, variable, &url(&fleet, proxy.port()), &proxy) {
                assert!(n > 2, "it asks {variable} for nothing");
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
    let postgres = PostgresServer::shared();
    let url = |fleet: &Fleet, port: u16| {
        postgres.url(&fleet.database).replace(&format!(":{}/", postgres.port()), &format!(":{port}/"))
    };
    killed_at_every_round_trip("MAILFLEET_POSTGRES__URL", postgres.port(), url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discard_that_dies_on_its_way_to_the_index_is_finished_by_the_next() {
    let port = |url: &str| {
        let digits = url.rsplit(':').next().expect("a port").split('/').next().expect("digits");
        digits.parse().expect("a number")
    };
    let server = port(&Fleet::bare().redis_url);
    killed_at_every_round_trip("MAILFLEET_QUEUE__URL", server, |_, port| format!("redis://127.0.0.1:{port}"))
        .await;
}
