//! SIGTERM: what was begun is answered, nothing new is taken.

use std::io::Write as _;
use std::net::TcpStream;

use super::http::{answer, request};
use super::{SECRET, endpoint, event, now, open, rows, signature};
use crate::world::{LONG, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_hand_is_answered_and_no_new_one_is_taken() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let (producer, client) = open(&world, "");
    producer.until_ready(200).await;
    let body = event(1).to_string();
    let whole = request("POST", &endpoint.path, &[signature(&body, now(), SECRET)], body.as_bytes());
    let mut begun = client.connect();
    // The last byte is missing: the door has found the endpoint and waits for the rest of the body.
    let (first, last) = whole.split_at(whole.len() - 1);
    begun.write_all(first).unwrap();
    mailfleet_testkit::eventually("the look-up of the endpoint", LONG, || async {
        let seen = world.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND query LIKE '%webhook_endpoints e WHERE e.token_hash%'",
        );
        (seen != "0").then_some(())
    })
    .await;
    producer.process.sigterm();
    producer.process.wait_for_line("draining", LONG).unwrap();
    let address = begun.peer_addr().unwrap();
    mailfleet_testkit::eventually("a closed door", LONG, || async {
        TcpStream::connect(address).is_err().then_some(())
    })
    .await;
    begun.write_all(last).unwrap();
    let answer = answer(begun);
    assert_eq!(answer.code, 200, "{answer:?}");
    assert!(producer.process.wait_exit(LONG).unwrap().success());
    assert_eq!(rows(&world), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_never_finishes_does_not_hold_up_the_end() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let producer = world.producer(&format!("{}[shutdown]\ndrain_seconds = 4\n", super::section("")));
    let client = super::client(&producer);
    let mut stuck = client.connect();
    let head =
        format!("POST {} HTTP/1.1\r\nHost: door.test\r\nContent-Length: 100\r\n\r\nhalf", endpoint.path);
    stuck.write_all(head.as_bytes()).unwrap();
    assert_eq!(client.generic(&endpoint, &event(1)).code, 200, "it holds up nobody else");
    producer.process.sigterm();
    assert!(producer.process.wait_exit(LONG).unwrap().success(), "{}", producer.process.stderr());
    assert_eq!(producer.logged("cut off"), 1);
}
