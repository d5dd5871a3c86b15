//! How many entries each account has in a lane, which is what its cap is held against, and how many bytes each lane
//! stores: what puts these numbers right.
//!
//! The scripts that add and remove entries move the numbers in the same step. They go wrong where entries come or go
//! without them: programs of an earlier version in a roll-out, or somebody's hands. A number that is too high would keep
//! an account's mail out, so whoever is refused doubts the numbers and has them counted anew; so does who meets a lane
//! whose bytes are not known.

use crate::depth::{Depth, LaneDepth};
use crate::error::Result;
use crate::find::page;
use crate::keys::Keys;
use crate::queue::{Queue, script};
use crate::scripts::SCRIPTS;

/// Pages that one refusal has counted at most: what it costs the caller is bounded, and the next refusal goes on.
const PAGES_A_REFUSAL: usize = 20;
/// Numbers that were counted anew within this time are not doubted again.
const TRUSTED_MS: u64 = 60_000;

/// How far a count of everything has come; not at all by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CountPlace {
    /// Those before it are counted.
    partition: u16,
}

impl Queue {
    /// Counts the entries of each account and the bytes of each lane anew, one partition after the other: goes on from `place`
    /// (the default: the begin) over `entries` entries, at most a page of 500, and returns the place to go on from; `None` when all is counted
    /// and the numbers are right. Moves go on meanwhile. How far a partition is counted stands in Redis, so that whoever comes
    /// next goes on with it. Enqueues that meet a full account do so by themselves.
    pub async fn recount_accounts(&self, place: CountPlace, entries: usize) -> Result<Option<CountPlace>> {
        let CountPlace { partition } = place;
        let Some(keys) = self.partitions().get(usize::from(partition)) else { return Ok(None) };
        if !self.recount(keys, entries.clamp(1, page(self.config())), 0).await? {
            return Ok(Some(place));
        }
        let is_last = usize::from(partition) + 1 >= self.partitions().len();
        Ok((!is_last).then_some(CountPlace { partition: partition + 1 }))
    }

    /// Has the numbers counted anew where the depth shows that they are lost (somebody deleted them, or they come from an
    /// earlier version), a bounded piece at a time and at most once a minute. For whoever reads the depth now and then.
    pub async fn mend_counts(&self, depth: &Depth) {
        if depth.lanes.iter().any(LaneDepth::lacks_bytes) {
            for (partition, _) in (0u16..).zip(self.partitions()) {
                self.doubt_counts(partition).await;
            }
        }
    }

    /// An account of this partition was refused: is its number right?
    pub(crate) async fn doubt_counts(&self, partition: u16) {
        let page = page(self.config());
        for _ in 0..PAGES_A_REFUSAL {
            match self.recount(self.keys(partition), page, TRUSTED_MS).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    // The refusal stands, and whoever comes back because of it is here again.
                    tracing::debug!(%error, partition, "the accounts' entries could not be counted");
                    return;
                }
            }
        }
    }

    async fn recount(&self, keys: &Keys, entries: usize, trusted_ms: u64) -> Result<bool> {
        let mut script = script(&SCRIPTS.recount, keys);
        script.arg(entries).arg(trusted_ms);
        let counted: i64 = self.link().run("count the entries of each account", &script).await?;
        Ok(counted == 1)
    }
}
