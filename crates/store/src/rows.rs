//! Reading rows: by name, with an error instead of the driver's panic.

use mailfleet_model::{Class, Lane, TlsMode, Uid, UidValidity};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::error::{Error, Result};

/// The value of a column.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T> {
    row.try_get(column).map_err(|error| Error::statement("reading a row", &error))
}

/// A count; PostgreSQL's are signed.
pub(crate) fn count(row: &Row, column: &str) -> Result<u64> {
    let count: i64 = get(row, column)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn odd(place: &'static str, value: &impl ToString) -> Error {
    Error::Unreadable { place, value: value.to_string() }
}

/// A stored UID.
pub(crate) fn uid(number: u32) -> Result<Uid> {
    Uid::new(number).ok_or_else(|| odd("mailbox_messages.uid", &number))
}

/// A stored UIDVALIDITY.
pub(crate) fn uidvalidity(number: u32) -> Result<UidValidity> {
    UidValidity::new(number).ok_or_else(|| odd("mailbox_messages.uidvalidity", &number))
}

/// A stored lane.
pub(crate) fn lane(word: &str) -> Result<Lane> {
    word.parse().map_err(|_| odd("dead_letters.lane", &word))
}

/// A stored class of error.
pub(crate) fn class(word: &str) -> Result<Class> {
    const ALL: [Class; 6] =
        [Class::Outage, Class::Transient, Class::Data, Class::Policy, Class::Hostile, Class::Fault];
    ALL.into_iter().find(|class| class.as_str() == word).ok_or_else(|| odd("dead_letters.class", &word))
}

/// A stored way of protecting a connection.
pub(crate) fn tls_mode(word: &str) -> Result<TlsMode> {
    word.parse().map_err(|_| odd("email_accounts.tls", &word))
}
