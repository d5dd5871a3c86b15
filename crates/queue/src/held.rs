//! What one consumer holds: the entries whose leases are kept alive for as long as their deliveries exist.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mailfleet_model::{JobId, Lane};

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
    lost: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Table {
    held: HashMap<EntryKey, Entry>,
    /// Deliveries dropped without being settled: theirs is the reclaim, after a lease, not the adoption.
    let_go: HashSet<EntryKey>,
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

    /// The held entries of one partition, with their jobs.
    pub(crate) fn snapshot(&self, partition: u16) -> Vec<(EntryKey, Option<JobId>)> {
        let table = self.table();
        let ours = table.held.iter().filter(|(key, _)| key.partition == partition);
        ours.map(|(key, entry)| (key.clone(), entry.job.clone())).collect()
    }

    /// What a reclaim must pass over.
    pub(crate) fn held_members(&self, partition: u16) -> Vec<String> {
        self.snapshot(partition).into_iter().map(|(key, _)| key.member()).collect()
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

    /// Notes that the server says "not yours" of this entry. Returns whether a live delivery lost its lease by that.
    pub(crate) fn lose(&self, key: &EntryKey) -> bool {
        let mut table = self.table();
        if table.held.get(key).is_none_or(|entry| entry.settling) {
            return false;
        }
        if let Some(entry) = table.held.remove(key) {
            entry.lost.store(true, Ordering::Release);
        }
        true
    }

    /// Every held entry is given up (handed back); the deliveries that still exist find their leases lost.
    pub(crate) fn lose_all(&self) {
        for (_, entry) in self.table().held.drain() {
            entry.lost.store(true, Ordering::Release);
        }
    }

    fn remove(&self, key: &EntryKey) -> bool {
        self.table().held.remove(key).is_some()
    }

    fn let_go(&self, key: &EntryKey) -> bool {
        let mut table = self.table();
        if table.held.remove(key).is_none() {
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
    lost: Arc<AtomicBool>,
    stage: Stage,
}

impl Lease {
    /// Begins to hold an entry that a script has just taken.
    pub(crate) fn open(held: &Arc<Held>, key: EntryKey, job: Option<JobId>, alone: bool) -> Self {
        let lost = Arc::new(AtomicBool::new(false));
        let mut table = held.table();
        table.let_go.remove(&key);
        table.held.insert(key.clone(), Entry { job, alone, settling: false, lost: Arc::clone(&lost) });
        drop(table);
        Self { held: Arc::clone(held), key, lost, stage: Stage::Opening }
    }

    pub(crate) const fn key(&self) -> &EntryKey {
        &self.key
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// The caller has it now.
    pub(crate) const fn hand_out(&mut self) {
        self.stage = Stage::Held;
    }

    /// A script that ends it is about to be sent (`true`), or has failed to get through (`false`).
    pub(crate) fn set_settling(&self, settling: bool) {
        if let Some(entry) = self.held.table().held.get_mut(&self.key) {
            entry.settling = settling;
        }
    }

    /// A script has ended it.
    pub(crate) fn settled(mut self) {
        self.held.remove(&self.key);
        self.stage = Stage::Settled;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self.stage {
            Stage::Settled => {}
            // The claim failed half-way: the entry is still ours on the server and is adopted next.
            Stage::Opening => {
                self.held.remove(&self.key);
                self.held.set_adopt_due(true);
            }
            Stage::Held => {
                if let Some(held_back) =
                    self.held.let_go(&self.key).then(|| self.held.gate.pass(Instant::now())).flatten()
                {
                    tracing::warn!(lane = %self.key.lane, entry = %self.key.id, held_back, "a delivery was dropped without being \
                        settled; it runs again, alone, after its lease");
                }
            }
        }
    }
}
