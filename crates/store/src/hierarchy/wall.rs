//! The wall between tenants for the hierarchy's tables. `mailfleet.wall` (V2) does the work, the same for all tables; here
//! is only which of the three lack it, so that a second migration touches nothing.

use tokio_postgres::GenericClient;

use super::expected::ALL;
use super::quoted;
use crate::error::{Error, Result};

/// The three tables that lack a part of the wall, parents first: the policy, its force, or what the roles need.
const OPEN: &str = "SELECT c.relname::text FROM unnest($2::text[]) WITH ORDINALITY AS t(name, place) \
     JOIN pg_catalog.pg_class c ON c.relname = t.name JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = $1 AND NOT (c.relrowsecurity AND c.relforcerowsecurity \
     AND EXISTS (SELECT 1 FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'mailfleet_tenants') \
     AND (SELECT bool_and(has_table_privilege('mailfleet_writer', c.oid, needed) \
          AND has_table_privilege('mailfleet_maintenance', c.oid, needed)) \
          FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) needed) \
     AND has_table_privilege('mailfleet_reader', c.oid, 'SELECT') \
     AND (SELECT bool_and(has_schema_privilege(role, n.oid, 'USAGE')) \
          FROM unnest(ARRAY['mailfleet_writer', 'mailfleet_maintenance', 'mailfleet_reader']) role)) \
     ORDER BY t.place";

/// Puts the tables behind the wall that are not; returns their names.
pub(super) async fn raise(client: &impl GenericClient, schema: &str) -> Result<Vec<String>> {
    let failed = |error: tokio_postgres::Error| {
        Error::statement("putting a table behind the wall between tenants", &error)
    };
    let names = ALL.map(|table| table.name);
    let rows = client.query(OPEN, &[&schema, &names.as_slice()]).await.map_err(failed)?;
    let open = rows.iter().map(|row| row.try_get(0)).collect::<std::result::Result<Vec<String>, _>>();
    let open = open.map_err(failed)?;
    for table in &open {
        let name = format!("{}.{}", quoted(schema), quoted(table));
        client.execute("SELECT mailfleet.wall($1::text::regclass)", &[&name]).await.map_err(failed)?;
    }
    Ok(open)
}
