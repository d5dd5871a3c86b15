//! The scan: what lies above the marks is taken in order, in batches, and the marks move over what is covered.
//!
//! The cursor never passes a UID that was not enqueued, was not found accounted for, and was not given up by name. What
//! cannot go on (a full lane or account, a message that does not come) blocks its range for a while, not the other one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mailfleet_imap::{MailSource, UidInfo};
use mailfleet_model::{Backoff, Uid};
use mailfleet_queue::Enqueued;

use crate::ingest::Settled;
use crate::mailbox::{Visitor, Watch};
use crate::plan::{self, Range};
use crate::problem::Problem;

/// How long fresh mail may keep the thread before other mailboxes have their turn.
const FRESH_SLICE: Duration = Duration::from_secs(5);
/// How long history may keep the thread before other mailboxes have their turn.
const HISTORY_SLICE: Duration = Duration::from_secs(1);
/// Waits for room in a full lane, or for a message that did not come.
const BLOCKED: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// A range that cannot go on for now.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Block {
    /// Not before.
    pub until: Option<Instant>,
    /// How often it could not go on in a row.
    pub tries: u32,
    /// Mails older than a minute that wait behind it.
    pub waiting: u64,
}

impl Watch {
    /// Takes what lies above a mark, in order. True when the slice of time ended first.
    pub(crate) fn scan(
        &mut self,
        visitor: Visitor<'_>,
        session: &mut dyn MailSource,
        range: Range,
    ) -> Result<bool, Problem> {
        let begun = Instant::now();
        let slice = match range {
            Range::Fresh => FRESH_SLICE,
            Range::History => HISTORY_SLICE,
        };
        if range == Range::Fresh {
            self.looked_up = begun;
        }
        if self.blocks[range.index()].until.is_some_and(|until| until > begun) {
            return Ok(false);
        }
        while let Some((from, to)) = self.epoch.and_then(|epoch| epoch.marks.next(range)) {
            let mut page = session.list_uids(from)?;
            page.retain(|info| (from..=to).contains(&info.uid.get()));
            if page.is_empty() {
                self.blocks[range.index()] = Block::default();
                // What a restart left behind would have been in this page.
                self.look[range.index()] = false;
                if range == Range::History {
                    self.advance(visitor, range, to)?;
                    if let Some(unaccounted) = &mut self.unaccounted {
                        unaccounted.ahead = 0;
                    }
                }
                return Ok(false);
            }
            if !self.take_page(visitor, session, range, &page, begun + slice)? {
                return Ok(false);
            }
            if begun.elapsed() >= slice {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes one page of a listing in batches, no new one after `end`. False when the range is blocked.
    fn take_page(
        &mut self,
        visitor: Visitor<'_>,
        session: &mut dyn MailSource,
        range: Range,
        page: &[UidInfo],
        end: Instant,
    ) -> Result<bool, Problem> {
        let limits = &visitor.services.config.producer;
        let mut rest = page;
        while let Some(first) = rest.first() {
            if visitor.control.stopping() {
                return Err(Problem::Stopping);
            }
            let count = if self.is_suspect(first.uid) { 1 } else { limits.batch_count };
            let Some(batch) = mailfleet_imap::batches(rest, count, limits.batch_bytes).next() else { break };
            rest = rest.get(batch.len()..).unwrap_or_default();
            if !self.take_batch(visitor, session, range, batch)? {
                let now_ms = visitor.services.clock.now_ms();
                let old = batch.iter().chain(rest).filter(|info| plan::is_old(info.internal_date_ms, now_ms));
                self.blocks[range.index()].waiting = u64::try_from(old.count()).unwrap_or(u64::MAX);
                return Ok(false);
            }
            visitor.control.progress();
            if Instant::now() >= end {
                break;
            }
            if range == Range::History && !rest.is_empty() {
                self.look_up(visitor, session)?;
            }
        }
        Ok(true)
    }

    /// Takes one batch and moves the mark over what is covered. False when something is not covered.
    fn take_batch(
        &mut self,
        visitor: Visitor<'_>,
        session: &mut dyn MailSource,
        range: Range,
        batch: &[UidInfo],
    ) -> Result<bool, Problem> {
        let services = visitor.services;
        let Some(place) = self.place(visitor) else { return Ok(false) };
        let asked: Vec<Uid> = batch.iter().map(|info| info.uid).collect();
        let mut covered: BTreeSet<Uid> =
            asked.iter().copied().filter(|&uid| self.withheld.passed(uid)).collect();
        if self.look[range.index()] {
            let known = place.accounted(&asked)?;
            // What a restart left behind lies in one piece at the beginning; after it there is nothing to look for.
            let still = !known.is_empty();
            covered.extend(known);
            self.look[range.index()] = still;
        }
        let Some(place) = self.place(visitor) else { return Ok(false) };
        let wanted = || batch.iter().filter(|info| !covered.contains(&info.uid));
        let limit = services.config.imap.max_message_bytes;
        let large: Vec<(Uid, u64)> =
            wanted().filter(|info| info.size > limit).map(|info| (info.uid, info.size)).collect();
        let (uids, bytes) =
            wanted().filter(|info| info.size <= limit).fold((Vec::new(), 0), |(mut uids, bytes), info| {
                uids.push(info.uid);
                (uids, bytes + info.size)
            });
        place.bury_too_large(&large)?;
        covered.extend(large.iter().map(|(uid, _)| *uid));
        let settled = if uids.is_empty() {
            Settled::default()
        } else {
            let _room = services.room(bytes, range)?;
            place.fetch_and_enqueue(session, &uids).inspect_err(|problem| self.suspect(&uids, problem))?
        };
        covered.extend(self.settle(&settled));
        if let Some(mark) = plan::watermark(&asked, &covered) {
            self.advance(visitor, range, mark)?;
        }
        if let (Range::History, Some(unaccounted)) = (range, &mut self.unaccounted) {
            let done = u64::try_from(covered.len()).unwrap_or(u64::MAX);
            unaccounted.ahead = unaccounted.ahead.saturating_sub(done);
        }
        let through = asked.iter().all(|uid| covered.contains(uid));
        self.block_unless(visitor, range, through, &settled);
        Ok(through)
    }

    /// Remembers what did not come; returns what the cursor may pass.
    pub(crate) fn settle(&mut self, settled: &Settled) -> BTreeSet<Uid> {
        for &uid in &settled.covered {
            self.withheld.settled(uid);
        }
        let now = Instant::now();
        let mut passing = settled.covered.clone();
        for &uid in &settled.withheld {
            if self.withheld.failed(uid, now) {
                tracing::warn!(
                    mailbox = self.name,
                    %uid,
                    "the server lists this message and does not hand it out; passing it, the sweep asks again"
                );
                passing.insert(uid);
            }
        }
        passing
    }

    fn block_unless(&mut self, visitor: Visitor<'_>, range: Range, through: bool, settled: &Settled) {
        let block = &mut self.blocks[range.index()];
        if through {
            *block = Block::default();
            return;
        }
        block.tries = block.tries.saturating_add(1);
        // Parts of this batch are queued: look before they are fetched again.
        self.look[range.index()] = true;
        let wait = BLOCKED.delay(block.tries, fastrand::f64());
        block.until = Some(Instant::now() + wait);
        if let Some(refused) = settled.refused.first().filter(|_| block.tries == 1)
            && let Some(suppressed) = visitor.services.lane_full_log.open()
        {
            let why = match refused.why {
                Enqueued::AccountFull => {
                    "its account has as much in the queue as it may (queue.account_max_entries)"
                }
                Enqueued::Closed => "the queue is closed (`mailfleet queue resume` opens it)",
                _ => {
                    "a lane of the queue refuses (`mailfleet queue depth` says whether for its entries or for the memory of \
                     Redis)"
                }
            };
            tracing::warn!(
                mailbox = self.name,
                suppressed,
                "{why}: mail waits in its mailbox until the queue takes it"
            );
        }
    }

    /// Whether a fetch with this UID in it broke the connection.
    pub(crate) fn is_suspect(&self, uid: Uid) -> bool {
        self.suspects.is_some_and(|(from, to)| (from..=to).contains(&uid.get()))
    }

    /// A fetch broke the connection: next time its UIDs are asked for one by one, and a single one that keeps doing
    /// it is passed in the end.
    pub(crate) fn suspect(&mut self, uids: &[Uid], problem: &Problem) {
        if !problem.blames_messages() {
            return;
        }
        match uids {
            [] => {}
            [uid] => {
                if self.withheld.failed(*uid, Instant::now()) {
                    tracing::warn!(
                        mailbox = self.name,
                        %uid,
                        "fetching this message breaks the connection; passing it, the sweep asks again"
                    );
                }
            }
            [first, .., last] => self.suspects = Some((first.get(), last.get())),
        }
    }
}
