//! Why a mail bounced: the established vocabulary. The rules that find it stand in `rules`.

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
