//! Whether every table that holds rows of tenants stands behind the wall. Asked of the catalog, so that a table which is
//! added later and forgotten is found.

use tokio_postgres::Client;

use super::{Finding, failed};
use crate::error::Result;
use crate::hierarchy::expected::ALL;

/// Tables with a tenant: all of mailfleet's schemas, and the three of the hierarchy alone in theirs, which may hold other
/// tables of the platform. `tenants` is a tenant by its own id, and `mailboxes` by its account.
const TABLES: &str = "SELECT n.nspname::text, c.relname::text, format('%I.%I', n.nspname, c.relname), \
     c.relrowsecurity AND c.relforcerowsecurity, \
     EXISTS (SELECT 1 FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'mailfleet_tenants' \
     AND (c.relname = 'mailboxes' OR pg_catalog.pg_get_expr(p.polqual, p.polrelid) LIKE '%declared_tenants%')), \
     (SELECT string_agg(p.polname, ', ') FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive \
      AND p.polname NOT LIKE 'mailfleet\\_%' AND (0 = ANY(p.polroles) OR EXISTS (SELECT 1 FROM pg_catalog.pg_roles r \
      WHERE r.oid = ANY(p.polroles) AND r.rolname IN ('mailfleet_writer', 'mailfleet_reader')))) \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND ((n.nspname IN ('mailfleet', 'analytics') \
     AND (c.relname IN ('tenants', 'mailboxes') OR EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a \
     WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))) \
     OR (n.nspname = $1 AND c.relname = ANY($2))) ORDER BY 1, 2";

/// Views that a reader may read and that look with the rights of their owner, for whom there may be no wall.
const VIEWS: &str = "SELECT format('%I.%I', n.nspname, c.relname), c.relkind = 'm' FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname IN ('mailfleet', 'analytics') AND (c.relkind = 'm' OR (c.relkind = 'v' AND NOT EXISTS ( \
     SELECT 1 FROM pg_catalog.pg_options_to_table(c.reloptions) o \
     WHERE o.option_name = 'security_invoker' AND o.option_value::boolean))) \
     AND (has_table_privilege('mailfleet_reader', c.oid, 'SELECT') \
     OR has_table_privilege('mailfleet_writer', c.oid, 'SELECT')) ORDER BY 1";

pub(super) async fn look(client: &Client, schema: &str, findings: &mut Vec<Finding>) -> Result<()> {
    let before = findings.len();
    let names = ALL.map(|table| table.name);
    let tables = client.query(TABLES, &[&schema, &names.as_slice()]).await.map_err(failed)?;
    for row in &tables {
        let text = |column: usize| row.try_get::<_, String>(column).map_err(failed);
        let flag = |column: usize| row.try_get::<_, bool>(column).map_err(failed);
        let (namespace, name, place) = (text(0)?, text(1)?, text(2)?);
        let remedy = if namespace == schema {
            "run `mailfleet migrate`".to_owned()
        } else if !flag(3)? {
            format!("ALTER TABLE {place} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        } else {
            let tenant = if name == "tenants" { ", 'id'" } else { "" };
            format!("SELECT mailfleet.wall('{place}'{tenant})")
        };
        if !flag(3)? {
            findings.push(Finding::error(
                format!("{place} has no forced row-level security, so that tenants are not kept apart"),
                remedy,
            ));
        } else if !flag(4)? {
            findings.push(Finding::error(
                format!("{place} lost its policy mailfleet_tenants by declared tenants, so that tenants are not kept apart or nobody sees its rows"),
                remedy,
            ));
        }
        if let Some(others) = row.try_get::<_, Option<String>>(5).map_err(failed)? {
            findings.push(Finding::warning(
                format!("{place} has policies beside the wall, which let more through: {others}"),
                "DROP POLICY, or make it RESTRICTIVE",
            ));
        }
    }
    for row in client.query(VIEWS, &[]).await.map_err(failed)? {
        let place: String = row.try_get(0).map_err(failed)?;
        findings.push(Finding::error(
            format!("the view {place} looks past the walls between tenants"),
            if row.try_get(1).map_err(failed)? {
                format!("REVOKE ALL ON {place} FROM mailfleet_reader, mailfleet_writer")
            } else {
                format!("ALTER VIEW {place} SET (security_invoker = true)")
            },
        ));
    }
    if findings.len() == before {
        findings.push(Finding::ok(format!("{} tables stand behind the wall between tenants", tables.len())));
    }
    Ok(())
}
