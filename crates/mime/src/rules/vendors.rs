//! Codes and words of single providers, from their published lists. Codes that nobody else writes speak for
//! themselves; words count where the provider's host, or a recipient at it, is known.

use super::{Rule, first, rule};
use crate::reason::Reason::{
    self, AuthFailure, BadReputation, Blocked, ContentError, Expired, FailedStartTls, Filtered, HostUnknown,
    MailboxFull, MesgTooBig, NetworkError, NoRelaying, NotAccept, NotCompliantRfc, PolicyViolation, RateLimited,
    Rejected, RequirePtr, SecurityError, SpamDetected, Suspend, SyntaxError, SystemError, TooManyConn, UserUnknown,
    VirusDetected,
};
use crate::transcript::Command;

/// Codes that nobody else writes.
const CODES: &[Rule] = &[
    // Facebook.
    rule(UserUnknown, &["rcp-p1"], ""),
    rule(Filtered, &["rcp-p2"], ""),
    rule(Filtered, &["rcp-p3"], ""),
    rule(SystemError, &["rcp-t1"], ""),
    rule(Suspend, &["rcp-t4"], ""),
    rule(UserUnknown, &["int-p1"], ""),
    rule(MesgTooBig, &["int-p2"], ""),
    rule(UserUnknown, &["int-p3"], ""),
    rule(UserUnknown, &["int-p4"], ""),
    rule(SystemError, &["int-p5"], ""),
    rule(SpamDetected, &["pol-p6"], ""),
    rule(AuthFailure, &["pol-p7"], ""),
    rule(VirusDetected, &["pol-p5"], ""),
    rule(Blocked, &["pol-p"], ""),
    rule(Blocked, &["pol-t"], ""),
    rule(RequirePtr, &["dns-p3"], ""),
    rule(RequirePtr, &["dns-t2"], ""),
    rule(Rejected, &["dns-p"], ""),
    rule(Rejected, &["dns-t1"], ""),
    rule(MesgTooBig, &["msg-p1"], ""),
    rule(ContentError, &["msg-p2"], ""),
    rule(NotCompliantRfc, &["msg-p3"], ""),
    rule(TooManyConn, &["msg-t1"], ""),
    rule(TooManyConn, &["con-t"], ""),
    // GoDaddy.
    rule(TooManyConn, &["ib007"], ""),
    rule(RateLimited, &["ib101"], ""),
    rule(BadReputation, &["ib103"], ""),
    rule(RequirePtr, &["ib108"], ""),
    rule(Blocked, &["ib104"], ""),
    rule(Blocked, &["ib105"], ""),
    rule(Blocked, &["ib106"], ""),
    rule(Blocked, &["ib11"], ""),
    rule(SpamDetected, &["ib212"], ""),
    rule(SecurityError, &["ib401"], ""),
    rule(NotCompliantRfc, &["ib501"], ""),
    rule(NotCompliantRfc, &["ib502"], ""),
    rule(RateLimited, &["ib504"], ""),
    rule(Rejected, &["ib506"], ""),
    rule(AuthFailure, &["ib508"], ""),
    rule(RateLimited, &["ib510"], ""),
    rule(TooManyConn, &["ib605"], ""),
    rule(RateLimited, &["ib607"], ""),
    rule(VirusDetected, &["ib705"], ""),
    // Cox.
    rule(RequirePtr, &["aup#cxdns"], ""),
    rule(AuthFailure, &["aup#cxsndr"], ""),
    rule(Rejected, &["aup#cxsmtp"], ""),
    rule(TooManyConn, &["aup#cxcnct"], ""),
    rule(TooManyConn, &["aup#cxmxrt"], ""),
    rule(SecurityError, &["aup#cxthrt"], ""),
    rule(SecurityError, &["aup#cxmj"], ""),
    rule(SpamDetected, &["aup#urlbl"], ""),
    rule(Blocked, &["aup#cxbl"], ""),
    rule(Blocked, &["aup#cdrbl"], ""),
    rule(Blocked, &["aup#ipbl"], ""),
    // i.ua: the number of its help page.
    rule(NoRelaying, &["i.ua/err/1/"], ""),
    rule(UserUnknown, &["i.ua/err/2/"], ""),
    rule(Suspend, &["i.ua/err/3/"], ""),
    rule(MailboxFull, &["i.ua/err/4/"], ""),
    rule(TooManyConn, &["i.ua/err/5/"], ""),
    rule(NoRelaying, &["i.ua/err/6/"], ""),
    rule(Blocked, &["i.ua/err/7/"], ""),
    rule(Rejected, &["i.ua/err/8/"], ""),
    rule(Blocked, &["i.ua/err/9/"], ""),
    rule(Filtered, &["i.ua/err/10/"], ""),
    // Yahoo.
    rule(Blocked, &["[bl21]"], ""),
    rule(Blocked, &["[bl23]"], ""),
    rule(Rejected, &["[tss"], ""),
    rule(PolicyViolation, &["[ph0"], ""),
    // Microsoft: consumer addresses.
    rule(Blocked, &["550 sc-00"], ""),
    rule(Blocked, &["550 dy-00"], ""),
    rule(Blocked, &["550 ou-00"], ""),
    // Mimecast: its signatures name viruses and worse.
    rule(VirusDetected, &["mcspamsignature"], ""),
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
type Provider = (&'static [&'static str], &'static [Rule]);

const PROVIDERS: &[Provider] = &[
    (
        &["ezweb.ne.jp", "au.com", "auone-net.jp"],
        &[
            rule(Filtered, &["550 : user unknown"], ""),
            rule(UserUnknown, &[">: user unknown"], ""),
            rule(UserUnknown, &[">: recipient address rejected"], ""),
            rule(Suspend, &["account is disabled"], ""),
            rule(Suspend, &["temporarily limited"], ""),
            rule(Filtered, &["recipients was rejected by a remote mail server"], ""),
        ],
    ),
    (
        &["hotmail.com", "outlook.com"],
        &[
            rule(UserUnknown, &["requested action not taken: mailbox unavailable"], ""),
            rule(HostUnknown, &["domain is not reachable"], ""),
        ],
    ),
    (
        &["docomo.ne.jp"],
        &[
            rule(MailboxFull, &["too much mail data"], ""),
            rule(TooManyConn, &["too many recipients"], ""),
            rule(SyntaxError, &["bad sequence of commands"], ""),
        ],
    ),
    (
        &["qq.com"],
        &[
            rule(AuthFailure, &["check failed"], ""),
            rule(TooManyConn, &["frequency limited"], ""),
            rule(Blocked, &["suspected bounce attacks"], ""),
            rule(Blocked, &["suspected spam ip"], ""),
            rule(Blocked, &["connection denied"], ""),
            rule(Rejected, &["suspected spam"], ""),
            rule(Rejected, &["rejected by recipients"], ""),
            rule(RateLimited, &["access denied"], ""),
            rule(RateLimited, &["receiving messages is limited"], ""),
        ],
    ),
    (
        &["messagelabs.com"],
        &[
            rule(UserUnknown, &["542 ", "rejected"], ""),
            rule(UserUnknown, &["mailbox is not allowed"], ""),
            rule(BadReputation, &["rejected by policy"], ""),
            rule(FailedStartTls, &["tls", "required"], ""),
            rule(SpamDetected, &["message filtered"], ""),
            rule(Rejected, &["email address has been bl"], ""),
            rule(Rejected, &["domain has been bl"], ""),
            rule(Rejected, &["domain not allowed for sender"], ""),
        ],
    ),
    (
        &["mimecast.com", "mimecast.co.za"],
        &[
            rule(AuthFailure, &["sender invalid - envelope rejected"], ""),
            rule(Blocked, &["sender address blocked"], ""),
            rule(Blocked, &["recipient temporarily unavailable"], ""),
            rule(BadReputation, &["internal resources are temporarily unavailable"], ""),
            rule(BadReputation, &["ip reputation"], ""),
            rule(NotAccept, &["account inbounds disabled"], ""),
            rule(PolicyViolation, &["anti-spoofing policy"], ""),
            rule(PolicyViolation, &["host network"], ""),
            rule(PolicyViolation, &["content examination policy"], ""),
            rule(Rejected, &["envelope blocked"], ""),
            rule(Rejected, &["block policy"], ""),
            rule(Rejected, &["manually blocked"], ""),
            rule(SystemError, &["unable to process"], ""),
            rule(SystemError, &["message ended early"], ""),
            rule(TooManyConn, &["account service is temporarily unavailable"], ""),
            rule(TooManyConn, &["outbound thread limit"], ""),
        ],
    ),
    (
        &["cox.net"],
        &[
            rule(Blocked, &["too many bad commands"], ""),
            rule(Blocked, &["too many invalid recipients"], ""),
            rule(RequirePtr, &["dns check failure"], ""),
            rule(PolicyViolation, &["no data before greeting"], ""),
            rule(PolicyViolation, &["extension is forbidden"], ""),
            rule(SystemError, &["server temporarily not available"], ""),
            rule(TooManyConn, &["message threshold exceeded"], ""),
        ],
    ),
    (
        &["google.com", "gmail.com", "googlemail.com"],
        &[
            rule(Blocked, &["unusual rate of"], ""),
            rule(Blocked, &["not in whitelist for rcpt domain"], ""),
            rule(Blocked, &["try again later, closing connection"], ""),
            rule(Blocked, &["helo/ehlo argument"], ""),
            rule(Expired, &["connection expired"], ""),
            rule(NetworkError, &["exceeded 50 hops"], ""),
        ],
    ),
    (
        &["yahoodns.net", "yahoo.com", "yahoo.co.jp", "aol.com"],
        &[
            rule(Rejected, &["unexpected volume or user complaints"], ""),
            rule(Rejected, &["permanently deferred"], ""),
            rule(Rejected, &["unresolvable rfc.5321"], ""),
            rule(NotAccept, &["malformed or unexpected name server reply"], ""),
            rule(HostUnknown, &["host or domain name not found"], ""),
            rule(TooManyConn, &["message per connection reached"], ""),
            rule(Suspend, &["is no longer valid"], ""),
        ],
    ),
];

/// The reason by a provider's own list. `place` holds the names of the hosts that had a hand in it and of the
/// recipient's domain, in lower case.
pub(crate) fn find(
    text: &str,
    status: Option<&str>,
    command: Option<Command>,
    place: &str,
) -> Option<Reason> {
    let is_unknown = || text.contains("unknown user") && place.contains("docomo.ne.jp");
    match (command, status) {
        // NTT DOCOMO says this of addresses that exist, to senders whom the recipient does not want.
        (Some(Command::Data), Some("5.0.0")) if is_unknown() => return Some(Rejected),
        _ => {}
    }
    french(text)
        .or_else(|| first(&[CODES], text))
        .or_else(|| spectrum(text))
        .or_else(|| exchange_online(status))
        .or_else(|| {
            let here = |hosts: &[&str]| hosts.iter().any(|host| place.contains(host));
            PROVIDERS.iter().filter(|(hosts, _)| here(hosts)).find_map(|(_, rules)| first(&[rules], text))
        })
}

fn french(text: &str) -> Option<Reason> {
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-';
    text.split(is_end).filter(|word| ["ofr", "lpn", "ouk"].iter().any(|label| word.starts_with(label))).find_map(
        |word| {
            let digits = word.get(word.len().checked_sub(3)?..)?;
            FRENCH.iter().find(|(code, _)| *code == digits).map(|(_, reason)| *reason)
        },
    )
}

fn spectrum(text: &str) -> Option<Reason> {
    let (_, after) = text.split_once("aup#")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).take(3).find(|digits| digits.len() == 4)?;
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
        assert_eq!(find("550 5.1.1 invalid recipient. ofr_416 [416]", None, None, ""), Some(UserUnknown));
        assert_eq!(find("421 too many connections lpn105_104", None, None, ""), Some(TooManyConn));
        assert_eq!(find("554 aup#in-1310 refused", None, None, ""), Some(TooManyConn));
        assert_eq!(find("550 access denied", Some("5.7.511"), None, ""), Some(Blocked));
        assert_eq!(find("550 rcp-p2 see", None, None, ""), Some(Filtered));
        assert_eq!(find("5.7.26", Some("5.7.26"), None, ""), None);
        assert_eq!(find("ofr aup# é", None, None, ""), None);
    }

    #[test]
    fn words_of_a_provider_count_at_its_hosts_alone() {
        assert_eq!(find("550 : user unknown", None, None, "lsean.ezweb.ne.jp"), Some(Filtered));
        assert_eq!(find("550 : user unknown", None, None, "mx.example.jp"), None);
    }
}
