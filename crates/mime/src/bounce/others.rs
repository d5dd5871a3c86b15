//! Who else is named in a notice beside the recipients that failed: the mail's sender, and who helps.

use crate::bounce::excerpts::mention;
use crate::bounce::notice::{Notice, prefix};
use crate::bounce::returned::Returned;
use crate::table::rows;

/// Local parts, in lower case, of those who help or watch.
pub(crate) static HELPERS: &[&str] = &[
    "abuse",
    "admin",
    "administrator",
    "help",
    "helpdesk",
    "hostmaster",
    "it",
    "noc",
    "noreply",
    "no-reply",
    "security",
    "servicedesk",
    "support",
    "webmaster",
];

/// With more addresses than this a notice lists recipients, and nobody else.
const MANY: usize = 20;

/// As much of a field as names who sent the mail.
const LONGEST: usize = 1_000;

/// Removes the addresses that the returned mail shows to be others': its sender's, and in running text those that it
/// was not sent to, where it was sent to one that is named, or where their names say that they help.
pub(crate) fn remove(addresses: &mut Vec<String>, notice: &Notice, returned: &Returned) {
    let recipients = &returned.original.recipients;
    if recipients.is_empty() || addresses.len() > MANY {
        return;
    }
    let is_sent_to = |address: &str| recipients.iter().any(|other| other.eq_ignore_ascii_case(address));
    let senders: Vec<String> = returned
        .original
        .headers
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "from" | "sender" | "return-path"))
        .map(|(_, value)| prefix(value, LONGEST).to_lowercase())
        .collect();
    let is_sender = |address: &str| {
        let address = address.to_lowercase();
        senders.iter().any(|value| value.split(['<', '>', ' ', ',']).any(|word| word == address))
    };
    let said = notice.said.to_lowercase();
    // Behind a bullet, or the codes of a reply.
    let begins_line = |address: &str| {
        let address = address.to_lowercase();
        said.lines().any(|line| {
            mention(line.trim_start_matches(|c: char| !c.is_alphanumeric()), &address) == Some(0)
                || mention(line.trim_start_matches(|c: char| !c.is_alphabetic()), &address) == Some(0)
        })
    };
    let helps = |address: &str| {
        let local = address.split('@').next().unwrap_or_default().to_lowercase();
        rows(HELPERS).any(|helper| *helper == local)
    };
    let is_known = addresses.iter().any(|address| is_sent_to(address));
    addresses.retain(|address| {
        is_sent_to(address) || begins_line(address) || !(is_known || helps(address) || is_sender(address))
    });
}

#[cfg(test)]
mod tests {
    use crate::{BounceKind, Limits, parse};

    fn blamed(said: &str, to: &str) -> Vec<String> {
        let raw = format!(
            "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.org\nTo: bounces@example.com\nSubject: failure notice\n\n{said}\n\n\
             ------ This is a copy of the message ------\nFrom: Sales <sales@example.com>\nTo: {to}\nMessage-ID: <x@y>\n\nHi\n"
        );
        let bounce = parse(raw.as_bytes(), &Limits::default()).mail.bounce.expect("a bounce");
        assert_eq!(bounce.kind, BounceKind::Hard);
        bounce.recipients.into_iter().map(|recipient| recipient.address).collect()
    }

    #[test]
    fn neither_the_sender_nor_who_helps_is_blamed() {
        for said in [
            "The message that sales@example.com sent could not be delivered: 550 5.1.1 user unknown.",
            "The message could not be delivered: 550 5.1.1 user unknown. Ask helpdesk@mx.example.org.",
            "It could not be delivered to ann@example.org: user unknown.\nScanned by scan@gate.example, ask it@gate.example.",
        ] {
            assert_eq!(blamed(said, "ann@example.org"), ["ann@example.org"], "{said}");
        }
    }

    #[test]
    fn whom_a_mail_was_forwarded_to_is_blamed_where_a_line_says_so() {
        let said = "550 <ann@example.net>... User unknown\n550 <ben@example.org>... User unknown";
        assert_eq!(blamed(said, "ben@example.org"), ["ann@example.net", "ben@example.org"]);
        assert_eq!(
            blamed("No mail for ann@example.net: user unknown", "ben@example.org"),
            ["ann@example.net"]
        );
    }
}
