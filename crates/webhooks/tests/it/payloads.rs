//! Every call of the corpus means what `events.tsv` says it means.

use std::collections::BTreeSet;

use mailfleet_model::{DeliveryEvent, EventKind, Permanence};
use mailfleet_webhooks::{all, by_name};

use crate::support::{SIGNED_AT, dir, file, read};

/// What the table's words mean in our vocabulary. What a provider refused to send will not arrive (a bounce), and says
/// nothing of the address (soft), and why is told.
fn means(event: &DeliveryEvent, word: &str, bounce: &str) -> bool {
    let permanence = match bounce {
        "hard" => Some(Permanence::Hard),
        "soft" => Some(Permanence::Soft),
        _ => None,
    };
    match word {
        "rejected" => {
            event.kind == EventKind::Bounced
                && event.permanence == Some(Permanence::Soft)
                && matches!(event.reason.as_deref(), Some("suppressed" | "rejected"))
        }
        "bounced" => event.kind == EventKind::Bounced && event.permanence == permanence,
        _ => event.kind.as_str() == word && event.permanence.is_none(),
    }
}

#[test]
fn every_call_of_the_corpus_means_what_the_table_says() {
    let table = String::from_utf8(file("events.tsv")).unwrap();
    let mut seen = BTreeSet::new();
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (provider, name, word, bounce) = (columns[0], columns[1], columns[2], columns[3]);
        assert!(by_name(provider).is_some(), "{provider}");
        let reading = read(provider, &file(&format!("{provider}/{name}"))).unwrap();
        seen.insert(format!("{provider}/{name}"));
        if word == "control" {
            assert!(reading.events.is_empty() && reading.ignored == 1, "{line}: {reading:?}");
            continue;
        }
        assert!(!reading.events.is_empty() && reading.ignored == 0, "{line}: {reading:?}");
        for event in &reading.events {
            assert!(means(event, word, bounce), "{line}: {event:?}");
            assert_eq!(event.message_id.as_deref(), Some("msg-1@example.org"), "{line}");
            assert!(event.recipient.contains('@'), "{line}: {event:?}");
            let seconds = event.occurred_ms.unwrap() / 1_000 - SIGNED_AT;
            assert!((-10..=3_600).contains(&seconds), "{line}: {seconds} s after");
        }
    }
    let files = all().iter().flat_map(|provider| {
        let folder = dir().join(provider.name());
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .map(|file| format!("{}/{}", provider.name(), file.unwrap().file_name().to_string_lossy()))
    });
    assert_eq!(files.collect::<BTreeSet<_>>(), seen, "every file is in the table, and the other way round");
    assert!(seen.len() >= 23, "{}", seen.len());
}

#[test]
fn what_the_remote_server_said_comes_through() {
    for (provider, name, smtp, enhanced, diagnostic) in [
        ("postal", "message_delivery_failed", Some(550), Some("5.1.1"), "550 5.1.1 user unknown"),
        ("postal", "message_delayed", Some(451), Some("4.7.1"), "451 4.7.1 greylisted"),
        ("mailgun", "failed_permanent", Some(550), Some("5.1.1"), "5.1.1 user unknown"),
        ("mailgun", "failed_suppressed", None, None, "Not delivering to previously bounced address"),
        ("ses-sns", "bounce_permanent", Some(550), Some("5.1.1"), "smtp; 550 5.1.1 user unknown"),
        ("ses-sns", "delivery_delay", Some(421), Some("4.4.1"), "smtp; 421 4.4.1 unable to connect"),
        ("standard-webhooks", "delivery_status", Some(550), Some("5.1.1"), "550 5.1.1 user unknown"),
    ] {
        let event = read(provider, &file(&format!("{provider}/{name}.json"))).unwrap().events.remove(0);
        assert_eq!(
            (event.smtp_code, event.enhanced_status.as_deref(), event.diagnostic.as_deref()),
            (smtp, enhanced, Some(diagnostic)),
            "{provider}/{name}"
        );
    }
}
