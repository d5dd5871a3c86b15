//! Judging delivery reports: each recipient's reason and how final it is.

pub(crate) mod aol;
pub(crate) mod excerpts;
pub(crate) mod local_users;
pub(crate) mod marks;
pub(crate) mod named;
pub(crate) mod nested;
pub(crate) mod notice;
pub(crate) mod others;
pub(crate) mod reason;
pub(crate) mod remote;
pub(crate) mod report;
pub(crate) mod returned;
pub(crate) mod rules;
pub(crate) mod spoken;
pub(crate) mod status;
pub(crate) mod told;
pub(crate) mod transcript;
pub(crate) mod verdict;

use crate::bounce::marks::{DELIVERED, LATE, LATE_SUBJECTS};
use crate::bounce::notice::{Notice, one_spaced, prefix};
use crate::bounce::reason::Reason;
use crate::bounce::report::Row;
use crate::bounce::returned::Returned;
use crate::bounce::told::{Excerpts, MANY};
use crate::bounce::verdict::Evidence;
use crate::kind::refused_post::is_returned_post;
use crate::kind::subject::lowered;
use crate::limits::Limits;
use crate::mail::{self, Bounce, BounceKind, Mail, Recipient};
use crate::table::rows;

/// Judges the rows of a report (RFC 3464), the notice to people standing in where a row says too little.
pub(crate) fn from_rows(
    mail: &Mail,
    mut rows: Vec<Row>,
    notice: &Notice,
    returned: &Returned,
    limits: &Limits,
) -> Bounce {
    if let [row] = &mut rows[..] {
        row.original = row.original.take().or_else(|| listed_instead(row, mail, notice, returned, limits));
    }
    let addresses: Vec<String> = rows.iter().map(|row| row.address.clone()).collect();
    let said = Excerpts::new(mail, notice, &addresses);
    bounce(rows.into_iter().map(|row| recipient(row, &said)).collect(), returned)
}

/// Whom the mail was sent to, where the report is about another and the notice lists this one alone: sendmail tells of
/// virtual users so.
fn listed_instead(
    row: &Row,
    mail: &Mail,
    notice: &Notice,
    returned: &Returned,
    limits: &Limits,
) -> Option<String> {
    let is_sent_to =
        |address: &str| returned.original.recipients.iter().any(|sent| sent.eq_ignore_ascii_case(address));
    if returned.original.recipients.is_empty() || is_sent_to(&row.address) {
        return None;
    }
    let mut listed = named::recipients(notice, mail, limits);
    listed.pop().filter(|address| listed.is_empty() && is_sent_to(address))
}

/// Reads a bounce that has no machine-readable part: the recipients the notice names, with the reason it gives.
pub(crate) fn from_text(mail: &Mail, notice: &Notice, returned: &Returned, limits: &Limits) -> Bounce {
    let mut addresses = named::recipients(notice, mail, limits);
    others::remove(&mut addresses, notice, returned);
    // A list says where to ask, too.
    if addresses.is_empty() || !returned.to.is_empty() && is_returned_post(mail) {
        addresses.clone_from(&returned.to);
    }
    let said = Excerpts::new(mail, notice, &addresses);
    let text = one_spaced(&notice.said);
    let says = |marks: &'static [&'static str]| rows(marks).any(|words| text.contains(words));
    let subject = lowered(mail);
    let is_late = rows(LATE_SUBJECTS).any(|words| subject.starts_with(words));
    let action = if is_late || says(LATE) {
        Some("delayed")
    } else if says(DELIVERED) && status::reply_code(&text).is_none() {
        Some("delivered")
    } else {
        None
    };
    let rows = addresses.iter().map(|address| Row {
        address: address.clone(),
        original: if addresses.len() > MANY { None } else { named::original_of(&notice.said, address) },
        action: if said.is_delivered(address) { Some("delivered") } else { action }.map(str::to_owned),
        ..Row::default()
    });
    bounce(rows.map(|row| recipient(row, &said)).collect(), returned)
}

fn bounce(recipients: Vec<Recipient>, returned: &Returned) -> Bounce {
    let has = |kind| recipients.iter().any(|recipient| recipient.kind == kind);
    let kind = [BounceKind::Hard, BounceKind::Soft, BounceKind::Complaint, BounceKind::Delivered]
        .into_iter()
        .find(|&kind| has(kind))
        .unwrap_or(BounceKind::Soft);
    Bounce {
        kind,
        recipients,
        original_message_id: returned.message_id.clone(),
        original: returned.original.clone(),
    }
}

/// As much of what is said of a recipient as names the host that refused.
const NAMES_HOST: usize = 300;

fn recipient(row: Row, said: &Excerpts<'_>) -> Recipient {
    let excerpt = said.about(&row.address).to_owned();
    let diagnostic = row.diagnostic.as_deref().unwrap_or_default();
    let spoken = if diagnostic.is_empty() { excerpt.as_str() } else { diagnostic };
    // What the server said is nearer to the truth than what its client made of it.
    let reason = told_reason(spoken);
    let is_delivery =
        matches!(row.action.as_deref(), Some("delivered" | "relayed" | "expanded" | "deliverable"));
    let is_failure = matches!(row.action.as_deref(), Some("failed" | "delayed"))
        || matches!(status::reply_code(spoken), Some(400..));
    // Success in the words of a notice is no status where nothing was delivered: it is the version of a program, or a
    // delivery to somebody else.
    let is_told = |status: &String| is_delivery || !status.starts_with('2');
    let is_reported = |status: &String| !is_failure || !status.starts_with('2');
    let status = reason
        .and_then(|reason| status::specific(reason).or_else(|| status::enhanced(reason)))
        .filter(is_told)
        .or_else(|| status::specific(spoken).filter(is_told))
        .or_else(|| row.status.clone().filter(is_reported))
        .or_else(|| status::enhanced(spoken).filter(is_told))
        .or_else(|| status::enhanced(said.whole()).filter(is_told));
    let is_about_another = row.diagnostic.is_some() && said.is_about_another(spoken, &row);
    let command = said.command(&row.address, [spoken, &excerpt]);
    let domain = mail::domain(&row.address).unwrap_or_default();
    let place = format!(
        "{} {domain} {} {}",
        row.remote_mta.as_deref().unwrap_or_default(),
        said.machine,
        prefix(spoken, NAMES_HOST)
    )
    .to_lowercase();
    let is_success = is_delivery || status.as_deref().is_some_and(|status| status.starts_with("2."));
    let inner = reason.unwrap_or_else(|| quoted(spoken));
    let is_quoted = inner.len() < spoken.len();
    let evidence = |said| Evidence {
        said,
        status: status.as_deref(),
        command,
        place: &place,
        is_reply: told::is_reply(said) || is_quoted,
    };
    let reason = if is_success {
        Reason::Delivered
    } else {
        // Where the report's own words say too little, the notice may quote the server.
        let texts = [inner, excerpt.as_str(), said.whole()].map(|text| (spoken::said(text), evidence(text)));
        texts
            .iter()
            .find_map(|(text, evidence)| verdict::by_provider(text, evidence))
            .or_else(|| row.category.as_deref().and_then(verdict::by_category))
            .or_else(|| texts.iter().find_map(|(text, evidence)| verdict::by_words(text, evidence)))
            .or(said.refuser)
            .unwrap_or_else(|| verdict::by_codes(&evidence(spoken), row.action.as_deref()))
    };
    let is_anothers = is_about_another && reason.kind() == BounceKind::Hard;
    let reason = if is_anothers { Reason::OnHold } else { reason };
    let reply_code = status::reply_code(spoken).or_else(|| said.whole().lines().find_map(status::reply_line));
    let kind = kind(reason, status.as_deref(), reply_code, row.action.as_deref());
    Recipient {
        reply_code,
        address: row.address,
        original: row.original,
        status,
        action: row.action,
        remote_mta: row.remote_mta.or_else(|| said.host(&excerpt)),
        diagnostic: row.diagnostic.or(Some(excerpt).filter(|excerpt| !excerpt.is_empty())),
        reason,
        kind,
    }
}

/// The server's reply inside what a sending host makes of it: `5.1.0 - Unknown address error 550-'…' (…)`. Where that gave
/// up after days of such replies (`5.4.7 - Delivery expired …`), its own words say why.
fn quoted(spoken: &str) -> &str {
    let inner = || {
        let (before, rest) = spoken.split_once("-'")?;
        let is_reply = before.len() >= 3 && before.bytes().rev().take(3).all(|byte| byte.is_ascii_digit());
        let (inner, _) = rest.rsplit_once('\'')?;
        is_reply.then_some(if before.contains("5.4.7 - ") { before } else { inner })
    };
    inner().unwrap_or(spoken)
}

/// What sendmail gives as the reason in its list of recipients: `(reason: 550 5.1.1 no)`. What it says below in its own
/// name is its view of that.
fn told_reason(spoken: &str) -> Option<&str> {
    let (_, rest) = spoken.split_once("(reason: ")?;
    let mut depth = 1_usize;
    let end = rest.bytes().position(|byte| {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    rest.get(..end?)
}

/// The reason decides; where it is unknown the class of the status does, and without one a mail that came back is given
/// up. A delay is never final, nor is a refusal for now.
fn kind(reason: Reason, status: Option<&str>, reply: Option<u16>, action: Option<&str>) -> BounceKind {
    let for_now = status.map_or(matches!(reply, Some(400..=499)), |status| status.starts_with('4'));
    match (reason, action) {
        (Reason::Delivered, _) => BounceKind::Delivered,
        (_, Some("delayed")) => BounceKind::Soft,
        (Reason::Undefined, _) if status.is_none_or(|status| status.starts_with('5')) => BounceKind::Hard,
        (reason, _) if reason.kind() == BounceKind::Hard && for_now => BounceKind::Soft,
        (reason, _) => reason.kind(),
    }
}

/// Complaints name whom they come from, not why.
pub(crate) fn complaint(addresses: Vec<String>, returned: &Returned) -> Bounce {
    let addresses = if addresses.is_empty() { returned.to.clone() } else { addresses };
    let recipients = addresses.into_iter().map(|address| Recipient {
        address,
        original: None,
        status: None,
        action: None,
        diagnostic: None,
        remote_mta: None,
        reply_code: None,
        reason: Reason::Feedback,
        kind: BounceKind::Complaint,
    });
    Bounce { kind: BounceKind::Complaint, ..bounce(recipients.collect(), returned) }
}
