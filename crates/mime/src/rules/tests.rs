//! The tables hold what they promise.

use std::path::Path;

use super::*;
use crate::Limits;
use crate::mail::Mail;

/// Providers whose public lists taught rules.
const PROVIDERS: &[&str] = &[
    "Apple",
    "Domino",
    "Exim",
    "IMail",
    "Notes",
    "SendGrid",
    "qmail",
    "Cloudflare",
    "Cox",
    "Facebook",
    "GoDaddy",
    "Google",
    "KDDI",
    "MessageLabs",
    "Microsoft",
    "Mimecast",
    "NTT DOCOMO",
    "Tencent",
    "Yahoo",
    "Zoho",
    "i.ua",
];

fn read(name: &str) -> Mail {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus").join(format!("{name}.eml"));
    let raw = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    crate::parse(&raw, &Limits::default()).mail
}

#[test]
fn each_rule_stands_in_the_mail_that_taught_it() {
    for (_, rule) in all() {
        if !rule.taught_by.contains('/') {
            assert!(rule.taught_by == NO_MAIL || PROVIDERS.contains(&rule.taught_by), "{rule:?}");
            continue;
        }
        let mail = read(rule.taught_by);
        let bounce = mail.bounce.as_ref().unwrap_or_else(|| panic!("{} is no bounce", rule.taught_by));
        let mut text = String::new();
        for recipient in &bounce.recipients {
            text.push_str(recipient.diagnostic.as_deref().unwrap_or_default());
            text.push(' ');
        }
        text.push_str(&mail.content_text());
        let said = crate::verdict::said(&text);
        assert!(said.met.iter().any(|(_, _, met)| *met == rule), "{rule:?} is not said in its mail");
        assert!(bounce.recipients.iter().any(|recipient| recipient.reason == rule.reason), "{rule:?}");
    }
}

#[test]
fn words_are_written_as_they_are_compared() {
    for (_, rule) in all() {
        assert!(!rule.words.is_empty());
        assert!(rule.words.iter().all(|word| !word.is_empty() && *word == word.to_lowercase()), "{rule:?}");
    }
}

#[test]
fn no_rule_is_hidden_by_one_above_it() {
    for (place, (table, rule)) in all().enumerate() {
        let text = rule.words.join(" ");
        let above = all().take(place).find(|(other, rule)| *other == table && in_order(&text, rule.words));
        assert!(above.is_none(), "{rule:?} is hidden by {above:?}");
    }
}

#[test]
fn the_first_rule_of_a_table_wins_and_tables_are_asked_in_order() {
    let said = Said::new("message too large for this recipient, mailbox full");
    assert_eq!(said.first(&[Table::Size]), Some(Reason::ExceedLimit));
    assert_eq!(said.first(&[Table::Full, Table::Size]), Some(Reason::MailboxFull));
    assert_eq!(said.first(&[Table::Virus]), None);
    assert_eq!(Said::new("").first(&[Table::Full]), None);
}
