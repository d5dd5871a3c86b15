//! The clock of the test: leases run out and due times come without anybody waiting for them.
//!
//! Redis keeps both times with the entries, so the test may write them: a lease has run out when the idle time of the
//! entry is long enough, and a delayed entry is due when its score is in the past. Real time must not count beside that:
//! before anybody looks for expired leases, the others are made fresh.
//!
//! Only one thing waits for real time. Nobody reclaims before it has seen Redis for one whole lease without a gap, and the
//! connections of all cases are the same: so that is once, before the first reclaim, and again if the machine has stood
//! still.

use std::time::{Duration, Instant};

use mailfleet_testkit::eventually;

use super::state::{Entry, Place};
use super::world::{Check, World, text};
use crate::fixture::SOON;

/// Far beyond any lease, in ms.
pub const LONG_AGO_MS: u64 = 600_000;

impl World {
    fn lease(&self) -> Duration {
        self.queue.config().lease()
    }

    /// Notes that Redis has just answered.
    pub fn seen(&mut self) {
        let gap = self.last_seen.is_some_and(|last| last.elapsed() > self.lease() / 2);
        self.last_seen = if gap { None } else { self.last_seen.map(|_| Instant::now()) };
    }

    /// Waits, where that is not so, until Redis has been seen for a whole lease.
    pub async fn be_sure_of_redis(&mut self) -> Check {
        self.seen();
        if self.last_seen.is_none() {
            let (queue, from, lease) = (&self.queue, Instant::now(), self.lease());
            eventually("a lease with answers", SOON, || async move {
                let answer = queue.ping().await;
                (from.elapsed() > lease * 11 / 10).then_some(answer)
            })
            .await
            .map_err(text)?;
            self.last_seen = Some(Instant::now());
        }
        Ok(())
    }

    /// Sets the time since the last sign of life of an entry's owner.
    pub async fn set_idle(&self, entry: Entry, owner: &str, idle_ms: u64) -> Check {
        let (lane, id) = (entry.lane, entry.id());
        let command = format!("XCLAIM K:{lane} consumers {owner} 0 {id} IDLE {idle_ms} JUSTID");
        let claimed: Vec<String> = self.raw.run(&command).await?;
        if claimed == [id] { Ok(()) } else { Err(format!("{command}: {claimed:?}")) }
    }

    /// The leases of one owner run out.
    pub async fn lease_passes(&mut self, of: usize) -> Check {
        let owners = self.model.owners();
        let Some(owner) = owners.iter().nth(of % owners.len().max(1)).map(|&owner| owner.to_owned()) else {
            return Ok(());
        };
        let entries = self.model.live.values().filter(|live| live.is_held_by(&owner)).map(|live| live.entry);
        for entry in entries.collect::<Vec<_>>() {
            self.set_idle(entry, &owner, LONG_AGO_MS).await?;
            self.expired.insert(entry);
        }
        Ok(())
    }

    /// Every lease that has not run out is fresh, whatever real time has passed.
    pub async fn freshen(&self) -> Check {
        for live in self.model.live.values() {
            if let Place::Held(owner) = &live.place
                && !self.expired.contains(&live.entry)
            {
                self.set_idle(live.entry, owner, 0).await?;
            }
        }
        Ok(())
    }

    /// One line of the delayed set comes due.
    pub async fn due_passes(&mut self, of: usize) -> Check {
        let lines = self.model.due.len().max(1);
        let Some((entry, due)) = self.model.due.iter_mut().nth(of % lines) else { return Ok(()) };
        *due = true;
        let line = format!("ZADD K:delayed XX 1 {}:{}", &entry.lane.as_str()[..1], entry.id());
        self.raw.run::<i64>(&line).await?;
        Ok(())
    }
}
