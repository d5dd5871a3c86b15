//! Words of single providers, from their published lists: they count where the provider's host, or a recipient at it,
//! is known. Codes stand in `codes`.

use super::{REPLY, Rule, Said, Table, codes, rule};
use crate::bounce::reason::Reason::{
    self, AuthFailure, BadReputation, Blocked, ContentError, Expired, FailedStartTls, Filtered, HostUnknown,
    MailboxFull, NetworkError, NoRelaying, NotAccept, NotCompliantRfc, OnHold, PolicyViolation, RateLimited,
    Rejected, RequirePtr, SecurityError, SpamDetected, Suspend, SyntaxError, SystemError, TooManyConn,
    UserUnknown, VirusDetected,
};
use crate::bounce::transcript::Command;

/// The categories that PowerMTA writes into its reports. Those that say no more than the words do are left out.
pub(crate) static POWERMTA: &[(&str, Reason)] = &[
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
            rule(Suspend, &["temporarily limited"], REPLY),
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
            rule(Rejected, &["sender", "not authenticated"], REPLY),
            rule(Rejected, &["allowed-senders"], REPLY),
            rule(Rejected, &["delivery not authorized"], REPLY),
            rule(NotAccept, &["no mail-enabled subscriptions"], REPLY),
            rule(RateLimited, &["submission quota"], REPLY),
            rule(RateLimited, &["thread limit exceeded"], REPLY),
            rule(SpamDetected, &["content filter agent"], REPLY),
            rule(Suspend, &["mailbox cannot be accessed"], REPLY),
            rule(ContentError, &["too many related errors"], REPLY),
            rule(PolicyViolation, &["x-dg-ref header"], REPLY),
            rule(FailedStartTls, &["restrictdomainsto"], REPLY),
            rule(SystemError, &["4.3.2 service not a"], REPLY),
        ],
    ),
    (
        &["docomo.ne.jp"],
        &[
            rule(MailboxFull, &["too much mail data"], REPLY),
            rule(TooManyConn, &["too many recipients"], REPLY),
            rule(SyntaxError, &["bad sequence of commands"], REPLY),
        ],
    ),
    (
        &["qq.com"],
        &[
            rule(AuthFailure, &["check failed"], REPLY),
            rule(TooManyConn, &["frequency limited"], "sisimai/rhost-tencent-01"),
            rule(Blocked, &["suspected bounce attacks"], REPLY),
            rule(Blocked, &["suspected spam ip"], REPLY),
            rule(Blocked, &["connection denied"], REPLY),
            rule(Rejected, &["suspected spam"], REPLY),
            rule(Rejected, &["rejected by recipients"], REPLY),
            rule(RateLimited, &["access denied"], REPLY),
            rule(RateLimited, &["receiving messages is limited"], REPLY),
        ],
    ),
    (
        &["messagelabs.com"],
        &[
            rule(UserUnknown, &["542 ", "rejected"], "sisimai/rhost-messagelabs-03"),
            rule(UserUnknown, &["mailbox is not allowed"], REPLY),
            rule(BadReputation, &["rejected by policy"], REPLY),
            rule(FailedStartTls, &["tls", "required"], REPLY),
            rule(SpamDetected, &["message filtered"], REPLY),
            rule(Rejected, &["email address has been bl"], REPLY),
            rule(Rejected, &["domain has been bl"], REPLY),
            rule(Rejected, &["domain not allowed for sender"], REPLY),
        ],
    ),
    (
        &["mimecast.com", "mimecast.co.za"],
        &[
            rule(AuthFailure, &["sender invalid - envelope rejected"], REPLY),
            rule(VirusDetected, &["due to security policies"], REPLY),
            rule(OnHold, &["outbounds disabled"], REPLY),
            rule(NetworkError, &["incorrect hostname"], REPLY),
            rule(Blocked, &["sender address blocked"], REPLY),
            rule(Blocked, &["recipient temporarily unavailable"], REPLY),
            rule(BadReputation, &["internal resources are temporarily unavailable"], REPLY),
            rule(BadReputation, &["ip reputation"], "sisimai/rhost-microsoft-05"),
            rule(NotAccept, &["account inbounds disabled"], REPLY),
            rule(PolicyViolation, &["anti-spoofing policy"], REPLY),
            rule(PolicyViolation, &["host network"], REPLY),
            rule(PolicyViolation, &["content examination policy"], REPLY),
            rule(Rejected, &["envelope blocked"], REPLY),
            rule(Rejected, &["block policy"], REPLY),
            rule(Rejected, &["manually blocked"], REPLY),
            rule(SystemError, &["unable to process"], REPLY),
            rule(SystemError, &["message ended early"], REPLY),
            rule(TooManyConn, &["account service is temporarily unavailable"], REPLY),
            rule(TooManyConn, &["outbound thread limit"], REPLY),
        ],
    ),
    (
        &["zoho.com", "zoho.eu", "zoho.in"],
        &[
            rule(Rejected, &["rejected by destination domain"], REPLY),
            rule(Rejected, &["flagged as spam"], REPLY),
            rule(Blocked, &["greylisted"], REPLY),
            rule(SystemError, &["temporary system error"], REPLY),
        ],
    ),
    (
        &["mx.cloudflare.net"],
        &[rule(Blocked, &["on one or more dnsbls"], REPLY), rule(SystemError, &["upstream error"], REPLY)],
    ),
    (
        &["icloud.com", "me.com", "apple.com"],
        &[
            rule(UserUnknown, &["unknown or illegal alias"], "sisimai/lhost-exim-59"),
            rule(RateLimited, &["excessive volume"], REPLY),
            rule(Blocked, &["present in the spamhaus"], REPLY),
            rule(PolicyViolation, &["due to local policy"], REPLY),
            rule(Blocked, &["not accepting connections"], "sisimai/lhost-sendmail-56"),
        ],
    ),
    (
        &["cox.net"],
        &[
            rule(Blocked, &["too many bad commands"], REPLY),
            rule(Blocked, &["too many invalid recipients"], REPLY),
            rule(RequirePtr, &["dns check failure"], REPLY),
            rule(PolicyViolation, &["no data before greeting"], REPLY),
            rule(PolicyViolation, &["extension is forbidden"], REPLY),
            rule(SystemError, &["server temporarily not available"], REPLY),
            rule(TooManyConn, &["message threshold exceeded"], REPLY),
            rule(TooManyConn, &["action aborted: try again later"], REPLY),
        ],
    ),
    (
        &["google.com", "gmail.com", "googlemail.com"],
        &[
            rule(Blocked, &["unusual rate of"], REPLY),
            rule(Blocked, &["not in whitelist for rcpt domain"], REPLY),
            rule(Blocked, &["try again later, closing connection"], REPLY),
            rule(Blocked, &["helo/ehlo argument"], REPLY),
            rule(Expired, &["connection expired"], REPLY),
            rule(NetworkError, &["exceeded 50 hops"], REPLY),
            rule(NotCompliantRfc, &["message is malformed"], REPLY),
            rule(NotCompliantRfc, &["sender address", "rfc 5321"], REPLY),
            rule(PolicyViolation, &["same message-id"], REPLY),
            rule(RateLimited, &["limit exceeded for"], REPLY),
            rule(RateLimited, &["sending limit exceeded"], REPLY),
            rule(NoRelaying, &["credentials for relay"], REPLY),
            rule(NoRelaying, &["not authorized to send email directly"], REPLY),
            rule(RateLimited, &["sending quota exceeded"], REPLY),
            rule(SyntaxError, &["smtp protocol violation"], REPLY),
            rule(SecurityError, &["login attempts"], REPLY),
            rule(SystemError, &["domain policy size"], REPLY),
            rule(Rejected, &["mail sending denied"], REPLY),
        ],
    ),
    (
        &["yahoodns.net", "yahoo.com", "yahoo.co.jp", "aol.com"],
        &[
            rule(Rejected, &["unexpected volume or user complaints"], "sisimai/lhost-opensmtpd-13"),
            rule(Rejected, &["permanently deferred"], REPLY),
            rule(Rejected, &["unresolvable rfc.5321"], REPLY),
            rule(NotAccept, &["malformed or unexpected name server reply"], "sisimai/rhost-aol-06"),
            rule(HostUnknown, &["host or domain name not found"], "sisimai/rhost-aol-05"),
            rule(TooManyConn, &["message per connection reached"], REPLY),
            rule(Suspend, &["is no longer valid"], REPLY),
            rule(UserUnknown, &["mailbox not found"], REPLY),
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
    // NTT DOCOMO says this of addresses that exist, to senders whom the recipient does not want.
    let is_unwelcome = command == Some(Command::Data)
        && status == Some("5.0.0")
        && said.text().contains("unknown user")
        && names(place, "docomo.ne.jp");
    if is_unwelcome {
        return Some(Rejected);
    }
    codes::find(said, status).or_else(|| {
        let here = |hosts: &[&str]| hosts.iter().any(|host| names(place, host));
        let mut here = PROVIDERS.iter().enumerate().filter(|(_, (hosts, _))| here(hosts));
        here.find_map(|(number, _)| said.first(&[Table::Provider(number)]))
    })
}

/// Whether a provider's domain, or a host of it, is named: `mx1.me.com`, and neither `acme.com` nor `me.company`.
fn names(place: &str, domain: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    place.match_indices(domain).any(|(at, _)| {
        let before = place.get(..at).unwrap_or_default();
        let behind = place.get(at + domain.len()..).unwrap_or_default();
        !before.ends_with(is_part) && !behind.trim_start_matches('.').starts_with(is_part)
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

    #[test]
    fn a_domain_that_ends_or_begins_as_a_providers_is_not_the_providers() {
        for place in ["mx1.me.com acme.org", "mx.example ann@me.com", "x-com.me.com.", "at me.com[192.0.2.1]"]
        {
            assert!(names(place, "me.com"), "{place}");
        }
        for place in
            ["acme.com", "mx.some-me.com", "me.company", "me.com.example", "me.com-x", "émme.com", ""]
        {
            assert!(!names(place, "me.com"), "{place}");
        }
        let said = Said::new("550 account is disabled");
        assert_eq!(find(&said, None, None, "mx.example plateau.com"), None);
    }
}
