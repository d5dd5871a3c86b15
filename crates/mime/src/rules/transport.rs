//! What servers say of the way: time, network, programs, themselves.

use super::{Rule, rule};
use crate::reason::Reason::{
    Expired, FailedStartTls, MailerError, NetworkError, SyntaxError, SystemError, SystemFull,
};

/// Encryption.
pub(crate) const TLS: &[Rule] = &[
    rule(FailedStartTls, &["starttls", "fail"], ""),
    rule(FailedStartTls, &["must issue a starttls"], ""),
    rule(FailedStartTls, &["starttls is required"], ""),
    rule(FailedStartTls, &["starttls-not-supported"], ""),
    rule(FailedStartTls, &["server does not support tls"], ""),
    rule(FailedStartTls, &["not support", "tls"], ""),
    rule(FailedStartTls, &["tls", "not available"], ""),
    rule(FailedStartTls, &["tls is required"], ""),
    rule(FailedStartTls, &["tls required"], ""),
    rule(FailedStartTls, &["requires encryption (tls)"], ""),
    rule(FailedStartTls, &["mta-sts"], ""),
    rule(FailedStartTls, &["server certificate"], ""),
];

/// Loops, the domain name system, the connection.
pub(crate) const NETWORK: &[Rule] = &[
    rule(NetworkError, &["unexpected name server reply"], ""),
    rule(NetworkError, &["malformed name server reply"], ""),
    rule(NetworkError, &["host name lookup failure"], ""),
    rule(NetworkError, &["host not found, try again"], ""),
    rule(NetworkError, &["nxdomain"], ""),
    rule(NetworkError, &["dns error"], ""),
    rule(NetworkError, &["dns records for the destination"], ""),
    rule(NetworkError, &["unrouteable mail domain"], ""),
    rule(NetworkError, &["unable to resolve route"], ""),
    rule(NetworkError, &["too many hops"], ""),
    rule(NetworkError, &["hop count"], ""),
    rule(NetworkError, &["routing loop"], ""),
    rule(NetworkError, &["forwarding loop"], ""),
    rule(NetworkError, &["message looping"], ""),
    rule(NetworkError, &["message is looping"], ""),
    rule(NetworkError, &["loop detected"], ""),
    rule(NetworkError, &["loop count"], ""),
    rule(NetworkError, &["exceeded", "hops"], ""),
    rule(NetworkError, &["network", "unreachable"], ""),
    rule(NetworkError, &["host is unreachable"], ""),
    rule(NetworkError, &["no route to host"], ""),
    rule(NetworkError, &["could not connect and send"], ""),
    rule(NetworkError, &["able to establish an smtp connection"], ""),
];

/// A program that the recipient delivers with.
pub(crate) const PROGRAM: &[Rule] = &[
    rule(MailerError, &["procmail"], ""),
    rule(MailerError, &["maildrop"], ""),
    rule(MailerError, &["pipe to |"], ""),
    rule(MailerError, &["|| exit"], ""),
    rule(MailerError, &["command died"], ""),
    rule(MailerError, &["command failed"], ""),
    rule(MailerError, &["command output"], ""),
];

/// A program on the way, or the server, is broken.
pub(crate) const BROKEN: &[Rule] = &[
    rule(MailerError, &["mailer error"], ""),
    rule(MailerError, &["exit status"], ""),
    rule(SystemError, &["loops back to"], ""),
    rule(SystemError, &["mail loop"], ""),
    rule(SystemError, &["loop", "mail exchanger"], ""),
    rule(SystemError, &["forwarding loop broken"], ""),
    rule(SystemError, &["configuration error"], ""),
    rule(SystemError, &["config error"], ""),
    rule(SystemError, &["misconfigured"], ""),
    rule(SystemError, &["interrupted system call"], ""),
    rule(SystemError, &["temporary local problem"], ""),
    rule(SystemError, &["local error in processing"], ""),
    rule(SystemError, &["encountered an error while being processed"], ""),
    rule(SystemError, &["queue file write error"], ""),
    rule(SystemError, &["can't create user output file"], ""),
    rule(SystemError, &["could not load drd"], ""),
    rule(SystemError, &["there is no mdb"], ""),
    rule(SystemError, &["unable to contact", "server"], ""),
    rule(SystemError, &["unable to connect", "daemon"], ""),
    rule(SystemError, &["service currently unavailable"], ""),
    rule(SystemError, &["internal server error"], ""),
    rule(SystemError, &["internal error"], ""),
    rule(SystemError, &["system", "error"], ""),
    rule(SystemError, &["timeout waiting for input"], ""),
    rule(SystemError, &["transaction failed"], ""),
    rule(SystemFull, &["system storage"], ""),
];

/// Given up after a long time.
pub(crate) const LATE: &[Rule] = &[
    rule(Expired, &["did not accept our requests to connect"], ""),
    rule(Expired, &["failing for a long time"], ""),
    rule(Expired, &["long failure period"], ""),
    rule(Expired, &["delivery failed", "attempts"], ""),
    rule(Expired, &["multiple retries"], ""),
    rule(Expired, &["giving up on"], ""),
    rule(Expired, &["expired"], ""),
    rule(Expired, &["queue too long"], ""),
    rule(Expired, &["too long"], ""),
    rule(Expired, &["timed out"], ""),
    rule(Expired, &["timeout"], ""),
    rule(Expired, &["did not respond"], ""),
    rule(Expired, &["not collected after"], ""),
    rule(Expired, &["has been delayed"], ""),
    rule(Expired, &["message delayed"], ""),
    rule(Expired, &["allowed queue period"], ""),
    rule(Expired, &["find a gateway for"], ""),
    rule(Expired, &["could not be delivered for"], ""),
    rule(Expired, &["could not deliver for the last"], ""),
    rule(Expired, &["unable to deliver this message after"], ""),
    rule(Expired, &["delivery time", "exceeded"], ""),
    rule(Expired, &["delivery attempts will continue"], ""),
    rule(Expired, &["will be retried"], ""),
    rule(Expired, &["not yet been delivered"], ""),
];

/// The conversation itself.
pub(crate) const SYNTAX: &[Rule] = &[
    rule(SyntaxError, &["syntax error"], ""),
    rule(SyntaxError, &["bad sequence of commands"], ""),
    rule(SyntaxError, &["bad address syntax"], ""),
    rule(SyntaxError, &["command", "not implemented"], ""),
    rule(SyntaxError, &["command not recognized"], ""),
    rule(SyntaxError, &["command unrecognized"], ""),
];
