//! What the top header says, as facts: people, groups, dates and where they come from, and every field.

use chrono::{DateTime, Utc};
use mailfleet_mime::{Address, DateSource, Defect, Limits, Mail, json::Report, parse};
use serde_json::json;

fn mail(raw: &str) -> Mail {
    parse(raw.as_bytes(), &Limits::default()).mail
}

fn people(list: &[Address]) -> Vec<(&str, &str, &str)> {
    let text = |text: Option<&str>| text.map(str::to_owned).unwrap_or_default().leak() as &str;
    list.iter().map(|a| (text(a.name.as_deref()), a.address.as_str(), text(a.group.as_deref()))).collect()
}

#[test]
fn every_address_field_has_its_people_with_names_and_groups() {
    let mail = mail(
        "From: \"Doe, Jane\" <jane@a.org>, second@a.org\nSender: The Secretary <s@a.org>\n\
         Reply-To: Desk <desk@a.org>, other@a.org\n\
         To: =?utf-8?Q?R=C3=A4te?=: Ann <ann@b.org>, bob@b.org;, Carl <carl@c.org>\n\
         Cc: undisclosed-recipients:;\nCc: dora@d.org\nBcc: Quiet: eve@e.org;\n\n",
    );
    assert_eq!(people(mail.from.as_slice()), [("Doe, Jane", "jane@a.org", "")]);
    assert_eq!(people(mail.sender.as_slice()), [("The Secretary", "s@a.org", "")]);
    assert_eq!(people(&mail.reply_to), [("Desk", "desk@a.org", ""), ("", "other@a.org", "")]);
    assert_eq!(
        people(&mail.to),
        [("Ann", "ann@b.org", "Räte"), ("", "bob@b.org", "Räte"), ("Carl", "carl@c.org", "")]
    );
    assert_eq!(people(&mail.cc), [("", "dora@d.org", "")]);
    assert_eq!(people(&mail.bcc), [("", "eve@e.org", "Quiet")]);
}

#[test]
fn a_long_group_name_is_kept_once_for_all_in_it() {
    let raw = format!("To: {}: {}\n\n", "g".repeat(500_000), "a@b.org, ".repeat(5_000));
    let mail = mail(&raw);
    let groups: Vec<_> = mail.to.iter().filter_map(|address| address.group.clone()).collect();
    assert_eq!(groups.len(), 5_000);
    assert!(groups.windows(2).all(|pair| std::sync::Arc::ptr_eq(&pair[0], &pair[1])));
}

#[test]
fn the_date_is_the_first_source_that_can_be_read() {
    let when = |head: &str, internal: Option<&str>| {
        let internal = internal.map(|text| text.parse::<DateTime<Utc>>().unwrap());
        let (date, source) = mail(&format!("{head}\n")).when(internal);
        (date.map(|date| date.format("%F %T").to_string()), source.as_str())
    };
    let of = |date: &str, source: DateSource| (Some(date.to_owned()), source.as_str());
    let received = "Received: from a by b; nobody knows\nReceived: from c by d\n (x; y); Sun, 2 Oct 2016 10:00:00 +0200\n\
                    Received: from e by c; Sat, 1 Oct 2016 10:00:00 +0200\n";
    let internal = Some("2016-10-03T00:00:00Z");
    let date = "Date: Sun, 2 Oct 2016 07:06:22 +0000\n";
    assert_eq!(when(&format!("{received}{date}"), internal), of("2016-10-02 07:06:22", DateSource::Date));
    for unusable in [
        "",
        "Date: yesterday\n",
        "Date: Mon, 32 Jan 0000 25:61:61 +9999\n",
        "Date: 1 Jan 2199 00:00:00 +0000\n",
    ] {
        let head = format!("{received}{unusable}");
        assert_eq!(when(&head, internal), of("2016-10-02 08:00:00", DateSource::Received), "{unusable}");
        assert_eq!(when(unusable, internal), of("2016-10-03 00:00:00", DateSource::Internal), "{unusable}");
        assert_eq!(when(unusable, None), (None, "none"), "{unusable}");
    }
}

#[test]
fn a_date_long_after_the_mail_arrived_is_not_believed() {
    let internal = |text: &str| Some(text.parse::<DateTime<Utc>>().unwrap());
    let received = "Received: from c by d; Sun, 2 Oct 2016 10:00:00 +0000\nReceived: from e by c; Sat, 1 Oct 2016 10:00:00 +0000\n";
    for (date, source, arrived) in [
        ("5 Oct 2016 09:59:00 +0000", DateSource::Date, DateSource::Date),
        ("5 Oct 2016 10:01:00 +0000", DateSource::Received, DateSource::Internal),
        ("1 Jan 2099 00:00:00 +0000", DateSource::Received, DateSource::Internal),
        ("1 Jan 1996 00:00:00 +0000", DateSource::Date, DateSource::Date),
    ] {
        let sent = mail(&format!("{received}Date: {date}\n\n"));
        assert_eq!(sent.when(None).1, source, "{date}");
        // A mailbox may have been filled long before or behind: what the last server wrote is nearer.
        assert_eq!(sent.when(internal("1999-01-01T00:00:00Z")).1, source, "{date}");
        let sent = mail(&format!("Date: {date}\n\n"));
        assert_eq!(sent.when(internal("2016-10-02T10:00:00Z")).1, arrived, "{date}");
        assert_eq!(sent.when(None).1, DateSource::Date, "nothing speaks against {date}");
    }
    let parsed =
        parse(format!("From: a@b.org\n{received}Date: 1 Jan 2099\n\n").as_bytes(), &Limits::default());
    assert_eq!(parsed.defects, [Defect::LateDate("1 Jan 2099".to_owned())]);
    // What the field says is kept as it stands.
    assert_eq!(parsed.mail.date, internal("2099-01-01T00:00:00Z"));
}

#[test]
fn every_field_is_in_the_headers_by_its_name() {
    let raw = "From: a@b.org\nList-Id: The =?utf-8?Q?L=C3=B6wen?= <lions.b.org>\nList-Unsubscribe: <mailto:x@b.org>,\n\
               \t<https://b.org/u>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\nList-Help: <https://b.org/h>\n\
               AUTO-SUBMITTED: auto-generated (cron)\nReceived: one\nReceived: two\nReceived: three\nX-Nul: a\0b\n\n";
    let mail = mail(raw);
    let wanted = json!({
        "from": "a@b.org",
        "list-id": "The Löwen <lions.b.org>",
        "list-unsubscribe": "<mailto:x@b.org>, <https://b.org/u>",
        "list-unsubscribe-post": "List-Unsubscribe=One-Click",
        "list-help": "<https://b.org/h>",
        "auto-submitted": "auto-generated (cron)",
        "received": ["one", "two", "three"],
        "x-nul": "ab",
    });
    assert_eq!(mail.headers_json(), wanted);
    let parsed = parse(raw.as_bytes(), &Limits::default());
    assert_eq!(Report::new("x", &parsed).headers, wanted);
    let order: Vec<&str> = mail.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(order[..3], ["from", "list-id", "list-unsubscribe"]);
}
