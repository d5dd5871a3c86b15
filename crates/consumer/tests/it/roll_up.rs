//! Consumers keep the analytics roll-ups, one of them at a time, and wait where PostgreSQL is away.

use mailfleet_testkit::{PostgresServer, eventually};

use crate::world::{Consumer, LONG, World, mails};

const EACH_SECOND: &str = "[analytics]\nevery_seconds = 1\n";
const RUNS: &str = "mailfleet_analytics_runs_total";

fn runs(consumer: &Consumer, result: &str) -> u64 {
    consumer.metric(RUNS, &[&format!("result=\"{result}\"")])
}

/// A line of `/metrics` that has no labels.
fn plain(consumer: &Consumer, name: &str) -> Option<f64> {
    let (_, text) = consumer.get("/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned));
    line.map(|value| value.parse().unwrap())
}

impl World<'_> {
    async fn until_received(&self, count: u32) {
        eventually(&format!("{count} mails in the roll-up of the tenant"), LONG, || async {
            (self.sql("SELECT sum(received) FROM analytics.tenant_day") == count.to_string()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn mails_are_in_the_roll_ups_within_the_interval() {
    let world = World::new().await;
    let consumer = world.consumer(EACH_SECOND);
    world.enqueue(mails(1..=3)).await;
    world.until_stored(3).await;
    world.until_received(3).await;
    assert_eq!(world.sql("SELECT received FROM analytics.mailbox"), "3");
    eventually("a lag of zero", LONG, || async {
        (plain(&consumer, "mailfleet_analytics_lag_seconds") == Some(0.0)).then_some(())
    })
    .await;
    assert!(runs(&consumer, "done") > 0);
    assert!(plain(&consumer, "mailfleet_analytics_seconds_count") > Some(0.0));
}

#[tokio::test]
async fn of_two_consumers_one_at_a_time_keeps_the_roll_ups() {
    let world = World::new().await;
    let (one, two) = (world.consumer(EACH_SECOND), world.consumer(EACH_SECOND));
    let both = |result| runs(&one, result) + runs(&two, result);
    eventually("runs here and elsewhere", LONG, || async {
        (both("done") >= 2 && both("elsewhere") >= 2).then_some(())
    })
    .await;
    assert_eq!(both("lease_lost") + both("failed"), 0);
    let runs = both("done");
    let epoch: u64 =
        world.sql("SELECT epoch FROM mailfleet.leases WHERE name = 'analytics'").parse().unwrap();
    assert!(epoch >= runs, "each run took the lease anew: {epoch}, {runs}");
}

#[tokio::test]
async fn while_postgresql_is_away_the_lag_is_unknown_and_afterwards_the_roll_ups_go_on() {
    let postgres = PostgresServer::start().unwrap();
    let world = World::on(&postgres).await;
    let consumer = world.consumer(EACH_SECOND);
    let lag = || plain(&consumer, "mailfleet_analytics_lag_seconds");
    eventually("a lag", LONG, || async { lag() }).await;
    postgres.stop().unwrap();
    eventually("no lag", LONG, || async { lag().is_none().then_some(()) }).await;
    postgres.start_again().unwrap();
    world.enqueue(mails(1..=2)).await;
    world.until_received(2).await;
    eventually("a lag again", LONG, || async { lag() }).await;
}
