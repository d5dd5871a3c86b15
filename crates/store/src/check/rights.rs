//! What the roles may do that the fleet runs as. The login itself needs nothing but to be a member of them.

use tokio_postgres::Client;

use super::{Finding, failed};
use crate::OWN_SCHEMA;
use crate::error::Result;
use crate::hierarchy::Tables;

/// The three roles, which of them the login must be able to take, and whether it has no wall.
const ROLES: [(&str, bool, bool); 3] = [
    ("mailfleet_writer", true, false),
    ("mailfleet_maintenance", true, true),
    ("mailfleet_reader", false, false),
];

pub(super) async fn look(client: &Client, tables: &Tables, findings: &mut Vec<Finding>) -> Result<()> {
    let known = findings.len();
    let login = roles(client, findings).await?;
    // Without the roles the rest would be noise.
    if findings.len() == known {
        privileges(client, tables, findings).await?;
    }
    if findings.len() == known {
        findings.push(Finding::ok(format!(
            "the login {login} takes the role mailfleet_writer, which has the rights it needs"
        )));
    }
    Ok(())
}

/// Whether the tables of mailfleet can be looked at; where not, the findings say why. A login that does not inherit the
/// rights of its roles looks as the role that it takes anyway.
pub(super) async fn may_look(client: &Client, findings: &mut Vec<Finding>) -> Result<bool> {
    const SQL: &str =
        "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = $1";
    let row = client.query_opt(SQL, &[&OWN_SCHEMA]).await.map_err(failed)?;
    let Some(row) = row else { return Ok(true) };
    if row.try_get(0).map_err(failed)? {
        return Ok(true);
    }
    let known = findings.len();
    roles(client, findings).await?;
    if findings.len() > known {
        return Ok(false);
    }
    client.batch_execute("SET ROLE mailfleet_writer").await.map_err(failed)?;
    Ok(true)
}

/// Whether the roles stand as the walls need them; returns the login. A superuser is a member of each, and no exception:
/// pooled connections take the role.
async fn roles(client: &Client, findings: &mut Vec<Finding>) -> Result<String> {
    const SQL: &str = "SELECT session_user::text, rolbypassrls, rolsuper, pg_has_role(session_user, oid, 'MEMBER') \
         FROM (SELECT 1) one LEFT JOIN pg_catalog.pg_roles ON rolname = $1";
    let mut login = String::new();
    for (role, taken, free) in ROLES {
        let row = client.query_one(SQL, &[&role]).await.map_err(failed)?;
        login = row.try_get(0).map_err(failed)?;
        let flag = |column: usize| row.try_get::<_, Option<bool>>(column).map_err(failed);
        let attributes = if free { "BYPASSRLS" } else { "NOBYPASSRLS NOSUPERUSER" };
        let (Some(bypasses), Some(superuser), Some(member)) = (flag(1)?, flag(2)?, flag(3)?) else {
            findings.push(Finding::error(
                format!("the role {role} does not exist on this server"),
                format!("as a superuser: CREATE ROLE {role} {attributes}"),
            ));
            continue;
        };
        if (bypasses || superuser) != free {
            let found = if free { "has no BYPASSRLS" } else { "passes through the walls between tenants" };
            findings.push(Finding::error(
                format!("the role {role} {found}"),
                format!("as a superuser: ALTER ROLE {role} {attributes}"),
            ));
        }
        if taken && !member {
            findings.push(Finding::error(
                format!("the login {login} is no member of {role}"),
                format!("GRANT {role} TO {login}"),
            ));
        }
    }
    Ok(login)
}

async fn privileges(client: &Client, tables: &Tables, findings: &mut Vec<Finding>) -> Result<()> {
    // Names are asked for as they stand in SQL, with their quotes: to_regclass gives NULL for a table that is not there,
    // which is another finding.
    const SQL: &str = "SELECT need.role, need.relation, need.privilege \
         FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS need (role, relation, privilege, place) \
         WHERE NOT has_table_privilege(need.role::name, to_regclass(need.relation), need.privilege) ORDER BY need.place";
    let needs = [
        (tables.content.as_str(), "SELECT, INSERT, UPDATE"),
        (tables.messages.as_str(), "SELECT, INSERT, UPDATE"),
        (tables.attachments.as_str(), "SELECT, INSERT"),
        ("mailfleet.mailbox_messages", "SELECT, INSERT, UPDATE"),
        ("mailfleet.dead_letters", "SELECT, INSERT, UPDATE"),
        ("mailfleet.mailboxes", "SELECT, INSERT, UPDATE"),
        ("mailfleet.email_accounts", "SELECT"),
        ("mailfleet.tenant_domains", "SELECT"),
    ];
    let (mut of, mut on, mut what) = (Vec::new(), Vec::new(), Vec::new());
    for role in ["mailfleet_writer", "mailfleet_maintenance"] {
        for (table, rights) in needs {
            for right in rights.split(", ") {
                of.push(role);
                on.push(table);
                what.push(right);
            }
        }
    }
    for row in client.query(SQL, &[&of, &on, &what]).await.map_err(failed)? {
        let text = |column: usize| row.try_get::<_, String>(column).map_err(failed);
        let (role, table, right) = (text(0)?, text(1)?, text(2)?);
        findings.push(Finding::error(
            format!("the role {role} may not {right} on {table}"),
            format!("GRANT {right} ON {table} TO {role}"),
        ));
    }
    Ok(())
}
