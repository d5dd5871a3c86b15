//! What one script does is bounded, whatever is asked.

use mailfleet_model::Lane;
use mailfleet_queue::{CountPlace, Enqueued, NewJob};

use crate::fixture::{Fixture, at, envelope};

#[tokio::test]
async fn a_count_of_more_accounts_than_a_script_can_name_at_once_goes_page_by_page() {
    const ACCOUNTS: u32 = 9_000;
    let f = Fixture::start_with(&[], |config| config.partitions = 1);
    let of = |account: u32| {
        let envelope = envelope(at(account.into(), 1), 3);
        NewJob { envelope, lane: Lane::Normal, raw: "raw".into() }
    };
    let enqueued = f.queue.enqueue((1..=ACCOUNTS).map(of).collect()).await.unwrap();
    assert!(enqueued.iter().all(|enqueued| *enqueued == Enqueued::Queued));
    let before = f.queue.depth().await.unwrap().lane(Lane::Normal).bytes;
    assert!(before.is_some_and(|bytes| bytes > 0), "{before:?}");
    let _: u64 = f.redis("DEL K:accounts").await;
    let (mut place, mut pages) = (Some(CountPlace::default()), 0);
    while let Some(from) = place {
        place = f.queue.recount_accounts(from, 10_000).await.unwrap();
        pages += 1;
        assert!(pages < 1_000, "never comes to its end");
    }
    assert_eq!(f.queue.depth().await.unwrap().lane(Lane::Normal).bytes, before);
    assert_eq!(
        f.redis::<u32>("HLEN K:accounts").await,
        ACCOUNTS + 4,
        "bytes of three lanes, and when it ended"
    );
}
