//! The steps by which work is brought back: reclaim, and what operators do with dead letters.

use std::collections::BTreeSet;
use std::time::Duration;

use super::jobs;
use super::state::{Entry, Place};
use super::world::{Check, World, ensure, text};

/// More than there is.
const ALL: usize = 100;

impl World {
    pub async fn reclaim(&mut self, by: usize, forget: bool) -> Check {
        self.be_sure_of_redis().await?;
        self.freshen().await?;
        let consumer = self.workers[by].consumer.clone();
        let deliveries = if forget {
            // Every name without entries goes at once, which must hurt nobody.
            consumer.reclaim_and_forget(ALL, Duration::ZERO).await
        } else {
            consumer.reclaim(ALL).await
        };
        let deliveries = deliveries.map_err(text)?;
        let taken: Option<BTreeSet<Entry>> =
            deliveries.iter().map(|delivery| Entry::parse(delivery.lane(), delivery.entry_id())).collect();
        let taken = taken.ok_or("an odd entry id")?;
        self.expired_were_recovered(by, &taken)?;
        self.receive(by, deliveries)
    }

    /// Of what has expired, each that ran by itself has crashed once more; those out of crashes are taken, of the others at
    /// most one; the rest waits to run alone, with all that is paused.
    fn expired_were_recovered(&mut self, by: usize, taken: &BTreeSet<Entry>) -> Check {
        let held = &self.workers[by].held;
        let (entries, kept): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.expired).into_iter().partition(|entry| !held.contains_key(entry));
        self.expired = kept.into_iter().collect();
        let mut room = usize::from(self.workers[by].has_room_alone());
        let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
        for entry in &entries {
            let max_crashes = self.queue.config().max_crashes;
            let paused = self.paused.contains(&entry.lane);
            let live = self.model.at_mut(*entry).ok_or("an expired entry that is not there")?;
            let begun = live.is_begun();
            // Ten deaths as a suspect are free.
            let crashed = begun || live.count >= 23;
            live.counters.crashes += u32::from(crashed);
            live.history += usize::from(crashed);
            if live.counters.crashes >= max_crashes {
                must.insert(*entry);
            } else if !paused {
                may.insert(*entry);
            }
            // Those that are taken are received later.
            live.place = Place::Ready;
            live.count = match live.count {
                _ if crashed => live.count - u32::from(begun),
                1 | 2 => live.count + 1,
                suspect => suspect + 2,
            };
            self.note(if crashed { "a crash was counted" } else { "an entry runs alone from now on" });
        }
        room = room.min(may.len());
        let right = taken.is_superset(&must)
            && taken.iter().all(|entry| must.contains(entry) || may.contains(entry))
            && taken.len() == must.len() + room;
        ensure!(right, "of {entries:?}, {must:?} and {room} of {may:?} were to be taken, not {taken:?}");
        Ok(())
    }

    pub async fn replay(&mut self, of: usize) -> Check {
        let dead = self.model.dead.len().max(1);
        let Some((uid, (lane, _))) = self.model.dead.iter().nth(of % dead) else { return Ok(()) };
        let job = (*uid, *lane);
        self.enqueue(&[job], true).await
    }

    pub async fn forget_dead(&mut self, uids: &[u32]) -> Check {
        let ids: Vec<_> = uids.iter().map(|uid| jobs::id(*uid)).collect();
        let told = self.queue.forget_dead(&ids).await.map_err(text)?;
        let removed = uids.iter().filter(|uid| self.model.dead.remove(uid).is_some()).count() as u64;
        ensure!(told == removed, "forgot {told} dead letters of {removed}");
        Ok(())
    }

    /// The rows tell of a job in the lane of its number.
    pub async fn rebuild_dead(&mut self, uids: &[u32]) -> Check {
        let row = |uid: &u32| {
            let lane = mailfleet_model::Lane::ALL[*uid as usize % 3];
            (jobs::id(*uid), lane, "told by a row".to_owned())
        };
        let rows: Vec<_> = uids.iter().map(row).collect();
        let told = self.queue.rebuild_dead_index(&rows).await.map_err(text)?;
        let mut added = 0;
        for (uid, (_, lane, reason)) in uids.iter().zip(rows) {
            if !self.model.live.contains_key(uid) && !self.model.dead.contains_key(uid) {
                self.model.dead.insert(*uid, (lane, reason));
                added += 1;
            }
        }
        ensure!(told == added, "added {told} dead letters, expected {added}");
        Ok(())
    }
}
