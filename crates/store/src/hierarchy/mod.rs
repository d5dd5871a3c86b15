//! The three tables that the platform's application reads: `email_content`, `email_messages`, `attachments`.
//!
//! They live in the configured schema and may be the platform's own, so they are not a migration: what must be there is
//! data ([`expected`]), what is there is read from the catalog ([`catalog`]), and the difference decides ([`adopt`]):
//! create, add columns, or say exactly what does not fit. Then they get the wall
//! between tenants ([`wall`]) like every table that holds rows of tenants.

pub(crate) mod adopt;
pub(crate) mod catalog;
pub(crate) mod expected;
mod remedy;
mod wall;

use std::fmt;

/// The hierarchy's tables as they are written in SQL, schema and all.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    pub(crate) schema: String,
    pub(crate) content: String,
    pub(crate) messages: String,
    pub(crate) attachments: String,
}

impl Tables {
    pub(crate) fn new(schema: &str) -> Self {
        let name = |table: &str| format!("{}.{}", quoted(schema), quoted(table));
        Self {
            schema: schema.to_owned(),
            content: name(expected::CONTENT.name),
            messages: name(expected::MESSAGES.name),
            attachments: name(expected::ATTACHMENTS.name),
        }
    }
}

/// An identifier between double quotes.
pub(crate) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Why a table that stands there cannot be used, or not yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// `schema.table`, or `schema.table.column`.
    pub place: String,
    /// What is wrong: found and expected.
    pub problem: String,
    /// What to do, usually a statement.
    pub remedy: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; remedy: {}", self.place, self.problem, self.remedy)
    }
}
