//! However large the mails are, a consumer holds no more of them at once than it was given room for.

use mailfleet_model::Lane;
use mailfleet_queue::NewJob;

use crate::world::{World, job, mail, mails};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_flood_of_large_mails_never_holds_more_than_the_budget_at_once() {
    let mut world = World::new().await;
    // Each claim takes one of them; without a budget each of the workers would hold one.
    world.max_claim_bytes = MIB;
    // Too much for compression to make it so small that it travels inside its entry.
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.alphanumeric() as u8).take(64 << 10).collect();
    let large = |uid: u32| {
        let mut raw = mail(&format!("large {uid}"), "Content-Type: application/zip\r\n");
        raw.extend_from_slice(&noise.repeat(80));
        (uid, raw)
    };
    world.enqueue((1..=5).map(large)).await;
    world.enqueue(mails(6..=9)).await;
    let consumer = world.consumer("workers = 3\nmax_message_bytes = 5505024\nmemory_budget_mib = 22\n");
    world.until_stored(9).await;
    world.until_empty().await;
    let peak = consumer.metric("mailfleet_held_bytes_peak", &[]);
    // Two of them, and room for the most that a third claim could take, are more than the budget.
    assert!(peak <= 11 * MIB, "{peak} bytes were held");
    assert!(peak >= 10 * MIB, "only {peak} bytes were held: one at a time, although there is room for more");
    consumer.until_metric("mailfleet_held_bytes", &[], 0).await;
    assert!(world.letters().await.is_empty());
}

#[tokio::test]
async fn a_mail_above_what_is_taken_apart_is_admitted_although_it_exceeds_the_budget() {
    let mut world = World::new().await;
    world.max_claim_bytes = MIB;
    let mut raw = b"Subject: above\r\n\r\n".to_vec();
    raw.resize(6 << 20, b'x');
    world.enqueue([(1, raw)]).await;
    world.enqueue(mails(2..=4)).await;
    let consumer = world.consumer("max_message_bytes = 1048576\nmemory_budget_mib = 4\n");
    world.until_stored(4).await;
    world.until_empty().await;
    assert!(consumer.metric("mailfleet_held_bytes_peak", &[]) >= 6 * MIB);
    consumer.until_metric("mailfleet_held_bytes", &[], 0).await;
}

#[tokio::test]
async fn a_claim_of_large_mails_from_all_lanes_never_holds_more_than_was_set_aside_for_it() {
    let mut world = World::new().await;
    world.max_claim_bytes = 2 * MIB;
    let large = |uid: u32| {
        let mut raw = mail(&format!("large {uid}"), "Content-Type: application/zip\r\n");
        raw.resize((1 << 20) - 100, b'x');
        (uid, raw)
    };
    // Each lane has so many that its share of a claim ends within one of them.
    for (first, lane) in (0..).step_by(10).zip(Lane::ALL) {
        let jobs = (first + 1..=first + 8).map(|uid| NewJob { lane, ..job(world.own, uid, large(uid).1) });
        world.queue.enqueue(jobs.collect()).await.unwrap();
    }
    let consumer = world.consumer("workers = 2\nmax_message_bytes = 1048576\nmemory_budget_mib = 5\n");
    world.until_stored(24).await;
    world.until_empty().await;
    let peak = consumer.metric("mailfleet_held_bytes_peak", &[]);
    assert!(peak <= 5 * MIB, "{peak} bytes were held");
    assert!(peak > 2 * MIB, "{peak} bytes were held: no claim took more than its share");
}
