//! What a returned mail or a complaint says of a message that we sent, in the vocabulary of delivery events.
//!
//! It is only said here. Whether it is believed is decided where it is stored: Message-ID and recipient must both be ours.

use mailfleet_mime::{BounceKind, Mail, MessageType, Recipient};
use mailfleet_model::{
    DIAGNOSTIC_MAX_CHARS, DeliveryEvent, EventKind, Permanence, lookup_message_id, recipient_key,
};
use mailfleet_store::Refs;

/// Most recipients of one report that are taken note of.
const MAX_EVENTS: usize = 1_000;

/// The messages that a mail answers. What a report is about comes first: the mail it belongs to, though it is no reply.
pub fn refs(mail: &Mail) -> Refs {
    let about = match mail.message_type {
        MessageType::Bounce | MessageType::Complaint | MessageType::ReadReceipt => {
            mail.original_message_id.as_deref()
        }
        MessageType::Email | MessageType::AutoReply | MessageType::Calendar | MessageType::Unsubscribe => {
            None
        }
    };
    Refs::of(mail.message_id.as_deref(), about, &mail.in_reply_to, &mail.references)
}

/// An event for each recipient that a report names. None without the Message-ID of the returned mail, and none of a mail
/// that is no report, whatever it quotes: an absent person's answer returns nothing.
pub fn events(mail: &Mail) -> Vec<DeliveryEvent> {
    let (MessageType::Bounce | MessageType::Complaint, Some(bounce)) = (mail.message_type, &mail.bounce)
    else {
        return Vec::new();
    };
    let about = bounce.original_message_id.as_deref().or(mail.original_message_id.as_deref());
    let Some(message_id) = about.and_then(lookup_message_id) else { return Vec::new() };
    let named = bounce.recipients.iter().filter(|recipient| !recipient_key(&recipient.address).is_empty());
    named.take(MAX_EVENTS).map(|recipient| event(recipient, &message_id)).collect()
}

fn event(recipient: &Recipient, message_id: &str) -> DeliveryEvent {
    let (kind, permanence) = match (recipient.kind, recipient.action.as_deref()) {
        (BounceKind::Hard | BounceKind::Soft, Some("delayed")) => (EventKind::Deferred, None),
        (BounceKind::Hard, _) => (EventKind::Bounced, Some(Permanence::Hard)),
        (BounceKind::Soft, _) => (EventKind::Bounced, Some(Permanence::Soft)),
        (BounceKind::Complaint, _) => (EventKind::Complained, None),
        // Handed to a system that reports nothing (RFC 3464 §2.3.3): that it arrived is not said.
        (BounceKind::Delivered, Some("relayed")) => (EventKind::Sent, None),
        (BounceKind::Delivered, _) => (EventKind::Delivered, None),
    };
    let diagnostic = recipient.diagnostic.as_ref();
    let original = recipient.original.as_deref().map(recipient_key).filter(|original| !original.is_empty());
    DeliveryEvent {
        message_id: Some(message_id.to_owned()),
        original_recipient: original,
        permanence,
        enhanced_status: recipient.status.clone(),
        smtp_code: recipient.reply_code,
        diagnostic: diagnostic.map(|text| text.chars().take(DIAGNOSTIC_MAX_CHARS).collect()),
        reason: permanence.map(|_| recipient.reason.as_str().to_owned()),
        ..DeliveryEvent::new(kind, &recipient.address)
    }
}

#[cfg(test)]
mod tests {
    use mailfleet_mime::{Limits, parse};

    use super::*;

    fn read(raw: &str) -> Mail {
        parse(raw.replace('\n', "\r\n").as_bytes(), &Limits::default()).mail
    }

    fn report(action: &str, status: &str) -> String {
        format!(
            "From: MAILER-DAEMON@mx.example.com\nTo: sales@acme.example\nSubject: Undelivered Mail\n\
             Message-ID: <dsn@mx.example.com>\nMIME-Version: 1.0\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
             --b\nContent-Type: text/plain\n\nSorry.\n\
             --b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.com\n\n\
             Final-Recipient: rfc822; Lead@Example.org\nAction: {action}\nStatus: {status}\n\
             Diagnostic-Code: smtp; 550 {status} no such user\n\n\
             --b\nContent-Type: message/rfc822\n\nMessage-ID: <sent.1@acme.example>\nTo: lead@example.org\n\nHi\n--b--\n"
        )
    }

    #[test]
    fn a_failure_is_a_bounce_and_a_delay_is_not() {
        let failed = events(&read(&report("failed", "5.1.1")));
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!((failed[0].kind, failed[0].permanence), (EventKind::Bounced, Some(Permanence::Hard)));
        assert_eq!(failed[0].message_id.as_deref(), Some("sent.1@acme.example"));
        assert_eq!(failed[0].recipient, "lead@example.org");
        assert_eq!((failed[0].enhanced_status.as_deref(), failed[0].smtp_code), (Some("5.1.1"), Some(550)));
        assert_eq!(failed[0].reason.as_deref(), Some("userunknown"));
        let delayed = events(&read(&report("delayed", "4.4.1")));
        assert_eq!(delayed.iter().map(|e| e.kind).collect::<Vec<_>>(), [EventKind::Deferred]);
        let delivered = events(&read(&report("delivered", "2.0.0")));
        assert_eq!(delivered.iter().map(|e| e.kind).collect::<Vec<_>>(), [EventKind::Delivered]);
    }

    #[test]
    fn a_report_of_a_server_that_forwards_tells_both_addresses_in_one_event() {
        let both = "Original-Recipient: rfc822;Sold@acme.test\nFinal-Recipient";
        let told = events(&read(&report("failed", "5.1.1").replace("Final-Recipient", both)));
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].recipient, "lead@example.org");
        assert_eq!(told[0].original_recipient.as_deref(), Some("sold@acme.test"));
        assert_eq!(events(&read(&report("failed", "5.1.1")))[0].original_recipient, None);
    }

    #[test]
    fn a_report_belongs_to_the_message_it_is_about() {
        let refs = refs(&read(&report("failed", "5.1.1")));
        assert_eq!(refs, Refs::of(None, Some("sent.1@acme.example"), &[], &[]));
    }

    #[test]
    fn an_absent_persons_answer_is_never_a_bounce() {
        let away = "From: lead@example.org\nTo: sales@acme.example\nSubject: Out of office until Monday\n\
                    Auto-Submitted: auto-replied\nIn-Reply-To: <sent.1@acme.example>\n\n\
                    550 5.1.1 <lead@example.org> user unknown: I am away.\n";
        let mail = read(away);
        assert_eq!(mail.message_type, MessageType::AutoReply);
        assert_eq!(events(&mail), []);
    }
}
