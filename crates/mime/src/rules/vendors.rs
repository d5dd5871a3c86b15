//! Codes and words of single providers, from their published lists. Codes that nobody else writes speak for
//! themselves; words count where the provider's host, or a recipient at it, is known.

use super::{Rule, Said, Table, rule};
use crate::reason::Reason::{
    self, AuthFailure, BadReputation, Blocked, ContentError, Expired, FailedStartTls, Filtered, HostUnknown,
    MailboxFull, MesgTooBig, NetworkError, NoRelaying, NotAccept, NotCompliantRfc, PolicyViolation,
    RateLimited, Rejected, RequirePtr, SecurityError, SpamDetected, Suspend, SyntaxError, SystemError,
    TooManyConn, UserUnknown, VirusDetected,
};
use crate::transcript::Command;

/// Codes that nobody else writes.
pub(crate) const CODES: &[Rule] = &[
    // Facebook.
    rule(UserUnknown, &["rcp-p1"], "sisimai/rhost-facebook-04"),
    rule(Filtered, &["rcp-p2"], "sisimai/rhost-facebook-03"),
    rule(Filtered, &["rcp-p3"], "Facebook"),
    rule(SystemError, &["rcp-t1"], "Facebook"),
    rule(Suspend, &["rcp-t4"], "Facebook"),
    rule(UserUnknown, &["int-p1"], "Facebook"),
    rule(MesgTooBig, &["int-p2"], "Facebook"),
    rule(UserUnknown, &["int-p3"], "Facebook"),
    rule(UserUnknown, &["int-p4"], "Facebook"),
    rule(SystemError, &["int-p5"], "Facebook"),
    rule(SpamDetected, &["pol-p6"], "Facebook"),
    rule(AuthFailure, &["pol-p7"], "Facebook"),
    rule(VirusDetected, &["pol-p5"], "Facebook"),
    rule(Blocked, &["pol-p"], "Facebook"),
    rule(Blocked, &["pol-t"], "Facebook"),
    rule(RequirePtr, &["dns-p3"], "Facebook"),
    rule(RequirePtr, &["dns-t2"], "Facebook"),
    rule(Rejected, &["dns-p"], "Facebook"),
    rule(Rejected, &["dns-t1"], "Facebook"),
    rule(MesgTooBig, &["msg-p1"], "Facebook"),
    rule(ContentError, &["msg-p2"], "Facebook"),
    rule(NotCompliantRfc, &["msg-p3"], "Facebook"),
    rule(TooManyConn, &["msg-t1"], "Facebook"),
    rule(TooManyConn, &["con-t"], "Facebook"),
    // GoDaddy.
    rule(TooManyConn, &["ib007"], "GoDaddy"),
    rule(RateLimited, &["ib101"], "GoDaddy"),
    rule(BadReputation, &["ib103"], "GoDaddy"),
    rule(RequirePtr, &["ib108"], "GoDaddy"),
    rule(Blocked, &["ib104"], "GoDaddy"),
    rule(Blocked, &["ib105"], "GoDaddy"),
    rule(Blocked, &["ib106"], "GoDaddy"),
    rule(Blocked, &["ib11"], "GoDaddy"),
    rule(SpamDetected, &["ib212"], "GoDaddy"),
    rule(SecurityError, &["ib401"], "GoDaddy"),
    rule(NotCompliantRfc, &["ib501"], "GoDaddy"),
    rule(NotCompliantRfc, &["ib502"], "GoDaddy"),
    rule(RateLimited, &["ib504"], "GoDaddy"),
    rule(Rejected, &["ib506"], "sisimai/lhost-exim-45"),
    rule(AuthFailure, &["ib508"], "sisimai/lhost-office365-03"),
    rule(RateLimited, &["ib510"], "GoDaddy"),
    rule(TooManyConn, &["ib605"], "GoDaddy"),
    rule(RateLimited, &["ib607"], "GoDaddy"),
    rule(VirusDetected, &["ib705"], "GoDaddy"),
    // Cox.
    rule(RequirePtr, &["aup#cxdns"], "Cox"),
    rule(AuthFailure, &["aup#cxsndr"], "Cox"),
    rule(Rejected, &["aup#cxsmtp"], "Cox"),
    rule(TooManyConn, &["aup#cxcnct"], "Cox"),
    rule(TooManyConn, &["aup#cxmxrt"], "Cox"),
    rule(SecurityError, &["aup#cxthrt"], "Cox"),
    rule(SecurityError, &["aup#cxmj"], "Cox"),
    rule(SpamDetected, &["aup#urlbl"], "Cox"),
    rule(Blocked, &["aup#cxbl"], "Cox"),
    rule(Blocked, &["aup#cdrbl"], "sisimai/rhost-cox-01"),
    rule(Blocked, &["aup#ipbl"], "Cox"),
    // i.ua: the number of its help page.
    rule(NoRelaying, &["i.ua/err/1/"], "i.ua"),
    rule(UserUnknown, &["i.ua/err/2/"], "i.ua"),
    rule(Suspend, &["i.ua/err/3/"], "i.ua"),
    rule(MailboxFull, &["i.ua/err/4/"], "i.ua"),
    rule(TooManyConn, &["i.ua/err/5/"], "i.ua"),
    rule(NoRelaying, &["i.ua/err/6/"], "i.ua"),
    rule(Blocked, &["i.ua/err/7/"], "i.ua"),
    rule(Rejected, &["i.ua/err/8/"], "i.ua"),
    rule(Blocked, &["i.ua/err/9/"], "i.ua"),
    rule(Filtered, &["i.ua/err/10/"], "i.ua"),
    // Yahoo.
    rule(Blocked, &["[bl21]"], "Yahoo"),
    rule(Blocked, &["[bl23]"], "Yahoo"),
    rule(Rejected, &["[tss"], "sisimai/lhost-opensmtpd-13"),
    rule(PolicyViolation, &["[ph0"], "Yahoo"),
    // Microsoft: consumer addresses.
    rule(Blocked, &["550 sc-00"], "sisimai/lhost-ezweb-08"),
    rule(Blocked, &["550 dy-00"], "Microsoft"),
    rule(Blocked, &["550 ou-00"], "Microsoft"),
    // Mimecast: its signatures name viruses and worse.
    rule(VirusDetected, &["mcspamsignature"], "sisimai/rhost-mimecast-02"),
];

/// The last three digits of the codes of Orange and La Poste (`OFR006_102`, `LPN105_104`, `OUK_513`).
const FRENCH: &[(&str, Reason)] = &[
    ("101", Blocked),
    ("102", Blocked),
    ("103", Blocked),
    ("104", TooManyConn),
    ("105", Blocked),
    ("107", Blocked),
    ("108", Blocked),
    ("109", Blocked),
    ("305", SecurityError),
    ("401", AuthFailure),
    ("402", SecurityError),
    ("403", Rejected),
    ("405", Rejected),
    ("415", Rejected),
    ("416", UserUnknown),
    ("417", MailboxFull),
    ("418", UserUnknown),
    ("420", Suspend),
    ("421", Rejected),
    ("426", Suspend),
    ("505", SystemError),
    ("506", SpamDetected),
    ("510", Blocked),
    ("513", SpamDetected),
    ("514", MesgTooBig),
    ("517", AuthFailure),
    ("630", PolicyViolation),
    ("999", Blocked),
];

/// Ranges of Spectrum's `AUP#…-nnnn`.
const SPECTRUM: &[(u16, u16, Reason)] = &[
    (1000, 1000, Blocked),
    (1010, 1080, Rejected),
    (1090, 1090, SystemError),
    (1100, 1150, RequirePtr),
    (1160, 1190, PolicyViolation),
    (1200, 1250, Blocked),
    (1260, 1260, NetworkError),
    (1300, 1340, TooManyConn),
    (1350, 1490, RateLimited),
    (1500, 1520, Rejected),
    (1530, 1530, MesgTooBig),
    (1540, 1550, RateLimited),
    (1560, 1560, PolicyViolation),
    (1580, 1580, RateLimited),
];

/// Ranges of the last number of Exchange Online's `4.7.n` and `5.7.n`.
const EXCHANGE_ONLINE: &[(u16, u16, Reason)] = &[
    (321, 325, FailedStartTls),
    (500, 505, Blocked),
    (506, 507, Blocked),
    (509, 509, AuthFailure),
    (510, 514, Blocked),
    (515, 515, AuthFailure),
    (606, 649, Blocked),
    (650, 650, BadReputation),
    (651, 699, Blocked),
    (700, 749, PolicyViolation),
    (750, 750, SecurityError),
    (850, 899, Blocked),
];

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
    french(text)
        .or_else(|| said.first(&[Table::Codes]))
        .or_else(|| spectrum(text))
        .or_else(|| exchange_online(status))
        .or_else(|| {
            let here = |hosts: &[&str]| hosts.iter().any(|host| place.contains(host));
            let here = PROVIDERS.iter().enumerate().filter(|(_, (hosts, _))| here(hosts));
            here.into_iter().find_map(|(number, _)| said.first(&[Table::Provider(number)]))
        })
}

fn french(text: &str) -> Option<Reason> {
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-';
    text.split(is_end)
        .filter(|word| ["ofr", "lpn", "ouk"].iter().any(|label| word.starts_with(label)))
        .find_map(|word| {
            let digits = word.get(word.len().checked_sub(3)?..)?;
            FRENCH.iter().find(|(code, _)| *code == digits).map(|(_, reason)| *reason)
        })
}

fn spectrum(text: &str) -> Option<Reason> {
    let (_, after) = text.split_once("aup#")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).take(20).find(|digits| digits.len() == 4)?;
    in_range(SPECTRUM, digits)
}

fn exchange_online(status: Option<&str>) -> Option<Reason> {
    let (class, detail) = status?.split_once(".7.")?;
    if matches!(class, "4" | "5") { in_range(EXCHANGE_ONLINE, detail) } else { None }
}

fn in_range(table: &[(u16, u16, Reason)], digits: &str) -> Option<Reason> {
    let number: u16 = digits.parse().ok()?;
    table.iter().find(|(from, to, _)| (*from..=*to).contains(&number)).map(|(_, _, reason)| *reason)
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
