//! Bounces without a machine-readable report, and what every bounce returns of the mail it is about.

use mailfleet_mime::{Bounce, BounceKind, Limits, Mail, MessageType, Reason};

fn read(raw: &str) -> Mail {
    mailfleet_mime::parse(raw.as_bytes(), &Limits::default()).mail
}

fn bounce(raw: &str) -> Bounce {
    let mail = read(raw);
    assert_eq!(mail.message_type, MessageType::Bounce, "{raw}");
    mail.bounce.expect("a bounce")
}

/// A notice in plain text, as machines without RFC 3464 write it.
fn notice(text: &str) -> String {
    format!(
        "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.org\nTo: me@example.com\nSubject: failure notice\n\n{text}"
    )
}

fn report(fields: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.org\nTo: me@example.com\nSubject: Returned mail\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
         --b\nContent-Type: text/plain\n\nNot delivered.\n\
         --b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n\n{fields}\n--b--\n"
    )
}

const RETURNED: &str = "Message-ID: <sent@example.com>\nFrom: me@example.com\nDate: Mon, 1 Jun 2026 10:00:00 +0000\n\
                        To: Ann <ann@example.org>, ben@example.org\nCc: eve@example.org\nX-Job: 7\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n";

#[test]
fn the_returned_mail_is_read_wherever_it_stands() {
    let part = |ctype: &str| {
        format!(
            "From: MAILER-DAEMON@mx.example.org\nSubject: Undelivered Mail\nContent-Type: multipart/mixed; boundary=b\n\n\
             --b\nContent-Type: text/plain\n\n<ann@example.org>: 550 5.1.1 user unknown\n\n--b\n{ctype}{RETURNED}\nHello\n--b--\n"
        )
    };
    let forms = [
        part("Content-Type: message/rfc822\n\n"),
        part("Content-Type: text/rfc822-headers\n\n"),
        part("Content-Type: message/global-headers\n\n"),
        part("Content-Type: text/plain; name=headers.txt\nContent-Disposition: attachment\n\n"),
        // The header of the part is the header of the mail.
        part(""),
        notice(&format!(
            "<ann@example.org>:\nuser unknown\n\n--- Below this line is a copy of the message.\n\n{RETURNED}\nHello\n"
        )),
        notice(&format!(
            "ann@example.org user unknown\n\n--- Original message ---\n--- of which this is the top:\n\n{RETURNED}\nHello\n"
        )),
    ];
    for raw in forms {
        let mail = read(&raw);
        let bounce = mail.bounce.unwrap_or_else(|| panic!("no bounce: {raw}"));
        assert_eq!(bounce.original_message_id.as_deref(), Some("sent@example.com"), "{raw}");
        assert_eq!(mail.original_message_id, bounce.original_message_id);
        assert_eq!(
            bounce.original.recipients,
            ["ann@example.org", "ben@example.org", "eve@example.org"],
            "{raw}"
        );
        let header = |name: &str| {
            bounce.original.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
        };
        assert_eq!((header("x-job"), header("subject")), (Some("7"), Some("Grüße")), "{raw}");
    }
}

#[test]
fn nothing_is_returned_where_nothing_was() {
    let bounce = bounce(&notice("<ann@example.org>:\nuser unknown\n"));
    assert_eq!(bounce.original, mailfleet_mime::Original::default());
    assert_eq!(bounce.original_message_id, None);
}

#[test]
fn an_unknown_user_is_one_where_rcpt_was_answered_and_else_a_filter_speaks() {
    let reason = |fields: &str| {
        let bounce =
            bounce(&report(&format!("Final-Recipient: rfc822; ann@example.org\nAction: failed\n{fields}")));
        (bounce.recipients[0].reason, bounce.kind)
    };
    let unknown = (Reason::UserUnknown, BounceKind::Hard);
    let filtered = (Reason::Filtered, BounceKind::Soft);
    assert_eq!(
        reason("Status: 5.0.0\nDiagnostic-Code: smtp; 550 no such user (in reply to RCPT TO command)\n"),
        unknown
    );
    assert_eq!(
        reason("Status: 5.0.0\nDiagnostic-Code: smtp; 550 no such user (in reply to end of DATA command)\n"),
        filtered
    );
    assert_eq!(reason("Status: 5.0.0\nDiagnostic-Code: smtp; 550 no such user\n"), filtered);
    assert_eq!(reason("Status: 5.1.1\nDiagnostic-Code: smtp; 550 no such user\n"), unknown);
    assert_eq!(
        reason("Status: 5.1.0\nDiagnostic-Code: smtp; 550 user unknown (in reply to MAIL FROM command)\n"),
        (Reason::Rejected, BounceKind::Soft)
    );
}

#[test]
fn words_overrule_a_misleading_code_and_an_address_is_no_word() {
    let reason = |said: &str| {
        let fields = format!(
            "Final-Recipient: rfc822; spam@example.org\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; {said}\n"
        );
        bounce(&report(&fields)).recipients[0].reason
    };
    assert_eq!(reason("550 5.1.1 <spam@example.org> mailbox is full"), Reason::MailboxFull);
    assert_eq!(reason("550 5.1.1 <spam@example.org> no"), Reason::UserUnknown);
    assert_eq!(reason("550 5.1.1 relaying denied"), Reason::NoRelaying);
    assert_eq!(
        reason("550-5.7.1 very low\n 550-5.7.1 reputation of the sending\n 550 5.7.1 domain"),
        Reason::BadReputation
    );
}

#[test]
fn recipients_that_a_text_names_are_told_from_others() {
    let named =
        |text: &str| bounce(&notice(text)).recipients.into_iter().map(|r| r.address).collect::<Vec<_>>();
    assert_eq!(
        named(
            "Your message\n  To: list@example.org\ndid not reach the following recipient(s):\n\nann@example.org on Monday\n  Unknown Recipient\n"
        ),
        ["ann@example.org"]
    );
    assert_eq!(
        named(
            "Please ask <help@example.org>.\n\n<ann@example.org>: 550 5.1.1 user unknown\n<ben@example.org>: 552 5.2.2 full\n"
        ),
        ["ann@example.org", "ben@example.org"]
    );
    assert_eq!(
        named(
            "550 no such user here\n  MAIL FROM: me@example.com\n  RCPT TO: ann@example.org\n  From: sender@example.com\n"
        ),
        ["ann@example.org"]
    );
}

#[test]
fn a_privacy_policy_is_not_why_a_mail_came_back() {
    let said = "<ann@example.org>:\nsorry, cannot\n\nSee our privacy policy at https://example.org/privacy\n";
    assert_eq!(bounce(&notice(said)).recipients[0].reason, Reason::Undefined);
    let said = "<ann@example.org>:\n550 against our policy\n\nSee our Privacy\nPolicy.\n";
    assert_eq!(bounce(&notice(said)).recipients[0].reason, Reason::PolicyViolation);
}

#[test]
fn a_postmaster_whose_mail_came_back_is_the_recipient_and_one_who_helps_is_not() {
    let named = |raw: &str| bounce(raw).recipients.into_iter().map(|r| r.address).collect::<Vec<_>>();
    assert_eq!(named(&notice("<postmaster@example.org>:\n550 user unknown\n")), ["postmaster@example.org"]);
    let field = "X-Failed-Recipients: postmaster@example.org\nReturn-Path";
    assert_eq!(named(&notice("No.\n").replace("Return-Path", field)), ["postmaster@example.org"]);
    let helps = "Not delivered to ann@example.org: user unknown. Ask postmaster@mx.example.net.\n";
    assert_eq!(named(&notice(helps)), ["ann@example.org"]);
}

#[test]
fn a_forwarded_address_is_told_with_the_one_that_the_mail_was_sent_to() {
    let bounce = bounce(&notice(
        "The following address(es) failed:\n\n  ann@forward.example\n    (generated from lead@example.org)\n    \
         SMTP error from remote mail server after RCPT TO:<ann@forward.example>: 550 unknown user\n",
    ));
    let [recipient] = bounce.recipients.as_slice() else { panic!("{:?}", bounce.recipients) };
    assert_eq!(recipient.address, "ann@forward.example");
    assert_eq!(recipient.original.as_deref(), Some("lead@example.org"));
    assert_eq!(recipient.reason, Reason::UserUnknown);
}

#[test]
fn a_notice_that_gives_no_mail_up_is_soft() {
    let bounce = bounce(&notice(
        "ann@example.org\n\nNo action is required. Delivery attempts will continue for some time.\n",
    ));
    assert_eq!(bounce.kind, BounceKind::Soft);
}

#[test]
fn a_vacation_notice_is_never_a_bounce_and_a_rejection_by_sieve_is() {
    let vacation = read(
        "From: ann@example.org\nSubject: Auto: Delivery failed? No, I am away\nAuto-Submitted: auto-replied\n\nSee you.\n",
    );
    assert_ne!(vacation.message_type, MessageType::Bounce);
    let rejection = "From: Mail Delivery Subsystem <ann@example.org>\nSubject: Automatically rejected mail\n\
         Auto-Submitted: auto-replied (rejected)\nContent-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n\
         --b\nContent-Type: text/plain\n\nYour message to <eve@example.org> was automatically rejected:\nQuota exceeded\n\
         --b\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822; eve@example.org\n\
         Disposition: automatic-action/MDN-sent-automatically; deleted\n--b--\n";
    let bounce = bounce(rejection);
    assert_eq!(bounce.recipients[0].address, "eve@example.org");
    assert_eq!(bounce.recipients[0].reason, Reason::MailboxFull);
}

#[test]
fn a_rejection_by_the_recipients_own_rules_leaves_the_address_alive() {
    let rejection = |text: &str| {
        let raw = format!(
            "From: ann@example.org\nSubject: Automatically rejected mail\nAuto-Submitted: auto-replied (rejected)\n\
             Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\n\n{text}\n\
             --b\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822; ann@example.org\n\
             Disposition: automatic-action/MDN-sent-automatically; deleted\n--b--\n"
        );
        let recipient = bounce(&raw).recipients.remove(0);
        (recipient.address, recipient.reason, recipient.kind)
    };
    for text in ["No, thanks.", "Your message to <ann@example.org> was automatically rejected:\nNo, thanks."]
    {
        assert_eq!(rejection(text), ("ann@example.org".to_owned(), Reason::Filtered, BounceKind::Soft));
    }
}

#[test]
fn the_category_of_the_sending_host_counts_where_words_leave_it_open() {
    let fields = "Final-Recipient: rfc822; ann@example.org\nAction: failed\nStatus: 5.0.0\n\
                  Diagnostic-Code: smtp; 554 no such user\nX-PowerMTA-BounceCategory: bad-mailbox\n";
    assert_eq!(bounce(&report(fields)).recipients[0].reason, Reason::UserUnknown);
}

#[test]
fn a_wish_to_be_removed_names_who_wishes_it() {
    let raw = "From: a@b.c\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n\
               --b\nContent-Type: message/feedback-report\n\nFeedback-Type: opt-out\nRemoval-Recipient: ann@example.org\n--b--\n";
    let mail = read(raw);
    assert_eq!(mail.message_type, MessageType::Complaint);
    assert_eq!(mail.bounce.expect("a complaint").recipients[0].address, "ann@example.org");
    let apple = read(
        "From: ann@example.org\nAuto-Submitted: auto-replied\nX-Apple-Unsubscribe: true\nSubject: unsubscribe\n\nBye\n",
    );
    assert_eq!(apple.message_type, MessageType::Complaint);
    assert_eq!(apple.bounce.expect("a complaint").recipients[0].address, "ann@example.org");
}

#[test]
fn one_recipient_who_is_named_twice_complains_once() {
    let raw = "From: fbl@example.org\nSubject: x\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\n\
               Abuse\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nOriginal-Rcpt-To: <ann@example.org>\n\
               Original-Rcpt-To: Ann@example.org\n--b--\n";
    let recipients = read(raw).bounce.expect("a complaint").recipients;
    assert_eq!(recipients.iter().map(|r| r.address.as_str()).collect::<Vec<_>>(), ["ann@example.org"]);
}

#[test]
fn the_recipient_of_a_report_is_blamed_and_none_of_the_returned_mail() {
    let raw = report("Final-Recipient: rfc822; list@example.org\nAction: failed\nStatus: 5.1.1\n");
    let raw = raw.replace(
        "\n--b--\n",
        "\n--b\nContent-Type: text/rfc822-headers\n\nTo: ann@example.org\nCc: list@example.org\n\n--b--\n",
    );
    let recipients = bounce(&raw).recipients;
    let blamed: Vec<_> = recipients.iter().map(|recipient| recipient.address.as_str()).collect();
    assert_eq!(blamed, ["list@example.org"]);
}

#[test]
fn a_sender_or_content_that_is_refused_says_nothing_about_the_recipient() {
    for (diagnostic, status, kind) in [
        ("550 5.1.0 <me@example.com> sender rejected AUP#SNDR", "5.1.0", BounceKind::Soft),
        ("550 5.2.0 Mail rejete. Mail rejected. ofr_506 [506]", "5.2.0", BounceKind::Soft),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found", "5.1.10", BounceKind::Hard),
    ] {
        let raw = report(&format!(
            "Final-Recipient: rfc822; ann@example.org\nAction: failed\nStatus: {status}\nDiagnostic-Code: smtp; {diagnostic}\n"
        ));
        assert_eq!(bounce(&raw).kind, kind, "{diagnostic}");
    }
}

#[test]
fn a_notice_of_hmailserver_without_the_original_is_a_bounce() {
    let raw = "From: mailer-daemon@mx.example.org\nTo: me@example.com\nSubject: Message undeliverable: Hi\n\n\
               Your message did not reach some or all of the intended recipients.\n\n\
               The following recipient(s) could not be reached:\n\nann@example.org\nError Type: SMTP\n\
               Remote server (192.0.2.1) issued an error.\nhMailServer sent: RCPT TO:<ann@example.org>\n\
               Remote server replied: 550 5.1.1 User unknown\n\nhMailServer\n";
    let bounce = bounce(raw);
    assert_eq!((bounce.kind, bounce.recipients[0].address.as_str()), (BounceKind::Hard, "ann@example.org"));
}

#[test]
fn a_bounce_that_a_gateway_encloses_is_read_where_the_gateway_names_nobody() {
    let enclosed = |text: &str| {
        format!(
            "Return-Path: <>\nFrom: Mail Delivery Subsystem <postmaster@gate.example>\nTo: NotificationRecipients <x@gate.example>\n\
             Subject: Returned mail: User unknown\nContent-Type: multipart/mixed; boundary=o\n\n--o\n\n{text}\n--o\n\
             Content-Type: message/rfc822\n\n{}",
            report("Final-Recipient: rfc822; ann@example.org\nAction: failed\nStatus: 5.1.1\n").replace(
                "\n--b--\n",
                &format!("\n--b\nContent-Type: message/rfc822\n\n{RETURNED}\nHello\n--b--\n--o--\n")
            )
        )
    };
    let inner = bounce(&enclosed("Your mail came back."));
    assert_eq!(inner.recipients[0].address, "ann@example.org");
    assert_eq!(inner.recipients[0].status.as_deref(), Some("5.1.1"));
    assert_eq!(inner.original_message_id.as_deref(), Some("sent@example.com"));
    // A report that itself came back is not what the bounce is about.
    let twice = bounce(&enclosed("<sender@example.com>: 550 5.7.1 no"));
    assert_eq!(twice.recipients[0].address, "sender@example.com");
}

#[test]
fn a_refusal_for_now_is_never_final() {
    let delayed = "Final-Recipient: rfc822; ann@example.org\nAction: delayed\nStatus: 2.0.0\n";
    assert_eq!(bounce(&report(delayed)).recipients[0].reason, Reason::Expired);
    for said in [
        "450 Requested mail action not taken: mailbox unavailable",
        "451 4.1.1 user unknown, try later",
        "450 4.1.2 domain not found",
    ] {
        let text = format!(
            "<ann@example.org>: host mx.example.org[192.0.2.1] said: {said} (in reply to RCPT TO command)\n"
        );
        assert_eq!(bounce(&notice(&text)).kind, BounceKind::Soft, "{said}");
    }
}

#[test]
fn a_failure_is_never_a_delivery_whatever_numbers_stand_in_it() {
    let said = "<ann@example.org>:\n550 User unknown, says Postfix 2.9.6\n";
    assert_eq!(bounce(&notice(said)).recipients[0].reason, Reason::Filtered);
    for said in [
        "<ann@example.org>: could not be delivered. (Postfix 2.5.1)\n",
        "<ann@example.org>: no\n\nMailer 2.1.5\n",
    ] {
        let recipient = bounce(&notice(said)).recipients.remove(0);
        assert_eq!((recipient.status, recipient.reason), (None, Reason::Undefined), "{said}");
    }
    for (status, diagnostic) in [
        ("5.1.1", "550 User unknown, says Postfix 2.9.6"),
        ("5.1.1", "550 User unknown (Exim 4.96.2)"),
        ("2.0.0", "550 5.1.1 User unknown"),
    ] {
        let fields = format!(
            "Final-Recipient: rfc822; ann@example.org\nAction: failed\nStatus: {status}\nDiagnostic-Code: smtp; {diagnostic}\n"
        );
        let recipient = bounce(&report(&fields)).recipients.remove(0);
        assert_eq!(recipient.status.as_deref(), Some("5.1.1"), "{diagnostic}");
        assert_eq!(
            (recipient.kind, recipient.reason),
            (BounceKind::Hard, Reason::UserUnknown),
            "{diagnostic}"
        );
    }
}

#[test]
fn what_was_said_of_one_recipient_calls_no_other_dead() {
    let row = |address: &str| {
        format!(
            "Final-Recipient: rfc822; {address}\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 <ann@example.org> \
             User unknown\n\n"
        )
    };
    let rows = format!("{}{}", row("ann@example.org"), row("ben@example.org"));
    let kinds: Vec<BounceKind> = bounce(&report(&rows)).recipients.iter().map(|r| r.kind).collect();
    assert_eq!(kinds, [BounceKind::Hard, BounceKind::Soft]);
    // Who it was forwarded to is no recipient of the report.
    assert_eq!(bounce(&report(&row("ben@example.org"))).kind, BounceKind::Hard);
}

#[test]
fn a_rejection_that_returns_nothing_names_the_mail_in_its_notification() {
    let raw = "From: postmaster@example.org\nTo: me@example.com\nSubject: Automatically rejected mail\nAuto-Submitted: auto-replied \
               (rejected)\nContent-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\n\nNo, thanks.\n\
               --b\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822; ann@example.org\n\
               Original-Message-ID: <sent@example.com>\nDisposition: automatic-action/MDN-sent-automatically; deleted\n\n--b--\n";
    let bounce = bounce(raw);
    assert_eq!(bounce.original_message_id.as_deref(), Some("sent@example.com"));
    let recipient = &bounce.recipients[0];
    assert_eq!((recipient.address.as_str(), recipient.reason), ("ann@example.org", Reason::Filtered));
}

#[test]
fn the_machine_that_writes_is_not_the_host_that_refused() {
    let said =
        "This is the mail system at host mx.example.org.\n\n<ann@example.org>: unknown user: \"ann\"\n";
    assert_eq!(bounce(&notice(said)).recipients[0].remote_mta, None);
    let said = "<ann@example.org>:\n     mx.example.net [192.0.2.1]:\n <<< 550 5.1.1 no such user\n";
    assert_eq!(bounce(&notice(said)).recipients[0].remote_mta.as_deref(), Some("mx.example.net"));
}

#[test]
fn of_rows_of_one_recipient_each_has_what_it_says_itself() {
    let fields = "Final-Recipient: rfc822; l@example.org\nAction: failed\nStatus: 5.0.0\n\nFinal-Recipient: rfc822; l@example.org\n\
                  Action: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 552 5.2.2 mailbox full\n";
    let text = "ann@example.net\n  (generated from l@example.org)\n  Unrouteable address\nben@example.org\n  (generated from \
                l@example.org)\n  host mx.example.org [192.0.2.1]: 552 5.2.2 mailbox full\n";
    let rows = bounce(&report(fields).replace("Not delivered.\n", text)).recipients;
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (rows[0].status.as_deref(), rows[0].reply_code, rows[0].remote_mta.as_deref()),
        (Some("5.0.0"), None, None)
    );
    assert_eq!((rows[1].status.as_deref(), rows[1].reason), (Some("5.2.2"), Reason::MailboxFull));
}

#[test]
fn a_report_about_another_says_whom_its_notice_lists() {
    let raw = |listed: &str| {
        format!(
            "From: MAILER-DAEMON@mx.example.org\nTo: me@example.com\nSubject: Returned mail: see transcript for details\nContent-Type: \
             multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\n----- The following addresses had permanent fatal \
             errors -----\n<{listed}>\n    (reason: 550 5.1.1 <cat@far.example> User unknown)\n\n--b\nContent-Type: \
             message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n\nFinal-Recipient: rfc822; cat@far.example\nAction: \
             failed\nStatus: 5.1.1\n\n--b\nContent-Type: text/rfc822-headers\n\n{RETURNED}--b--\n"
        )
    };
    let original = |listed: &str| bounce(&raw(listed)).recipients.remove(0).original;
    assert_eq!(original("ann@example.org").as_deref(), Some("ann@example.org"));
    assert_eq!(original("cat@far.example"), None, "it was not sent there");
}

#[test]
fn the_remote_host_is_its_name_alone() {
    for (field, name) in [
        ("dns; mx.example.org [192.0.2.1]", "mx.example.org"),
        ("dns;mx.example.org (TCP|192.0.2.7|4|192.0.2.1|25)", "mx.example.org"),
        ("dns; [192.0.2.1]", "[192.0.2.1]"),
        ("mx.example.org", "mx.example.org"),
    ] {
        let fields = format!(
            "Final-Recipient: rfc822; ann@example.org\nAction: failed\nStatus: 5.1.1\nRemote-MTA: {field}\n"
        );
        assert_eq!(bounce(&report(&fields)).recipients[0].remote_mta.as_deref(), Some(name), "{field}");
    }
}
