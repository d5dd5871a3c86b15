//! Opening a mailbox and searching it.

use mailfleet_model::{Uid, UidValidity};

use crate::error::{Error, Result};
use crate::framer::Frame;
use crate::mailbox_name;
use crate::response::{search_hits, status_epoch};
use crate::session::{Heard, Session};
use crate::source::Selected;
use crate::status::{Condition, Status};
use crate::uid_set::uid_sets;

/// UIDs one SEARCH spans, so that its one-line answer stays far below the framer's cap.
const SEARCH_WINDOW: u32 = 20_000;
/// UIDs one SEARCH may find; only a server that repeats itself finds more in a window.
const MAX_HITS: usize = 2_000_000;

impl Session {
    fn try_examine(&mut self, quoted: &str) -> Result<(Status, Selected)> {
        {
            let mut wire = self.shared.wire();
            wire.exists = 0;
        }
        self.selected = false;
        self.uidnext = 0;
        let mut selected = Selected::default();
        let status = self.run("EXAMINE", &format!("EXAMINE {quoted}"), |frame, _| {
            note_selected(frame, &mut selected);
            Heard::Stray
        })?;
        let mut wire = self.shared.wire();
        selected.exists = wire.exists;
        wire.news = false;
        Ok((status, selected))
    }

    /// Opens a mailbox read-only; see [`MailSource::examine`](crate::MailSource::examine).
    pub(crate) fn examine_mailbox(&mut self, mailbox: &str) -> Result<Selected> {
        let nowhere = |session: &Self, text: &str| Error::NoSuchMailbox {
            mailbox: mailbox.to_owned(),
            user: session.user.clone(),
            host: session.host.clone(),
            text: text.to_owned(),
        };
        let Some(mut name) = mailbox_name::quoted(mailbox) else {
            return Err(nowhere(self, "a name with control characters"));
        };
        let (mut status, mut selected) = self.try_examine(&name)?;
        // Some servers keep raw UTF-8 names and know nothing of modified UTF-7.
        if status.condition == Condition::No
            && !mailbox.is_ascii()
            && let Some(raw) = mailbox_name::quote(mailbox)
        {
            let first = status;
            (status, selected) = self.try_examine(&raw)?;
            if status.condition == Condition::Ok {
                name = raw;
            } else {
                status = first;
            }
        }
        if status.condition == Condition::No && !status.is_temporary() {
            return Err(nowhere(self, &status.text));
        }
        self.expect_ok("EXAMINE", &status)?;
        self.selected = true;
        if selected.uidvalidity.is_none() {
            self.ask_epoch(&name, &mut selected)?;
        }
        self.uidnext = selected.uidnext.unwrap_or(0);
        Ok(selected)
    }

    /// A server that told no UIDVALIDITY is asked once more, by STATUS.
    fn ask_epoch(&mut self, quoted: &str, selected: &mut Selected) -> Result<()> {
        let mut epoch = (None, None);
        let line = format!("STATUS {quoted} (UIDVALIDITY UIDNEXT)");
        self.run("STATUS", &line, |frame, _| {
            epoch = status_epoch(frame).unwrap_or(epoch);
            Heard::Stray
        })?;
        selected.uidvalidity = epoch.0.and_then(UidValidity::new);
        selected.uidnext = selected.uidnext.or(epoch.1.filter(|n| *n > 0));
        Ok(())
    }

    /// One SEARCH. NO and BAD are errors: an empty answer must mean that there is nothing.
    fn search(&mut self, set: &str, hits: &mut Vec<u32>) -> Result<()> {
        let line = format!("UID SEARCH UID {set}");
        let status = self.run("SEARCH", &line, |frame, _| match search_hits(frame) {
            Some(more) if hits.len() < MAX_HITS => {
                hits.extend(more);
                Heard::Answer
            }
            _ => Heard::Stray,
        })?;
        self.expect_ok("SEARCH", &status)
    }

    /// See [`MailSource::search_uids`](crate::MailSource::search_uids).
    pub(crate) fn search_range(&mut self, from: u32, to: u32) -> Result<Vec<Uid>> {
        let mut hits = Vec::new();
        let mut start = from.max(1);
        // Below the known end of the mailbox in windows; what lies above is at most what came since.
        while start <= to && self.shared.wire().exists > 0 {
            let window_end = start.saturating_add(SEARCH_WINDOW - 1).min(to);
            if window_end >= self.uidnext.saturating_sub(1) {
                let end = if to == u32::MAX { "*".to_owned() } else { to.to_string() };
                self.search(&format!("{start}:{end}"), &mut hits)?;
                break;
            }
            self.search(&format!("{start}:{window_end}"), &mut hits)?;
            start = window_end + 1;
        }
        // `n:*` names the last message even where it is below n; and a server may answer more than was asked.
        Ok(ascending(hits, |uid| (from..=to).contains(&uid)))
    }

    /// See [`MailSource::still_there`](crate::MailSource::still_there).
    pub(crate) fn search_given(&mut self, uids: &[Uid]) -> Result<Vec<Uid>> {
        // A session may go on seeing what another expunged until it is told; NOOP is where it is told.
        self.by_crate("NOOP", imap::Session::noop)?;
        if self.shared.wire().exists == 0 {
            return Ok(Vec::new());
        }
        let mut asked = uids.to_vec();
        asked.sort_unstable();
        asked.dedup();
        let mut hits = Vec::new();
        for set in uid_sets(&asked) {
            self.search(&set, &mut hits)?;
        }
        Ok(ascending(hits, |hit| Uid::new(hit).is_some_and(|uid| asked.binary_search(&uid).is_ok())))
    }
}

/// Ascending and once each, without 0 and what was not asked for.
fn ascending(mut numbers: Vec<u32>, wanted: impl Fn(u32) -> bool) -> Vec<Uid> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().filter(|uid| wanted(*uid)).filter_map(Uid::new).collect()
}

fn note_selected(frame: &Frame, selected: &mut Selected) {
    let Some(status) = frame.untagged().and_then(Status::parse).filter(|s| s.condition == Condition::Ok)
    else {
        return;
    };
    let number = status.number();
    // 0 and what is no 32-bit number are taken as not told.
    let short = || number.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    match status.code.as_str() {
        "UIDVALIDITY" => selected.uidvalidity = short().and_then(UidValidity::new),
        "UIDNEXT" => selected.uidnext = short(),
        "HIGHESTMODSEQ" => selected.highest_modseq = number.filter(|n| *n > 0),
        _ => {}
    }
}
