//! The sweep: what the mailbox holds and nobody accounts for is fetched again.
//!
//! Redis may lose anything at any moment, and the cursor does not look back. So, page by page, the UIDs on the server
//! are compared with the ledger and then with the live jobs; what has neither is fetched and enqueued again. A sweep
//! also yields the number of unaccounted messages. It is set only at the end of a whole sweep: a number from half a
//! mailbox would be a lie.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mailfleet_imap::MailSource;
use mailfleet_model::Uid;

use crate::mailbox::{Unaccounted, Visitor, Watch};
use crate::plan::{self, Pages, Range};
use crate::problem::Problem;

/// A sweep that could not enqueue everything (a full lane or account) is repeated after this.
const REPEAT_AFTER: Duration = Duration::from_secs(30);

/// A sweep in progress.
#[derive(Debug, Default)]
struct Tally {
    /// Found without outcome and without live job, and fetched again.
    refetched: u64,
    /// Of these, still unaccounted for, and older than a minute.
    left: u64,
    /// Not yet reached by the scan: history that waits its turn.
    ahead: u64,
    /// The queue takes no more: what else is missing is counted and left for the next sweep.
    full: bool,
}

impl Watch {
    /// Sweeps the whole mailbox.
    pub(crate) fn sweep(
        &mut self,
        visitor: Visitor<'_>,
        session: &mut dyn MailSource,
    ) -> Result<(), Problem> {
        let Some(epoch) = self.epoch else { return Ok(()) };
        let services = visitor.services;
        // Read before the work: what is lost in the middle of it makes the next sweep due.
        let generation = services.generation();
        let begun = Instant::now();
        let mut tally = Tally::default();
        let page = services.config.producer.sweep_page;
        let mut pages = Pages::new(epoch.marks.end(), page);
        while let Some((from, to)) = pages.next_window() {
            let there = session.search_uids(from, to)?;
            pages.found(there.len());
            for chunk in there.chunks(usize::try_from(page).unwrap_or(usize::MAX)) {
                self.sweep_page(visitor, session, chunk, &mut tally)?;
            }
            visitor.control.progress();
            self.look_up(visitor, session)?;
        }
        services.metrics.sweep_seconds.observe(begun.elapsed().as_secs_f64());
        self.unaccounted = Some(Unaccounted { left: tally.left, ahead: tally.ahead });
        if tally.refetched > 0 {
            tracing::info!(
                mailbox = self.name,
                refetched = tally.refetched,
                left = tally.left,
                "the sweep fetched mail again that had neither an outcome nor a live job"
            );
        }
        self.sweep_generation = Some(generation);
        let every = services.config.producer.sweep_every();
        let wait = if tally.full { every.min(REPEAT_AFTER) } else { every };
        // Spread over a tenth, so that accounts that started together do not sweep together for ever.
        self.sweep_at = Instant::now() + wait.mul_f64(fastrand::f64().mul_add(0.1, 0.95));
        Ok(())
    }

    fn sweep_page(
        &mut self,
        visitor: Visitor<'_>,
        session: &mut dyn MailSource,
        there: &[Uid],
        tally: &mut Tally,
    ) -> Result<(), Problem> {
        let Some(place) = self.place(visitor) else { return Ok(()) };
        let accounted = {
            let _slot = visitor.services.sweep_slot()?;
            place.accounted(there)?
        };
        let (missing, ahead): (Vec<Uid>, Vec<Uid>) = there
            .iter()
            .copied()
            .filter(|uid| !accounted.contains(uid))
            .partition(|&uid| place.marks.covers(uid));
        tally.ahead += number(ahead.len());

        let (now, rest) = (Instant::now(), visitor.services.config.producer.sweep_every());
        let (resting, missing): (Vec<Uid>, Vec<Uid>) =
            missing.into_iter().partition(|&uid| self.withheld.rests(uid, now, rest));
        tally.left += number(resting.len());
        let mut rest = missing.as_slice();
        while let Some(&first) = rest.first() {
            if tally.full {
                tally.left += number(rest.len());
                return Ok(());
            }
            let most = if self.is_suspect(first) { 1 } else { visitor.services.config.producer.batch_count };
            let (batch, later) = rest.split_at(most.min(rest.len()));
            rest = later;
            self.refetch(visitor, session, batch, tally)?;
            visitor.control.progress();
            self.look_up(visitor, session)?;
        }
        Ok(())
    }

    fn refetch(
        &mut self,
        visitor: Visitor<'_>,
        session: &mut dyn MailSource,
        uids: &[Uid],
        tally: &mut Tally,
    ) -> Result<(), Problem> {
        let services = visitor.services;
        let Some(place) = self.place(visitor) else { return Ok(()) };
        let settled = {
            // Their sizes are not known; what is held is flushed at `batch_bytes`, which one mail may exceed.
            let bytes = services.config.producer.batch_bytes;
            let _room = services.room(bytes, Range::History)?;
            place.fetch_and_enqueue(session, uids)
        };
        let settled = settled.inspect_err(|problem| self.suspect(uids, problem))?;
        self.settle(&settled);
        let now_ms = services.clock.now_ms();
        let full: BTreeSet<Uid> = settled
            .refused
            .iter()
            .filter(|refused| plan::is_old(refused.internal_date_ms, now_ms))
            .map(|refused| refused.uid)
            .collect();
        let refetched = number(settled.covered.len());
        tally.refetched += refetched;
        tally.left += number(full.len() + settled.withheld.len());
        tally.full |= !settled.refused.is_empty();
        services.metrics.sweep_refetched.inc_by(refetched);
        Ok(())
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
