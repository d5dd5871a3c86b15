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
pub(crate) mod transcript;
pub(crate) mod verdict;

use crate::bounce::marks::{DELIVERED, LATE};
use crate::bounce::notice::{Notice, one_spaced, prefix};
use crate::bounce::reason::Reason;
use crate::bounce::report::Row;
use crate::bounce::returned::Returned;
use crate::bounce::transcript::Command;
use crate::bounce::verdict::Evidence;
use crate::kind::undelivered::is_rejection;
use crate::limits::Limits;
use crate::mail::{self, Bounce, BounceKind, Mail, Recipient};

/// Judges the rows of a report (RFC 3464), the notice to people standing in where a row says too little.
pub(crate) fn from_rows(mail: &Mail, rows: Vec<Row>, notice: &Notice, returned: &Returned) -> Bounce {
    let addresses: Vec<String> = rows.iter().map(|row| row.address.clone()).collect();
    let said = Excerpts::new(mail, notice, &addresses);
    bounce(rows.into_iter().map(|row| recipient(row, &said)).collect(), returned)
}

/// Reads a bounce that has no machine-readable part: the recipients the notice names, with the reason it gives.
pub(crate) fn from_text(mail: &Mail, notice: &Notice, returned: &Returned, limits: &Limits) -> Bounce {
    let mut addresses = named::recipients(notice, mail, limits);
    others::remove(&mut addresses, notice, returned);
    if addresses.is_empty() {
        addresses.clone_from(&returned.to);
    }
    let said = Excerpts::new(mail, notice, &addresses);
    let text = one_spaced(&notice.said);
    let says = |marks: &[&str]| marks.iter().any(|words| text.contains(words));
    let action = if says(LATE) {
        Some("delayed")
    } else if says(DELIVERED) && status::reply_code(&text).is_none() {
        Some("delivered")
    } else {
        None
    };
    let rows = addresses.iter().map(|address| Row {
        address: address.clone(),
        original: if addresses.len() > MANY { None } else { named::original_of(&notice.said, address) },
        action: action.map(str::to_owned),
        ..Row::default()
    });
    bounce(rows.map(|row| recipient(row, &said)).collect(), returned)
}

/// With more recipients than this what is said of each is not looked for.
const MANY: usize = 50;

/// What the notice says of each recipient. With very many of them it is not divided: that would be quadratic.
struct Excerpts<'a> {
    notice: &'a Notice,
    addresses: &'a [String],
    /// What is said of each.
    said: Vec<String>,
    /// The last SMTP command of the whole notice.
    command: Option<Command>,
    /// The domain of the machine that writes.
    machine: String,
    /// The recipient's own rules refused the mail, which is all that is known where nothing else is said.
    is_rejection: bool,
}

impl<'a> Excerpts<'a> {
    fn new(mail: &Mail, notice: &'a Notice, addresses: &'a [String]) -> Self {
        let machine = mail.from.as_ref().and_then(mail::Address::domain).unwrap_or_default();
        let said =
            if addresses.len() > MANY { Vec::new() } else { excerpts::divide(&notice.said, addresses) };
        Self {
            notice,
            addresses,
            said,
            command: transcript::command(&notice.said),
            machine,
            is_rejection: is_rejection(mail),
        }
    }

    /// The command that was answered for a recipient.
    fn command(&self, address: &str, nearer: [&str; 2]) -> Option<Command> {
        let refused = self.addresses.len() <= MANY && transcript::refuses(&self.notice.said, address);
        let near = nearer.into_iter().find_map(transcript::command);
        near.or(refused.then_some(Command::Rcpt)).or(self.command)
    }

    fn about(&self, address: &str) -> &str {
        let index = self.addresses.iter().position(|other| other.eq_ignore_ascii_case(address));
        index.and_then(|index| self.said.get(index)).map_or("", String::as_str)
    }

    /// The whole notice, where it can only be about one recipient.
    fn whole(&self) -> &str {
        if self.addresses.len() == 1 { &self.notice.said } else { "" }
    }
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
        is_reply: status::reply_code(said).is_some() || is_quoted,
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
            .or(said.is_rejection.then_some(Reason::Filtered))
            .unwrap_or_else(|| verdict::by_codes(&evidence(spoken), row.action.as_deref()))
    };
    let reply_code = status::reply_code(spoken).or_else(|| said.whole().lines().find_map(status::reply_line));
    let kind = kind(reason, status.as_deref(), reply_code, row.action.as_deref());
    Recipient {
        reply_code,
        address: row.address,
        original: row.original,
        status,
        action: row.action,
        remote_mta: row.remote_mta.or_else(|| remote::host(&excerpt)).or_else(|| remote::host(said.whole())),
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
