//! Words of single providers, from their published lists: they count where the provider's host, or a recipient at it,
//! is known. Codes stand in `codes`.

use super::{Rule, Said, Table, codes, rule};
use crate::reason::Reason::{
    self, AuthFailure, BadReputation, Blocked, Expired, FailedStartTls, Filtered, HostUnknown, MailboxFull,
    NetworkError, NoRelaying, NotAccept, PolicyViolation, RateLimited, Rejected, RequirePtr, SpamDetected,
    Suspend, SyntaxError, SystemError, TooManyConn, UserUnknown, VirusDetected,
};
use crate::transcript::Command;

/// The categories that PowerMTA writes into its reports. Those that say no more than the words do are left out.
pub(crate) const POWERMTA: &[(&str, Reason)] = &[
    ("bad-mailbox", UserUnknown),
    ("bad-domain", HostUnknown),
    ("inactive-mailbox", Suspend),
    ("quota-issues", MailboxFull),
    ("virus-related", VirusDetected),
    ("message-expired", Expired),
    ("no-answer-from-host", Expired),
    ("routing-errors", NetworkError),
    ("relaying-issues", NoRelaying),
    ("invalid-sender", Rejected),
];

/// A provider: its hosts and domains, and its words.
pub(crate) type Provider = (&'static [&'static str], &'static [Rule]);

pub(crate) const PROVIDERS: &[Provider] = &[
    (
        &["ezweb.ne.jp", "au.com", "auone-net.jp"],
        &[
            rule(Filtered, &["550 : user unknown"], "sisimai/lhost-mailru-07"),
            rule(UserUnknown, &[">: user unknown"], "sisimai/lhost-sendmail-28"),
            rule(UserUnknown, &[">: recipient address rejected"], "sisimai/lhost-dragonfly-22"),
            rule(Suspend, &["account is disabled"], "sisimai/lhost-ezweb-02"),
            rule(Suspend, &["temporarily limited"], "KDDI"),
            rule(Filtered, &["recipients was rejected by a remote mail server"], "sisimai/lhost-ezweb-01"),
        ],
    ),
    (
        &["hotmail.com", "outlook.com"],
        &[
            rule(
                UserUnknown,
                &["requested action not taken: mailbox unavailable"],
                "sisimai/lhost-outlook-08",
            ),
            rule(HostUnknown, &["domain is not reachable"], "sisimai/lhost-outlook-03"),
        ],
    ),
    (
        &["docomo.ne.jp"],
        &[
            rule(MailboxFull, &["too much mail data"], "NTT DOCOMO"),
            rule(TooManyConn, &["too many recipients"], "NTT DOCOMO"),
            rule(SyntaxError, &["bad sequence of commands"], "NTT DOCOMO"),
        ],
    ),
    (
        &["qq.com"],
        &[
            rule(AuthFailure, &["check failed"], "Tencent"),
            rule(TooManyConn, &["frequency limited"], "sisimai/rhost-tencent-01"),
            rule(Blocked, &["suspected bounce attacks"], "Tencent"),
            rule(Blocked, &["suspected spam ip"], "Tencent"),
            rule(Blocked, &["connection denied"], "Tencent"),
            rule(Rejected, &["suspected spam"], "Tencent"),
            rule(Rejected, &["rejected by recipients"], "Tencent"),
            rule(RateLimited, &["access denied"], "Tencent"),
            rule(RateLimited, &["receiving messages is limited"], "Tencent"),
        ],
    ),
    (
        &["messagelabs.com"],
        &[
            rule(UserUnknown, &["542 ", "rejected"], "sisimai/rhost-messagelabs-03"),
            rule(UserUnknown, &["mailbox is not allowed"], "MessageLabs"),
            rule(BadReputation, &["rejected by policy"], "MessageLabs"),
            rule(FailedStartTls, &["tls", "required"], "MessageLabs"),
            rule(SpamDetected, &["message filtered"], "MessageLabs"),
            rule(Rejected, &["email address has been bl"], "MessageLabs"),
            rule(Rejected, &["domain has been bl"], "MessageLabs"),
            rule(Rejected, &["domain not allowed for sender"], "MessageLabs"),
        ],
    ),
    (
        &["mimecast.com", "mimecast.co.za"],
        &[
            rule(AuthFailure, &["sender invalid - envelope rejected"], "Mimecast"),
            rule(Blocked, &["sender address blocked"], "Mimecast"),
            rule(Blocked, &["recipient temporarily unavailable"], "Mimecast"),
            rule(BadReputation, &["internal resources are temporarily unavailable"], "Mimecast"),
            rule(BadReputation, &["ip reputation"], "sisimai/rhost-microsoft-05"),
            rule(NotAccept, &["account inbounds disabled"], "Mimecast"),
            rule(PolicyViolation, &["anti-spoofing policy"], "Mimecast"),
            rule(PolicyViolation, &["host network"], "Mimecast"),
            rule(PolicyViolation, &["content examination policy"], "Mimecast"),
            rule(Rejected, &["envelope blocked"], "Mimecast"),
            rule(Rejected, &["block policy"], "Mimecast"),
            rule(Rejected, &["manually blocked"], "Mimecast"),
            rule(SystemError, &["unable to process"], "Mimecast"),
            rule(SystemError, &["message ended early"], "Mimecast"),
            rule(TooManyConn, &["account service is temporarily unavailable"], "Mimecast"),
            rule(TooManyConn, &["outbound thread limit"], "Mimecast"),
        ],
    ),
    (
        &["zoho.com", "zoho.eu", "zoho.in"],
        &[
            rule(Rejected, &["rejected by destination domain"], "Zoho"),
            rule(Rejected, &["flagged as spam"], "Zoho"),
            rule(Blocked, &["greylisted"], "Zoho"),
            rule(SystemError, &["temporary system error"], "Zoho"),
        ],
    ),
    (
        &["mx.cloudflare.net"],
        &[
            rule(Blocked, &["on one or more dnsbls"], "Cloudflare"),
            rule(SystemError, &["upstream error"], "Cloudflare"),
        ],
    ),
    (
        &["icloud.com", "me.com", "apple.com"],
        &[
            rule(UserUnknown, &["unknown or illegal alias"], "sisimai/lhost-exim-59"),
            rule(RateLimited, &["excessive volume"], "Apple"),
            rule(PolicyViolation, &["due to local policy"], "Apple"),
            rule(Blocked, &["not accepting connections"], "sisimai/lhost-sendmail-56"),
        ],
    ),
    (
        &["cox.net"],
        &[
            rule(Blocked, &["too many bad commands"], "Cox"),
            rule(Blocked, &["too many invalid recipients"], "Cox"),
            rule(RequirePtr, &["dns check failure"], "Cox"),
            rule(PolicyViolation, &["no data before greeting"], "Cox"),
            rule(PolicyViolation, &["extension is forbidden"], "Cox"),
            rule(SystemError, &["server temporarily not available"], "Cox"),
            rule(TooManyConn, &["message threshold exceeded"], "Cox"),
        ],
    ),
    (
        &["google.com", "gmail.com", "googlemail.com"],
        &[
            rule(Blocked, &["unusual rate of"], "Google"),
            rule(Blocked, &["not in whitelist for rcpt domain"], "Google"),
            rule(Blocked, &["try again later, closing connection"], "Google"),
            rule(Blocked, &["helo/ehlo argument"], "Google"),
            rule(Expired, &["connection expired"], "Google"),
            rule(NetworkError, &["exceeded 50 hops"], "Google"),
        ],
    ),
    (
        &["yahoodns.net", "yahoo.com", "yahoo.co.jp", "aol.com"],
        &[
            rule(Rejected, &["unexpected volume or user complaints"], "sisimai/lhost-opensmtpd-13"),
            rule(Rejected, &["permanently deferred"], "Yahoo"),
            rule(Rejected, &["unresolvable rfc.5321"], "Yahoo"),
            rule(NotAccept, &["malformed or unexpected name server reply"], "sisimai/rhost-aol-06"),
            rule(HostUnknown, &["host or domain name not found"], "sisimai/rhost-aol-05"),
            rule(TooManyConn, &["message per connection reached"], "Yahoo"),
            rule(Suspend, &["is no longer valid"], "Yahoo"),
        ],
    ),
];

/// The reason by a provider's own list. `place` holds the names of the hosts that had a hand in it and of the
/// recipient's domain, in lower case.
pub(crate) fn find(
    said: &Said,
    status: Option<&str>,
    command: Option<Command>,
    place: &str,
) -> Option<Reason> {
    let text = said.text();
    let is_unknown = || text.contains("unknown user") && place.contains("docomo.ne.jp");
    match (command, status) {
        // NTT DOCOMO says this of addresses that exist, to senders whom the recipient does not want.
        (Some(Command::Data), Some("5.0.0")) if is_unknown() => return Some(Rejected),
        _ => {}
    }
    codes::find(said, status).or_else(|| {
        let here = |hosts: &[&str]| hosts.iter().any(|host| place.contains(host));
        let here = PROVIDERS.iter().enumerate().filter(|(_, (hosts, _))| here(hosts));
        here.into_iter().find_map(|(number, _)| said.first(&[Table::Provider(number)]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_a_provider_are_read_by_its_own_list() {
        assert_eq!(
            find(&Said::new("550 5.1.1 invalid recipient. ofr_416 [416]"), None, None, ""),
            Some(UserUnknown)
        );
        assert_eq!(
            find(&Said::new("421 too many connections lpn105_104"), None, None, ""),
            Some(TooManyConn)
        );
        assert_eq!(find(&Said::new("554 aup#in-1310 refused"), None, None, ""), Some(TooManyConn));
        assert_eq!(find(&Said::new("550 access denied"), Some("5.7.511"), None, ""), Some(Blocked));
        assert_eq!(find(&Said::new("550 rcp-p2 see"), None, None, ""), Some(Filtered));
        assert_eq!(find(&Said::new("5.7.26"), Some("5.7.26"), None, ""), None);
        assert_eq!(find(&Said::new("ofr aup# é"), None, None, ""), None);
    }

    #[test]
    fn words_of_a_provider_count_at_its_hosts_alone() {
        assert_eq!(find(&Said::new("550 : user unknown"), None, None, "lsean.ezweb.ne.jp"), Some(Filtered));
        assert_eq!(find(&Said::new("550 : user unknown"), None, None, "mx.example.jp"), None);
    }
}
