//! What servers say of the host that sends: its name, the lists it stands on, its manners.

use super::{REPLY, Rule, rule};
use crate::bounce::reason::Reason::{
    BadReputation, Blocked, RateLimited, RequirePtr, SpamDetected, TooManyConn,
};

/// The host's name.
pub(crate) const NAME: &[Rule] = &[
    rule(RequirePtr, &["ptr record"], "sisimai/lhost-exim-32"),
    rule(RequirePtr, &["dns ptr"], "sisimai/lhost-postfix-60"),
    rule(RequirePtr, &["reverse dns"], "sisimai/lhost-exim-43"),
    rule(RequirePtr, &["reverse lookup"], REPLY),
    rule(RequirePtr, &["rdns"], "sisimai/lhost-postfix-60"),
    rule(RequirePtr, &["forward dns"], REPLY),
    rule(RequirePtr, &["cannot find your"], REPLY),
    rule(RequirePtr, &["cannot resolve your address"], REPLY),
    rule(RequirePtr, &["name lookup failed"], REPLY),
    rule(RequirePtr, &["unresolvable relay host"], REPLY),
    rule(RequirePtr, &["unverifyable sending ips"], "sisimai/lhost-exim-38"),
    rule(RequirePtr, &["mismatches client ip"], REPLY),
];

/// What is known of the host.
pub(crate) const REPUTATION: &[Rule] = &[rule(BadReputation, &["reputation"], "sisimai/rhost-microsoft-05")];

/// Lists of hosts: above the word spam, which their names contain.
pub(crate) const LISTED: &[Rule] = &[
    // Of a link in the text.
    rule(SpamDetected, &["url in this email", "*listed"], REPLY),
    rule(Blocked, &["blocked using"], "sisimai/lhost-amazonses-14"),
    rule(Blocked, &["blocked - see"], "sisimai/lhost-postfix-38"),
    rule(Blocked, &["refused - see"], REPLY),
    rule(Blocked, &["refused: see"], REPLY),
    rule(Blocked, &["blackhole"], REPLY),
    // Public lists by their names.
    rule(Blocked, &["spamcop"], REPLY),
    rule(Blocked, &["spamhaus"], "sisimai/rhost-godaddy-02"),
    rule(Blocked, &["barracudacentral"], REPLY),
    rule(Blocked, &["abuseat.org"], REPLY),
    rule(Blocked, &["sorbs.net"], REPLY),
    rule(Blocked, &["dnsbl"], "sisimai/lhost-postfix-38"),
    rule(Blocked, &["rbl"], REPLY),
    rule(Blocked, &["*rbl$"], "sisimai/lhost-amazonses-14"),
    rule(Blocked, &["block list"], REPLY),
    rule(Blocked, &["blocklist"], REPLY),
    rule(Blocked, &["not in whitelist"], REPLY),
    rule(Blocked, &["sending ip", "*listed"], REPLY),
    rule(Blocked, &["ip address is listed"], REPLY),
    rule(Blocked, &["host", "is listed"], REPLY),
    rule(Blocked, &["rejected:", "listed at"], REPLY),
    rule(Blocked, &["banned sending ip"], "sisimai/lhost-qmail-09"),
    rule(Blocked, &["bad sender ip"], REPLY),
    rule(Blocked, &["bad ip profile"], REPLY),
    rule(Blocked, &["too many spams from your ip"], REPLY),
    rule(Blocked, &["too many unwanted messages"], "sisimai/lhost-ezweb-08"),
    rule(Blocked, &["you are sending spam"], REPLY),
    rule(Blocked, &["currently sending spam"], REPLY),
    rule(Blocked, &["dynamic ip"], REPLY),
    rule(Blocked, &["dynamic-ip"], REPLY),
    rule(Blocked, &["zombied"], REPLY),
    rule(Blocked, &["looks suspiciously like spammer"], REPLY),
    rule(Blocked, &["open proxy"], REPLY),
    rule(Blocked, &["black ip"], REPLY),
    rule(Blocked, &["ip banned"], REPLY),
    rule(Blocked, &["ip is rejected"], REPLY),
    rule(Blocked, &["ip is hangup"], REPLY),
    rule(Blocked, &["invalid ip"], "sisimai/lhost-yahoo-14"),
    rule(Blocked, &["refused due to abuse"], REPLY),
    rule(Blocked, &["spamblock."], REPLY),
    rule(Blocked, &["denyip"], REPLY),
    rule(Blocked, &["no matches to nameserver query"], REPLY),
    rule(Blocked, &["smtp server of your isp"], "sisimai/lhost-exim-01"),
    rule(Blocked, &["no access from mail server"], REPLY),
    rule(Blocked, &["not accepting connections"], "sisimai/lhost-sendmail-56"),
    rule(Blocked, &["confirm this mail server"], REPLY),
    rule(Blocked, &["requires confirmation"], REPLY),
    rule(Blocked, &["host network not allowed"], REPLY),
    rule(Blocked, &["may not be mail exchanger"], "sisimai/lhost-sendmail-10"),
    rule(Blocked, &["accept", "mail from your ip"], REPLY),
    rule(Blocked, &["forbidden by your ip"], REPLY),
    rule(Blocked, &["not allowed to connect"], REPLY),
    rule(Blocked, &["is not allowed to send mail from"], REPLY),
    rule(Blocked, &["has not passed validation"], REPLY),
    rule(Blocked, &["access ip", "rejected"], REPLY),
    rule(Blocked, &["server ip", "abusive"], REPLY),
    rule(Blocked, &["ip address", "blacklist"], "sisimai/lhost-sendmail-33"),
    rule(Blocked, &["ip address", "*blocked"], REPLY),
    rule(Blocked, &[" ip ", "*blocked"], REPLY),
];

/// The host is not welcome.
pub(crate) const HOST: &[Rule] = &[
    rule(Blocked, &["blocked"], "sisimai/lhost-amazonses-14"),
    rule(Blocked, &["blacklist"], "sisimai/lhost-sendmail-33"),
    rule(Blocked, &["black list"], REPLY),
    rule(Blocked, &["client host rejected"], "sisimai/lhost-amazonses-14"),
    rule(Blocked, &["go away"], REPLY),
    rule(Blocked, &["my name was rejected"], "sisimai/lhost-qmail-04"),
    rule(Blocked, &["greylist"], REPLY),
    rule(Blocked, &["connection refused by"], "sisimai/lhost-sendmail-21"),
    rule(Blocked, &["connection reset by peer"], REPLY),
    rule(Blocked, &["connection dropped"], REPLY),
    rule(Blocked, &["connection was dropped"], REPLY),
    rule(Blocked, &["closing transmission channel"], REPLY),
    rule(Blocked, &["service refused"], "sisimai/rhost-franceptt-10"),
    rule(Blocked, &["submit messages to this e-mail system has been rejected"], REPLY),
];

/// Too fast, too many.
pub(crate) const RATE: &[Rule] = &[
    rule(TooManyConn, &["connection rate limit"], REPLY),
    rule(TooManyConn, &["connection limit"], REPLY),
    rule(TooManyConn, &["concurrent connections"], REPLY),
    rule(TooManyConn, &["concurrent smtp connections"], REPLY),
    rule(RateLimited, &["rate limit"], REPLY),
    rule(RateLimited, &["receiving", "*mail at a rate"], REPLY),
    rule(RateLimited, &["receiving", "*mail too quickly"], REPLY),
    rule(RateLimited, &["excessive volume"], REPLY),
    rule(RateLimited, &["sending limit exceeded"], REPLY),
    rule(RateLimited, &["too much mail from"], REPLY),
    rule(RateLimited, &["submission rate", "*exceed"], REPLY),
    rule(RateLimited, &["relay limit exceeded"], REPLY),
    rule(RateLimited, &["try again slower"], REPLY),
    rule(RateLimited, &["throttl"], REPLY),
    rule(RateLimited, &["too many", "messages"], REPLY),
    rule(TooManyConn, &["frequency limited"], "sisimai/rhost-tencent-01"),
    rule(TooManyConn, &["too many", "connections"], REPLY),
    rule(TooManyConn, &["too many", "recipients"], REPLY),
    rule(TooManyConn, &["too many", "sessions"], REPLY),
    rule(TooManyConn, &["too many errors from your ip"], REPLY),
    rule(TooManyConn, &["max emails per hour"], REPLY),
    rule(TooManyConn, &["trop de connexions"], REPLY),
];
