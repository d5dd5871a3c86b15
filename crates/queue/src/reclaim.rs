//! Reclaiming: what a dead consumer held goes on elsewhere.

use std::time::{Duration, Instant};

use redis::Value;

use crate::claim::raw_bytes;
use crate::consumer::{Consumer, count};
use crate::delivery::Delivery;
use crate::error::{Error, Result};
use crate::keys::Keys;
use crate::queue::script;
use crate::reply;
use crate::scripts::SCRIPTS;

const DOING: &str = "reclaim";
/// One reclaim looks at no more expired entries than this.
const RECLAIM_MAX: usize = 500;
/// Names of consumers that hold nothing are forgotten after this, or after ten leases if that is longer.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// What a reclaim may still take.
struct Room {
    entries: usize,
    bytes: u64,
}

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
    ///
    /// With several partitions an error is only one when nothing was taken from any of them.
    pub async fn reclaim(&self, max: usize) -> Result<Vec<Delivery>> {
        self.reclaim_and_forget(max, FORGET_AFTER.max(self.0.queue.config().lease() * 10)).await
    }

    /// [`Self::reclaim`], and with it names of other consumers that hold nothing and gave no sign for `forget_after`
    /// are taken off the lists of the group. A reclaim is such a sign. That is tidiness alone: a name that was only
    /// quiet is there again with the next entry that its consumer takes.
    pub async fn reclaim_and_forget(&self, max: usize, forget_after: Duration) -> Result<Vec<Delivery>> {
        let queue = &self.0.queue;
        let max = max.min(RECLAIM_MAX);
        if max == 0 || !queue.link().reach.for_a_whole_lease(Instant::now()) {
            return Ok(Vec::new());
        }
        let Some(_taking) = self.turn_to_take().await else { return Ok(Vec::new()) };
        let forget_ms = u64::try_from(forget_after.as_millis()).unwrap_or(u64::MAX);
        let mut deliveries: Vec<Delivery> = Vec::new();
        let mut failed = None;
        let mut room = Room { entries: max, bytes: queue.config().max_claim_bytes };
        for partition in 0..queue.config().partitions {
            match self.reclaim_from(partition, &room, forget_ms).await {
                Ok(Some(reclaimed)) => {
                    room.entries = room.entries.saturating_sub(reclaimed.len());
                    room.bytes = room.bytes.saturating_sub(raw_bytes(&reclaimed));
                    deliveries.extend(reclaimed);
                }
                Ok(None) => break,
                // Redis is away, or was: nobody reclaims for a lease.
                Err(error) if error.is_outage() => {
                    failed.get_or_insert(error);
                    break;
                }
                // What is wrong with one partition is no reason to leave the dead of another one where they are.
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        count(&self.0.stats.reclaimed, deliveries.len());
        if !deliveries.is_empty() {
            tracing::info!(entries = deliveries.len(), "entries of a consumer that is gone were taken over");
        }
        match failed {
            // Deliveries in hand are not thrown away for it: each would look as if one more consumer had died with it.
            Some(error) if !deliveries.is_empty() => {
                tracing::debug!(%error, "one partition could not be reclaimed from");
                Ok(Delivery::hand_out(deliveries))
            }
            Some(error) => Err(error),
            None => Ok(Delivery::hand_out(deliveries)),
        }
    }

    /// Reclaims from one partition; `None` where Redis is not known to have been there for a whole lease.
    async fn reclaim_from(
        &self,
        partition: u16,
        room: &Room,
        forget_ms: u64,
    ) -> Result<Option<Vec<Delivery>>> {
        let (queue, held) = (&self.0.queue, &self.0.held);
        let (config, keys) = (queue.config(), queue.keys(partition));
        let Some(not_after) = self.reclaim_until(keys).await? else { return Ok(None) };
        let members = held.held_members(partition);
        let mut script = script(&SCRIPTS.reclaim, keys);
        script.arg(self.0.name.as_str()).arg(&keys.bell).arg(config.lease_ms).arg(room.entries);
        script.arg(config.max_crashes).arg(room.bytes).arg(held.alone_left());
        script.arg(forget_ms).arg(not_after).arg(members.len()).arg(members);
        // Until the answer is in our hands, entries may be ours without our knowing.
        let was_due = held.adopt_due();
        held.set_adopt_due(true);
        let answer: Value = queue.link().run(DOING, &script).await?;
        let odd = |_| Error::Answer { doing: DOING, found: "not two parts".to_owned() };
        let [rows, vanished]: [Value; 2] = reply::array(DOING, answer)?.try_into().map_err(odd)?;
        self.have_vanished(reply::count(DOING, &vanished)?);
        let reclaimed = self.open(partition, reply::rows(DOING, rows)?).await?;
        held.set_adopt_due(was_due);
        Ok(Some(reclaimed))
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
