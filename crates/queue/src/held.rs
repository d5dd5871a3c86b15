//! What one consumer holds: the entries whose leases are kept alive for as long as their deliveries exist.
//!
//! An entry belongs to one delivery of it, not to all of its name: it can be lost, run elsewhere, be handed back and come
//! to the same consumer again while the first delivery still exists. That one can do nothing to it any more.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mailfleet_model::{JobId, Lane};
use tokio::sync::Notify;

use crate::keys::lane_letter;
use crate::log_gate::LogGate;

/// More entries than this are not remembered as let go; what is forgotten is merely adopted instead of reclaimed.
const LET_GO_MAX: usize = 10_000;

/// Which entry of which stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct EntryKey {
    pub(crate) partition: u16,
    pub(crate) lane: Lane,
    pub(crate) id: String,
}

impl EntryKey {
    /// As the scripts name an entry within its partition.
    pub(crate) fn member(&self) -> String {
        format!("{}:{}", lane_letter(self.lane), self.id)
    }
}

#[derive(Debug)]
struct Entry {
    job: Option<JobId>,
    /// Takes the one place for entries that run alone.
    alone: bool,
    /// A script that ends it is on its way, so that an answer "not yours" to the keep-alive says nothing.
    settling: bool,
    mark: Mark,
}

/// Which delivery of an entry, and whether it was lost.
#[derive(Debug, Clone, Default)]
struct Mark(Arc<Loss>);

#[derive(Debug, Default)]
struct Loss {
    lost: AtomicBool,
    /// It was counted, or given up on purpose.
    told: AtomicBool,
    waiting: Notify,
}

impl Mark {
    fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Acquire)
    }

    fn lose(&self) {
        self.0.lost.store(true, Ordering::Release);
        self.0.waiting.notify_waiters();
    }

    /// Whether its loss is still to be counted; by the one who asks first.
    fn tell(&self) -> bool {
        !self.0.told.swap(true, Ordering::AcqRel)
    }

    /// Comes when it is lost, at once if it was before.
    async fn lost(&self) {
        // Made before the look: whoever loses it after that wakes it, though it has not been polled yet.
        let waiting = self.0.waiting.notified();
        if !self.is_lost() {
            waiting.await;
        }
    }
}

/// A held entry at one moment.
#[derive(Debug)]
pub(crate) struct Holding {
    pub(crate) key: EntryKey,
    pub(crate) job: Option<JobId>,
    mark: Mark,
}

#[derive(Debug, Default)]
struct Table {
    held: HashMap<EntryKey, Entry>,
    /// Deliveries dropped without being settled: theirs is the reclaim, after a lease, not the adoption.
    let_go: HashSet<EntryKey>,
}

impl Table {
    /// The entry, as far as this delivery of it is the one that holds it.
    fn of(&mut self, key: &EntryKey, mark: &Mark) -> Option<&mut Entry> {
        self.held.get_mut(key).filter(|entry| entry.mark.is_of(mark))
    }

    /// Stops holding the entry; `None` where another delivery of it is held, or none.
    fn remove(&mut self, key: &EntryKey, mark: &Mark) -> Option<Entry> {
        self.of(key, mark)?;
        self.held.remove(key)
    }
}

/// The held entries of one consumer.
#[derive(Debug, Default)]
pub(crate) struct Held {
    table: Mutex<Table>,
    gate: LogGate,
    /// Something may be pending under our name that we do not know of.
    adopt_due: AtomicBool,
}

impl Held {
    fn table(&self) -> MutexGuard<'_, Table> {
        // No code panics while it holds the lock; were it to, the table is still whole after each statement.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.table().held.len()
    }

    /// How many more entries that run alone may be taken: one at a time, so that a crash is that one's.
    pub(crate) fn alone_left(&self) -> usize {
        usize::from(!self.table().held.values().any(|entry| entry.alone))
    }

    /// The held entries of one partition.
    pub(crate) fn snapshot(&self, partition: u16) -> Vec<Holding> {
        let table = self.table();
        let ours = table.held.iter().filter(|(key, _)| key.partition == partition);
        ours.map(|(key, Entry { job, mark, .. })| Holding {
            key: key.clone(),
            job: job.clone(),
            mark: mark.clone(),
        })
        .collect()
    }

    /// What a reclaim must pass over.
    pub(crate) fn held_members(&self, partition: u16) -> Vec<String> {
        self.snapshot(partition).into_iter().map(|holding| holding.key.member()).collect()
    }

    /// What an adoption must pass over.
    pub(crate) fn known_members(&self, partition: u16) -> Vec<String> {
        let table = self.table();
        let known = table.held.keys().chain(&table.let_go).filter(|key| key.partition == partition);
        known.map(EntryKey::member).collect()
    }

    pub(crate) fn adopt_due(&self) -> bool {
        self.adopt_due.load(Ordering::Acquire)
    }

    pub(crate) fn set_adopt_due(&self, due: bool) {
        self.adopt_due.store(due, Ordering::Release);
    }

    /// Notes that the server says "not yours" of this entry. Returns whether a live delivery lost its lease by that, which is
    /// the caller's to count.
    pub(crate) fn lose(&self, Holding { key, mark, .. }: &Holding) -> bool {
        let mut table = self.table();
        if table.of(key, mark).is_none_or(|entry| entry.settling) {
            return false;
        }
        table.held.remove(key);
        mark.lose();
        mark.tell()
    }

    /// Every held entry is given up (handed back); the deliveries that still exist find their leases lost.
    pub(crate) fn lose_all(&self) {
        for (_, entry) in self.table().held.drain() {
            entry.mark.tell();
            entry.mark.lose();
        }
    }

    fn let_go(&self, key: &EntryKey, mark: &Mark) -> bool {
        let mut table = self.table();
        if table.remove(key, mark).is_none() {
            return false;
        }
        if table.let_go.len() >= LET_GO_MAX {
            table.let_go.clear();
        }
        table.let_go.insert(key.clone());
        true
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Taken, but not yet in the caller's hands.
    Opening,
    /// In the caller's hands.
    Held,
    /// Ended by a script, or lost.
    Settled,
}

/// One held entry; as long as it exists the keeper renews its lease.
#[derive(Debug)]
pub(crate) struct Lease {
    held: Arc<Held>,
    key: EntryKey,
    mark: Mark,
    stage: Stage,
}

impl Lease {
    /// Begins to hold an entry that a script has just taken. An earlier delivery of it that still exists was lost before,
    /// or the script could not have taken it.
    pub(crate) fn open(held: &Arc<Held>, key: EntryKey, job: Option<JobId>, alone: bool) -> Self {
        let mark = Mark::default();
        let mut table = held.table();
        table.let_go.remove(&key);
        let entry = Entry { job, alone, settling: false, mark: mark.clone() };
        if let Some(earlier) = table.held.insert(key.clone(), entry) {
            earlier.mark.lose();
        }
        drop(table);
        Self { held: Arc::clone(held), key, mark, stage: Stage::Opening }
    }

    pub(crate) const fn key(&self) -> &EntryKey {
        &self.key
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.mark.is_lost()
    }

    /// Whether its loss is still to be counted; asked once by whoever finds it lost.
    pub(crate) fn tell_loss(&self) -> bool {
        self.mark.tell()
    }

    /// Comes when it is lost, never while it is held.
    pub(crate) async fn lost(&self) {
        self.mark.lost().await;
    }

    /// Whether this very delivery is the one that holds the entry.
    pub(crate) fn is_held(&self) -> bool {
        self.held.table().of(&self.key, &self.mark).is_some()
    }

    /// The caller has it now.
    pub(crate) const fn hand_out(&mut self) {
        self.stage = Stage::Held;
    }

    /// A script that ends it is about to be sent (`true`), or has failed to get through (`false`). Returns whether it is
    /// still held: the server knows the consumer alone, so that a lost delivery must not ask it anything.
    pub(crate) fn set_settling(&self, settling: bool) -> bool {
        let mut table = self.held.table();
        let entry = table.of(&self.key, &self.mark);
        let is_held = entry.is_some();
        if let Some(entry) = entry {
            entry.settling = settling;
        }
        is_held
    }

    /// A script has ended it.
    pub(crate) fn settled(mut self) {
        self.held.table().remove(&self.key, &self.mark);
        self.stage = Stage::Settled;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self.stage {
            Stage::Settled => {}
            // The claim failed half-way: the entry is still ours on the server and is adopted next.
            Stage::Opening => {
                self.held.table().remove(&self.key, &self.mark);
                self.held.set_adopt_due(true);
            }
            Stage::Held => {
                if let Some(held_back) = self
                    .held
                    .let_go(&self.key, &self.mark)
                    .then(|| self.held.gate.pass(Instant::now()))
                    .flatten()
                {
                    tracing::warn!(lane = %self.key.lane, entry = %self.key.id, held_back, "a delivery was dropped without being \
                        settled; it runs again, alone, after its lease");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_waits_for_the_loss_of_a_lease_is_woken_by_it_and_by_no_other() {
        let held = Arc::new(Held::default());
        let open = |id: &str| {
            let key = EntryKey { partition: 0, lane: Lane::High, id: id.to_owned() };
            Lease::open(&held, key, None, false)
        };
        let (lease, other) = (open("1-0"), open("2-0"));
        let mut waiting = Box::pin(lease.lost());
        assert!(waiting.as_mut().now_or_never().is_none());
        other.settled();
        assert!(waiting.as_mut().now_or_never().is_none());
        let holding = held.snapshot(0).pop().unwrap();
        assert!(held.lose(&holding));
        waiting.await;
        assert!(lease.is_lost() && lease.lost().now_or_never().is_some(), "later as well");
    }
}
