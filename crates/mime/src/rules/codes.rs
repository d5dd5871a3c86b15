//! Codes that providers write into their refusals, from their published lists. Nobody else writes them, so they speak
//! for themselves, whoever passes them on.

use super::{Rule, Said, Table, rule};
use crate::reason::Reason::{
    self, AuthFailure, BadReputation, Blocked, ContentError, FailedStartTls, Filtered, MailboxFull,
    MesgTooBig, NetworkError, NoRelaying, NotCompliantRfc, OnHold, PolicyViolation, RateLimited, Rejected,
    RequirePtr, SecurityError, SpamDetected, Suspend, SystemError, TooManyConn, UserUnknown, VirusDetected,
};

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
    // Exchange up to 2003: the reasons of X.400.
    rule(UserUnknown, &["(000c05a6)"], "Microsoft"),
    rule(Filtered, &["(000c0595)"], "Microsoft"),
    rule(SystemError, &["(00010256)"], "Microsoft"),
    rule(SystemError, &["(000d06b5)"], "Microsoft"),
    rule(NetworkError, &["(00120270)"], "Microsoft"),
    rule(ContentError, &["(00050311)"], "Microsoft"),
    rule(ContentError, &["(000502cc)"], "Microsoft"),
    rule(SecurityError, &["(000b0981)"], "Microsoft"),
    rule(OnHold, &["(000b099c)"], "Microsoft"),
    rule(OnHold, &["(000b09aa)"], "Microsoft"),
    rule(OnHold, &["(000b09b6)"], "Microsoft"),
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

/// The reason by a code in the text, or by an enhanced status that one provider alone writes.
pub(crate) fn find(said: &Said, status: Option<&str>) -> Option<Reason> {
    french(said.text())
        .or_else(|| said.first(&[Table::Codes]))
        .or_else(|| spectrum(said.text()))
        .or_else(|| exchange_online(status))
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
