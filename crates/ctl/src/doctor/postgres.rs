//! The doctor's look at PostgreSQL; the store itself knows what to look at.

use mailfleet_model::{Class, Classify};
use mailfleet_store::{Error, Level as Found, Store};

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
                found: short(finding.found),
                remedy: finding.remedy,
            })
            .collect(),
        Err(error) => {
            let remedy = remedy(&error);
            vec![Finding::error(AREA, failure::one_line(&error.into()), remedy)]
        }
    }
}

/// What to do about an error, by its SQLSTATE (PostgreSQL manual, appendix A) or its class.
fn remedy(error: &Error) -> &'static str {
    match error.code() {
        // invalid_authorization_specification (also: no such role) and invalid_password
        Some(code) if code.starts_with("28") => {
            "correct user and password in postgres.url, create the role (CREATE ROLE … LOGIN), or let it in by pg_hba.conf"
        }
        // insufficient_privilege
        Some("42501") => {
            "as the login that ran `mailfleet migrate`: GRANT mailfleet_writer, mailfleet_maintenance TO <login>"
        }
        // invalid_catalog_name
        Some("3D000") => {
            "create the database (createdb, WITH ENCODING 'UTF8'), or correct its name in postgres.url"
        }
        // too_many_connections
        Some("53300") => "raise max_connections of the server, or lower postgres.pool_size of the programs",
        _ if error.class() == Class::Outage => {
            "start PostgreSQL, or correct host and port in postgres.url; if it runs, its log says why it does not answer"
        }
        _ => "what PostgreSQL says names the cause; its log has the details",
    }
}

/// A table's missing columns by their bare names: each would be told with its table otherwise.
fn short(found: String) -> String {
    let Some((place, missing)) = found.split_once(" lacks ") else { return found };
    let bare = |item: &str| item.rsplit('.').next().unwrap_or(item).to_owned();
    let of_columns = |item: &&str| item.starts_with(&format!("column {place}."));
    let items: Vec<&str> = missing.split(", ").collect();
    let mut short: Vec<String> = items.iter().copied().filter(of_columns).map(bare).collect();
    short.extend(items.iter().filter(|item| !of_columns(item)).map(|item| (*item).to_owned()));
    format!("{place} lacks: {}", short.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_columns_are_told_by_their_names_alone() {
        let long = "public.email_content lacks column public.email_content.tenant_id, column \
            public.email_content.headers, index public.some_idx";
        assert_eq!(
            short(long.to_owned()),
            "public.email_content lacks: tenant_id, headers, index public.some_idx"
        );
        assert_eq!(short("PostgreSQL 15".to_owned()), "PostgreSQL 15");
    }
}
