//! What servers say of the mail: its content, its size, its form, its authentication.

use super::{Rule, rule};
use crate::reason::Reason::{
    AuthFailure, ContentError, ExceedLimit, Filtered, MesgTooBig, NotCompliantRfc, PolicyViolation, SpamDetected,
    VirusDetected,
};

/// Too large.
pub(crate) const SIZE: &[Rule] = &[
    rule(ExceedLimit, &["too large for this recipient"], ""),
    rule(ExceedLimit, &["limit for the recipient"], ""),
    rule(ExceedLimit, &["limit set by recipient"], ""),
    rule(MesgTooBig, &["mail size limit exceeded"], ""),
    rule(MesgTooBig, &["message too large"], ""),
    rule(MesgTooBig, &["message too big"], ""),
    rule(MesgTooBig, &["message is too large"], ""),
    rule(MesgTooBig, &["message length exceeds"], ""),
    rule(MesgTooBig, &["message size", "exceed"], ""),
    rule(MesgTooBig, &["message exceeds", "size"], ""),
    rule(MesgTooBig, &["exceeded", "message size limit"], ""),
    rule(MesgTooBig, &["exceed", "maximum", "size"], ""),
    rule(MesgTooBig, &["max message size"], ""),
    rule(MesgTooBig, &["size limit", "exceeded"], ""),
    rule(MesgTooBig, &["taille limite du message"], ""),
    rule(MesgTooBig, &["line limit exceeded"], ""),
];

/// Who wrote it could not be proven.
pub(crate) const AUTHENTICATION: &[Rule] = &[
    rule(AuthFailure, &["bad spf"], ""),
    rule(AuthFailure, &["spf", "did not pass"], ""),
    rule(AuthFailure, &["spf", "fail"], ""),
    rule(AuthFailure, &["fail", "spf"], ""),
    rule(AuthFailure, &["spf", "not allowed"], ""),
    rule(AuthFailure, &["per it's spf record"], ""),
    rule(AuthFailure, &["inspect your spf"], ""),
    rule(AuthFailure, &["spf.pobox.com"], ""),
    rule(AuthFailure, &["sender policy framework"], ""),
    rule(AuthFailure, &["dmarc"], ""),
    rule(AuthFailure, &["dkim", "fail"], ""),
    rule(AuthFailure, &["dkim", "did not pass"], ""),
    rule(AuthFailure, &["spf or dkim"], ""),
    rule(AuthFailure, &["authentication checks failed"], ""),
    rule(AuthFailure, &["does not have authentication information"], ""),
    rule(AuthFailure, &["required authentication level"], ""),
    rule(AuthFailure, &["sender is unauthenticated"], ""),
    rule(AuthFailure, &["unauthenticated email"], ""),
];

/// Taken for a virus.
pub(crate) const VIRUS: &[Rule] = &[
    rule(SpamDetected, &["spam or virus"], ""),
    rule(SpamDetected, &["spam/virus"], ""),
    rule(PolicyViolation, &["security policies"], ""),
    rule(VirusDetected, &["virus"], ""),
    rule(VirusDetected, &["malware"], ""),
    rule(VirusDetected, &["infected"], ""),
];

/// The form of the mail.
pub(crate) const FORM: &[Rule] = &[
    rule(NotCompliantRfc, &["duplicate header"], ""),
    rule(NotCompliantRfc, &["multiple addresses in from"], ""),
    rule(NotCompliantRfc, &["multiple", "header"], ""),
    rule(NotCompliantRfc, &["not rfc", "compliant"], ""),
    rule(NotCompliantRfc, &["not compliant", "rfc"], ""),
    rule(NotCompliantRfc, &["rfc 5322"], ""),
    rule(NotCompliantRfc, &["rfc5322"], ""),
    rule(NotCompliantRfc, &["rfcmessagenoncompliant"], ""),
    rule(NotCompliantRfc, &["bare line feed"], ""),
    rule(ContentError, &["improper use of 8-bit data"], ""),
    rule(ContentError, &["header size exceeds"], ""),
    rule(ContentError, &["header size, or recipient list, exceeds"], ""),
    rule(ContentError, &["invalid mime headers"], ""),
    rule(ContentError, &["mime complexity"], ""),
    rule(ContentError, &["improperly-formatted binary"], ""),
    rule(ContentError, &["unnecessary base64"], ""),
    rule(ContentError, &["stray linefeeds"], ""),
];

/// Taken for spam.
pub(crate) const SPAM: &[Rule] = &[
    rule(PolicyViolation, &["header error"], ""),
    rule(SpamDetected, &["spam"], ""),
    rule(SpamDetected, &["junk mail"], ""),
    rule(SpamDetected, &["unsolicited"], ""),
    rule(SpamDetected, &["bulk mail"], ""),
    rule(SpamDetected, &["bulk email"], ""),
    rule(SpamDetected, &["bulk e-mail"], ""),
    rule(SpamDetected, &["reject bulk"], ""),
    rule(SpamDetected, &["blacklisted url"], ""),
    rule(SpamDetected, &["uribl"], ""),
    rule(SpamDetected, &["content filter rejection"], ""),
    rule(SpamDetected, &["content denied"], ""),
    rule(SpamDetected, &["content", "reject"], ""),
    rule(SpamDetected, &["unacceptable content"], ""),
    rule(SpamDetected, &["banned content"], ""),
    rule(SpamDetected, &["rejecting mail content"], ""),
    rule(SpamDetected, &["recurrent pattern detection"], ""),
    rule(SpamDetected, &["temporarily blocked by our filter"], ""),
    rule(SpamDetected, &["our system has detected that this message is"], ""),
    rule(SpamDetected, &["mail score", "over"], ""),
];

/// Against a policy.
pub(crate) const POLICY: &[Rule] = &[
    rule(PolicyViolation, &["protocol violation"], ""),
    rule(PolicyViolation, &["presents a potential"], ""),
    rule(PolicyViolation, &["illegal attachment"], ""),
    rule(PolicyViolation, &["attachment", "not", "accept"], ""),
    rule(PolicyViolation, &["members-only"], ""),
    rule(PolicyViolation, &["closed mailing list"], ""),
    rule(PolicyViolation, &["not subscribed to this group"], ""),
    rule(PolicyViolation, &["organizational settings"], ""),
    rule(PolicyViolation, &["low priority"], ""),
    rule(PolicyViolation, &["mass mailer"], ""),
    rule(PolicyViolation, &["not accepting mail with"], ""),
    rule(PolicyViolation, &["polic"], ""),
    rule(PolicyViolation, &["prohibited"], ""),
];

/// Words that say little.
pub(crate) const VAGUE: &[Rule] = &[
    rule(Filtered, &["message filtered"], ""),
    rule(Filtered, &["filter"], ""),
];
