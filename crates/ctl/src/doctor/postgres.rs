//! The doctor's look at PostgreSQL; the store itself knows what to look at.

use mailfleet_store::{Level as Found, Store};

use super::{Finding, Level};
use crate::failure;

const AREA: &str = "postgres";

/// Is PostgreSQL there, are the migrations applied, are the tables of the hierarchy right, may the role what it must.
pub async fn look(store: &Store) -> Vec<Finding> {
    match store.check_schema().await {
        Ok(findings) => findings
            .into_iter()
            .map(|finding| Finding {
                area: AREA.to_owned(),
                level: match finding.level {
                    Found::Ok => Level::Ok,
                    Found::Warning => Level::Warn,
                    Found::Error => Level::Error,
                },
                found: finding.found,
                remedy: finding.remedy,
            })
            .collect(),
        Err(error) => vec![Finding::error(
            AREA,
            failure::one_line(&error.into()),
            "start PostgreSQL, or correct postgres.url (host, port, database, user, password)",
        )],
    }
}
