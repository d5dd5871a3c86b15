//! Enhanced status codes, and what they mean where no words say more.
//!
//! RFC 3463 defines most; RFC 5248 keeps the register. Details above 50 are Exchange Online's own. Who defines a row, and
//! as what, stands in `tests/corpus/replies/statuses.tsv`. `x` is any class: some codes mean another thing
//! in a temporary answer, and of those that would call an address dead the temporary ones mean nothing.

use crate::bounce::reason::Reason::{
    self, AuthFailure, Blocked, ContentError, ExceedLimit, Expired, FailedStartTls, Filtered, HasMoved,
    HostUnknown, MailboxFull, MesgTooBig, NetworkError, NotAccept, RateLimited, Rejected, RequirePtr,
    SecurityError, SpamDetected, Suspend, SyntaxError, SystemError, SystemFull, TooManyConn, UserUnknown,
};

/// A code and its meaning; the first row that fits counts.
const STATUSES: &[(&str, Reason)] = &[
    ("5.1.0", UserUnknown),
    ("5.1.1", UserUnknown),
    ("5.1.2", HostUnknown),
    ("5.1.3", UserUnknown),
    ("5.1.4", Filtered),
    ("5.1.6", HasMoved),
    ("x.1.7", Rejected),
    ("x.1.8", Rejected),
    ("x.1.9", SystemError),
    ("5.1.10", NotAccept),
    ("x.1.90", RateLimited),
    ("5.1.351", UserUnknown),
    ("5.2.0", Filtered),
    ("4.2.1", Blocked),
    ("5.2.1", Filtered),
    ("x.2.2", MailboxFull),
    ("x.2.3", ExceedLimit),
    ("x.2.4", Filtered),
    ("x.2.121", RateLimited),
    ("x.2.122", RateLimited),
    ("5.3.0", SystemError),
    ("x.3.190", SystemError),
    ("x.3.1", SystemFull),
    ("4.3.2", SystemError),
    ("5.3.2", NotAccept),
    ("x.3.3", SystemError),
    ("x.3.4", MesgTooBig),
    ("x.3.5", SystemError),
    ("5.4.0", NetworkError),
    ("4.4.1", Expired),
    ("x.4.2", NetworkError),
    ("x.4.3", SystemError),
    ("4.4.4", NetworkError),
    ("5.4.4", HostUnknown),
    ("4.4.5", SystemFull),
    ("x.4.6", NetworkError),
    ("x.4.7", Expired),
    ("x.4.8", NetworkError),
    ("x.4.312", NetworkError),
    ("x.4.316", Expired),
    ("x.4.317", FailedStartTls),
    ("x.4.318", SystemError),
    ("x.5.2", SyntaxError),
    ("4.5.3", SystemError),
    ("5.5.3", TooManyConn),
    ("x.5.4", SystemError),
    ("x.5.5", SystemError),
    ("x.5.6", SyntaxError),
    ("4.7.1", Blocked),
    ("4.7.2", Blocked),
    ("x.7.13", Suspend),
    ("x.7.16", MesgTooBig),
    ("5.7.17", HasMoved),
    ("5.7.18", HasMoved),
    ("x.7.20", AuthFailure),
    ("x.7.21", AuthFailure),
    ("x.7.22", AuthFailure),
    ("x.7.23", AuthFailure),
    ("x.7.24", AuthFailure),
    ("x.7.25", RequirePtr),
    ("x.7.26", AuthFailure),
    ("x.7.27", Rejected),
    ("x.7.28", SpamDetected),
    ("x.7.29", AuthFailure),
    ("x.7.30", FailedStartTls),
];

/// What a subject means where its detail is not in the table.
const SUBJECTS: &[(&str, Reason)] = &[("6", ContentError), ("7", SecurityError)];

/// Whether a code says which check of the sender failed (RFC 7372): nobody writes these by habit, as 5.7.1.
pub(crate) fn names_a_check(status: &str) -> bool {
    status
        .split_once(".7.")
        .and_then(|(_, detail)| detail.parse().ok())
        .is_some_and(|n: u16| (20..=26).contains(&n))
}

/// The reason that a code names.
pub(crate) fn reason(status: &str) -> Option<Reason> {
    row(status).map(|(_, reason)| *reason)
}

/// The row that judges a code: its own, else that of its subject.
fn row(status: &str) -> Option<&'static (&'static str, Reason)> {
    let (class, rest) = status.split_once('.')?;
    let fits = |code: &str| {
        code.split_once('.').is_some_and(|(any, detail)| detail == rest && (any == "x" || any == class))
    };
    STATUSES.iter().find(|(code, _)| fits(code)).or_else(|| {
        let subject = rest.split('.').next()?;
        SUBJECTS.iter().find(|(known, _)| *known == subject)
    })
}

/// Rows that judge none of these codes.
#[cfg(test)]
pub(super) fn idle(codes: &[String]) -> Vec<&'static str> {
    let judging: Vec<&str> = codes.iter().filter_map(|code| row(code)).map(|(code, _)| *code).collect();
    STATUSES.iter().chain(SUBJECTS).map(|(code, _)| *code).filter(|code| !judging.contains(code)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::BounceKind;

    #[test]
    fn a_code_means_what_its_class_makes_of_it() {
        assert_eq!(reason("5.4.4"), Some(HostUnknown));
        assert_eq!(reason("4.4.4"), Some(NetworkError));
        assert_eq!(reason("4.2.2"), reason("5.2.2"));
        assert_eq!(
            (reason("4.1.1"), reason("4.1.2")),
            (None, None),
            "an address that may be found later is not dead"
        );
        assert_eq!(reason("5.6.99"), Some(ContentError));
        assert!(names_a_check("5.7.26") && names_a_check("4.7.23"));
        assert!(!names_a_check("5.7.1") && !names_a_check("5.7.27") && !names_a_check("5.7."));
        assert_eq!((reason("5.0.0"), reason("rubbish")), (None, None));
    }

    #[test]
    fn no_temporary_status_calls_an_address_dead() {
        for (code, _) in STATUSES {
            let rest = code.split_once('.').unwrap().1;
            let temporary = reason(&format!("4.{rest}"));
            assert!(temporary.is_none_or(|it| it.kind() == BounceKind::Soft), "4.{rest}: {temporary:?}");
        }
    }
}
