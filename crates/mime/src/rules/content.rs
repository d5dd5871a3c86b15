//! What servers say of the mail: its content, its size, its form, its authentication.

use super::{NO_MAIL, Rule, rule};
use crate::reason::Reason::{
    AuthFailure, ContentError, ExceedLimit, Filtered, MesgTooBig, NotCompliantRfc, PolicyViolation,
    SpamDetected, VirusDetected,
};

/// Too large.
pub(crate) const SIZE: &[Rule] = &[
    rule(ExceedLimit, &["too large for this recipient"], "sisimai/lhost-exchange2007-03"),
    rule(ExceedLimit, &["limit for the recipient"], NO_MAIL),
    rule(ExceedLimit, &["limit set by recipient"], "sisimai/lhost-receivingses-08"),
    rule(MesgTooBig, &["message too large"], "sisimai/lhost-receivingses-05"),
    rule(MesgTooBig, &["message too big"], "sisimai/lhost-dragonfly-14"),
    rule(MesgTooBig, &["message is too large"], NO_MAIL),
    rule(MesgTooBig, &["message length exceeds"], NO_MAIL),
    rule(MesgTooBig, &["message size", "exceed"], "flufl-bounce/dsn_03"),
    rule(MesgTooBig, &["message exceeds", "size"], NO_MAIL),
    rule(MesgTooBig, &["exceeded", "message size limit"], NO_MAIL),
    rule(MesgTooBig, &["exceed", "maximum", "size"], "flufl-bounce/dsn_03"),
    rule(MesgTooBig, &["max message size"], NO_MAIL),
    rule(MesgTooBig, &["size limit", "exceeded"], "sisimai/lhost-einsundeins-02"),
    rule(MesgTooBig, &["taille limite du message"], NO_MAIL),
    rule(MesgTooBig, &["line limit exceeded"], NO_MAIL),
];

/// Who wrote it could not be proven.
pub(crate) const AUTHENTICATION: &[Rule] = &[
    rule(AuthFailure, &["bad spf"], "sisimai/lhost-exim-29"),
    rule(AuthFailure, &["spf", "did not pass"], "sisimai/rhost-google-04"),
    rule(AuthFailure, &["spf", "fail"], "sisimai/lhost-exim-29"),
    rule(AuthFailure, &["fail", "spf"], "sisimai/lhost-exim-29"),
    rule(AuthFailure, &["spf", "not allowed"], "sisimai/lhost-office365-03"),
    rule(AuthFailure, &["per it's spf record"], "sisimai/lhost-office365-03"),
    rule(AuthFailure, &["inspect your spf"], "sisimai/lhost-office365-03"),
    rule(AuthFailure, &["spf.pobox.com"], "sisimai/lhost-exim-29"),
    rule(AuthFailure, &["sender policy framework"], NO_MAIL),
    rule(AuthFailure, &["dmarc"], "sisimai/lhost-dragonfly-01"),
    rule(AuthFailure, &["dkim", "fail"], NO_MAIL),
    rule(AuthFailure, &["dkim", "did not pass"], "sisimai/rhost-google-04"),
    rule(AuthFailure, &["spf or dkim"], "sisimai/rhost-google-04"),
    rule(AuthFailure, &["authentication checks failed"], "sisimai/lhost-opensmtpd-11"),
    rule(AuthFailure, &["does not have authentication information"], "sisimai/lhost-sendmail-59"),
    rule(AuthFailure, &["required authentication level"], NO_MAIL),
    rule(AuthFailure, &["sender is unauthenticated"], "sisimai/rhost-google-04"),
    rule(AuthFailure, &["unauthenticated email"], "sisimai/lhost-dragonfly-01"),
];

/// Taken for a virus.
pub(crate) const VIRUS: &[Rule] = &[
    rule(SpamDetected, &["spam or virus"], NO_MAIL),
    rule(SpamDetected, &["spam/virus"], NO_MAIL),
    rule(PolicyViolation, &["security policies"], NO_MAIL),
    rule(VirusDetected, &["virus"], "flufl-bounce/dumbass_01"),
    rule(VirusDetected, &["malware"], NO_MAIL),
    rule(VirusDetected, &["infected"], NO_MAIL),
];

/// The form of the mail.
pub(crate) const FORM: &[Rule] = &[
    rule(NotCompliantRfc, &["duplicate header"], "sisimai/lhost-postfix-78"),
    rule(NotCompliantRfc, &["multiple addresses in from"], "sisimai/lhost-sendmail-43"),
    rule(NotCompliantRfc, &["multiple", "header"], "sisimai/rhost-google-08"),
    rule(NotCompliantRfc, &["not rfc", "compliant"], "sisimai/rhost-google-08"),
    rule(NotCompliantRfc, &["not compliant", "rfc"], NO_MAIL),
    rule(NotCompliantRfc, &["rfc 5322"], "sisimai/rhost-google-08"),
    rule(NotCompliantRfc, &["rfc5322"], NO_MAIL),
    rule(NotCompliantRfc, &["rfcmessagenoncompliant"], "sisimai/rhost-google-08"),
    rule(NotCompliantRfc, &["bare line feed"], NO_MAIL),
    rule(ContentError, &["improper use of 8-bit data"], NO_MAIL),
    rule(ContentError, &["header size exceeds"], NO_MAIL),
    rule(ContentError, &["header size, or recipient list, exceeds"], NO_MAIL),
    rule(ContentError, &["invalid mime headers"], NO_MAIL),
    rule(ContentError, &["mime complexity"], NO_MAIL),
    rule(ContentError, &["improperly-formatted binary"], NO_MAIL),
    rule(ContentError, &["unnecessary base64"], NO_MAIL),
    rule(ContentError, &["stray linefeeds"], NO_MAIL),
    rule(ContentError, &["too many \"received\" headers"], "Exim"),
];

/// Taken for spam.
pub(crate) const SPAM: &[Rule] = &[
    rule(PolicyViolation, &["header error"], "sisimai/lhost-gmail-03"),
    rule(PolicyViolation, &["banned file"], NO_MAIL),
    rule(PolicyViolation, &["banned name"], NO_MAIL),
    rule(SpamDetected, &["spam"], "cpython/msg_43"),
    rule(SpamDetected, &["junk mail"], NO_MAIL),
    rule(SpamDetected, &["unsolicited"], NO_MAIL),
    rule(SpamDetected, &["bulk mail"], NO_MAIL),
    rule(SpamDetected, &["bulk email"], NO_MAIL),
    rule(SpamDetected, &["bulk e-mail"], NO_MAIL),
    rule(SpamDetected, &["reject bulk"], NO_MAIL),
    rule(SpamDetected, &["blacklisted url"], NO_MAIL),
    rule(SpamDetected, &["uribl"], NO_MAIL),
    rule(SpamDetected, &["content denied"], NO_MAIL),
    rule(SpamDetected, &["content", "reject"], "sisimai/rfc3464-08"),
    rule(SpamDetected, &["unacceptable content"], NO_MAIL),
    rule(SpamDetected, &["banned content"], NO_MAIL),
    rule(SpamDetected, &["rejecting mail content"], NO_MAIL),
    rule(SpamDetected, &["recurrent pattern detection"], NO_MAIL),
    rule(SpamDetected, &["temporarily blocked by our filter"], NO_MAIL),
    rule(SpamDetected, &["our system has detected that this message is"], NO_MAIL),
    rule(SpamDetected, &["mail score", "over"], NO_MAIL),
];

/// Against a policy.
pub(crate) const POLICY: &[Rule] = &[
    rule(PolicyViolation, &["protocol violation"], "sisimai/lhost-postfix-41"),
    rule(PolicyViolation, &["presents a potential"], "sisimai/lhost-sendmail-31"),
    rule(PolicyViolation, &["illegal attachment"], NO_MAIL),
    rule(PolicyViolation, &["attachment", "not", "accept"], NO_MAIL),
    rule(PolicyViolation, &["members-only"], NO_MAIL),
    rule(PolicyViolation, &["closed mailing list"], NO_MAIL),
    rule(PolicyViolation, &["not subscribed to this group"], NO_MAIL),
    rule(PolicyViolation, &["organizational settings"], NO_MAIL),
    rule(PolicyViolation, &["low priority"], NO_MAIL),
    rule(PolicyViolation, &["mass mailer"], NO_MAIL),
    rule(PolicyViolation, &["not accepting mail with"], NO_MAIL),
    rule(PolicyViolation, &["polic"], "sisimai/lhost-dragonfly-03"),
    rule(PolicyViolation, &["prohibited"], NO_MAIL),
    rule(PolicyViolation, &["not accept messages", "attachments"], NO_MAIL),
];

/// Words that say little.
pub(crate) const VAGUE: &[Rule] = &[rule(Filtered, &["filter"], "sisimai/lhost-mfilter-03")];
