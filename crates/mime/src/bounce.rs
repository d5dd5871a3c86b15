//! Judging delivery reports: each recipient's reason and how final it is.

use crate::limits::Limits;
use crate::mail::{Bounce, BounceKind, Mail, Recipient};
use crate::notice::{self, Command, Notice};
use crate::reason::{self, Reason};
use crate::report::{Returned, Row};
use crate::status;

/// Judges the rows of a report (RFC 3464), the notice to people standing in where a row says too little.
pub(crate) fn from_rows(rows: Vec<Row>, notice: &Notice, returned: &Returned) -> Bounce {
    let addresses: Vec<String> = rows.iter().map(|row| row.address.clone()).collect();
    let said = Excerpts::new(notice, &addresses);
    bounce(rows.into_iter().map(|row| recipient(row, &said)).collect(), returned)
}

/// Reads a bounce that has no machine-readable part: the recipients the notice names, with the reason it gives.
pub(crate) fn from_text(mail: &Mail, notice: &Notice, returned: &Returned, limits: &Limits) -> Bounce {
    let mut addresses = notice.recipients(mail, limits);
    if addresses.is_empty() {
        addresses.clone_from(&returned.to);
    }
    let said = Excerpts::new(notice, &addresses);
    let late = LATE.iter().any(|words| notice.said.to_lowercase().contains(words));
    let rows = addresses.iter().map(|address| Row {
        address: address.clone(),
        action: late.then(|| "delayed".to_owned()),
        ..Row::default()
    });
    bounce(rows.map(|row| recipient(row, &said)).collect(), returned)
}

/// Words, in lower case, of a notice that gives no mail up.
const LATE: &[&str] = &[
    "will be retried",
    "will keep trying",
    "warning message only",
    "this is a warning only",
    "still being retried",
];

/// What the notice says of each recipient. With very many of them it is not divided: that would be quadratic.
struct Excerpts<'a> {
    notice: &'a Notice,
    addresses: &'a [String],
    /// The last SMTP command of the whole notice.
    command: Option<Command>,
}

impl<'a> Excerpts<'a> {
    fn new(notice: &'a Notice, addresses: &'a [String]) -> Self {
        Self { notice, addresses, command: notice::command(&notice.said) }
    }

    fn about(&self, address: &str) -> String {
        const MANY: usize = 50;
        if self.addresses.len() > MANY {
            return String::new();
        }
        let others: Vec<&str> = self
            .addresses
            .iter()
            .map(String::as_str)
            .filter(|other| !other.eq_ignore_ascii_case(address))
            .collect();
        self.notice.about(address, &others)
    }

    /// The whole notice, where it can only be about one recipient.
    fn whole(&self) -> &str {
        if self.addresses.len() == 1 { &self.notice.said } else { "" }
    }
}

fn bounce(recipients: Vec<Recipient>, returned: &Returned) -> Bounce {
    let worst = |kind| recipients.iter().any(|recipient| recipient.kind == kind);
    let kind = [BounceKind::Hard, BounceKind::Soft, BounceKind::Complaint, BounceKind::Delivered]
        .into_iter()
        .find(|&kind| worst(kind))
        .unwrap_or(BounceKind::Soft);
    Bounce { kind, recipients, original_message_id: returned.message_id.clone() }
}

fn recipient(row: Row, said: &Excerpts<'_>) -> Recipient {
    let excerpt = said.about(&row.address);
    let diagnostic = row.diagnostic.as_deref().unwrap_or_default();
    let spoken = if diagnostic.is_empty() { excerpt.as_str() } else { diagnostic };
    // What the server said is nearer to the truth than what its client made of it.
    let status = status::specific(spoken).or_else(|| row.status.clone()).or_else(|| status::enhanced(spoken));
    let mut reason = reason::find(spoken, status.as_deref(), row.action.as_deref());
    // The report's own words say too little: the notice may quote the server.
    let vague = [Reason::Undefined, Reason::Filtered, Reason::SecurityError, Reason::Expired];
    for more in [&excerpt, said.whole()] {
        if vague.contains(&reason) {
            let found = reason::find(more, None, None);
            reason = if found == Reason::Undefined { reason } else { found };
        }
    }
    let command = [spoken, &excerpt].into_iter().find_map(notice::command).or(said.command);
    reason = by_command(reason, command, status.as_deref());
    let kind = kind(reason, status.as_deref(), row.action.as_deref());
    Recipient {
        reply_code: status::reply_code(spoken),
        address: row.address,
        original: row.original,
        status,
        action: row.action,
        diagnostic: row.diagnostic.or(Some(excerpt).filter(|excerpt| !excerpt.is_empty())),
        remote_mta: row.remote_mta,
        reason,
        kind,
    }
}

/// What the place of a refusal says beyond its words.
fn by_command(reason: Reason, command: Option<Command>, status: Option<&str>) -> Reason {
    let detail = status.and_then(|status| status.split_once('.')).map(|(_, detail)| detail);
    match (reason, command, detail) {
        // A transcript that names DATA may have had its refusal before; the status knows.
        (Reason::UserUnknown, _, Some("1.1")) => reason,
        // The recipient was accepted, then the mail was not: somebody's filter pretends.
        (Reason::UserUnknown, Some(Command::Data), _) | (Reason::UserUnknown, _, Some("2.0" | "2.1")) => {
            Reason::Filtered
        }
        // The sender was refused before any recipient was named.
        (
            Reason::Undefined | Reason::Filtered | Reason::SecurityError | Reason::UserUnknown,
            Some(Command::Mail),
            _,
        ) => Reason::Rejected,
        _ => reason,
    }
}

/// The reason decides; where it is unknown the code's class does, and a delay is never final.
fn kind(reason: Reason, status: Option<&str>, action: Option<&str>) -> BounceKind {
    match (reason, action) {
        (Reason::Delivered, _) => BounceKind::Delivered,
        (_, Some("delayed")) => BounceKind::Soft,
        (Reason::Undefined, _) if status.is_none_or(|status| status.starts_with('5')) => BounceKind::Hard,
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
