//! Mails of people that look like a machine's: none of them may be lost as a bounce, an automatic answer, a receipt.

use mailfleet_mime::{Limits, MessageType};

#[track_caller]
fn check(raw: &str, kind: MessageType) {
    let mail = mailfleet_mime::parse(raw.as_bytes(), &Limits::default()).mail;
    assert_eq!(mail.message_type, kind, "{raw}");
}

fn by(from: &str, rest: &str) -> String {
    format!(
        "Return-Path: <bob@example.org>\nFrom: {from}\nTo: me@example.com\nContent-Type: text/plain; charset=utf-8\n{rest}"
    )
}

/// A mail about mails that do not arrive, as Outlook quotes it.
const QUOTED: &str = "From: Me <me@example.com>\nSent: Monday, 1 June 2026 10:00\nTo: Bob <bob@example.org>\nSubject: Mails that \
                      were not delivered\n\nMany of your mails could not be delivered: 550 5.7.1 and others. We can help.\n";

#[test]
fn an_answer_that_quotes_a_mail_about_bounces_is_an_answer() {
    for subject in [
        "RE: Mails that were not delivered",
        "RE: A question for you and for your team about mails that were not delivered",
        "[Ticket 77] Re: Mails not delivered",
        "Mails not delivered",
        "[Helpdesk] Undeliverable: Hello",
    ] {
        for from in [
            "Bob <bob@example.org>",
            "\"Bob Bee, System Administrator\" <bob@example.org>",
            "\"Bob (Mail Server Team)\" <bob@example.org>",
            "Microsoft Outlook <bob@example.org>",
            "Bob <postmaster@example.org>",
        ] {
            let text = format!("Sounds good, call me on Monday.\n\n{QUOTED}");
            check(&by(from, &format!("Subject: {subject}\n\n{text}")), MessageType::Email);
        }
    }
}

#[test]
fn a_parcel_that_comes_back_is_no_bounce() {
    for text in [
        "The parcel could not be delivered. 550 Main street was closed.\n",
        "The parcel could not be delivered.\n550 Main street was closed.\n\nBob Bee, bob@example.org\n",
        "Your parcel could not be delivered to the following address:\n12 Main street\nQuestions: help@example.org\n",
    ] {
        for from in ["Bob <bob@example.org>", "no-reply@example.org"] {
            check(&by(from, &format!("Subject: Delivery failed - parcel\n\n{text}")), MessageType::Email);
        }
    }
}

#[test]
fn newsletters_and_dates_about_bounces_are_none() {
    let text = "Mail could not be delivered? Servers say why:\n\n550 5.1.1 means no such user.\n\nnews@example.org\n";
    let head = "Subject: Why mail is not delivered\nList-Unsubscribe: <mailto:u@example.org>\n";
    check(&by("news@example.org", &format!("{head}\n{text}")), MessageType::Email);
    check(
        &format!(
            "From: bob@example.org\nSubject: Delivery report\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\n{text}\n\
             --b\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\n--b--\n"
        ),
        MessageType::Calendar,
    );
}

#[test]
fn a_parcel_that_did_not_reach_the_addressee_is_no_bounce() {
    let mail = "From: Shop <shop@example.org>\nTo: Bob <bob@example.com>\nSubject: Your parcel could not be delivered\n\n\
                Order 12345\nThe parcel could not be delivered.\nbob@example.com\n";
    check(mail, MessageType::Email);
    check(&mail.replace("delivered.\nbob@", "delivered.\nann@"), MessageType::Bounce);
}

#[test]
fn a_newsletter_from_an_address_that_takes_bounces_is_none() {
    let mail = "From: News <bounce@news.example>\nSubject: Undelivered: ten gifts\nList-Unsubscribe: <https://news.example>\n\n                Your parcel could not be delivered. Ten gifts wait.\n";
    check(mail, MessageType::Email);
    check(&mail.replace("List-Unsubscribe", "X-Other"), MessageType::Bounce);
    check(&format!("Return-Path: <>\n{mail}"), MessageType::Bounce);
}

#[test]
fn a_postmaster_may_write_of_deliveries() {
    for subject in ["Re: Delivery report of May", "Delivery problems with your newsletter"] {
        check(
            &by(
                "Bob <postmaster@example.org>",
                &format!("Subject: {subject}\n\nHave you an offer for us?\n"),
            ),
            MessageType::Email,
        );
    }
}

#[test]
fn an_automatic_answer_to_a_mail_about_bounces_is_no_bounce() {
    for subject in
        ["Re: Delivery problems", "Re: How to lower your delivery errors", "[Ticket 55] Delivery problems"]
    {
        for from in ["Bob <bob@example.org>", "Bob <postmaster@example.org>"] {
            let raw = by(
                from,
                &format!("Auto-Submitted: auto-replied\nSubject: {subject}\n\nI will answer on Monday.\n"),
            );
            check(&raw, MessageType::AutoReply);
            // Without a name such a mail of the postmaster could be either.
            if from.contains("bob@") {
                check(&raw.replace("<bob@example.org>\nFrom", "<>\nFrom"), MessageType::AutoReply);
            }
        }
    }
}

#[test]
fn a_sentence_that_begins_as_the_subject_of_an_automatic_answer_is_a_persons() {
    for subject in [
        "Auto: new car offers",
        "Automatic reply to your question about prices",
        "Out of the office supplies",
        "Out of office supplies?",
        "Away from my desk, call me",
        "I am out of budget this year",
        "I'm out of ideas",
        "On vacation next week, talk after?",
        "Auto response software",
        "Automated response systems",
        "Vacation: photos of Ann",
        "Abwesenheit nächste Woche",
    ] {
        let raw =
            by("Bob <bob@example.org>", &format!("Subject: {subject}\n\nWhat does it cost? Call me.\n"));
        check(&raw, MessageType::Email);
    }
}

#[test]
fn such_a_subject_is_a_machines_where_a_field_or_the_text_shows_it() {
    for subject in ["Auto: Hello", "I am out of the office until Monday", "Out of office - Ann"] {
        for field in [
            "Auto-Submitted: auto-generated\n",
            "X-Auto-Response-Suppress: All\n",
            "In-Reply-To: <sent@example.com>\n",
        ] {
            check(
                &by("bob@example.org", &format!("{field}Subject: {subject}\n\nBis Montag.\n")),
                MessageType::AutoReply,
            );
        }
        check(
            &by("bob@example.org", &format!("Subject: {subject}\n\nI'm away, Ann helps.\n")),
            MessageType::AutoReply,
        );
    }
    check(&by("bob@example.org", "Subject: Out of office\n\n"), MessageType::AutoReply);
}

#[test]
fn a_field_that_denies_an_automatic_answer_is_none() {
    for field in ["X-Autoreply: no", "Auto-Submitted: no", "Delivered-To: autoresponder@example.com"] {
        check(&by("bob@example.org", &format!("{field}\nSubject: Hello\n\nHello\n")), MessageType::Email);
    }
    check(&by("bob@example.org", "Delivered-To: Autoresponder\nSubject: Hello\n\n"), MessageType::AutoReply);
}

#[test]
fn a_report_that_many_have_read_is_no_receipt() {
    let text = "Our report has been read by 4000 people.\n";
    check(&by("bob@example.org", &format!("Subject: Read: our report\n\n{text}")), MessageType::Email);
}

#[test]
fn a_subject_of_a_thousand_marks_is_read_in_bounded_steps() {
    let subject = "re:".repeat(200_000);
    check(
        &by("bob@example.org", &format!("Subject: {subject} undeliverable\n\nHello\n")),
        MessageType::Email,
    );
}
