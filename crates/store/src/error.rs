//! What can go wrong at the store, and whose fault it is: decided by SQLSTATE, never by the text of a message.

use std::error::Error as _;
use std::time::Duration;

use mailfleet_model::{Class, Classify};

use crate::config::ConfigError;
use crate::hierarchy::Mismatch;
use crate::text;

/// The store's result.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the store. Each shows as one line without mail text beyond what PostgreSQL itself quotes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting of `[postgres]` cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No connection could be made.
    #[error("cannot reach PostgreSQL at {target}: {detail}; check postgres.url and that the server runs")]
    Unreachable {
        /// Host, port and database.
        target: String,
        /// What the connection attempt met.
        detail: String,
    },
    /// The server answers, but not with a certificate (or the TLS) that can be trusted.
    #[error(
        "TLS with PostgreSQL at {target} failed: {detail}; name its CA in postgres.tls_ca_file, or say sslmode=disable in postgres.url where the network is trusted"
    )]
    Tls {
        /// Host, port and database.
        target: String,
        /// What the handshake met.
        detail: String,
    },
    /// All connections of the pool stayed busy.
    #[error(
        "no free PostgreSQL connection within {waited:?}: all {size} of the pool are busy; raise postgres.pool_size or look for slow statements"
    )]
    PoolBusy {
        /// Connections in the pool.
        size: usize,
        /// How long was waited.
        waited: Duration,
    },
    /// The server did not answer in time; the connection was thrown away.
    #[error("PostgreSQL did not answer within {after:?} ({what})")]
    Timeout {
        /// What was being done.
        what: &'static str,
        /// The bound.
        after: Duration,
    },
    /// The connection broke; whether the statement took effect is unknown.
    #[error("the connection to PostgreSQL was lost ({what}): {detail}")]
    Lost {
        /// What was being done.
        what: &'static str,
        /// What the driver says.
        detail: String,
    },
    /// PostgreSQL refused a statement.
    #[error("PostgreSQL refused ({what}): {code}: {message}{}", remedy(code))]
    Database {
        /// What was being done.
        what: &'static str,
        /// The SQLSTATE, five characters.
        code: String,
        /// The server's message (and detail), one line, cut.
        message: String,
    },
    /// The driver and our statement do not agree: a bug.
    #[error("a statement does not fit the driver ({what}): {detail}")]
    Driver {
        /// What was being done.
        what: &'static str,
        /// What the driver says.
        detail: String,
    },
    /// Migrations could not be applied.
    #[error("migration failed: {0}")]
    Migration(String),
    /// Tables of the hierarchy stand there but cannot be used.
    #[error("tables cannot be adopted: {}", join(.0))]
    Adoption(Vec<Mismatch>),
    /// The database is not as this build needs it.
    #[error("{found}; {remedy}")]
    NotReady {
        /// What is wrong.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// The name is taken already.
    #[error("the {what} `{name}` exists already{}", of(owner.as_deref()))]
    Taken {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// Whose it is, where that helps.
        owner: Option<String>,
    },
    /// There is no such thing.
    #[error("there is no {what} `{name}`")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// A value given by the caller cannot be stored as it is.
    #[error("the {what} `{value}` is not valid: {problem}")]
    Invalid {
        /// What kind of value.
        what: &'static str,
        /// The value, cut.
        value: String,
        /// What would be right.
        problem: &'static str,
    },
    /// A stored value makes no sense to this build.
    #[error("{place} holds `{value}`, which this build does not know; is a newer version running?")]
    Unreadable {
        /// Table and column.
        place: &'static str,
        /// What stands there.
        value: String,
    },
}

fn join(mismatches: &[Mismatch]) -> String {
    mismatches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn of(owner: Option<&str>) -> String {
    owner.map(|owner| format!(" (it belongs to {owner})")).unwrap_or_default()
}

/// What to do about the codes that an operator meets.
fn remedy(code: &str) -> &'static str {
    match code {
        // undefined_table, undefined_column, invalid_schema_name
        "42P01" | "42703" | "3F000" => "; run `mailfleet migrate`",
        // insufficient_privilege
        "42501" => {
            "; run `mailfleet migrate` as the login that owns the tables; `mailfleet doctor` names what lacks"
        }
        // invalid_password, invalid_authorization_specification
        "28P01" | "28000" => "; check user and password in postgres.url, and pg_hba.conf",
        // invalid_catalog_name
        "3D000" => "; create the database, or correct its name in postgres.url",
        _ => "",
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. } | Self::PoolBusy { .. } | Self::Timeout { .. } | Self::Lost { .. } => {
                Class::Outage
            }
            Self::Database { code, .. } => class_of(code),
            Self::Invalid { .. } => Class::Data,
            Self::Config(_)
            | Self::Tls { .. }
            | Self::Driver { .. }
            | Self::Migration(_)
            | Self::Adoption(_)
            | Self::NotReady { .. }
            | Self::Taken { .. }
            | Self::Unknown { .. }
            | Self::Unreadable { .. } => Class::Fault,
        }
    }
}

/// The class of a SQLSTATE (PostgreSQL manual, appendix A).
fn class_of(code: &str) -> Class {
    match code {
        // read_only_sql_transaction: a failover put us on a standby. idle_in_transaction_session_timeout and
        // transaction_timeout: the connection is gone. statement_too_complex and its kin (54) come from the input, not from the server.
        "25006" | "25P03" | "25P04" => Class::Outage,
        // database_dropped
        "57P04" => Class::Fault,
        // lock_not_available, object_in_use; a cached plan or a prepared statement that a migration made void.
        "55P03" | "55006" | "0A000" | "26000" => Class::Transient,
        _ => match code.get(..2).unwrap_or_default() {
            // connection, resources, operator intervention (57014 is the statement timeout), the system below
            "08" | "53" | "57" | "58" => Class::Outage,
            "40" => Class::Transient,
            "21" | "22" | "23" | "54" => Class::Data,
            _ => Class::Fault,
        },
    }
}

impl Error {
    /// The SQLSTATE, where PostgreSQL itself refused.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Database { code, .. } => Some(code),
            _ => None,
        }
    }

    /// An error met while running a statement.
    pub(crate) fn statement(what: &'static str, error: &tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            let code = db.code().code();
            let message = match db.detail() {
                Some(detail) if !quotes_rows(code) => format!("{} ({detail})", db.message()),
                _ => db.message().to_owned(),
            };
            return Self::Database { what, code: code.to_owned(), message: text::line(&message) };
        }
        let detail = causes(error);
        if error.is_closed() || io_cause(error).is_some() {
            return Self::Lost { what, detail };
        }
        Self::Driver { what, detail }
    }

    /// An error met while connecting.
    pub(crate) fn connecting(target: &str, error: &tokio_postgres::Error) -> Self {
        if error.as_db_error().is_some() {
            return Self::statement("connecting", error);
        }
        let (target, detail) = (target.to_owned(), causes(error));
        // A handshake that the network cut short is an outage; one that was refused is not. The driver keeps its kinds
        // to itself, but its word for "the server speaks no TLS" is all that is left where no cause is given.
        let tls = match io_cause(error) {
            Some(io) => io.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>),
            None => detail.contains("TLS"),
        };
        if tls || detail.contains("TLS") {
            Self::Tls { target, detail }
        } else {
            Self::Unreachable { target, detail }
        }
    }
}

/// The details of data errors quote the row ("Failing row contains …"): mail text, with all the tokens in its links. Those of
/// foreign keys and unique keys quote the key alone.
fn quotes_rows(code: &str) -> bool {
    (code.starts_with("22") || code.starts_with("23")) && !matches!(code, "23503" | "23505")
}

/// The driver's display is a bare "db error": the causes say what happened.
fn causes(error: &tokio_postgres::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    // Bounded, although no chain of causes is known to be long.
    for _ in 0..8 {
        let Some(cause) = next else { break };
        let words = cause.to_string();
        if !texts.iter().any(|text| text.contains(&words)) {
            texts.push(words);
        }
        next = cause.source();
    }
    text::line(&texts.join(": "))
}

fn io_cause(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    let mut next = error.source();
    for _ in 0..8 {
        let cause = next?;
        if let Some(io) = cause.downcast_ref() {
            return Some(io);
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlstate_has_the_class_that_decides_who_pays() {
        for (code, class) in [
            ("08006", Class::Outage),
            ("57P01", Class::Outage),
            ("57P03", Class::Outage),
            ("57014", Class::Outage),
            ("53300", Class::Outage),
            ("53100", Class::Outage),
            ("25006", Class::Outage),
            ("25P03", Class::Outage),
            ("25P04", Class::Outage),
            ("40001", Class::Transient),
            ("40P01", Class::Transient),
            ("55P03", Class::Transient),
            ("22021", Class::Data),
            ("22P05", Class::Data),
            ("23503", Class::Data),
            ("54000", Class::Data),
            ("42P01", Class::Fault),
            ("42501", Class::Fault),
            ("28P01", Class::Fault),
            ("", Class::Fault),
        ] {
            assert_eq!(class_of(code), class, "{code}");
        }
    }

    #[test]
    fn a_missing_table_says_to_migrate() {
        let error = Error::Database {
            what: "persisting",
            code: "42P01".to_owned(),
            message: "relation \"mailfleet.mailboxes\" does not exist".to_owned(),
        };
        assert!(error.to_string().ends_with("run `mailfleet migrate`"), "{error}");
    }
}
