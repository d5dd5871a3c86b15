//! Layouts of notices: what each kind of server writes, in short mails after its documentation, and what is read.

use mailfleet_mime::{Limits, MessageType};

/// A header that servers return.
const RETURNED: &str = "Return-Path: <me@example.com>\nReceived: from pc7.example.com (pc7.example.com [192.0.2.7])\n\tby \
                        mx.example.com with ESMTP id 7; Mon, 1 Jun 2026 10:00:00 +0200\nMessage-ID: <sent@example.com>\n\
                        Date: Mon, 1 Jun 2026 10:00:00 +0200\nFrom: Me <me@example.com>\nTo: first@example.net\nCc: \
                        second@example.net\nSubject: Hello\n\nHello\n";

/// Reads each mail of a file, and gathers what is read otherwise than its head says.
fn hold(file: &str, null_path: bool) {
    let mut wrong = Vec::new();
    let blocks: Vec<&str> = file.split("\n=== ").skip(1).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let (head, mail) = block.split_once('\n').unwrap();
        let fields: Vec<&str> = head.split(" | ").collect();
        let (name, recipients, status, reply, reason, kind) = match fields[..] {
            [name, recipients, status, reply, reason] => (name, recipients, status, reply, reason, "-"),
            [name, recipients, status, reply, reason, kind] => {
                (name, recipients, status, reply, reason, kind)
            }
            _ => panic!("a head: {head}"),
        };
        let path = if null_path { "Return-Path: <>\n" } else { "" };
        let to = if mail.contains("\nTo: post") { "" } else { "To: me@example.com\n" };
        let raw = format!("{path}{to}{}", mail.replace("{returned}", RETURNED));
        for raw in [raw.clone(), raw.replace('\n', "\r\n")] {
            let mail = mailfleet_mime::parse(raw.as_bytes(), &Limits::default()).mail;
            let Some(bounce) = mail.bounce.filter(|_| mail.message_type == MessageType::Bounce) else {
                wrong.push(format!("{name}: taken for {:?}", mail.message_type));
                continue;
            };
            let mut found: Vec<&str> = bounce.recipients.iter().map(|r| r.address.as_str()).collect();
            let listed: Vec<&str> = recipients.split(", ").collect();
            let mut wanted = listed.clone();
            found.sort_unstable();
            wanted.sort_unstable();
            if found != wanted {
                wrong.push(format!("{name}: recipients {found:?}"));
            }
            for recipient in &bounce.recipients {
                let code = recipient.reply_code.map(|code| code.to_string());
                let place = listed.iter().position(|address| recipient.address == *address).unwrap_or(0);
                let read = [
                    ("status", status, recipient.status.as_deref()),
                    ("reply", reply, code.as_deref()),
                    ("reason", reason, Some(recipient.reason.as_str())),
                    ("kind", kind, Some(recipient.kind.as_str())),
                ];
                for (what, column, found) in read {
                    let values: Vec<&str> = column.split(", ").collect();
                    let wanted = if values.len() == 1 { column } else { values[place] };
                    if wanted != "-" && found != Some(wanted) {
                        let of = recipient.diagnostic.as_deref();
                        wrong.push(format!("{name}: {what} {found:?} of {}, {of:?}", recipient.address));
                    }
                }
            }
            let has_id = raw.contains("<sent@example.com>");
            if has_id && bounce.original_message_id.as_deref() != Some("sent@example.com") {
                wrong.push(format!("{name}: Message-ID {:?}", bounce.original_message_id));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn notices_of_unix_servers_are_read() {
    hold(include_str!("layouts/unix.txt"), true);
    hold(include_str!("layouts/unix.txt"), false);
}

#[test]
fn notices_of_groupware_are_read_in_the_languages_it_writes() {
    hold(include_str!("layouts/groupware.txt"), true);
    hold(include_str!("layouts/groupware.txt"), false);
}

#[test]
fn notices_of_providers_and_filters_are_read() {
    hold(include_str!("layouts/gateways.txt"), true);
    hold(include_str!("layouts/gateways.txt"), false);
}

#[test]
fn notices_that_servers_made_of_mails_sent_through_them_are_read() {
    hold(include_str!("layouts/made.txt"), true);
    hold(include_str!("layouts/made.txt"), false);
}
