//! A fast look at the top header: what decides a mail's lane and tenant before it is parsed.

use crate::address;
use crate::content_type::Parameterised;
use crate::defect::Found;
use crate::header;
use crate::limits::Limits;
use crate::mail::{Address, domain};
use crate::message_id;
use crate::parse::prepare;
use crate::words::Decoder;

/// What [`peek`] saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peek {
    /// Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// The Message-IDs this mail answers.
    pub in_reply_to: Vec<String>,
    /// The Message-IDs of the thread, oldest first.
    pub references: Vec<String>,
    /// `Return-Path: <>`: sent by a machine that wants no answer.
    pub return_path_empty: bool,
    /// The mail is a `multipart/report`.
    pub is_report: bool,
    /// The address of the topmost Delivered-To, else of the topmost X-Original-To: whom the delivery was for.
    pub delivered_to: Option<String>,
    /// To and Cc.
    pub to_cc: Vec<Address>,
}

impl Peek {
    /// The domains that may say whose mail of a shared account this is, best first: that of the topmost delivery header;
    /// without one those of To and Cc, where the account allows it.
    ///
    /// A delivery header that names a domain nobody owns is not overruled by what the sender wrote into To.
    #[must_use]
    pub fn owner_domains(&self, to_cc_may_decide: bool) -> Vec<String> {
        if let Some(delivered) = self.delivered_to.as_deref().and_then(domain) {
            return vec![delivered];
        }
        if to_cc_may_decide { self.to_cc.iter().filter_map(Address::domain).collect() } else { Vec::new() }
    }
}

/// Bytes of a mail that are looked at: a header block longer than this is not read to its end.
const MAX_BYTES: usize = 256 * 1024;
/// Addresses of each of To and Cc that are read.
const MAX_ADDRESSES: usize = 200;
/// Encoded words that are decoded.
const MAX_WORDS: usize = 400;

/// Reads the few header fields that decide a mail's lane and tenant. Total and bounded, like
/// [`parse`](crate::parse), with which it agrees on every field of the first 256 KiB: on the ids to the byte, on names and
/// addresses except where raw 8-bit text is in a charset that only the body declares.
#[must_use]
pub fn peek(raw: &[u8]) -> Peek {
    let raw = prepare(raw.get(..MAX_BYTES).unwrap_or(raw));
    let mut decoder = Decoder::new(MAX_WORDS);
    let block = header::read(&raw, 0, &Limits::default(), &mut Found::default(), |_| false);
    let mut ids = |name| block.first(name).map(|raw| message_id::read(raw, &mut decoder)).unwrap_or_default();
    let (in_reply_to, references) = (ids("in-reply-to"), ids("references"));
    let mut to_cc = Vec::new();
    for name in ["to", "cc"] {
        // Every copy of a repeated field, as `parse` reads them.
        let copies = block.fields.iter().filter(|field| field.name == name);
        let most = to_cc.len() + MAX_ADDRESSES;
        for copy in copies {
            to_cc.extend(address::read(copy.raw, most - to_cc.len(), &mut decoder));
        }
    }
    let mut only = |name| {
        let found = block.first(name).map(|raw| address::read(raw, MAX_ADDRESSES, &mut decoder));
        found.unwrap_or_default().into_iter().map(|found| found.address).find(|found| !found.is_empty())
    };
    let delivered_to = only("delivered-to").or_else(|| only("x-original-to"));
    Peek {
        message_id: block.first("message-id").and_then(|raw| message_id::read_one(raw, &mut decoder)),
        in_reply_to,
        references,
        return_path_empty: block.first("return-path").is_some_and(is_null_path),
        is_report: block
            .first("content-type")
            .is_some_and(|raw| Parameterised::read(raw).value == "multipart/report"),
        delivered_to,
        to_cc,
    }
}

/// `<>`, with white space or a comment.
pub(crate) fn is_null_path(raw: &[u8]) -> bool {
    let raw = raw.trim_ascii();
    raw.strip_prefix(b"<").is_some_and(|rest| rest.trim_ascii_start().starts_with(b">"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_that_decide_lane_and_tenant_are_seen() {
        let seen = peek(
            b"Return-Path: <>\r\nDelivered-To: Box@One.example\r\nDelivered-To: old@two.example\r\n\
              In-Reply-To: <p@x>\r\nReferences: <r@x>\r\n <p@x>\r\nMessage-ID: <m@x>\r\nTo: A <a@b>, c@d\r\nCc: e@f\r\n\
              Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=b\r\n\r\n--b\r\n",
        );
        assert_eq!(seen.message_id.as_deref(), Some("m@x"));
        assert_eq!(
            (seen.in_reply_to, seen.references),
            (vec!["p@x".into()], vec!["r@x".into(), "p@x".into()])
        );
        assert!(seen.return_path_empty && seen.is_report);
        assert_eq!(seen.delivered_to.as_deref(), Some("Box@One.example"));
        let to_cc: Vec<_> = seen.to_cc.into_iter().map(|a| a.address).collect();
        assert_eq!(to_cc, ["a@b", "c@d", "e@f"]);
    }

    #[test]
    fn every_copy_of_a_repeated_field_is_seen() {
        let to_cc: Vec<_> =
            peek(b"To: a@b\nCc: c@d\nTo: e@f\n\n").to_cc.into_iter().map(|a| a.address).collect();
        assert_eq!(to_cc, ["a@b", "e@f", "c@d"]);
    }

    #[test]
    fn ids_are_those_of_the_whole_mail_whatever_else_it_holds() {
        let words = "=?utf-8?q?x?= ".repeat(11_000);
        for raw in [
            b"Message-ID: <\xd0\xd2\xc9@x>\nReferences: <\xe9@y>\nContent-Type: text/plain; charset=koi8-r\n\n\xd0\n".to_vec(),
            format!("Subject: {words}\nMessage-ID: =?utf-8?q?=3Ca=40b=3E?=\n\nx").into_bytes(),
            format!("In-Reply-To: {words} <a@b>\nReferences: =?utf-8?q?=3Ca=40b=3E?=\n\nx").into_bytes(),
        ] {
            let (seen, mail) = (peek(&raw), crate::parse(&raw, &Limits::default()).mail);
            assert!(seen.message_id.is_some() || !seen.references.is_empty());
            assert_eq!(
                (seen.message_id, seen.in_reply_to, seen.references),
                (mail.message_id, mail.in_reply_to, mail.references)
            );
        }
    }

    #[test]
    fn the_delivery_decides_whose_mail_it_is_and_the_sender_only_where_that_is_allowed() {
        let both = peek(b"Delivered-To: x@One.Example.\nTo: a@two.example\n\n");
        assert_eq!(both.owner_domains(true), ["one.example"]);
        let to_alone = peek(b"To: a@two.example, nobody\nCc: b@three.example\n\n");
        assert_eq!(to_alone.owner_domains(true), ["two.example", "three.example"]);
        assert_eq!(to_alone.owner_domains(false), Vec::<String>::new());
    }

    #[test]
    fn a_domain_is_what_stands_after_the_last_at_sign_in_lower_case() {
        for (address, want) in [
            ("Ada@Acme.Example", Some("acme.example")),
            ("ada@acme.example.", Some("acme.example")),
            ("ada@acme.example>", Some("acme.example")),
            ("\"a@b\"@acme.example", Some("acme.example")),
            ("ada", None),
            ("ada@", None),
        ] {
            assert_eq!(domain(address).as_deref(), want, "{address}");
        }
    }

    #[test]
    fn the_original_recipient_stands_in_where_no_delivery_is_named() {
        assert_eq!(peek(b"X-Original-To: a@b\nSubject: x\n\nbody").delivered_to.as_deref(), Some("a@b"));
        assert_eq!(peek(b"Return-Path: <a@b>\n\n"), Peek::default());
        assert_eq!(peek(b""), Peek::default());
    }
}
