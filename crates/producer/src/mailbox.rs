//! One watched mailbox: where its cursor stands, and one visit to it.
//!
//! A visit reads what is fresh, sweeps when that is due, and takes a slice of the history. Long work looks for fresh
//! mail again and again, so that the mail of this minute waits for no backfill.

use std::time::{Duration, Instant};

use mailfleet_imap::MailSource;
use mailfleet_model::{Direction, MailboxId, Uid, UidValidity};
use mailfleet_store::Account;

use crate::control::Control;
use crate::ingest::Place;
use crate::plan::{Marks, Range, Withheld};
use crate::problem::Problem;
use crate::scan::Block;
use crate::services::Services;

/// How often long work looks for fresh mail.
const LOOK_UP_EVERY: Duration = Duration::from_millis(300);

/// What a visit needs from its account.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'a> {
    /// The servers behind.
    pub services: &'a Services,
    /// The account.
    pub account: &'a Account,
    /// How it is stopped, and how it tells of progress.
    pub control: &'a Control,
}

/// What is known of the mailbox under its present UIDVALIDITY.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch {
    pub id: MailboxId,
    pub uidvalidity: UidValidity,
    pub marks: Marks,
    /// The cursor as PostgreSQL has it.
    cursor: u32,
}

/// One mailbox of one account.
#[derive(Debug)]
pub struct Watch {
    /// Its name as the account's configuration has it.
    pub name: String,
    /// Whether its mail came in or is our own.
    pub direction: Direction,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) withheld: Withheld,
    /// A fetch of these UIDs broke the connection: they are fetched one by one, to find out which it is.
    pub(crate) suspects: Option<(u32, u32)>,
    /// Ask PostgreSQL and Redis before fetching: what was enqueued before a restart needs no second fetch.
    pub(crate) look: [bool; 2],
    pub(crate) blocks: [Block; 2],
    pub(crate) looked_up: Instant,
    pub(crate) sweep_generation: Option<u64>,
    pub(crate) sweep_at: Instant,
    /// What the last whole sweep left, kept up to date since; `None` while that is not known.
    pub(crate) unaccounted: Option<Unaccounted>,
}

/// Messages without outcome and without live job, by why.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Unaccounted {
    /// The sweep could not bring them back.
    pub left: u64,
    /// History that waits its turn.
    pub ahead: u64,
}

impl Watch {
    /// A mailbox that was never visited.
    pub fn new(name: String, direction: Direction) -> Self {
        let now = Instant::now();
        Self {
            name,
            direction,
            epoch: None,
            withheld: Withheld::default(),
            suspects: None,
            look: [true; 2],
            blocks: [Block::default(); 2],
            looked_up: now,
            sweep_generation: None,
            sweep_at: now,
            unaccounted: None,
        }
    }

    /// After a lost connection or an outage: nothing is taken for granted, and a sweep is due.
    pub fn distrust(&mut self, visitor: Visitor<'_>) {
        self.look = [true; 2];
        self.sweep_generation = None;
        self.forget_count(visitor);
    }

    /// The number of unaccounted messages is not known any more.
    pub fn forget_count(&mut self, visitor: Visitor<'_>) {
        self.unaccounted = None;
        visitor.services.metrics.unaccounted.set(&[&visitor.account.name, &self.name], None);
    }

    /// Whether a sweep is due.
    pub fn sweep_is_due(&self, services: &Services) -> bool {
        self.sweep_generation != Some(services.generation()) || self.sweep_at <= Instant::now()
    }

    /// When this mailbox wants another visit even if nothing happens.
    pub fn next_visit(&self) -> Instant {
        self.blocks.iter().filter_map(|block| block.until).fold(self.sweep_at, Instant::min)
    }

    /// Reads what is new and what is due. `selected` tells whether the mailbox is the one that is open. True when
    /// there is more to do at once.
    pub fn visit(
        &mut self,
        visitor: Visitor<'_>,
        session: &mut dyn MailSource,
        selected: bool,
    ) -> Result<bool, Problem> {
        let sweep = self.sweep_is_due(visitor.services);
        // Opened again for a sweep, too: a new UIDVALIDITY shows only when a mailbox is opened.
        if !selected || sweep || self.epoch.is_none() {
            self.open(visitor, session)?;
        }
        let mut more = self.scan(visitor, session, Range::Fresh)?;
        self.save_cursor(visitor)?;
        visitor.control.progress();
        if sweep {
            self.sweep(visitor, session)?;
            visitor.control.progress();
        }
        more |= self.scan(visitor, session, Range::History)?;
        self.show_count(visitor);
        Ok(more)
    }

    /// Opens the mailbox and learns where its cursor stands; begins an epoch on first contact and when UIDVALIDITY
    /// has changed.
    fn open(&mut self, visitor: Visitor<'_>, session: &mut dyn MailSource) -> Result<(), Problem> {
        let services = visitor.services;
        let selected = session.examine(&self.name)?;
        let uidvalidity = selected.uidvalidity.ok_or_else(|| Problem::NoUidValidity(self.name.clone()))?;
        if self.epoch.is_some_and(|epoch| epoch.uidvalidity == uidvalidity) {
            return Ok(());
        }
        let mut stored = services.block_on(services.store.mailbox(visitor.account.id, &self.name))?;
        if stored.uidvalidity != Some(uidvalidity) {
            let next = match selected.uidnext {
                Some(next) => next,
                None => self.find_uidnext(session)?,
            };
            match stored.uidvalidity {
                None => tracing::info!(
                    mailbox = self.name,
                    %uidvalidity,
                    messages = selected.exists,
                    "first contact: what is there now is history"
                ),
                Some(old) => tracing::warn!(
                    mailbox = self.name,
                    %old,
                    new = %uidvalidity,
                    messages = selected.exists,
                    "UIDVALIDITY changed: reading the mailbox anew; known mails meet their own rows"
                ),
            }
            stored = services.block_on(services.store.begin_epoch(stored.id, uidvalidity, next))?;
        }
        self.epoch = Some(Epoch {
            id: stored.id,
            uidvalidity,
            marks: Marks::new(stored.last_uid, stored.backfill_below),
            cursor: stored.last_uid,
        });
        self.withheld = Withheld::default();
        self.suspects = None;
        self.blocks = [Block::default(); 2];
        self.distrust(visitor);
        Ok(())
    }

    /// The next UID of a mailbox whose server does not tell it.
    fn find_uidnext(&self, session: &mut dyn MailSource) -> Result<u32, Problem> {
        let mut next = 1;
        // Each page is of UIDs above the last, so this ends at the latest after 2³² of them; servers that leave
        // UIDNEXT out are not that large.
        while let Some(info) = session.list_uids(next)?.last() {
            next = match info.uid.get().checked_add(1) {
                Some(above) if above > next => above,
                _ => break,
            };
        }
        tracing::debug!(mailbox = self.name, next, "the server tells no UIDNEXT; found by listing");
        Ok(next)
    }

    /// The place that mail is taken from now.
    pub(crate) fn place<'a>(&'a self, visitor: Visitor<'a>) -> Option<Place<'a>> {
        self.epoch.map(|epoch| Place {
            services: visitor.services,
            account: visitor.account,
            mailbox: epoch.id,
            name: &self.name,
            uidvalidity: epoch.uidvalidity,
            marks: epoch.marks,
            direction: self.direction,
        })
    }

    /// Shows the number of unaccounted messages, where it is known.
    fn show_count(&self, visitor: Visitor<'_>) {
        if let Some(Unaccounted { left, ahead }) = self.unaccounted {
            let count = left + ahead + self.blocks[Range::Fresh.index()].waiting;
            let labels = [visitor.account.name.as_str(), self.name.as_str()];
            visitor.services.metrics.unaccounted.set(&labels, Some(count));
        }
    }

    /// Looks for fresh mail in the middle of long work, if the last look is a while ago.
    pub(crate) fn look_up(
        &mut self,
        visitor: Visitor<'_>,
        session: &mut dyn MailSource,
    ) -> Result<(), Problem> {
        if visitor.control.stopping() {
            return Err(Problem::Stopping);
        }
        if self.looked_up.elapsed() >= LOOK_UP_EVERY {
            self.scan(visitor, session, Range::Fresh)?;
            visitor.control.progress();
        }
        Ok(())
    }

    /// Moves a mark, and the cursor in PostgreSQL where that follows.
    pub(crate) fn advance(
        &mut self,
        visitor: Visitor<'_>,
        range: Range,
        covered_up_to: u32,
    ) -> Result<(), Problem> {
        if let Some(epoch) = &mut self.epoch {
            epoch.marks.advance(range, covered_up_to);
        }
        self.save_cursor(visitor)
    }

    /// Stores the cursor where it is behind the marks: after a batch, and after an outage in which a batch was enqueued
    /// and its cursor could not be stored.
    fn save_cursor(&mut self, visitor: Visitor<'_>) -> Result<(), Problem> {
        let Some(epoch) = &mut self.epoch else { return Ok(()) };
        let cursor = epoch.marks.cursor();
        let Some(uid) = Uid::new(cursor).filter(|_| cursor > epoch.cursor) else { return Ok(()) };
        let store = &visitor.services.store;
        // Not moved: another producer is ahead, or has begun another epoch. Either way the stored cursor passes
        // nothing that was not enqueued.
        visitor.services.block_on(store.advance_cursor(epoch.id, epoch.uidvalidity, uid))?;
        epoch.cursor = cursor;
        Ok(())
    }
}
