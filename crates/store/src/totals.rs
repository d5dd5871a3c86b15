//! How much there is of everything.

use mailfleet_model::LedgerOutcome;

use crate::error::{Error, Result};
use crate::rows::{count, get};
use crate::store::Store;

/// Counts over all that is stored. Reads whole tables: for the demo and for people, not for a metric.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Mails by direction and message type, sorted.
    pub mails: Vec<(String, String, u64)>,
    /// Ledger rows by outcome, lowest outcome first.
    pub outcomes: Vec<(LedgerOutcome, u64)>,
    /// Attachments.
    pub attachments: u64,
    /// Open dead letters by reason, sorted.
    pub dead: Vec<(String, u64)>,
}

impl Totals {
    /// All mails.
    #[must_use]
    pub fn mail_count(&self) -> u64 {
        self.mails.iter().map(|(_, _, count)| count).sum()
    }

    /// Ledger rows with this outcome.
    #[must_use]
    pub fn outcome_count(&self, outcome: LedgerOutcome) -> u64 {
        self.outcomes.iter().filter(|(found, _)| *found == outcome).map(|(_, count)| count).sum()
    }
}

impl Store {
    /// Counts everything.
    pub async fn totals(&self) -> Result<Totals> {
        let tables = self.tables();
        let by_kind = format!(
            "SELECT COALESCE(direction::text, '') AS direction, COALESCE(message_type::text, '') AS message_type, \
             count(*) AS n FROM {} GROUP BY 1, 2 ORDER BY 1, 2",
            tables.messages
        );
        let attachments = format!("SELECT count(*) AS n FROM {}", tables.attachments);
        let outcomes = "SELECT outcome, count(*) AS n FROM mailfleet.mailbox_messages GROUP BY 1 ORDER BY 1";
        let mut totals = Totals::default();
        for row in &self.survey("counting mails", &by_kind, &[]).await? {
            totals.mails.push((get(row, "direction")?, get(row, "message_type")?, count(row, "n")?));
        }
        for row in &self.survey("counting outcomes", outcomes, &[]).await? {
            let code: i16 = get(row, "outcome")?;
            let outcome = LedgerOutcome::from_code(code).map_err(|_| Error::Unreadable {
                place: "mailbox_messages.outcome",
                value: code.to_string(),
            })?;
            totals.outcomes.push((outcome, count(row, "n")?));
        }
        if let Some(row) = self.survey("counting attachments", &attachments, &[]).await?.first() {
            totals.attachments = count(row, "n")?;
        }
        totals.dead = self.dead_count().await?;
        Ok(totals)
    }
}
