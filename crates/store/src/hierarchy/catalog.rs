//! What stands in the database: tables, columns and keys, read from the catalog.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use crate::error::{Error, Result};

/// A column that stands there.
#[derive(Debug, Clone)]
pub(crate) struct FoundColumn {
    /// The type without its modifier, as PostgreSQL writes it.
    pub(crate) base_type: String,
    /// The type with its modifier, for people.
    pub(crate) full_type: String,
    /// The n of a `varchar(n)`.
    pub(crate) max_chars: Option<u32>,
    /// NULL is refused.
    pub(crate) not_null: bool,
    /// It has a default, or is an identity or generated.
    pub(crate) fills_itself: bool,
    /// Collation C (or POSIX).
    pub(crate) c_collation: bool,
}

/// A table that stands there.
#[derive(Debug, Clone, Default)]
pub(crate) struct FoundTable {
    /// `r` table, `p` partitioned table, `v` view and so on (pg_class.relkind).
    pub(crate) kind: String,
    pub(crate) columns: BTreeMap<String, FoundColumn>,
    /// The columns of each full, valid, immediate unique index, sorted by name.
    pub(crate) unique: Vec<Vec<String>>,
    /// The columns that refer to another table by foreign key: column, the other table, ON DELETE (`c` for CASCADE).
    pub(crate) references: Vec<(String, String, String)>,
    /// The indexes and whether each is valid.
    pub(crate) indexes: BTreeMap<String, bool>,
}

const RELATION: &str = "SELECT c.oid, c.relkind::text FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

const COLUMNS: &str = "SELECT a.attname::text, format_type(a.atttypid, NULL), format_type(a.atttypid, a.atttypmod), \
     CASE WHEN a.atttypid = 'varchar'::regtype AND a.atttypmod > 4 THEN a.atttypmod - 4 END, \
     a.attnotnull, a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '', \
     COALESCE(c.collname IN ('C', 'POSIX'), false) \
     FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation \
     WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped";

const UNIQUE: &str = "SELECT (SELECT array_agg(a.attname::text ORDER BY a.attname::text) \
         FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)) \
     FROM pg_catalog.pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate \
     AND i.indpred IS NULL AND i.indexprs IS NULL";

const REFERENCES: &str = "SELECT a.attname::text, c.confrelid::regclass::text, c.confdeltype::text \
     FROM pg_catalog.pg_constraint c \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] \
     WHERE c.conrelid = $1 AND c.contype = 'f' AND cardinality(c.conkey) = 1";

const INDEXES: &str = "SELECT c.relname::text, i.indisvalid FROM pg_catalog.pg_index i \
     JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1";

/// Reads a table; `None` where there is none of that name.
pub(crate) async fn read(client: &Client, schema: &str, table: &str) -> Result<Option<FoundTable>> {
    let failed = |error: tokio_postgres::Error| Error::statement("reading the catalog", &error);
    let Some(row) = client.query_opt(RELATION, &[&schema, &table]).await.map_err(failed)? else {
        return Ok(None);
    };
    let oid: u32 = row.try_get(0).map_err(failed)?;
    let mut found = FoundTable { kind: row.try_get(1).map_err(failed)?, ..FoundTable::default() };
    for row in client.query(COLUMNS, &[&oid]).await.map_err(failed)? {
        let column = FoundColumn {
            base_type: row.try_get(1).map_err(failed)?,
            full_type: row.try_get(2).map_err(failed)?,
            max_chars: row.try_get::<_, Option<i32>>(3).map_err(failed)?.and_then(|n| u32::try_from(n).ok()),
            not_null: row.try_get(4).map_err(failed)?,
            fills_itself: row.try_get(5).map_err(failed)?,
            c_collation: row.try_get(6).map_err(failed)?,
        };
        found.columns.insert(row.try_get(0).map_err(failed)?, column);
    }
    for row in client.query(UNIQUE, &[&oid]).await.map_err(failed)? {
        found.unique.push(row.try_get(0).map_err(failed)?);
    }
    for row in client.query(REFERENCES, &[&oid]).await.map_err(failed)? {
        found.references.push((
            row.try_get(0).map_err(failed)?,
            row.try_get(1).map_err(failed)?,
            row.try_get(2).map_err(failed)?,
        ));
    }
    for row in client.query(INDEXES, &[&oid]).await.map_err(failed)? {
        found.indexes.insert(row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    }
    Ok(Some(found))
}

/// Whether a schema of this name stands.
pub(crate) async fn schema_exists(client: &Client, schema: &str) -> Result<bool> {
    client
        .query_opt("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", &[&schema])
        .await
        .map(|row| row.is_some())
        .map_err(|error| Error::statement("reading the catalog", &error))
}
