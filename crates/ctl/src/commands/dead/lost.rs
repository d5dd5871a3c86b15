//! Letters that were put back into the queue and that the queue does not hold: Redis lost them, or the run that marked
//! them was killed before the queue had them.

use std::time::Duration;

use mailfleet_model::JobId;
use mailfleet_queue::Queues;
use mailfleet_store::{DeadFilter, DeadLetter, DeadState, Store};

/// Replayed letters read from PostgreSQL, and looked up in Redis, in one step.
const PAGE: u32 = 1_000;
/// The most that the doctor hears of.
const MOST: usize = 20_000;

/// Letters replayed for at least `since` whose job the queue does not hold; the first 20 000.
pub async fn lost(store: &Store, queues: &Queues, since: Duration) -> anyhow::Result<Vec<DeadLetter>> {
    let (mut lost, mut after) = (Vec::new(), 0);
    loop {
        let page = store.replayed_letters(since, after, PAGE).await?;
        // Numbers ascend from page to page, which bounds the loop.
        let Some(end) = page.highest else { return Ok(lost) };
        lost.extend(missing(queues, page.letters).await?);
        if lost.len() >= MOST {
            return Ok(lost);
        }
        after = end;
    }
}

/// Opens the lost ones of a kind again, or only counts them; how many they are.
pub(super) async fn lost_of(
    store: &Store,
    queues: &Queues,
    kind: &DeadFilter,
    reopen: bool,
) -> anyhow::Result<u64> {
    let filter = DeadFilter { state: Some(DeadState::Replayed), limit: PAGE, ..kind.clone() };
    let (mut count, mut after) = (0, 0);
    loop {
        let page = store.dead_letters_page(&filter, after).await?;
        let Some(end) = page.highest else { return Ok(count) };
        let ids: Vec<i64> = missing(queues, page.letters).await?.iter().map(|letter| letter.id).collect();
        count += if reopen { store.reopen(&ids).await? } else { ids.len() as u64 };
        after = end;
    }
}

/// Of replayed letters those whose job is not live. They were read before the queue is asked: one that is stored or dies
/// again in between has left the state by then, and `Store::reopen` passes over it.
async fn missing(queues: &Queues, page: Vec<DeadLetter>) -> anyhow::Result<Vec<DeadLetter>> {
    let jobs: Vec<JobId> = page.iter().map(|letter| letter.job.clone()).collect();
    let live = queues.live(&jobs).await?;
    Ok(page.into_iter().zip(live).filter(|(_, live)| !live).map(|(letter, _)| letter).collect())
}
