//! What the queue does not take waits in its mailbox, and comes when it is taken.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mailfleet_testkit::eventually;

use crate::world::{LONG, Producer, World};

/// Waits until the queue has refused some mail for this reason.
async fn until_refused(producer: &Producer, result: &str) {
    let name = format!("mailfleet_enqueued_total{{lane=\"low\",result=\"{result}\"}}");
    let refused = || async { (producer.metric(&name)? > 0.0).then_some(()) };
    eventually(&name, Duration::from_secs(15), refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_has_its_share_of_the_queue_keeps_its_mail_and_holds_up_no_other() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "old", 12);
    let config = world.config("batch_count = 5\n");
    let text =
        std::fs::read_to_string(&config).unwrap().replace("[queue]\n", "[queue]\naccount_max_entries = 4\n");
    std::fs::write(&config, text).unwrap();
    let producer = Producer::start(&config);
    let ada = world.id("box").await;
    world.until_waiting(4).await;
    world.until_cursor(ada, "INBOX", 4).await;
    until_refused(&producer, "account_full").await;

    world.deliver("ben", "INBOX", "his", 3);
    let ben = world.account("other", "ben", &["INBOX"], "secret").await;
    world.until_waiting(7).await;
    world.until_cursor(ben, "INBOX", 3).await;
    // Its own fresh mail has a lane of its own, and a share of that.
    world.deliver("ada", "INBOX", "fresh", 2);
    world.until_waiting(9).await;
    assert_eq!(world.cursor(ada, "INBOX").await, 4, "the cursor passes nothing that is not enqueued");

    let mut subjects = Vec::new();
    for room in [9, 4, 4] {
        world.until_waiting(room).await;
        subjects.extend(world.drain().await.into_values().map(|(_, subject)| subject));
    }
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 17, "{subjects:?}");
    world.until_cursor(ada, "INBOX", 14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_waits_in_its_mailbox_while_the_queue_is_closed() {
    let world = World::new().await;
    world.queue.close("alice", "").await.unwrap();
    world.deliver("ada", "INBOX", "old", 3);
    let producer = world.producer("");
    until_refused(&producer, "closed").await;
    producer.until_metric("mailfleet_queue_closed{queue=\"email:processing\"}", 1.0).await;
    let ada = world.id("box").await;
    assert_eq!(world.cursor(ada, "INBOX").await, 0);
    world.queue.resume(None).await.unwrap();
    world.until_waiting(3).await;
    world.until_cursor(ada, "INBOX", 3).await;
}

/// Has Redis run these lines.
fn redis(world: &World<'_>, lines: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", world.redis.port())).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(format!("{lines}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(!answer.contains("-ERR"), "{answer}");
}

/// Sets the limit so that Redis uses about so many per cent of it.
async fn use_percent(world: &World<'_>, percent: u64) {
    let used = world.queue.memory().await.unwrap().used_bytes.unwrap();
    redis(world, &format!("CONFIG SET maxmemory {}", used * 100 / percent));
}

/// Beside this the buffers of a client or two are nothing.
const BALLAST: &str = "SETRANGE ballast 50000000 x";

#[tokio::test(flavor = "multi_thread")]
async fn backfill_waits_in_its_mailbox_while_memory_is_short_and_new_mail_goes_on() {
    let world = World::new().await;
    redis(&world, BALLAST);
    let producer = world.producer("");
    let ada = world.id("box").await;
    world.until_cursor(ada, "INBOX", 0).await;
    use_percent(&world, 75).await;
    world.deliver("ben", "INBOX", "old", 3);
    let ben = world.account("other", "ben", &["INBOX"], "secret").await;
    until_refused(&producer, "lane_full").await;
    let refusing = "mailfleet_queue_refusing{lane=\"low\",queue=\"email:processing\",why=\"memory\"}";
    producer.until_metric(refusing, 1.0).await;
    world.deliver("ben", "INBOX", "fresh", 2);
    world.until_waiting(2).await;
    assert_eq!(world.cursor(ben, "INBOX").await, 0, "the cursor passes nothing that is not enqueued");
    redis(&world, "CONFIG SET maxmemory 0");
    world.until_waiting(5).await;
    world.until_cursor(ben, "INBOX", 5).await;
    producer.until_metric(refusing, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_waits_while_redis_has_no_memory_and_goes_on_by_itself_with_all_mail() {
    let world = World::new().await;
    redis(&world, BALLAST);
    world.deliver("ada", "INBOX", "before", 2);
    let config = world.config("");
    let text = std::fs::read_to_string(&config).unwrap();
    // Without the marks it is Redis that refuses.
    let off = "[queue]\nnormal_max_memory_percent = 0\nlow_max_memory_percent = 0\n";
    std::fs::write(&config, text.replace("[queue]\n", off)).unwrap();
    let producer = Producer::start(&config);
    world.until_waiting(2).await;
    let ada = world.id("box").await;
    world.until_cursor(ada, "INBOX", 2).await;
    redis(&world, "CONFIG SET maxmemory 10mb");
    world.deliver("ada", "INBOX", "meanwhile", 3);
    producer.process.wait_for_line("OOM command not allowed", LONG).unwrap();
    // What is in goes on.
    let taken = world.drain().await;
    assert_eq!(taken.len(), 2);
    assert_eq!(world.waiting().await, 0, "nothing came in");
    redis(&world, "CONFIG SET maxmemory 0");
    world.until_waiting(3).await;
    world.until_cursor(ada, "INBOX", 5).await;
    assert_eq!(world.drain().await.len(), 3);
    assert!(producer.process.is_running());
}
