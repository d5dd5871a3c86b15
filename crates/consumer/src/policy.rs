//! What each class of error costs the entry that met it.

use mailfleet_model::Class;

/// What is done about an error of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It may pass by itself and is nobody's fault as a rule: the entry waits, uncounted, and pays an attempt only where
    /// others were stored meanwhile.
    Wait,
    /// It is about this very entry and will be the same the next time: a dead letter at once, without further attempts.
    Bury,
}

impl Policy {
    /// The policy for a class.
    pub const fn of(class: Class) -> Self {
        match class {
            // Servers that are away, transactions that lost against others, a schema that somebody must mend.
            Class::Outage | Class::Transient | Class::Fault => Self::Wait,
            // What cannot be stored as it is, what a rule of ours refuses, what goes beyond a limit.
            Class::Data | Class::Policy | Class::Hostile => Self::Bury,
        }
    }
}

#[cfg(test)]
mod tests {
    use mailfleet_model::Classify as _;
    use mailfleet_store::Error;

    use super::*;

    fn refused(code: &str) -> Policy {
        let error = Error::Database { what: "persisting", code: code.to_owned(), message: String::new() };
        Policy::of(error.class())
    }

    #[test]
    fn what_postgresql_would_refuse_again_gets_no_further_attempt_and_all_else_does() {
        // Invalid text, a constraint, a statement beyond the server's limits.
        for code in ["22021", "23514", "54000"] {
            assert_eq!(refused(code), Policy::Bury, "{code}");
        }
        // Lost against others, a lock, shutting down, no such table, a connection that broke.
        for code in ["40001", "40P01", "55P03", "57P01", "42P01", "08006"] {
            assert_eq!(refused(code), Policy::Wait, "{code}");
        }
        let away = Error::Timeout { what: "persisting", after: std::time::Duration::from_secs(1) };
        assert_eq!(Policy::of(away.class()), Policy::Wait);
        let invalid = Error::Invalid { what: "name", value: String::new(), problem: "is empty" };
        assert_eq!(Policy::of(invalid.class()), Policy::Bury);
    }
}
