//! What servers say of the mail: its content, its size, its form, its authentication.

use super::{REPLY, Rule, rule};
use crate::bounce::reason::Reason::{
    AuthFailure, ContentError, ExceedLimit, Filtered, MesgTooBig, NotCompliantRfc, PolicyViolation,
    SpamDetected, SystemError, VirusDetected,
};

/// Too large.
pub(crate) const SIZE: &[Rule] = &[
    rule(ExceedLimit, &["too large for this recipient"], "sisimai/lhost-exchange2007-03"),
    rule(ExceedLimit, &["limit for the recipient"], REPLY),
    rule(ExceedLimit, &["limit set by recipient"], "sisimai/lhost-receivingses-08"),
    // The typing error is qmail-ldap's.
    rule(ExceedLimit, &["size the user accepts"], REPLY),
    rule(MesgTooBig, &["message too large"], "sisimai/lhost-receivingses-05"),
    rule(MesgTooBig, &["message", "too big"], "sisimai/lhost-dragonfly-14"),
    rule(MesgTooBig, &["message is too large"], REPLY),
    rule(MesgTooBig, &["message is too long"], REPLY),
    rule(MesgTooBig, &["message too long"], REPLY),
    rule(MesgTooBig, &["attachment is too"], REPLY),
    rule(MesgTooBig, &["message length", "*exceeds"], REPLY),
    rule(MesgTooBig, &["message length is more than"], REPLY),
    rule(MesgTooBig, &["header size exceeds limit"], REPLY),
    rule(MesgTooBig, &["message size", "*exceed"], "flufl-bounce/dsn_03"),
    rule(MesgTooBig, &["message exceeds", "*size"], REPLY),
    rule(MesgTooBig, &["exceeded", "message size limit"], REPLY),
    rule(MesgTooBig, &["exceed", "maximum", "*size"], "flufl-bounce/dsn_03"),
    rule(MesgTooBig, &["exceed", "mailsize limit"], REPLY),
    rule(MesgTooBig, &["max message size"], REPLY),
    rule(MesgTooBig, &["maximum", "size exceeded"], REPLY),
    rule(MesgTooBig, &["size limit", "*exceeded"], "sisimai/lhost-einsundeins-02"),
    rule(MesgTooBig, &["taille limite du message"], REPLY),
    rule(MesgTooBig, &["line limit exceeded"], REPLY),
];

/// Who wrote it could not be proven.
pub(crate) const AUTHENTICATION: &[Rule] = &[
    rule(AuthFailure, &["bad spf"], "sisimai/lhost-exim-29"),
    rule(AuthFailure, &["spf", "*t pass"], "sisimai/rhost-google-04"),
    rule(AuthFailure, &["spf", "*fail"], "sisimai/lhost-exim-29"),
    rule(AuthFailure, &["*fail", "spf"], "sisimai/lhost-exim-29"),
    rule(AuthFailure, &["spf", "not allowed"], "sisimai/lhost-office365-03"),
    rule(AuthFailure, &["'s spf record"], "sisimai/lhost-office365-03"),
    rule(AuthFailure, &["spf record of"], REPLY),
    rule(AuthFailure, &["inspect your spf"], "sisimai/lhost-office365-03"),
    rule(AuthFailure, &["spf policy"], REPLY),
    rule(AuthFailure, &["spf.pobox.com"], "sisimai/lhost-exim-29"),
    rule(AuthFailure, &["openspf"], REPLY),
    rule(AuthFailure, &["spf", "unauthorized"], REPLY),
    rule(AuthFailure, &["spf", "not designate"], REPLY),
    rule(AuthFailure, &["fails to pass"], REPLY),
    rule(AuthFailure, &["sender policy framework"], REPLY),
    rule(AuthFailure, &["dmarc"], "sisimai/lhost-dragonfly-01"),
    rule(AuthFailure, &["dkim", "*fail"], REPLY),
    rule(AuthFailure, &["dkim", "*t pass"], "sisimai/rhost-google-04"),
    rule(AuthFailure, &["bad dkim"], REPLY),
    rule(AuthFailure, &["dkim signature"], REPLY),
    rule(AuthFailure, &["spf or dkim"], "sisimai/rhost-google-04"),
    rule(AuthFailure, &["authentication checks failed"], "sisimai/lhost-opensmtpd-11"),
    rule(AuthFailure, &["does not have authentication information"], "sisimai/lhost-sendmail-59"),
    rule(AuthFailure, &["required authentication level"], REPLY),
    rule(AuthFailure, &["sender is unauthenticated"], "sisimai/rhost-google-04"),
    rule(AuthFailure, &["unauthenticated email"], "sisimai/lhost-dragonfly-01"),
];

/// Taken for a virus.
pub(crate) const VIRUS: &[Rule] = &[
    rule(SpamDetected, &["spam or virus"], REPLY),
    rule(SpamDetected, &["spam/virus"], REPLY),
    rule(PolicyViolation, &["security policies"], REPLY),
    rule(VirusDetected, &["virus"], "flufl-bounce/dumbass_01"),
    rule(VirusDetected, &["malware"], REPLY),
    rule(VirusDetected, &["infected"], REPLY),
    rule(VirusDetected, &["potentially executable"], REPLY),
];

/// The form of the mail.
pub(crate) const FORM: &[Rule] = &[
    rule(NotCompliantRfc, &["duplicate header"], "sisimai/lhost-postfix-78"),
    rule(NotCompliantRfc, &["multiple addresses in from"], "sisimai/lhost-sendmail-43"),
    rule(NotCompliantRfc, &["multiple", "header"], "sisimai/rhost-google-08"),
    rule(NotCompliantRfc, &["not rfc", "compliant"], "sisimai/rhost-google-08"),
    rule(NotCompliantRfc, &["rfc 5322"], "sisimai/rhost-google-08"),
    rule(NotCompliantRfc, &["not conform to rfc"], REPLY),
    rule(NotCompliantRfc, &["missing a valid", "header"], REPLY),
    rule(NotCompliantRfc, &["header", "missing"], REPLY),
    rule(NotCompliantRfc, &["missing", " header"], REPLY),
    rule(NotCompliantRfc, &["encoded-word syntax"], REPLY),
    rule(NotCompliantRfc, &["disallowed header"], REPLY),
    rule(NotCompliantRfc, &["rfcmessagenoncompliant"], "sisimai/rhost-google-08"),
    rule(ContentError, &["bare l"], REPLY),
    rule(ContentError, &["bare <"], REPLY),
    rule(ContentError, &["bad header"], REPLY),
    // Addresses and headers beyond ASCII, for a host that takes none (RFC 6531).
    rule(ContentError, &["smtputf8"], REPLY),
    rule(ContentError, &["not support", "international"], REPLY),
    rule(ContentError, &["improper use of 8-bit data"], REPLY),
    rule(ContentError, &["header size exceeds"], REPLY),
    rule(ContentError, &["header size, or recipient list, exceeds"], REPLY),
    rule(ContentError, &["header", "too long"], REPLY),
    rule(ContentError, &["header", "ridiculously long"], REPLY),
    rule(ContentError, &["invalid mime headers"], REPLY),
    rule(ContentError, &["mime complexity"], REPLY),
    rule(ContentError, &["improperly-formatted binary"], REPLY),
    rule(ContentError, &["unnecessary base64"], REPLY),
    rule(ContentError, &["stray linefeeds"], REPLY),
    rule(ContentError, &["too many \"received\" headers"], REPLY),
];

/// Taken for spam.
pub(crate) const SPAM: &[Rule] = &[
    rule(PolicyViolation, &["header error"], "sisimai/lhost-gmail-03"),
    rule(PolicyViolation, &["reject, id=", "banned"], REPLY),
    rule(SpamDetected, &["*spam"], "cpython/msg_43"),
    rule(SpamDetected, &["unsolicited"], REPLY),
    rule(SpamDetected, &["bulk mail"], REPLY),
    rule(SpamDetected, &["bulk email"], REPLY),
    rule(SpamDetected, &["bulk e-mail"], REPLY),
    rule(SpamDetected, &["reject bulk"], REPLY),
    rule(SpamDetected, &["blacklisted url"], REPLY),
    rule(SpamDetected, &["url in", "is listed"], REPLY),
    rule(SpamDetected, &["uribl"], REPLY),
    rule(SpamDetected, &["reject, id="], REPLY),
    rule(SpamDetected, &[", ube, id="], REPLY),
    rule(SpamDetected, &["content denied"], REPLY),
    rule(SpamDetected, &["content", "reject"], "sisimai/rfc3464-08"),
    rule(SpamDetected, &["content policy"], REPLY),
    rule(SpamDetected, &["content restrictions"], REPLY),
    rule(SpamDetected, &["reject", "mail content"], REPLY),
    rule(SpamDetected, &["nature of the content"], REPLY),
    rule(SpamDetected, &["message filtered."], REPLY),
    rule(SpamDetected, &["junkmail"], REPLY),
    rule(SpamDetected, &["unacceptable content"], REPLY),
    rule(SpamDetected, &["banned content"], REPLY),
    rule(SpamDetected, &["recurrent pattern detection"], REPLY),
    rule(SpamDetected, &["temporarily blocked by our filter"], REPLY),
    rule(SpamDetected, &["our system has detected that this message is"], REPLY),
    rule(SpamDetected, &["mail score", "over"], REPLY),
];

/// Against a policy.
pub(crate) const POLICY: &[Rule] = &[
    rule(PolicyViolation, &["protocol violation"], "sisimai/lhost-postfix-41"),
    rule(PolicyViolation, &["presents a potential"], "sisimai/lhost-sendmail-31"),
    rule(PolicyViolation, &["illegal attachment"], REPLY),
    rule(PolicyViolation, &["unacceptable attachment"], REPLY),
    rule(PolicyViolation, &["attachment", "not allowed"], REPLY),
    rule(PolicyViolation, &["attachment", "forbidden"], REPLY),
    rule(PolicyViolation, &["members-only"], REPLY),
    rule(PolicyViolation, &["closed mailing list"], REPLY),
    rule(PolicyViolation, &["not subscribed to this group"], REPLY),
    rule(PolicyViolation, &["organizational settings"], REPLY),
    rule(PolicyViolation, &["low priority"], REPLY),
    rule(PolicyViolation, &["mass mailer"], REPLY),
    rule(PolicyViolation, &["not accepting mail with"], REPLY),
    rule(PolicyViolation, &["*policy$"], "sisimai/lhost-dragonfly-03"),
    rule(PolicyViolation, &["policies"], REPLY),
    rule(PolicyViolation, &["prohibited"], REPLY),
    rule(PolicyViolation, &["violation"], REPLY),
    rule(PolicyViolation, &["not accept messages", "attachments"], REPLY),
];

/// Words that say little.
pub(crate) const VAGUE: &[Rule] = &[
    rule(SystemError, &["transaction failed"], "sisimai/lhost-postfix-47"),
    rule(Filtered, &["*filter"], "sisimai/lhost-mfilter-03"),
    // Exim, of what a filter or an administrator stops without a word.
    rule(Filtered, &["delivery cancelled"], REPLY),
];
