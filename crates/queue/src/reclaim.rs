//! Reclaiming: what a dead consumer held goes on elsewhere.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::Value;

use crate::claim::raw_bytes;
use crate::consumer::{Consumer, count};
use crate::delivery::Delivery;
use crate::error::Result;
use crate::keys::Keys;
use crate::queue::script;
use crate::reply;
use crate::scripts::SCRIPTS;

const DOING: &str = "reclaim";
/// One reclaim looks at no more expired entries than this.
const RECLAIM_MAX: usize = 500;
/// Names of consumers that hold nothing are forgotten after this, or after ten leases if that is longer.
const FORGET_AFTER: Duration = Duration::from_secs(600);

impl Consumer {
    /// Takes over up to `max` entries (at most 500) whose owners' leases have run out. Call it a few times a lease.
    ///
    /// Nothing happens until Redis has been reachable for a whole lease without a gap, which only a running
    /// [`Keeper`](crate::Keeper), or claims every second or so, can vouch for: after an outage every lease looks
    /// expired, and the living need the time to renew theirs.
    ///
    /// At most one of the deliveries is to be run, alone; others that must run alone wait, for every consumer to take
    /// one at a time. Deliveries whose [`exhausted_crashes`](Delivery::exhausted_crashes) is set are to be
    /// dead-lettered, not run.
    pub async fn reclaim(&self, max: usize) -> Result<Vec<Delivery>> {
        self.reclaim_and_forget(max, FORGET_AFTER.max(self.0.queue.config().lease() * 10)).await
    }

    /// [`Self::reclaim`], and with it names of other consumers that hold nothing and gave no sign for `forget_after`
    /// are taken off the lists of the group. A reclaim is such a sign. That is tidiness alone: a name that was only
    /// quiet is there again with the next entry that its consumer takes.
    pub async fn reclaim_and_forget(&self, max: usize, forget_after: Duration) -> Result<Vec<Delivery>> {
        let queue = &self.0.queue;
        let max = max.min(RECLAIM_MAX);
        if max == 0
            || self.0.left.load(Ordering::Acquire)
            || !queue.link().reach.for_a_whole_lease(Instant::now())
        {
            return Ok(Vec::new());
        }
        let _taking = self.0.taking.lock().await;
        let config = queue.config();
        let forget_ms = u64::try_from(forget_after.as_millis()).unwrap_or(u64::MAX);
        let mut deliveries: Vec<Delivery> = Vec::new();
        let mut bytes = config.max_claim_bytes;
        for (partition, keys) in (0u16..).zip(queue.partitions()) {
            let Some(not_after) = self.reclaim_until(keys).await? else { break };
            let held = self.0.held.held_members(partition);
            let mut script = script(&SCRIPTS.reclaim, keys);
            script
                .arg(self.0.name.as_str())
                .arg(&keys.bell)
                .arg(config.lease_ms)
                .arg(max - deliveries.len().min(max));
            script.arg(config.max_crashes).arg(bytes).arg(self.0.held.alone_left());
            script.arg(forget_ms).arg(not_after).arg(held.len()).arg(held);
            let was_due = self.0.held.adopt_due();
            self.0.held.set_adopt_due(true);
            let answer: Value = queue.link().run(DOING, &script).await?;
            let reclaimed = self.open(partition, reply::rows(DOING, answer)?).await?;
            bytes = bytes.saturating_sub(raw_bytes(&reclaimed));
            deliveries.extend(reclaimed);
            self.0.held.set_adopt_due(was_due);
        }
        count(&self.0.stats.reclaimed, deliveries.len());
        if !deliveries.is_empty() {
            tracing::info!(entries = deliveries.len(), "entries of a consumer that is gone were taken over");
        }
        Ok(deliveries)
    }

    /// Until when, by the server's clock, a reclaim that is sent now may run; none where Redis is not known to have been
    /// there for a whole lease. What the client knows when it sends is not enough: the server may stand still with the
    /// script in its socket, and run it before the living can renew what looks expired by then.
    async fn reclaim_until(&self, keys: &Keys) -> Result<Option<u64>> {
        let queue = &self.0.queue;
        let now: u64 = queue.link().run(DOING, &script(&SCRIPTS.now, keys)).await?;
        // An answer that was long under way is one of a server that stood still, and starts the lease anew.
        let there = queue.link().reach.for_a_whole_lease(Instant::now());
        Ok(there.then_some(now + queue.config().lease_ms / 2))
    }
}
