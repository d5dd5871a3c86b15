//! The tables hold what they promise.

use std::path::Path;

use super::*;
use crate::Limits;
use crate::mail::Mail;

fn read(name: &str) -> Mail {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus").join(format!("{name}.eml"));
    let raw = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    crate::parse(&raw, &Limits::default()).mail
}

#[test]
fn each_rule_stands_in_the_mail_that_taught_it() {
    for (_, rule) in all() {
        if !rule.taught_by.contains('/') {
            assert!(rule.taught_by == REPLY, "{rule:?}");
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
        let said = crate::bounce::spoken::said(&text);
        assert!(said.met.iter().any(|(_, _, met)| *met == rule), "{rule:?} is not said in its mail");
        assert!(bounce.recipients.iter().any(|recipient| recipient.reason == rule.reason), "{rule:?}");
    }
}

/// A server's reply of `tests/corpus/replies`: what it means, what it answers, and the host that says it, where it means
/// that at this host alone. A line has four columns, or five with the host.
struct Reply {
    reason: String,
    command: String,
    text: String,
    host: Option<String>,
}

fn replies() -> Vec<Reply> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/replies");
    let mut replies = Vec::new();
    for file in std::fs::read_dir(&folder).unwrap().flatten().map(|file| file.path()) {
        for (number, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let place = format!("{}:{}", file.display(), number + 1);
            let (reason, command, who, text, host) = match line.split('\t').collect::<Vec<_>>()[..] {
                [reason, command, who, text] => (reason, command, who, text, None),
                [reason, command, who, text, host] => (reason, command, who, text, Some(host.to_owned())),
                _ => panic!(
                    "{place}: not reason, command, who says it, the reply and its host, with tabs between them"
                ),
            };
            assert!(!who.is_empty() && !text.is_empty() && host.as_deref() != Some(""), "{place}");
            let [reason, command, text] = [reason, command, text].map(str::to_owned);
            replies.push(Reply { reason, command, text, host });
        }
    }
    replies
}

/// The report that a sending host makes of a reply.
fn report(reply: &Reply) -> String {
    let answered = if reply.command == "-" {
        String::new()
    } else {
        format!(" (in reply to {} command)", reply.command)
    };
    let host = reply.host.as_ref().map_or_else(String::new, |host| format!("Remote-MTA: dns; {host}\n"));
    format!(
        "From: MAILER-DAEMON@mx.example.com\nTo: sender@example.com\nSubject: Undelivered Mail\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\n\
         Your mail could not be delivered.\n\n--b\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; mx.example.com\n\nFinal-Recipient: rfc822; kijitora@example.org\n\
         {host}Action: failed\nDiagnostic-Code: smtp; {}{answered}\n\n--b--\n",
        reply.text
    )
}

#[test]
fn each_reply_has_the_reason_it_states() {
    let mut wrong = Vec::new();
    for reply in replies() {
        let mail = crate::parse(report(&reply).as_bytes(), &Limits::default()).mail;
        let bounce = mail.bounce.unwrap_or_else(|| panic!("{} makes no bounce", reply.text));
        let read = bounce.recipients.iter().map(|recipient| recipient.reason.as_str()).collect::<Vec<_>>();
        if read != [reply.reason.as_str()] {
            wrong.push(format!("{}: read as {read:?}: {}", reply.reason, reply.text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_rule_without_a_mail_is_taught_by_a_reply() {
    let said: Vec<(String, Said)> =
        replies().into_iter().map(|reply| (reply.reason, crate::bounce::spoken::said(&reply.text))).collect();
    let taught = |rule: &&Rule| {
        said.iter().any(|(reason, said)| {
            reason == rule.reason.as_str() && said.met.iter().any(|(_, _, met)| *met == *rule)
        })
    };
    let rules = all().map(|(_, rule)| rule).filter(|rule| rule.taught_by == REPLY);
    let untaught: Vec<String> = rules.filter(|rule| !taught(rule)).map(|rule| format!("{rule:?}")).collect();
    assert!(untaught.is_empty(), "no reply teaches\n{}", untaught.join("\n"));
}

#[test]
fn each_status_is_taught_by_a_reply_without_words() {
    let silent =
        replies().into_iter().filter(|reply| crate::bounce::spoken::said(&reply.text).met.is_empty());
    let codes: Vec<String> =
        silent.filter_map(|reply| Some(reply.text.split(' ').nth(1)?.to_owned())).collect();
    assert_eq!(statuses::idle(&codes), [""; 0]);
}

#[test]
fn words_are_written_as_they_are_compared() {
    for (_, rule) in all() {
        assert!(!rule.words.is_empty());
        assert!(rule.words.iter().all(|word| !word.is_empty() && *word == word.to_lowercase()), "{rule:?}");
    }
}

#[test]
fn words_are_met_where_words_of_the_text_begin_and_end_as_their_rule_wants_it() {
    let met = |text, word| in_order(text, &[word]);
    for (text, word) in [
        ("550 policy", "policy$"),
        ("policy-based", "policy$"),
        ("550-spamming", "spam"),
        ("listed in rbl.example", "*rbl$"),
        ("554rtrbl", "*rbl$"),
        ("a garbled rbl", "*rbl$"),
        ("antispam", "*spam"),
        ("邮箱已满", "已满"),
        ("rcpt_not_exist", "_not_exist"),
        ("starttls", "*tls"),
        ("450 dns-p1", "dns-p#"),
    ] {
        assert!(met(text, word), "{word} in {text}");
    }
    for (text, word) in [
        ("policyholder", "policy$"),
        ("antispam", "spam"),
        ("garbled", "*rbl$"),
        ("garbled", "rbl"),
        ("1553 does", "553"),
        ("dns-primary.example", "dns-p#"),
        ("dns-p", "dns-p#"),
        ("", "spam"),
    ] {
        assert!(!met(text, word), "{word} in {text}");
    }
    assert!(in_order("no spam, no mailbox", &["no", "mailbox"]));
    assert!(!in_order("mailbox of no one", &["no", "mailbox"]), "the order counts");
    for said in ["see rblsmtpd", "multiple rbls", "dnsrbl"] {
        assert_eq!(Said::new(said).first(&[Table::Listed]), Some(Reason::Blocked), "{said}");
    }
    for (said, table) in [("spf softfail", Table::Authentication), ("quotaexceeded", Table::Full)] {
        assert!(Said::new(said).first(&[table]).is_some(), "{said}");
    }
    for said in ["the text was garbled beyond reading", "call the police", "ann is no policyholder of ours"] {
        assert_eq!(Said::new(said).met, [], "{said}");
    }
}

#[test]
fn no_rule_is_hidden_by_one_above_it() {
    for (place, (table, rule)) in all().enumerate() {
        // What may stand inside a word does.
        let said = |word: &&str| word.replacen('*', "x", 1).replace('$', "");
        let text = rule.words.iter().map(said).collect::<Vec<_>>().join(" ");
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
