//! Mails whose every byte is known, so that a test can say what must arrive.

use data_encoding::BASE64_MIME;

/// A mail and what must be found of it.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Its number, also its Message-ID: `<number@run.example>`.
    pub number: u32,
    /// As delivered.
    pub raw: Vec<u8>,
    /// The decoded bytes of its attachment, if it has one.
    pub attachment: Option<Vec<u8>>,
}

/// The mail of a number: small ones travel inside their queue entry; every fifth has an attachment of some 20 KiB, too
/// large for that.
#[must_use]
pub fn numbered(number: u32) -> Mail {
    let attachment = number.is_multiple_of(5).then(|| {
        (0..20_000u32)
            .map(|i| i.wrapping_mul(2_654_435_761).wrapping_add(number).to_le_bytes()[3])
            .collect::<Vec<u8>>()
    });
    let head = format!(
        "Return-Path: <sender{number}@lead.example>\r\nDelivered-To: inbox@acme.example\r\nFrom: Lead {number} <sender{number}@lead.example>\r\n\
         To: inbox@acme.example\r\nSubject: Number {number}\r\nMessage-ID: <{number}@run.example>\r\n\
         Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    );
    let raw = match &attachment {
        None => format!("{head}Content-Type: text/plain; charset=utf-8\r\n\r\nThis is mail {number}.\r\n"),
        Some(bytes) => format!(
            "{head}Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nThis is mail \
             {number}.\r\n--b\r\nContent-Type: application/octet-stream; name=\"data-{number}.bin\"\r\n\
             Content-Disposition: attachment; filename=\"data-{number}.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
             {}\r\n--b--\r\n",
            BASE64_MIME.encode(bytes).trim_end()
        ),
    };
    Mail { number, raw: raw.into_bytes(), attachment }
}

/// The Message-ID of the message of a number that we sent.
#[must_use]
pub fn sent_message_id(number: u32) -> String {
    format!("<sent-{number}@acme.example>")
}

/// Whom we sent it to.
#[must_use]
pub fn sent_to(number: u32) -> String {
    format!("lead{number}@lead.example")
}

/// The mail that comes back when the recipient of such a message is not known.
#[must_use]
pub fn bounce_of(number: u32) -> Vec<u8> {
    let (id, to) = (sent_message_id(number), sent_to(number));
    format!(
        "Return-Path: <>\r\nDelivered-To: inbox@acme.example\r\nFrom: MAILER-DAEMON@mx.lead.example\r\nTo: inbox@acme.example\r\n\
         Subject: Undelivered Mail Returned to Sender\r\nMessage-ID: <bounce-{number}@mx.lead.example>\r\n\
         Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"r\"\r\n\r\n--r\r\nContent-Type: text/plain\r\n\r\n\
         Your message could not be delivered.\r\n--r\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.lead.example\r\n\r\nFinal-Recipient: rfc822; {to}\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 <{to}>: user unknown\r\n--r\r\nContent-Type: text/rfc822-headers\r\n\r\n\
         From: inbox@acme.example\r\nTo: {to}\r\nSubject: Offer {number}\r\nMessage-ID: {id}\r\n--r--\r\n"
    )
    .into_bytes()
}

/// A stored mail as an IMAP server sends it: every line end is CRLF.
#[must_use]
pub fn as_served(raw: &[u8]) -> Vec<u8> {
    let mut served = Vec::with_capacity(raw.len() + raw.len() / 40);
    let mut before = 0u8;
    for &byte in raw {
        if byte == b'\n' && before != b'\r' {
            served.push(b'\r');
        }
        served.push(byte);
        before = byte;
    }
    served
}
