//! Why a mail bounced: the established vocabulary, and the rules that find it, as data.

use crate::mail::BounceKind;

macro_rules! reasons {
    ($($variant:ident $word:literal $doc:literal,)*) => {
        /// Why a mail was not delivered, in the vocabulary that bounce tools share.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $doc] $variant,)*
        }

        impl Reason {
            /// The word of the vocabulary.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

reasons! {
    AuthFailure "authfailure" "SPF, DKIM or DMARC failed.",
    BadReputation "badreputation" "The sending address has a bad reputation.",
    Blocked "blocked" "The sending host is blocked.",
    ContentError "contenterror" "The content is malformed or not wanted.",
    Delivered "delivered" "Delivered after all.",
    ExceedLimit "exceedlimit" "Larger than the recipient accepts.",
    Expired "expired" "Given up after trying for days.",
    FailedStartTls "failedstarttls" "No TLS connection could be made.",
    Feedback "feedback" "The recipient complained.",
    Filtered "filtered" "Refused after the content was seen, or by the recipient's own rules.",
    HasMoved "hasmoved" "The recipient moved to another address.",
    HostUnknown "hostunknown" "The domain does not exist.",
    MailboxFull "mailboxfull" "The mailbox is full.",
    MailerError "mailererror" "A program on the recipient's side failed.",
    MesgTooBig "mesgtoobig" "Larger than the server accepts.",
    NetworkError "networkerror" "DNS or the connection failed.",
    NoRelaying "norelaying" "The server does not relay for us.",
    NotAccept "notaccept" "The domain accepts no mail.",
    NotCompliantRfc "notcompliantrfc" "The mail breaks RFC 5322.",
    OnHold "onhold" "The report says too little.",
    PolicyViolation "policyviolation" "Against a policy of the receiving system.",
    RateLimited "ratelimited" "Sent too fast.",
    Rejected "rejected" "The sender's address is refused.",
    RequirePtr "requireptr" "The sending host has no reverse name.",
    SecurityError "securityerror" "Authentication or encryption was required.",
    SpamDetected "spamdetected" "Taken for spam.",
    Suppressed "suppressed" "On the sending provider's suppression list.",
    Suspend "suspend" "The account is suspended or inactive.",
    SyntaxError "syntaxerror" "The server did not understand a command.",
    SystemError "systemerror" "The receiving system is broken.",
    SystemFull "systemfull" "The receiving system's disk is full.",
    TooManyConn "toomanyconn" "Too many connections.",
    Undefined "undefined" "No rule knows it.",
    UserUnknown "userunknown" "No such mailbox.",
    Vacation "vacation" "The recipient is away.",
    VirusDetected "virusdetected" "Taken for a virus.",
}

impl Reason {
    /// Whether this reason says that the address is dead.
    #[must_use]
    pub const fn kind(self) -> BounceKind {
        match self {
            Self::UserUnknown | Self::HostUnknown | Self::HasMoved | Self::NotAccept => BounceKind::Hard,
            Self::Delivered => BounceKind::Delivered,
            Self::Feedback => BounceKind::Complaint,
            _ => BounceKind::Soft,
        }
    }
}

/// Phrases in lower case and what they mean; the first that matches wins, so that particular ones stand above
/// general ones. A phrase of several pieces matches when all are there, in this order.
const PHRASES: &[(Reason, &[&str])] = &[
    // What was found in the mail.
    (Reason::VirusDetected, &["virus"]),
    (Reason::VirusDetected, &["malware"]),
    (Reason::SecurityError, &["unauthenticated senders"]),
    (Reason::AuthFailure, &["bad spf"]),
    (Reason::AuthFailure, &["authentication checks failed"]),
    (Reason::AuthFailure, &["does not have authentication information"]),
    (Reason::NotCompliantRfc, &["duplicate header"]),
    (Reason::NotCompliantRfc, &["multiple addresses in from"]),
    (Reason::Rejected, &["purported responsible address"]),
    (Reason::Rejected, &["domain of sender"]),
    (Reason::Rejected, &["sender address", "does not exist"]),
    (Reason::Rejected, &["unroutable sender"]),
    (Reason::Rejected, &["groups.google.com/support"]),
    (Reason::PolicyViolation, &["protocol violation"]),
    (Reason::PolicyViolation, &["presents a potential"]),
    (Reason::MailerError, &["procmail:"]),
    (Reason::Blocked, &["no access from mail server"]),
    (Reason::Blocked, &["smtp server of your isp"]),
    (Reason::Blocked, &["not accepting connections"]),
    (Reason::RequirePtr, &["dns ptr"]),
    (Reason::ExceedLimit, &["too large for this recipient"]),
    (Reason::AuthFailure, &["spf ", "fail"]),
    (Reason::AuthFailure, &["dmarc"]),
    (Reason::AuthFailure, &["dkim", "fail"]),
    (Reason::AuthFailure, &["sender policy framework"]),
    (Reason::AuthFailure, &["unauthenticated"]),
    (Reason::RequirePtr, &["ptr record"]),
    (Reason::RequirePtr, &["reverse dns"]),
    (Reason::RequirePtr, &["cannot find your reverse hostname"]),
    (Reason::RequirePtr, &["cannot resolve your address"]),
    (Reason::RequirePtr, &["no matching record in dns"]),
    (Reason::BadReputation, &["reputation"]),
    (Reason::NotCompliantRfc, &["not rfc", "compliant"]),
    (Reason::NotCompliantRfc, &["rfc 5322"]),
    (Reason::NotCompliantRfc, &["rfc5322"]),
    (Reason::FailedStartTls, &["starttls", "fail"]),
    (Reason::FailedStartTls, &["tls", "not available"]),
    (Reason::RateLimited, &["rate limit"]),
    (Reason::RateLimited, &["too many", "messages"]),
    (Reason::TooManyConn, &["too many", "connections"]),
    (Reason::TooManyConn, &["too many", "recipients"]),
    (Reason::TooManyConn, &["too many", "sessions"]),
    (Reason::ExceedLimit, &["size exceeds", "limit for the recipient"]),
    (Reason::MesgTooBig, &["mail size limit exceeded"]),
    (Reason::MesgTooBig, &["message too large"]),
    (Reason::MesgTooBig, &["message too big"]),
    (Reason::MesgTooBig, &["message size exceeds"]),
    (Reason::MesgTooBig, &["exceeded maximum", "size"]),
    (Reason::MesgTooBig, &["max message size"]),
    // The mailbox.
    (Reason::SystemFull, &["insufficient system storage"]),
    (Reason::SystemFull, &["insufficient disk space"]),
    (Reason::SystemFull, &["mail system full"]),
    (Reason::MailboxFull, &["mailbox", "full"]),
    (Reason::MailboxFull, &["inbox", "full"]),
    (Reason::MailboxFull, &["mailbox exceeds allowed size"]),
    (Reason::MailboxFull, &["exceeded", "disk space"]),
    (Reason::MailboxFull, &["メールボックスが一杯"]),
    (Reason::MailboxFull, &["quota"]),
    (Reason::MailboxFull, &["insufficient", "space"]),
    (Reason::MailboxFull, &["out of storage"]),
    (Reason::MailboxFull, &["mailbox size", "exceed"]),
    (Reason::MailboxFull, &["too much mail data"]),
    (Reason::HasMoved, &["has moved"]),
    (Reason::HasMoved, &["has been replaced by"]),
    (Reason::HasMoved, &["no longer at this address"]),
    (Reason::Suspend, &["temporary locked"]),
    (Reason::Suspend, &["deactivated mailbox"]),
    (Reason::Suspend, &["disabled recipient"]),
    (Reason::Suspend, &["suspend"]),
    (Reason::Suspend, &["account", "disabled"]),
    (Reason::Suspend, &["mailbox", "disabled"]),
    (Reason::Suspend, &["inactive"]),
    (Reason::Suspend, &["currently unavailable"]),
    (Reason::Suspend, &["account", "locked"]),
    (Reason::Suppressed, &["suppression list"]),
    (Reason::NotAccept, &["does not accept mail"]),
    (Reason::NotAccept, &["null mx"]),
    (Reason::NotAccept, &["nullmx"]),
    (Reason::NotAccept, &["accepts no mail"]),
    (Reason::UserUnknown, &["recipient address rejected: access denied"]),
    (Reason::UserUnknown, &["user not exist"]),
    (Reason::UserUnknown, &["invalid final delivery userid"]),
    (Reason::UserUnknown, &["recipient name is not recognized"]),
    (Reason::UserUnknown, &["no mailbox found"]),
    (Reason::UserUnknown, &["invalid user address"]),
    (Reason::UserUnknown, &["bad_recipient"]),
    (Reason::UserUnknown, &["not an active address"]),
    (Reason::UserUnknown, &["check if address is correct"]),
    (Reason::UserUnknown, &["ディレクトリには見つかりません"]),
    (Reason::UserUnknown, &["user unknown"]),
    (Reason::UserUnknown, &["unknown user"]),
    (Reason::UserUnknown, &["no such user"]),
    (Reason::UserUnknown, &["no such recipient"]),
    (Reason::UserUnknown, &["no such mailbox"]),
    (Reason::UserUnknown, &["no mailbox here"]),
    (Reason::UserUnknown, &["no such address"]),
    (Reason::UserUnknown, &["no such person"]),
    (Reason::UserUnknown, &["no such account"]),
    (Reason::UserUnknown, &["invalid recipient"]),
    (Reason::UserUnknown, &["invalid mailbox"]),
    (Reason::UserUnknown, &["recipient unknown"]),
    (Reason::UserUnknown, &["unknown recipient"]),
    (Reason::UserUnknown, &["recipient", "not found"]),
    (Reason::UserUnknown, &["user", "not found"]),
    (Reason::UserUnknown, &["user", "doesn't exist"]),
    (Reason::UserUnknown, &["user", "does not exist"]),
    (Reason::UserUnknown, &["account", "does not exist"]),
    (Reason::UserUnknown, &["mailbox", "does not exist"]),
    (Reason::UserUnknown, &["recipient", "does not exist"]),
    (Reason::UserUnknown, &["address", "does not exist"]),
    (Reason::UserUnknown, &["mailbox unavailable"]),
    (Reason::UserUnknown, &["mailbox not found"]),
    (Reason::UserUnknown, &["not listed in"]),
    (Reason::UserUnknown, &["not a known user"]),
    (Reason::UserUnknown, &["not a valid", "user"]),
    (Reason::UserUnknown, &["address unknown"]),
    (Reason::UserUnknown, &["unknown address"]),
    (Reason::UserUnknown, &["doesn't have", "account"]),
    (Reason::UserUnknown, &["recipient address rejected: user"]),
    (Reason::UserUnknown, &["resolver.adr.recipnotfound"]),
    (Reason::UserUnknown, &["resolver.adr.exrecipnotfound"]),
    (Reason::UserUnknown, &["unrouteable address"]),
    (Reason::UserUnknown, &["is not local"]),
    (Reason::UserUnknown, &["addressee unknown"]),
    (Reason::UserUnknown, &["no local mailbox"]),
    (Reason::NetworkError, &["unexpected name server reply"]),
    (Reason::HostUnknown, &["domain is not reachable"]),
    (Reason::HostUnknown, &["account or domain may not exist"]),
    (Reason::HostUnknown, &["host unknown"]),
    (Reason::HostUnknown, &["unknown host"]),
    (Reason::HostUnknown, &["host not found"]),
    (Reason::HostUnknown, &["domain", "does not exist"]),
    (Reason::HostUnknown, &["domain not found"]),
    (Reason::HostUnknown, &["no such domain"]),
    (Reason::HostUnknown, &["unknown domain"]),
    (Reason::HostUnknown, &["couldn't find any host"]),
    (Reason::HostUnknown, &["name or service not known"]),
    // The way there.
    (Reason::NoRelaying, &["not configured to relay"]),
    (Reason::NoRelaying, &["relaying denied"]),
    (Reason::NoRelaying, &["relay access denied"]),
    (Reason::NoRelaying, &["relay not permitted"]),
    (Reason::NoRelaying, &["not permitted to relay"]),
    (Reason::NoRelaying, &["unable to relay"]),
    (Reason::SecurityError, &["authentication required"]),
    (Reason::SecurityError, &["authentication", "fail"]),
    (Reason::SpamDetected, &["spam"]),
    (Reason::SpamDetected, &["junk mail"]),
    (Reason::SpamDetected, &["unsolicited"]),
    (Reason::SpamDetected, &["bulk mail"]),
    (Reason::Blocked, &["blocked"]),
    (Reason::Blocked, &["blacklist"]),
    (Reason::Blocked, &["black list"]),
    (Reason::Blocked, &["blocklist"]),
    (Reason::Blocked, &["block list"]),
    (Reason::Blocked, &["rbl"]),
    (Reason::Blocked, &["client host rejected"]),
    (Reason::Blocked, &["access denied"]),
    (Reason::Rejected, &["sender address rejected"]),
    (Reason::Rejected, &["sender", "rejected"]),
    (Reason::Rejected, &["sender", "denied"]),
    (Reason::Rejected, &["domain of sender"]),
    (Reason::Expired, &["did not accept our requests to connect"]),
    (Reason::Expired, &["failing for a long time"]),
    (Reason::Expired, &["delivery failed", "attempts"]),
    (Reason::Expired, &["expired"]),
    (Reason::Expired, &["too long"]),
    (Reason::Expired, &["timed out"]),
    (Reason::Expired, &["timeout"]),
    (Reason::Expired, &["could not be delivered for"]),
    (Reason::Expired, &["delivery time", "exceeded"]),
    (Reason::NetworkError, &["loops back"]),
    (Reason::NetworkError, &["too many hops"]),
    (Reason::NetworkError, &["hop count"]),
    (Reason::NetworkError, &["mail loop"]),
    (Reason::NetworkError, &["routing loop"]),
    (Reason::NetworkError, &["connection refused"]),
    (Reason::NetworkError, &["network", "unreachable"]),
    (Reason::NetworkError, &["no route to host"]),
    (Reason::MailerError, &["command died"]),
    (Reason::MailerError, &["command failed"]),
    (Reason::MailerError, &["exit status"]),
    (Reason::MailerError, &["x-unix"]),
    (Reason::PolicyViolation, &["policy"]),
    (Reason::PolicyViolation, &["prohibited"]),
    (Reason::SystemError, &["local configuration error"]),
    (Reason::SystemError, &["system", "error"]),
    (Reason::SystemError, &["internal error"]),
    (Reason::SpamDetected, &["content", "reject"]),
    (Reason::Filtered, &["transaction failed"]),
    (Reason::Filtered, &["refused by the recipient"]),
    (Reason::Filtered, &["filter"]),
];

/// Enhanced status codes (class aside) and what they mean where no phrase says more; RFC 3463, RFC 7372, RFC 7505.
const STATUSES: &[(&str, Reason)] = &[
    ("1.1", Reason::UserUnknown),
    ("1.2", Reason::HostUnknown),
    ("1.3", Reason::UserUnknown),
    ("1.6", Reason::HasMoved),
    ("1.8", Reason::Rejected),
    ("1.7", Reason::Rejected),
    ("1.0", Reason::UserUnknown),
    ("1.10", Reason::NotAccept),
    ("2.1", Reason::Suspend),
    ("2.2", Reason::MailboxFull),
    ("2.3", Reason::ExceedLimit),
    ("2.0", Reason::Filtered),
    ("3.1", Reason::SystemFull),
    ("3.4", Reason::MesgTooBig),
    ("3.5", Reason::SystemError),
    ("4.1", Reason::Expired),
    ("4.2", Reason::NetworkError),
    ("4.3", Reason::SystemError),
    ("4.4", Reason::HostUnknown),
    ("4.5", Reason::MailboxFull),
    ("4.6", Reason::NetworkError),
    ("4.7", Reason::Expired),
    ("5.3", Reason::TooManyConn),
    ("5.4", Reason::SyntaxError),
    ("6.0", Reason::ContentError),
    ("7.1", Reason::Filtered),
    ("7.20", Reason::AuthFailure),
    ("7.23", Reason::AuthFailure),
    ("7.24", Reason::AuthFailure),
    ("7.25", Reason::RequirePtr),
    ("7.26", Reason::AuthFailure),
    ("7.0", Reason::SecurityError),
    ("7.6", Reason::SecurityError),
    ("7.9", Reason::SecurityError),
    ("7.13", Reason::Suspend),
];

/// Finds the reason in what the server said and in its status code.
pub(crate) fn find(diagnostic: &str, status: Option<&str>, action: Option<&str>) -> Reason {
    if matches!(action, Some("delivered" | "relayed" | "expanded")) {
        return Reason::Delivered;
    }
    let text: String =
        diagnostic.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(4_000).collect();
    let text = text.to_lowercase();
    if let Some((reason, _)) = PHRASES.iter().find(|(_, pieces)| in_order(&text, pieces)) {
        // The status tells a recipient's limit from the server's.
        let of_recipient =
            *reason == Reason::MesgTooBig && status.is_some_and(|status| status.ends_with(".2.3"));
        return if of_recipient { Reason::ExceedLimit } else { *reason };
    }
    let detail = status.and_then(|status| status.split_once('.')).map(|(_, detail)| detail);
    if let Some((_, reason)) = STATUSES.iter().find(|(code, _)| Some(*code) == detail) {
        return *reason;
    }
    match action {
        Some("delayed") => Reason::Expired,
        _ => Reason::Undefined,
    }
}

fn in_order(text: &str, pieces: &[&str]) -> bool {
    let mut rest = text;
    pieces.iter().all(|piece| match rest.split_once(piece) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_speaks_before_the_code() {
        assert_eq!(find("550 5.1.1 mailbox is full", Some("5.1.1"), None), Reason::MailboxFull);
        assert_eq!(find("550 no", Some("5.1.1"), None), Reason::UserUnknown);
        assert_eq!(find("ok", Some("2.0.0"), Some("delivered")), Reason::Delivered);
        assert_eq!(find("", None, Some("delayed")), Reason::Expired);
        assert_eq!(find("", None, None), Reason::Undefined);
    }

    #[test]
    fn phrases_are_written_as_they_are_compared() {
        assert!(
            PHRASES.iter().flat_map(|(_, pieces)| *pieces).all(|p| !p.is_empty() && *p == p.to_lowercase())
        );
    }
}
