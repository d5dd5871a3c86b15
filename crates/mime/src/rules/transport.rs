//! What servers say of the way: time, network, programs, themselves.

use super::{NO_MAIL, Rule, rule};
use crate::reason::Reason::{
    Expired, FailedStartTls, MailerError, NetworkError, SyntaxError, SystemError, SystemFull,
};

/// Encryption.
pub(crate) const TLS: &[Rule] = &[
    rule(FailedStartTls, &["starttls", "fail"], NO_MAIL),
    rule(FailedStartTls, &["must issue a starttls"], NO_MAIL),
    rule(FailedStartTls, &["starttls-not-supported"], NO_MAIL),
    rule(FailedStartTls, &["not support", "tls"], "sisimai/lhost-gmail-07"),
    rule(FailedStartTls, &["tls", "not available"], NO_MAIL),
    rule(FailedStartTls, &["tls is required"], NO_MAIL),
    rule(FailedStartTls, &["tls required"], NO_MAIL),
    rule(FailedStartTls, &["requires encryption (tls)"], NO_MAIL),
    rule(FailedStartTls, &["mta-sts"], NO_MAIL),
    rule(FailedStartTls, &["server certificate"], NO_MAIL),
];

/// Loops, the domain name system, the connection.
pub(crate) const NETWORK: &[Rule] = &[
    rule(NetworkError, &["no route found"], "Notes"),
    rule(NetworkError, &["host lookup did not complete"], "Exim"),
    rule(NetworkError, &["unexpected name server reply"], "sisimai/lhost-postfix-17"),
    rule(NetworkError, &["malformed name server reply"], NO_MAIL),
    rule(NetworkError, &["host name lookup failure"], "sisimai/lhost-sendmail-11"),
    rule(NetworkError, &["host not found, try again"], "flufl-bounce/postfix_02"),
    rule(NetworkError, &["nxdomain"], "sisimai/rfc3464-64"),
    rule(NetworkError, &["dns error"], "flanker/bounce__gmail-no-dns"),
    rule(NetworkError, &["dns records for the destination"], NO_MAIL),
    rule(NetworkError, &["unrouteable mail domain"], NO_MAIL),
    rule(NetworkError, &["unable to resolve route"], NO_MAIL),
    rule(NetworkError, &["too many hops"], "cpython/msg_25"),
    rule(NetworkError, &["hop count"], NO_MAIL),
    rule(NetworkError, &["routing loop"], NO_MAIL),
    rule(NetworkError, &["forwarding loop"], NO_MAIL),
    rule(NetworkError, &["message looping"], NO_MAIL),
    rule(NetworkError, &["message is looping"], NO_MAIL),
    rule(NetworkError, &["loop detected"], NO_MAIL),
    rule(NetworkError, &["loop count"], NO_MAIL),
    rule(NetworkError, &["exceeded", "hops"], NO_MAIL),
    rule(NetworkError, &["network", "unreachable"], NO_MAIL),
    rule(NetworkError, &["host is unreachable"], NO_MAIL),
    rule(NetworkError, &["no route to host"], "sisimai/rfc3464-34"),
    rule(NetworkError, &["could not connect and send"], NO_MAIL),
    rule(NetworkError, &["able to establish an smtp connection"], "sisimai/lhost-qmail-07"),
];

/// A program that the recipient delivers with.
pub(crate) const PROGRAM: &[Rule] = &[
    rule(MailerError, &["procmail"], "sisimai/lhost-postfix-01"),
    rule(MailerError, &["maildrop"], NO_MAIL),
    rule(MailerError, &["pipe to |"], "sisimai/lhost-exim-53"),
    rule(MailerError, &["|| exit"], NO_MAIL),
    rule(MailerError, &["command died"], "flufl-bounce/postfix_03"),
    rule(MailerError, &["command failed"], NO_MAIL),
    rule(MailerError, &["command output"], "sisimai/lhost-postfix-01"),
];

/// A program on the way, or the server, is broken.
pub(crate) const BROKEN: &[Rule] = &[
    rule(MailerError, &["local delivery failed"], "Exim"),
    rule(SystemError, &["mx record points to local host"], "Exim"),
    rule(SystemError, &["best-preference mx"], "qmail"),
    rule(SystemError, &["file system error"], "qmail"),
    rule(SystemError, &["several matches found in"], "Domino"),
    rule(MailerError, &["mailer error"], "sisimai/lhost-dragonfly-13"),
    rule(MailerError, &["exit status"], NO_MAIL),
    rule(SystemError, &["loops back to"], NO_MAIL),
    rule(SystemError, &["mail loop"], NO_MAIL),
    rule(SystemError, &["loop", "mail exchanger"], NO_MAIL),
    rule(SystemError, &["forwarding loop broken"], NO_MAIL),
    rule(SystemError, &["configuration error"], NO_MAIL),
    rule(SystemError, &["config error"], NO_MAIL),
    rule(SystemError, &["misconfigured"], NO_MAIL),
    rule(SystemError, &["interrupted system call"], NO_MAIL),
    rule(SystemError, &["temporary local problem"], NO_MAIL),
    rule(SystemError, &["local error in processing"], NO_MAIL),
    rule(SystemError, &["encountered an error while being processed"], NO_MAIL),
    rule(SystemError, &["queue file write error"], NO_MAIL),
    rule(SystemError, &["can't create user output file"], NO_MAIL),
    rule(SystemError, &["could not load drd"], NO_MAIL),
    rule(SystemError, &["there is no mdb"], NO_MAIL),
    rule(SystemError, &["unable to contact", "server"], "sisimai/lhost-qmail-05"),
    rule(SystemError, &["unable to connect", "daemon"], NO_MAIL),
    rule(SystemError, &["service currently unavailable"], "sisimai/lhost-surfcontrol-03"),
    rule(SystemError, &["internal server error"], NO_MAIL),
    rule(SystemError, &["internal error"], NO_MAIL),
    rule(SystemError, &["system", "error"], "sisimai/lhost-amazonworkmail-03"),
    rule(SystemError, &["timeout waiting for input"], NO_MAIL),
    rule(SystemError, &["transaction failed"], "sisimai/lhost-postfix-47"),
    rule(SystemFull, &["system storage"], NO_MAIL),
];

/// Given up after a long time.
pub(crate) const LATE: &[Rule] = &[
    rule(Expired, &["has not been collected after"], NO_MAIL),
    rule(Expired, &["did not accept our requests to connect"], "sisimai/lhost-gmail-10"),
    rule(Expired, &["failing for a long time"], "sisimai/lhost-exim-08"),
    rule(Expired, &["long failure period"], NO_MAIL),
    rule(Expired, &["delivery failed", "attempts"], "flufl-bounce/smtp32_01"),
    rule(Expired, &["multiple retries"], "sisimai/lhost-yahoo-13"),
    rule(Expired, &["giving up on"], NO_MAIL),
    rule(Expired, &["expired"], "sisimai/lhost-exchange2007-05"),
    rule(Expired, &["too long"], "sisimai/lhost-x2-05"),
    rule(Expired, &["timed out"], "flanker/bounce__delayed"),
    rule(Expired, &["timeout"], NO_MAIL),
    rule(Expired, &["did not respond"], NO_MAIL),
    rule(Expired, &["has been delayed"], "flufl-bounce/dsn_05"),
    rule(Expired, &["message delayed"], "flufl-bounce/dsn_05"),
    rule(Expired, &["allowed queue period"], NO_MAIL),
    rule(Expired, &["find a gateway for"], NO_MAIL),
    rule(Expired, &["could not be delivered for"], "flanker/bounce__delayed"),
    rule(Expired, &["could not deliver for the last"], "sisimai/lhost-dragonfly-29"),
    rule(Expired, &["unable to deliver this message after"], "sisimai/lhost-messagingserver-07"),
    rule(Expired, &["delivery time", "exceeded"], NO_MAIL),
    rule(Expired, &["delivery attempts will continue"], "flufl-bounce/simple_03"),
    rule(Expired, &["will be retried"], "flufl-bounce/simple_28"),
    rule(Expired, &["not yet been delivered"], "flufl-bounce/simple_03"),
];

/// The conversation itself.
pub(crate) const SYNTAX: &[Rule] = &[
    rule(SyntaxError, &["syntax error"], NO_MAIL),
    rule(SyntaxError, &["bad sequence of commands"], NO_MAIL),
    rule(SyntaxError, &["bad address syntax"], NO_MAIL),
    rule(SyntaxError, &["command", "not implemented"], NO_MAIL),
    rule(SyntaxError, &["command not recognized"], NO_MAIL),
    rule(SyntaxError, &["command unrecognized"], NO_MAIL),
];
