//! Codes that providers write into their refusals, from their published lists. Nobody else writes them, so they speak
//! for themselves, whoever passes them on.

use super::{REPLY, Rule, Said, Table, rule};
use crate::bounce::reason::Reason::{
    self, AuthFailure, BadReputation, Blocked, ContentError, FailedStartTls, Filtered, MailboxFull,
    MesgTooBig, NetworkError, NoRelaying, NotCompliantRfc, OnHold, PolicyViolation, RateLimited, Rejected,
    RequirePtr, SecurityError, SpamDetected, Suspend, SystemError, TooManyConn, UserUnknown, VirusDetected,
};
use crate::table::rows;

/// Codes that nobody else writes.
pub(crate) static CODES: &[Rule] = &[
    // Facebook.
    rule(UserUnknown, &["rcp-p1"], "sisimai/rhost-facebook-04"),
    rule(Filtered, &["rcp-p2"], "sisimai/rhost-facebook-03"),
    rule(Filtered, &["rcp-p3"], REPLY),
    rule(SystemError, &["rcp-t1"], REPLY),
    rule(Suspend, &["rcp-t4"], REPLY),
    rule(UserUnknown, &["int-p1"], REPLY),
    rule(MesgTooBig, &["int-p2"], REPLY),
    rule(UserUnknown, &["int-p3"], REPLY),
    rule(UserUnknown, &["int-p4"], REPLY),
    rule(SpamDetected, &["pol-p6"], REPLY),
    rule(AuthFailure, &["pol-p7"], REPLY),
    rule(VirusDetected, &["pol-p5"], REPLY),
    rule(Blocked, &["pol-p#"], REPLY),
    rule(Blocked, &["pol-t#"], REPLY),
    rule(RequirePtr, &["dns-p3"], REPLY),
    rule(RequirePtr, &["dns-t2"], REPLY),
    rule(Rejected, &["dns-p#"], REPLY),
    rule(Rejected, &["dns-t1"], REPLY),
    rule(MesgTooBig, &["msg-p1"], REPLY),
    rule(ContentError, &["msg-p2"], REPLY),
    rule(NotCompliantRfc, &["msg-p3"], REPLY),
    rule(TooManyConn, &["msg-t1"], REPLY),
    rule(TooManyConn, &["con-t#"], REPLY),
    // GoDaddy.
    rule(TooManyConn, &["ib007"], REPLY),
    rule(RateLimited, &["ib101"], REPLY),
    rule(BadReputation, &["ib103"], REPLY),
    rule(RequirePtr, &["ib108"], REPLY),
    rule(Blocked, &["ib104"], REPLY),
    rule(Blocked, &["ib105"], REPLY),
    rule(Blocked, &["ib106"], REPLY),
    rule(Blocked, &["ib11"], REPLY),
    rule(SpamDetected, &["ib212"], REPLY),
    rule(SecurityError, &["ib401"], REPLY),
    rule(NotCompliantRfc, &["ib501"], REPLY),
    rule(NotCompliantRfc, &["ib502"], REPLY),
    rule(RateLimited, &["ib504"], REPLY),
    rule(Rejected, &["ib506"], "sisimai/lhost-exim-45"),
    rule(AuthFailure, &["ib508"], "sisimai/lhost-office365-03"),
    rule(RateLimited, &["ib510"], REPLY),
    rule(TooManyConn, &["ib605"], REPLY),
    rule(RateLimited, &["ib607"], REPLY),
    rule(VirusDetected, &["ib705"], REPLY),
    // Cox.
    rule(RequirePtr, &["aup#cxdns"], REPLY),
    rule(AuthFailure, &["aup#cxsndr"], REPLY),
    rule(Rejected, &["aup#cxsmtp"], REPLY),
    rule(TooManyConn, &["aup#cxcnct"], REPLY),
    rule(TooManyConn, &["aup#cxmxrt"], REPLY),
    rule(SecurityError, &["aup#cxthrt"], REPLY),
    rule(SecurityError, &["aup#cxmj"], REPLY),
    rule(SpamDetected, &["aup#urlbl"], REPLY),
    rule(Blocked, &["aup#cxbl"], REPLY),
    rule(Blocked, &["aup#ipbl"], REPLY),
    // i.ua: the number of its help page.
    rule(NoRelaying, &["i.ua/err/1/"], REPLY),
    rule(UserUnknown, &["i.ua/err/2/"], REPLY),
    rule(Suspend, &["i.ua/err/3/"], REPLY),
    rule(MailboxFull, &["i.ua/err/4/"], REPLY),
    rule(TooManyConn, &["i.ua/err/5/"], REPLY),
    rule(NoRelaying, &["i.ua/err/6/"], REPLY),
    rule(Blocked, &["i.ua/err/7/"], REPLY),
    rule(Rejected, &["i.ua/err/8/"], REPLY),
    rule(Blocked, &["i.ua/err/9/"], REPLY),
    rule(Filtered, &["i.ua/err/10/"], REPLY),
    // Yahoo.
    rule(Blocked, &["[bl21]"], REPLY),
    rule(Blocked, &["[bl23]"], REPLY),
    rule(Rejected, &["[tss"], "sisimai/lhost-opensmtpd-13"),
    rule(Rejected, &["[ts0"], REPLY),
    rule(PolicyViolation, &["[ph0"], REPLY),
    // Microsoft: consumer addresses.
    rule(BadReputation, &["550 sc-001"], REPLY),
    rule(PolicyViolation, &["550 sc-002"], REPLY),
    rule(Blocked, &["550 sc-00"], "sisimai/lhost-ezweb-08"),
    rule(VirusDetected, &["550 dy-002"], REPLY),
    rule(Blocked, &["550 dy-00"], REPLY),
    rule(BadReputation, &["550 ou-002"], REPLY),
    rule(Blocked, &["550 ou-00"], REPLY),
    rule(BadReputation, &["421 rp-00"], REPLY),
    // Microsoft: Exchange Online is busy, under numbers that mean more in other answers.
    rule(SystemError, &["4.7.500 server busy"], REPLY),
    rule(SystemError, &["pfa agent busy"], REPLY),
    // Exchange up to 2003: the reasons of X.400.
    rule(UserUnknown, &["(000c05a6)"], REPLY),
    rule(Filtered, &["(000c0595)"], REPLY),
    rule(SystemError, &["(00010256)"], REPLY),
    rule(SystemError, &["(000d06b5)"], REPLY),
    rule(NetworkError, &["(00120270)"], REPLY),
    rule(ContentError, &["(00050311)"], REPLY),
    rule(ContentError, &["(000502cc)"], REPLY),
    rule(SecurityError, &["(000b0981)"], REPLY),
    rule(OnHold, &["(000b099c)"], REPLY),
    rule(OnHold, &["(000b09aa)"], REPLY),
    rule(OnHold, &["(000b09b6)"], REPLY),
    // Exchange from 2007 on: what stopped the mail, in front of the words.
    rule(SystemError, &["resolver.adr.badprimary"], REPLY),
    rule(TooManyConn, &["resolver.adr.recip", "*limit;"], REPLY),
    rule(SystemError, &["resolver.adr.invalidinsmtp"], REPLY),
    rule(SystemError, &["resolver.adr.ambiguous"], REPLY),
    rule(Rejected, &["resolver.rst.notauthorized"], REPLY),
    rule(MesgTooBig, &["resolver.rst.sendsizelimit"], REPLY),
    rule(NetworkError, &["smtpsend.dns.mxloopback"], REPLY),
    // T-Online.
    rule(BadReputation, &["554 ip=", "bad reputation"], REPLY),
    rule(Blocked, &["554 ip="], REPLY),
    // NetEase: its codes, in front of the address of a help page about spam. HL is the host, MI the mail, RP the
    // recipients, DT the data.
    rule(TooManyConn, &["hl:icc"], REPLY),
    rule(RateLimited, &["hl:ifc"], REPLY),
    rule(RateLimited, &["hl:ifq"], REPLY),
    rule(RateLimited, &["hl:itc"], REPLY),
    rule(Blocked, &["hl:rep"], REPLY),
    rule(Blocked, &["hl:mep"], REPLY),
    rule(Blocked, &["hl:ihu"], REPLY),
    rule(Blocked, &["hl:ipb"], REPLY),
    rule(Blocked, &["wm:bli"], REPLY),
    rule(Rejected, &["wm:blu"], REPLY),
    rule(Rejected, &["mi:spb"], REPLY),
    rule(Blocked, &["mi:nhd"], REPLY),
    rule(Blocked, &["mi:cel"], REPLY),
    rule(Blocked, &["rp:cel"], REPLY),
    rule(NotCompliantRfc, &["mi:imf"], REPLY),
    rule(AuthFailure, &["mi:spf"], REPLY),
    rule(AuthFailure, &["mi:dma"], REPLY),
    rule(TooManyConn, &["mi:dmc"], REPLY),
    rule(TooManyConn, &["rp:drc"], REPLY),
    rule(TooManyConn, &["rp:rcl"], REPLY),
    rule(TooManyConn, &["mi:ccl"], REPLY),
    rule(TooManyConn, &["rp:ccl"], REPLY),
    rule(RateLimited, &["mi:sfq"], REPLY),
    rule(RateLimited, &["rp:qrc"], REPLY),
    rule(RateLimited, &["rp:trc"], REPLY),
    rule(RateLimited, &["mi:stc"], REPLY),
    rule(NoRelaying, &["rp:frl"], REPLY),
    rule(SpamDetected, &["dt:spm"], REPLY),
    // Gmail, of a server that it relays through.
    rule(NoRelaying, &["remote server does not support smtp authenticated relay"], REPLY),
    rule(SystemError, &["smtp auth failed with the remote server"], REPLY),
    // Comcast: the anchor in its page of errors.
    rule(Blocked, &["#bl0000"], REPLY),
    rule(Blocked, &["#es0000"], REPLY),
    // AOL, until it was merged with Yahoo.
    rule(Blocked, &["(rtr:"], REPLY),
    rule(Blocked, &["(rly:b"], REPLY),
    rule(Blocked, &["(con:"], REPLY),
    // Mimecast: its signatures name viruses and worse.
    rule(VirusDetected, &["mcspamsignature"], "sisimai/rhost-mimecast-02"),
];

/// The last three digits of the codes of Orange and La Poste (`OFR006_102`, `LPN105_104`, `OUK_513`).
pub(crate) static FRENCH: &[(&str, Reason)] = &[
    ("101", Blocked),
    ("102", Blocked),
    ("103", Blocked),
    ("104", TooManyConn),
    ("105", Blocked),
    ("107", Blocked),
    ("108", Blocked),
    ("109", Blocked),
    ("201", Blocked),
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
    ("423", Blocked),
    ("424", Blocked),
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
pub(crate) static SPECTRUM: &[(u16, u16, Reason)] = &[
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
pub(crate) static EXCHANGE_ONLINE: &[(u16, u16, Reason)] = &[
    (124, 124, Rejected),
    (133, 136, Rejected),
    (321, 325, FailedStartTls),
    (500, 500, Blocked),
    (501, 503, Rejected),
    (504, 505, Suspend),
    (506, 507, Blocked),
    (508, 508, RateLimited),
    (509, 509, AuthFailure),
    (510, 511, Blocked),
    (512, 512, Rejected),
    (513, 514, Blocked),
    (515, 515, AuthFailure),
    (606, 649, Blocked),
    (650, 650, BadReputation),
    (651, 651, Blocked),
    (652, 652, TooManyConn),
    (653, 699, Blocked),
    (700, 749, RateLimited),
    (750, 750, Rejected),
    (850, 899, Blocked),
    (900, 999, PolicyViolation),
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
            rows(FRENCH).find(|(code, _)| *code == digits).map(|(_, reason)| *reason)
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

fn in_range(table: &'static [(u16, u16, Reason)], digits: &str) -> Option<Reason> {
    let number: u16 = digits.parse().ok()?;
    rows(table).find(|(from, to, _)| (*from..=*to).contains(&number)).map(|(_, _, reason)| *reason)
}
