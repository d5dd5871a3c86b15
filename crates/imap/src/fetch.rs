//! Listing and fetching messages.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use mailfleet_model::Uid;

use crate::error::Result;
use crate::framer::Body;
use crate::response::{FetchRow, fetch_row};
use crate::session::{Heard, Session, refused};
use crate::source::{FetchReport, Fetched, UidInfo};
use crate::status::Condition;
use crate::uid_set::uid_sets;

/// An empty window makes the next one this many times wider, so that a mailbox of sparse UIDs is crossed in few steps.
const WIDEN: u32 = 8;

/// Rows of one listing; no mailbox has more messages.
const MAX_ROWS: u32 = 20_000_000;

impl Session {
    /// One page of the listing, in windows of UIDs so that neither side ever holds a whole large mailbox.
    pub(crate) fn list_page(&mut self, from: u32) -> Result<Vec<UidInfo>> {
        // News stays news: whoever reads old mail page by page, or asks for a range, has not looked at its end.
        let window = self.config.list_window.max(1);
        let mut width = window;
        let mut start = from.max(1);
        loop {
            // Some servers answer `1:*` on an empty mailbox with BAD.
            if self.shared.wire().exists == 0 {
                return Ok(Vec::new());
            }
            // Up to the end known from EXAMINE in windows; beyond it (or where no UIDNEXT was told and the end is
            // unknown) to `*`.
            let end = start.saturating_add(width - 1);
            let closed = self.uidnext > 0 && end < self.uidnext.saturating_sub(1);
            let page = self.list_window(start, closed.then_some(end), window)?;
            if !page.is_empty() || !closed {
                return Ok(page);
            }
            start = end + 1;
            width = width.saturating_mul(WIDEN);
        }
    }

    /// The lowest `limit` messages of one window.
    fn list_window(&mut self, from: u32, to: Option<u32>, limit: u32) -> Result<Vec<UidInfo>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let to_text = to.map_or_else(|| "*".to_owned(), |to| to.to_string());
        let line = format!("UID FETCH {from}:{to_text} (UID FLAGS INTERNALDATE RFC822.SIZE)");
        let mut page: BTreeMap<Uid, UidInfo> = BTreeMap::new();
        let mut highest = 0;
        let mut rows = 0;
        let status = self.run("FETCH", &line, |frame, _| {
            let Some(FetchRow { uid: Some(uid), size: Some(size), flags, internal_date_ms, .. }) =
                fetch_row(frame)
            else {
                // Such as a change of flags that another session made: no row of ours, which has a size.
                return Heard::Stray;
            };
            // `n:*` names the last message even where it is below n.
            if uid.get() < from || to.is_some_and(|to| uid.get() > to) {
                return Heard::Stray;
            }
            highest = highest.max(uid.get());
            rows += 1;
            let repeated = page.insert(uid, UidInfo { uid, size, internal_date_ms, flags }).is_some();
            if page.len() > limit {
                page.pop_last();
            }
            if repeated || rows > MAX_ROWS { Heard::Stray } else { Heard::Answer }
        })?;
        self.expect_ok("FETCH", &status)?;
        if page.len() == limit && self.uidnext > 0 {
            // More came since EXAMINE than one page holds: the next pages go on in windows.
            self.uidnext = self.uidnext.max(highest.saturating_add(1));
        }
        Ok(page.into_values().collect())
    }

    /// Fetches mails; see [`MailSource::fetch`](crate::MailSource::fetch).
    pub(crate) fn fetch_mails(
        &mut self,
        uids: &[Uid],
        sink: &mut dyn FnMut(Fetched) -> ControlFlow<()>,
    ) -> Result<FetchReport> {
        let mut open = uids.to_vec();
        open.sort_unstable();
        open.dedup();
        let mut report = FetchReport::default();
        for set in uid_sets(&open.clone()) {
            if report.stopped {
                break;
            }
            self.fetch_set(&set, &mut open, &mut report, sink)?;
        }
        report.arrived.sort_unstable();
        report.missing.append(&mut open);
        report.missing.sort_unstable();
        Ok(report)
    }

    /// Fetches one set; `open` are the UIDs that have not come yet, ascending.
    fn fetch_set(
        &mut self,
        set: &str,
        open: &mut Vec<Uid>,
        report: &mut FetchReport,
        sink: &mut dyn FnMut(Fetched) -> ControlFlow<()>,
    ) -> Result<()> {
        let line = format!("UID FETCH {set} (UID FLAGS INTERNALDATE BODY.PEEK[])");
        let status = self.run("FETCH", &line, |frame, wire| {
            let Some(FetchRow { uid: Some(uid), body: Some(body), flags, internal_date_ms, .. }) =
                fetch_row(frame)
            else {
                return Heard::Stray;
            };
            // Not asked for, or here already.
            let Ok(at) = open.binary_search(&uid) else { return Heard::Stray };
            open.remove(at);
            if report.stopped {
                report.missing.push(uid);
                return Heard::Answer;
            }
            match body {
                Body::Oversize(bytes) => report.oversize.push((uid, bytes)),
                Body::Whole(raw) => {
                    report.arrived.push(uid);
                    let size = raw.len() as u64;
                    let before = Instant::now();
                    let flow = sink(Fetched { uid, flags, internal_date_ms, size, raw });
                    // A full queue behind the sink is not the server's delay.
                    wire.forgive(before.elapsed());
                    report.stopped = flow.is_break();
                }
            }
            Heard::Answer
        })?;
        match status.condition {
            Condition::Ok => {}
            // Such as `[EXPUNGEISSUED]`: the others came; those that did not are in the report.
            Condition::No if !status.is_temporary() => report.refused = Some(status.text),
            _ => return Err(self.broken_by(refused(&self.host, "FETCH", &status))),
        }
        Ok(())
    }
}
