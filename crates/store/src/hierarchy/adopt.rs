//! From what is there to what must be there: create, add, or refuse with the remedy.

use tokio_postgres::Client;

use super::catalog::{self, FoundTable};
use super::expected::{ALL, CONTENT, Index, Table};
use super::{Mismatch, quoted, remedy, wall};
use crate::error::{Error, Result};
use crate::store::LZ4_WHERE_SUPPORTED;

/// What has to happen for a table.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Statements of one transaction.
    pub(crate) statements: Vec<String>,
    /// Statements outside of any transaction: indexes built while others write.
    pub(crate) concurrently: Vec<String>,
    /// What was done, for people.
    pub(crate) done: Vec<String>,
    /// Why it cannot be done.
    pub(crate) mismatches: Vec<Mismatch>,
    /// What works but should not stay so.
    pub(crate) warnings: Vec<Mismatch>,
}

/// Creates or adopts the three tables; nothing is changed where one of them does not fit.
pub(crate) async fn establish(client: &mut Client, schema: &str) -> Result<Vec<String>> {
    let failed = |error: tokio_postgres::Error| Error::statement("creating the hierarchy's tables", &error);
    let mut plan = Plan::default();
    if !catalog::schema_exists(client, schema).await? {
        plan.statements.push(format!("CREATE SCHEMA {}", quoted(schema)));
        plan.done.push(format!("created schema {schema}"));
    }
    for table in ALL {
        let found = catalog::read(client, schema, table.name).await?;
        plan_table(schema, table, found.as_ref(), &mut plan);
    }
    if !plan.mismatches.is_empty() {
        return Err(Error::Adoption(plan.mismatches));
    }
    for warning in &plan.warnings {
        tracing::warn!(place = warning.place, remedy = warning.remedy, "{warning}");
    }
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.batch_execute(LZ4_WHERE_SUPPORTED).await.map_err(failed)?;
    for statement in &plan.statements {
        transaction.batch_execute(statement).await.map_err(failed)?;
    }
    for table in wall::raise(&transaction, schema).await? {
        // Nobody reads a table yet that was made a moment ago.
        if !plan.done.contains(&created(schema, &table)) {
            plan.done.push(format!(
                "put {schema}.{table} behind the wall between tenants: whoever reads it beside mailfleet must be a member \
                 of mailfleet_reader and declare its tenants (SET mailfleet.tenants), and its triggers run as \
                 mailfleet_writer"
            ));
        }
    }
    transaction.commit().await.map_err(failed)?;
    for statement in &plan.concurrently {
        client.batch_execute(statement).await.map_err(failed)?;
    }
    Ok(plan.done)
}

/// Compares one table with what is expected of it.
pub(crate) fn plan_table(schema: &str, table: &Table, found: Option<&FoundTable>, plan: &mut Plan) {
    match found {
        None => create(schema, table, plan),
        Some(found) => adopt(schema, table, found, plan),
    }
}

fn create(schema: &str, table: &Table, plan: &mut Plan) {
    let name = format!("{}.{}", quoted(schema), quoted(table.name));
    let mut lines: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("{} {} {}", column.name, column.shape.type_name(), column.constraint))
        .collect();
    if let Some((column, rest)) = table.refers {
        let parent = format!("{}.{}", quoted(schema), quoted(CONTENT.name));
        lines.push(format!("FOREIGN KEY ({column}) REFERENCES {parent} (storage_key) {rest}"));
    }
    plan.statements.push(format!("CREATE TABLE {name} ({})", lines.join(", ")));
    plan.statements.push(format!("COMMENT ON TABLE {name} IS {}", literal(table.comment)));
    for column in table.columns {
        plan.statements.push(comment_on(&name, column.name, column.comment));
    }
    for index in table.indexes.iter().filter(|index| !index.only_without_c_collation) {
        plan.statements.push(index_statement(&name, index, ""));
    }
    plan.done.push(created(schema, table.name));
}

fn created(schema: &str, table: &str) -> String {
    format!("created table {schema}.{table}")
}

fn adopt(schema: &str, table: &Table, found: &FoundTable, plan: &mut Plan) {
    let place = format!("{schema}.{}", table.name);
    let name = format!("{}.{}", quoted(schema), quoted(table.name));
    if !matches!(found.kind.as_str(), "r" | "p") {
        plan.mismatches.push(Mismatch {
            problem: "is no table (a view, or a table of another server)".to_owned(),
            remedy: "rename it, or name another schema in postgres.schema".to_owned(),
            place,
        });
        return;
    }
    for column in table.columns {
        let Some(there) = found.columns.get(column.name) else {
            plan.statements.push(format!(
                "ALTER TABLE {name} ADD COLUMN {} {} {}",
                column.name,
                column.shape.type_name(),
                column.added
            ));
            plan.statements.push(comment_on(&name, column.name, column.comment));
            plan.done.push(format!("added column {place}.{}", column.name));
            continue;
        };
        if !column.shape.fits(there) {
            plan.mismatches.push(Mismatch {
                place: format!("{place}.{}", column.name),
                problem: format!("is {}, expected {}", there.full_type, column.shape.wanted()),
                remedy: remedy::of_column(&name, column, there, &found.unique),
            });
        }
    }
    for (column, there) in &found.columns {
        let ours = table.columns.iter().any(|expected| expected.name == column);
        if !ours && there.not_null && !there.fills_itself {
            plan.mismatches.push(Mismatch {
                place: format!("{place}.{column}"),
                problem: "is NOT NULL without a default, expected a column that may stay empty: mailfleet does not fill it"
                    .to_owned(),
                remedy: format!("ALTER TABLE {name} ALTER COLUMN {} DROP NOT NULL", quoted(column)),
            });
        }
    }
    keys(schema, table, found, plan);
    indexes(schema, table, found, plan);
}

/// The key must be unique, or the same mail could stand there twice; references are advice.
fn keys(schema: &str, table: &Table, found: &FoundTable, plan: &mut Plan) {
    let place = format!("{schema}.{}", table.name);
    let name = format!("{}.{}", quoted(schema), quoted(table.name));
    let mut key: Vec<&str> = table.key.to_vec();
    key.sort_unstable();
    let comes = table.indexes.iter().any(|index| index.unique);
    if !comes && !found.unique.iter().any(|columns| *columns == key) {
        plan.mismatches.push(Mismatch {
            place: place.clone(),
            problem: format!(
                "has no primary key or unique index on ({0}), expected one",
                table.key.join(", ")
            ),
            remedy: format!("ALTER TABLE {name} ADD PRIMARY KEY ({})", table.key.join(", ")),
        });
    }
    if let Some((column, rest)) = table.refers {
        let cascade = rest.contains("CASCADE");
        let kept = found.references.iter().any(|(from, to, on_delete)| {
            from == column && to.trim_matches('"').ends_with(CONTENT.name) && (!cascade || on_delete == "c")
        });
        if !kept {
            plan.warnings.push(Mismatch {
                place: format!("{place}.{column}"),
                problem: format!("does not refer to {} {rest}", CONTENT.name).trim_end().to_owned(),
                remedy: remedy::of_reference(&name, schema, column, rest, &found.kind),
            });
        }
    }
}

/// Missing indexes are built without stopping writers. One whose build was cut short is left invalid by PostgreSQL and
/// has to go first.
fn indexes(schema: &str, table: &Table, found: &FoundTable, plan: &mut Plan) {
    let name = format!("{}.{}", quoted(schema), quoted(table.name));
    let c_collation = found.columns.get("storage_key").is_some_and(|key| key.c_collation);
    for index in table.indexes {
        let mut key: Vec<&str> = table.key.to_vec();
        key.sort_unstable();
        let served = (index.only_without_c_collation && c_collation)
            || (index.unique && found.unique.iter().any(|columns| *columns == key))
            || found.indexes.get(index.name) == Some(&true);
        if served {
            continue;
        }
        // A partitioned table takes no index concurrently.
        let concurrently = found.kind == "r";
        if found.indexes.contains_key(index.name) {
            plan.concurrently.push(format!("DROP INDEX {}.{}", quoted(schema), quoted(index.name)));
        }
        plan.concurrently.push(index_statement(&name, index, if concurrently { "CONCURRENTLY" } else { "" }));
        plan.done.push(format!("created index {schema}.{}", index.name));
    }
}

fn index_statement(name: &str, index: &Index, concurrently: &str) -> String {
    let unique = if index.unique { "UNIQUE" } else { "" };
    format!("CREATE {unique} INDEX {concurrently} {} ON {name} ({})", quoted(index.name), index.on)
}

fn comment_on(table: &str, column: &str, comment: &str) -> String {
    format!("COMMENT ON COLUMN {table}.{column} IS {}", literal(comment))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
