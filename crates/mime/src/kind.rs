//! What kind of mail this is: by structure first, then by the fields machines set, then by the words they use.

pub(crate) mod author;
pub(crate) mod auto_reply;
pub(crate) mod intent;
pub(crate) mod receipt;
pub(crate) mod refused_post;
pub(crate) mod subject;
pub(crate) mod undelivered;

use crate::assemble;
use crate::bounce;
use crate::bounce::named;
use crate::bounce::nested;
use crate::bounce::notice::Notice;
use crate::bounce::report::{self, Row};
use crate::bounce::returned::{self, Returned};
use crate::kind::author::is_named_daemon;
use crate::kind::auto_reply::{is_auto_reply, says_auto_reply};
use crate::kind::undelivered::{is_bounce_passed_on, is_passed_on, is_rejection, looks_like_bounce};
use crate::limits::Limits;
use crate::mail::{Attachment, Bounce, Mail, MessageType};
use crate::structure::Part;
use crate::words::Decoder;

/// Media types of reports that tell what became of each recipient.
const STATUSES: &[&str] = &["message/delivery-status", "message/global-delivery-status"];

/// Media types of disposition notifications.
const DISPOSITIONS: &[&str] = &["message/disposition-notification"];

/// Media types of complaints.
const FEEDBACK: &[&str] = &["message/feedback-report"];

/// Decides the kind of a mail and reads the report it holds.
pub(crate) fn classify(
    mail: &mut Mail,
    parts: &[Part<'_>],
    reports: &[usize],
    limits: &Limits,
    decoder: &mut Decoder,
) {
    let top = parts.first().filter(|part| part.mime_type == "multipart/report");
    let report_type = top.and_then(|part| part.ctype.token("report-type")).map(str::to_ascii_lowercase);
    let attached = reports.iter().filter_map(|&index| mail.attachments.get(index)).collect();
    let found = Reading { mail, parts, attached, report_type, limits }.judge(decoder);
    mail.message_type = found.message_type;
    mail.bounce = found.bounce;
    mail.original_message_id = found.original_message_id;
}

/// What a mail is, and what it says of the mail that it is about.
struct Judgement {
    message_type: MessageType,
    bounce: Option<Bounce>,
    original_message_id: Option<String>,
}

impl Judgement {
    const fn new(message_type: MessageType, original_message_id: Option<String>) -> Self {
        Self { message_type, bounce: None, original_message_id }
    }

    fn about(message_type: MessageType, bounce: Bounce) -> Self {
        let original_message_id = bounce.original_message_id.clone();
        Self { message_type, bounce: Some(bounce), original_message_id }
    }
}

/// A mail and the reports in it.
struct Reading<'a> {
    mail: &'a Mail,
    parts: &'a [Part<'a>],
    /// The machine-readable reports and the returned mails.
    attached: Vec<&'a Attachment>,
    /// What kind of report the whole mail is, as it says (RFC 6522).
    report_type: Option<String>,
    limits: &'a Limits,
}

impl Reading<'_> {
    fn judge(&self, decoder: &mut Decoder) -> Judgement {
        let mail = self.mail;
        let rows = self.rows(decoder);
        let notice = self.is_bounce(&rows).then(|| Notice::new(mail.shown_text()));
        let feedback = self.find(FEEDBACK).filter(|_| !is_passed_on(mail, self.parts));
        if feedback.is_some() || self.is_report_of("feedback-report") || receipt::is_complaint(mail) {
            return self.complaint(feedback, notice.as_ref(), decoder);
        }
        if is_unsubscribed_by_apple(mail) {
            let from = mail.from.iter().map(|from| from.address.clone()).collect();
            return Judgement {
                original_message_id: None,
                ..Judgement::about(MessageType::Complaint, bounce::complaint(from, &Returned::default()))
            };
        }
        if let Some(notice) = notice {
            return self.bounce(rows, &notice, decoder);
        }
        if let Some(part) = self.find(DISPOSITIONS).filter(|_| !is_passed_on(mail, self.parts)) {
            let original = report::disposition_original(&part.content, self.limits, decoder);
            return self.receipt(original, decoder);
        }
        if self.is_report_of("disposition-notification") || receipt::is_read(mail) {
            return self.receipt(mail.in_reply_to.first().cloned(), decoder);
        }
        if self.report_type.is_none() && (is_auto_reply(mail) || says_auto_reply(mail)) {
            return Judgement::new(MessageType::AutoReply, mail.in_reply_to.first().cloned());
        }
        Judgement::new(intent::read(mail, self.parts), None)
    }

    fn find(&self, types: &[&str]) -> Option<&Attachment> {
        self.attached.iter().find(|part| types.contains(&part.mime_type.as_str())).copied()
    }

    fn is_report_of(&self, kind: &str) -> bool {
        self.report_type.as_deref() == Some(kind)
    }

    /// What the reports of delivery say, all of them.
    fn rows(&self, decoder: &mut Decoder) -> Vec<Row> {
        let mut rows = Vec::new();
        for part in self.attached.iter().filter(|part| STATUSES.contains(&part.mime_type.as_str())) {
            rows.extend(report::delivery_status(&part.content, self.limits, decoder));
        }
        rows
    }

    fn is_bounce(&self, rows: &[Row]) -> bool {
        let (mail, parts) = (self.mail, self.parts);
        if !rows.is_empty() {
            return !is_bounce_passed_on(mail, parts);
        }
        let may_be_one = || self.find(DISPOSITIONS).is_none() || is_rejection(mail);
        let is_answer = || is_auto_reply(mail) && !is_named_daemon(mail);
        self.is_report_of("delivery-status")
            || may_be_one() && !is_answer() && looks_like_bounce(mail, parts, self.limits)
    }

    /// A bounce by its rows; where it has none by those of a rejection, by those that were flattened into its text, by those
    /// of a bounce that it encloses where it names nobody, and else by what it says.
    fn bounce(&self, mut rows: Vec<Row>, notice: &Notice, decoder: &mut Decoder) -> Judgement {
        let (mail, limits) = (self.mail, self.limits);
        let mut enclosed = None;
        // Whom a rejection is by stands in its notification (RFC 8098): who else its text names is somebody's own words.
        if rows.is_empty()
            && is_rejection(mail)
            && let Some(part) = self.find(DISPOSITIONS)
        {
            rows = report::delivery_status(&part.content, limits, decoder);
        }
        if rows.is_empty()
            && let Some(fields) = notice.flattened_report()
        {
            rows = report::delivery_status(fields.as_bytes(), limits, decoder);
        }
        if rows.is_empty()
            && named::recipients(notice, mail, limits).is_empty()
            && let Some((inner, about)) = nested::report(mail, limits, decoder)
        {
            (rows, enclosed) = (inner, Some(about));
        }
        rows.truncate(limits.max_recipients);
        let returned = enclosed.unwrap_or_else(|| self.returned(Some(notice), decoder));
        report::name_as_sent(&mut rows, &returned);
        let bounce = if rows.is_empty() {
            bounce::from_text(mail, notice, &returned, limits)
        } else {
            bounce::from_rows(mail, rows, notice, &returned, limits)
        };
        Judgement::about(MessageType::Bounce, bounce)
    }

    fn complaint(
        &self,
        feedback: Option<&Attachment>,
        notice: Option<&Notice>,
        decoder: &mut Decoder,
    ) -> Judgement {
        let returned = self.returned(notice, decoder);
        let mut addresses =
            feedback.map_or_else(Vec::new, |part| report::feedback(&part.content, self.limits));
        if addresses.is_empty() {
            let named = returned.original.headers.iter().find(|(name, _)| name == receipt::COMPLAINANT);
            addresses.extend(named.map(|(_, value)| value.trim_matches(['<', '>', ' ']).to_owned()));
        }
        Judgement::about(MessageType::Complaint, bounce::complaint(addresses, &returned))
    }

    /// A receipt of the mail that it names, or else returns.
    fn receipt(&self, original: Option<String>, decoder: &mut Decoder) -> Judgement {
        let original = original.or_else(|| self.labelled(decoder)?.message_id);
        Judgement::new(MessageType::ReadReceipt, original)
    }

    /// The mail that is returned in a part of its own, or in one that is not labelled so, or in the text.
    fn returned(&self, notice: Option<&Notice>, decoder: &mut Decoder) -> Returned {
        let in_text = |notice: &Notice, decoder: &mut Decoder| {
            returned::read(notice.returned.as_bytes(), self.limits, decoder)
        };
        let mut returned = self
            .labelled(decoder)
            .or_else(|| returned::mislabelled(self.mail, self.parts, self.limits, decoder))
            .or_else(|| notice.map(|notice| in_text(notice, decoder)))
            .unwrap_or_default();
        if returned.message_id.is_none()
            && let Some(part) = self.find(DISPOSITIONS)
        {
            returned.message_id = report::disposition_original(&part.content, self.limits, decoder);
        }
        returned
    }

    fn labelled(&self, decoder: &mut Decoder) -> Option<Returned> {
        self.find(assemble::RETURNED).map(|part| returned::read(&part.content, self.limits, decoder))
    }
}

/// Apple Mail writes for its user, with a field for the machine that reads it.
fn is_unsubscribed_by_apple(mail: &Mail) -> bool {
    mail.header("x-apple-unsubscribe").is_some_and(|value| value.trim() == "true")
}
