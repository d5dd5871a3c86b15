//! How long it takes until the fleet goes on, and until it has caught up.

use std::time::{Duration, Instant};

use mailfleet_tests::Fleet;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(80);

/// What the database says of a mark; nothing while it cannot be asked. The first: whether the mail that came last is done.
const LOOK: &str = "\
    SELECT (SELECT count(*) FROM email_messages WHERE direction = 'inbound' AND subject = 'Number $MAILS'), \
        (SELECT count(DISTINCT subject) FROM email_messages \
            WHERE CASE WHEN direction = 'inbound' THEN substr(subject, 8)::int <= $MAILS END), \
        (SELECT count(*) FROM mailfleet.webhook_inbox WHERE applied IS NULL AND id <= $INBOX)";

/// What was accepted when a fault ended.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// The number of the last mail.
    pub mails: u32,
    /// The last row of the inbox; unknown as long as PostgreSQL has not answered.
    inbox: Option<i64>,
    /// When it ended.
    at: Instant,
}

/// How long it took, from the end of the fault.
#[derive(Debug, Clone, Copy)]
pub struct Recovery {
    /// Until the mail was done that came right after the end: it has been on the whole way, through every server.
    pub goes_on: Duration,
    /// Until the last mail was done that had been accepted.
    pub mails: Duration,
    /// Until the last call was done that had been accepted.
    pub calls: Duration,
}

/// What was not done in time.
#[derive(Debug)]
pub struct Stuck {
    /// What there is of it, in words.
    pub why: String,
}

impl Mark {
    /// The fault ends now; mails up to `mails` are in their mailboxes. PostgreSQL answers by then.
    pub fn now(fleet: &Fleet, mails: u32) -> Self {
        let at = Instant::now();
        let inbox = fleet.try_sql("SELECT coalesce(max(id), 0) FROM mailfleet.webhook_inbox");
        Self { mails, inbox: inbox.and_then(|text| text.parse().ok()), at }
    }

    /// Waits until all is done, but no longer than `within` from the mark.
    pub fn wait(self, fleet: &Fleet, within: Duration) -> Result<Recovery, Stuck> {
        let (mut goes_on, mut all_mails, mut all_calls) = (None, None, None);
        loop {
            let seen = self.look(fleet);
            let now = self.at.elapsed();
            if let Some((last, mails, waiting)) = seen {
                if last > 0 {
                    goes_on.get_or_insert(now);
                }
                if mails >= u64::from(self.mails) {
                    all_mails.get_or_insert(now);
                }
                if waiting == 0 {
                    all_calls.get_or_insert(now);
                }
                if let (Some(goes_on), Some(mails), Some(calls)) = (goes_on, all_mails, all_calls) {
                    return Ok(Recovery { goes_on, mails, calls });
                }
            }
            if now > within {
                let why = format!(
                    "{within:?} after the end of the fault {self:?}: last mail, mails, calls that wait {seen:?}"
                );
                return Err(Stuck { why });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn look(&self, fleet: &Fleet) -> Option<(u64, u64, u64)> {
        let sql = LOOK
            .replace("$MAILS", &self.mails.to_string())
            .replace("$INBOX", &self.inbox.unwrap_or(i64::MAX).to_string());
        let text = fleet.try_sql(&sql)?;
        let mut numbers = text.split('|').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??, numbers.next()??))
    }
}
