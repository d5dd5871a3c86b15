//! The fleet on a Redis Cluster, and with rights that go missing.

use std::time::Duration;

use mailfleet_testkit::{Process, RedisCluster, eventually_blocking};
use mailfleet_tests::{Fleet, metrics, numbered};

/// The fleet's queue is at this URL from now on.
pub fn queue_at(fleet: &Fleet, url: &str, more: &str) {
    let text = std::fs::read_to_string(fleet.config()).unwrap();
    let text = text.replace(&fleet.redis.url(), url).replace("[queue]\n", &format!("[queue]\n{more}\n"));
    std::fs::write(fleet.config(), text).unwrap();
}

pub fn until_ready(process: &Process, status: u16) -> String {
    eventually_blocking(&format!("readiness {status}"), Duration::from_secs(30), || {
        let (found, body) = metrics::get(process, "/readyz");
        (found == status).then_some(body)
    })
}

#[test]
fn a_fleet_on_a_cluster_that_loses_a_master_loses_and_doubles_nothing() {
    let fleet = Fleet::start();
    let cluster = RedisCluster::start(3, 1, &[]).unwrap();
    queue_at(&fleet, &cluster.url(), "partitions = 4");
    let doctor = fleet.mailfleet(&["doctor"]);
    assert!(doctor.stdout.contains("maxmemory-policy is noeviction"), "{}", doctor.stdout);
    let _producer = fleet.producer();
    let consumers = [fleet.consumer(), fleet.consumer()];
    fleet.deliver((1..=100).map(numbered));
    fleet.wait_accounted(30, Duration::from_secs(30));
    cluster.nodes()[0].kill();
    fleet.deliver((101..=200).map(numbered));
    fleet.wait_accounted(200, Duration::from_secs(90));
    fleet.assert_all_once(200);
    for consumer in &consumers {
        until_ready(consumer, 200);
    }
}

#[test]
fn a_right_that_is_taken_from_a_running_fleet_is_in_log_and_readiness_and_costs_nothing() {
    let fleet = Fleet::start();
    let rules = mailfleet_queue::ACL_RULES;
    fleet.redis.ask::<()>(&format!("ACL SETUSER fleet on >pw {rules}")).unwrap();
    queue_at(&fleet, &fleet.redis.url().replace("://", "://fleet:pw@"), "");
    let (producer, consumer) = (fleet.producer(), fleet.consumer());
    fleet.deliver((1..=20).map(numbered));
    fleet.wait_accounted(20, Duration::from_secs(30));

    fleet.redis.ask::<()>("ACL SETUSER fleet -evalsha").unwrap();
    let mark = consumer.mark();
    // The keeper of the leases may warn first; that a human must act is said once, where entries are claimed.
    let line = consumer.wait_for_line_after(mark, "\"level\":\"ERROR\"", Duration::from_secs(20)).unwrap();
    assert!(line.contains("NOPERM") && line.contains("ACL SETUSER"), "{line}");
    let body = until_ready(&consumer, 503);
    assert!(body.contains("NOPERM"), "{body}");
    fleet.deliver((21..=40).map(numbered));
    producer.wait_for_line("NOPERM", Duration::from_secs(30)).unwrap();

    fleet.redis.ask::<()>("ACL SETUSER fleet +evalsha").unwrap();
    fleet.wait_accounted(40, Duration::from_secs(90));
    fleet.assert_all_once(40);
    until_ready(&consumer, 200);
}
