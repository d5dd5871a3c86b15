//! Receipts and complaints in forms of their own, from before there was a standard for them or beside it.

use crate::bounce::notice::{one_spaced, prefix};
use crate::kind::subject::lowered;
use crate::mail::Mail;
use crate::table::rows;

/// How Outlook and Exchange begin the subject of a receipt in their languages, in lower case, and what stands in its text.
pub(crate) static READ: &[(&str, &[&str])] = &[
    ("read:", &["was read on", "message has been read", "mail has been read"]),
    ("not read:", &["was deleted without being read"]),
    ("deleted:", &["was deleted without being read"]),
    ("gelesen:", &["wurde gelesen", "gelesen am"]),
    ("nicht gelesen:", &["ungelesen gelöscht", "gelöscht, ohne gelesen"]),
    ("lu:", &["a été lu"]),
    ("non lu:", &["sans avoir été lu"]),
    ("leído:", &["se leyó", "fue leído", "leído el"]),
    ("letto:", &["è stato letto", "letto il"]),
    ("lida:", &["foi lida", "lida em"]),
    ("lido:", &["foi lido", "lido em"]),
    ("gelezen:", &["is gelezen", "gelezen op"]),
    ("läst:", &["lästes", "har lästs"]),
    ("lest:", &["ble lest"]),
    ("læst:", &["blev læst"]),
    ("luettu:", &["on luettu", "luettiin"]),
    ("przeczytano:", &["przeczytan"]),
    ("přečteno:", &["přečten"]),
    ("okundu:", &["okundu"]),
    ("прочитано:", &["прочитан"]),
    ("開封済み:", &["開封"]),
    ("已读:", &["已读", "阅读"]),
    ("已讀取:", &["讀取"]),
];

/// A receipt that says in its subject and in its text that a mail was read.
pub(crate) fn is_read(mail: &Mail) -> bool {
    const LONGEST: usize = 2_000;
    let subject = lowered(mail).replace(" :", ":").replace('：', ":");
    let Some((_, words)) = rows(READ).find(|(begin, _)| subject.starts_with(begin)) else { return false };
    let text = one_spaced(prefix(mail.shown_text(), LONGEST));
    rows(words).any(|words| text.contains(words))
}

/// Providers that complain without a feedback part: the sender, and how the subject begins, in lower case.
pub(crate) static COMPLAINTS: &[(&str, &str)] = &[
    ("staff@hotmail.com", "complaint about message from"),
    ("complaints@email-abuse.amazonses.com", "complaint about message from"),
];

/// The mail that somebody complains about is enclosed, with no part that says so.
pub(crate) fn is_complaint(mail: &Mail) -> bool {
    let from = mail.from.as_ref().map(|from| from.address.to_ascii_lowercase()).unwrap_or_default();
    let subject = mail.subject.trim().to_ascii_lowercase();
    rows(COMPLAINTS).any(|(sender, begin)| from == *sender && subject.starts_with(begin))
}

/// The field of the mail complained about by which Hotmail names its user.
pub(crate) const COMPLAINANT: &str = "x-hmxmroriginalrecipient";
