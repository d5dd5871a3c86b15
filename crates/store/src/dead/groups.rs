//! Dead letters by what they have in common: most have one of a few causes.

use chrono::{DateTime, Utc};
use mailfleet_model::Class;

use super::DeadFilter;
use super::filter::MATCHES;
use crate::error::Result;
use crate::rows::{self, count, get};
use crate::store::Store;

/// Letters of one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadGroup {
    /// What they have in common, as 12 hex digits.
    pub fingerprint: String,
    /// Their reason.
    pub reason: String,
    /// The class of their last error.
    pub class: Class,
    /// How many they are.
    pub count: u64,
    /// When the first of them died.
    pub first: DateTime<Utc>,
    /// When the last of them died.
    pub last: DateTime<Utc>,
    /// The number of one of them, the one that came last.
    pub example: i64,
    /// The error of the example.
    pub error: String,
}

impl Store {
    /// Dead letters by group, the largest first; at most `filter.limit` groups.
    pub async fn dead_groups(&self, filter: &DeadFilter) -> Result<Vec<DeadGroup>> {
        let sql = format!(
            "SELECT g.*, e.error FROM (SELECT COALESCE(d.fingerprint, mailfleet.dead_fingerprint(d.reason, d.class, d.error)) \
             AS fingerprint, d.reason, d.class, count(*) AS n, min(d.died) AS first, max(d.died) AS last, \
             max(d.id) AS example FROM mailfleet.dead_letters d WHERE {MATCHES} GROUP BY 1, 2, 3 \
             ORDER BY n DESC, last DESC LIMIT $9::bigint) g JOIN mailfleet.dead_letters e ON e.id = g.example \
             ORDER BY g.n DESC, g.last DESC, g.example"
        );
        let (values, limit) = (filter.values(), i64::from(filter.limit));
        let mut params = values.params();
        params.push(&limit);
        let rows = self.survey("grouping dead letters", &sql, &params).await?;
        rows.iter()
            .map(|row| {
                Ok(DeadGroup {
                    fingerprint: get(row, "fingerprint")?,
                    reason: get(row, "reason")?,
                    class: rows::class(get(row, "class")?)?,
                    count: count(row, "n")?,
                    first: get(row, "first")?,
                    last: get(row, "last")?,
                    example: get(row, "example")?,
                    error: get(row, "error")?,
                })
            })
            .collect()
    }

    /// How many dead letters there are of a kind.
    pub async fn dead_letters_count(&self, filter: &DeadFilter) -> Result<u64> {
        let sql = format!("SELECT count(*) AS n FROM mailfleet.dead_letters d WHERE {MATCHES}");
        let values = filter.values();
        let rows = self.survey("counting dead letters", &sql, &values.params()).await?;
        rows.first().map_or(Ok(0), |row| count(row, "n"))
    }
}
