//! One response to data, by imap-proto, and by a scan that cannot fail where imap-proto does.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::DateTime;
use imap_proto::{AttributeValue, MailboxDatum, NameAttribute, Response};
use mailfleet_model::Uid;

use crate::framer::{Body, Frame};
use crate::mailbox_name;
use crate::source::MailboxInfo;
use crate::wire::strip_word;

/// What one FETCH response tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FetchRow {
    pub(crate) uid: Option<Uid>,
    pub(crate) flags: Vec<String>,
    pub(crate) internal_date_ms: Option<i64>,
    pub(crate) size: Option<u64>,
    pub(crate) body: Option<Body>,
}

/// Gives one response to imap-proto. `None` where it does not understand it. It is never shown what it would follow
/// into the ground, and a panic in it (it unwraps a NIL date) costs one response, not the thread.
fn parse(frame: &Frame) -> Option<Response<'_>> {
    if frame.too_deep {
        return None;
    }
    let parsed = catch_unwind(AssertUnwindSafe(|| Response::parse(&frame.text)));
    parsed.ok()?.ok().map(|(_, response)| response)
}

/// Reads a FETCH response; `None` for any other. Whatever else is wrong with the response, UID and mail are found.
pub(crate) fn fetch_row(frame: &mut Frame) -> Option<FetchRow> {
    let data = frame.untagged()?;
    let space = data.iter().position(u8::is_ascii_whitespace)?;
    let (number, rest) = data.split_at(space);
    let items = strip_word(rest.trim_ascii(), b"FETCH")?;
    if !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // imap-proto panics on a NIL date; the panic would be caught, but its message would reach the log.
    let understood = if contains(items, b"INTERNALDATE NIL") { None } else { parse(frame) };
    let mut row = match understood {
        Some(Response::Fetch(_, attributes)) => from_attributes(attributes),
        _ => scan(items),
    };
    // imap-proto passes over a number that it cannot hold as over an unknown item.
    if row.size.is_none() && contains(items, b"RFC822.SIZE") {
        row.size = scan(items).size;
    }
    if !frame.bodies.is_empty() {
        row.body = Some(frame.bodies.swap_remove(0));
    }
    Some(row)
}

fn contains(text: &[u8], pattern: &[u8]) -> bool {
    text.windows(pattern.len()).any(|window| window.eq_ignore_ascii_case(pattern))
}

fn from_attributes(attributes: Vec<AttributeValue<'_>>) -> FetchRow {
    let mut row = FetchRow::default();
    for attribute in attributes {
        match attribute {
            AttributeValue::Uid(uid) => row.uid = Uid::new(uid),
            AttributeValue::Flags(flags) => row.flags = flags.into_iter().map(Cow::into_owned).collect(),
            AttributeValue::InternalDate(date) => row.internal_date_ms = date_ms(&date),
            AttributeValue::Rfc822Size(size) => row.size = Some(size.into()),
            // A short mail may come as a quoted string; the place holder of one that was taken out is empty.
            AttributeValue::BodySection { section: None, data: Some(data), .. }
            | AttributeValue::Rfc822(Some(data)) => {
                row.body = Some(Body::Whole(mailbox_name::unescape(&data)));
            }
            _ => {}
        }
    }
    row
}

/// `17-Jul-1996 02:44:25 -0700` (RFC 3501, date-time); days below 10 may come with a space.
fn date_ms(text: &str) -> Option<i64> {
    DateTime::parse_from_str(text.trim(), "%d-%b-%Y %H:%M:%S %z").ok().map(|date| date.timestamp_millis())
}

/// Finds what we need in the items of a FETCH that imap-proto refuses (a size above 32 bits, a NIL date, rubbish
/// between the items). No recursion, no failure: what is not found is missing.
fn scan(items: &[u8]) -> FetchRow {
    let mut row = FetchRow::default();
    let mut depth = 0usize;
    let mut rest = items;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'"' => {
                rest = after_quote(after);
                continue;
            }
            _ if depth == 1 && byte.is_ascii_alphabetic() => {
                let end = rest.iter().position(|b| b" ()\"".contains(b)).unwrap_or(rest.len());
                let (name, value) = rest.split_at(end);
                scan_item(name, value.trim_ascii_start(), &mut row);
                rest = value;
                continue;
            }
            _ => {}
        }
        rest = after;
    }
    row
}

fn scan_item(name: &[u8], value: &[u8], row: &mut FetchRow) {
    let text = |end: Option<usize>| std::str::from_utf8(value.get(..end?)?).ok();
    let number = || text(Some(value.iter().take_while(|b| b.is_ascii_digit()).count()))?.parse::<u64>().ok();
    match name.to_ascii_uppercase().as_slice() {
        b"UID" => row.uid = number().and_then(|uid| Uid::new(u32::try_from(uid).ok()?)),
        b"RFC822.SIZE" => row.size = number(),
        b"INTERNALDATE" if value.starts_with(b"\"") => {
            let quoted = text(value.iter().skip(1).position(|b| *b == b'"').map(|at| at + 1));
            row.internal_date_ms = quoted.and_then(|date| date_ms(date.trim_start_matches('"')));
        }
        b"FLAGS" if value.starts_with(b"(") => {
            let inner = text(value.iter().position(|b| *b == b')')).unwrap_or_default();
            row.flags = inner.trim_start_matches('(').split_ascii_whitespace().map(str::to_owned).collect();
        }
        _ => {}
    }
}

/// What follows a quoted string whose opening quote was taken.
fn after_quote(mut rest: &[u8]) -> &[u8] {
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'"' => return after,
            b'\\' => after.get(1..).unwrap_or_default(),
            _ => after,
        };
    }
    rest
}

/// The numbers of a SEARCH response; `None` for any other.
pub(crate) fn search_hits(frame: &Frame) -> Option<Vec<u32>> {
    let data = frame.untagged()?;
    if data.eq_ignore_ascii_case(b"SEARCH") {
        return Some(Vec::new());
    }
    let numbers = strip_word(data, b"SEARCH")?;
    if let Some(Response::MailboxData(MailboxDatum::Search(hits))) = parse(frame) {
        return Some(hits);
    }
    // Such as `SEARCH 1 2 (MODSEQ 917)` (RFC 7162 §3.1.5), or doubled spaces.
    let words = numbers.split(u8::is_ascii_whitespace).take_while(|word| !word.starts_with(b"("));
    Some(words.filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok()).collect())
}

/// The mailbox of a LIST response; `None` for any other and for one that makes no sense.
pub(crate) fn list_entry(frame: &Frame) -> Option<MailboxInfo> {
    strip_word(frame.untagged()?, b"LIST")?;
    let Response::MailboxData(MailboxDatum::List(entry)) = parse(frame)? else { return None };
    // imap-proto leaves the escapes of a quoted string in place; a literal has none.
    let name = if frame.has_literal {
        entry.name.into_owned()
    } else {
        String::from_utf8_lossy(&mailbox_name::unescape(entry.name.as_bytes())).into_owned()
    };
    let delimiter =
        entry.delimiter.map(|d| String::from_utf8_lossy(&mailbox_name::unescape(d.as_bytes())).into_owned());
    let attributes: Vec<String> = entry.name_attributes.iter().map(attribute_name).collect();
    let closed = |attribute: &String| {
        attribute.eq_ignore_ascii_case("\\Noselect") || attribute.eq_ignore_ascii_case("\\NonExistent")
    };
    Some(MailboxInfo {
        name: mailbox_name::decode(name),
        delimiter,
        selectable: !attributes.iter().any(closed),
        attributes,
    })
}

fn attribute_name(attribute: &NameAttribute<'_>) -> String {
    match attribute {
        NameAttribute::NoInferiors => "\\Noinferiors".to_owned(),
        NameAttribute::NoSelect => "\\Noselect".to_owned(),
        NameAttribute::Extension(name) => name.clone().into_owned(),
        // `\Marked`, `\Sent` and the like: the variant has the attribute's name.
        other => format!("\\{other:?}"),
    }
}

/// UIDVALIDITY and UIDNEXT of a STATUS response; `None` for any other.
pub(crate) fn status_epoch(frame: &Frame) -> Option<(Option<u32>, Option<u32>)> {
    strip_word(frame.untagged()?, b"STATUS")?;
    let Response::MailboxData(MailboxDatum::Status { status, .. }) = parse(frame)? else { return None };
    let mut epoch = (None, None);
    for attribute in status {
        match attribute {
            imap_proto::StatusAttribute::UidValidity(n) => epoch.0 = Some(n),
            imap_proto::StatusAttribute::UidNext(n) => epoch.1 = Some(n),
            _ => {}
        }
    }
    Some(epoch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::framer::read_frame;

    fn frame(bytes: &[u8]) -> Frame {
        let mut frame = Frame::default();
        read_frame(&mut &*bytes, 1000, &mut frame).unwrap();
        frame
    }

    fn row(bytes: &[u8]) -> FetchRow {
        fetch_row(&mut frame(bytes)).unwrap()
    }

    #[test]
    fn a_row_is_read_in_any_order() {
        let first = row(b"* 1 FETCH (UID 7 FLAGS (\\Seen $x) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 3 BODY[] {3}\r\nabc)\r\n");
        let second = row(b"* 1 FETCH (BODY[] {3}\r\nabc RFC822.SIZE 3 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" FLAGS (\\Seen $x) UID 7)\r\n");
        assert_eq!(first, second);
        assert_eq!(first.uid, Uid::new(7));
        assert_eq!(first.internal_date_ms, Some(837_596_665_000));
        assert_eq!(first.body, Some(Body::Whole(b"abc".to_vec())));
        assert_eq!(first.flags, ["\\Seen", "$x"]);
    }

    #[test]
    fn an_odd_row_still_yields_uid_and_mail() {
        for odd in [
            "INTERNALDATE NIL",
            "RFC822.SIZE 99999999999",
            "ENVELOPE (NIL NIL ((\"a\" NIL NIL NIL NIL)) NIL NIL NIL NIL NIL NIL NIL)",
            "ENVELOPE (\"x\" {3}\r\na\"( NIL)",
            "BODYSTRUCTURE (\"a\" (\"boundary\" NIL))",
            "X-FOO ((((1))))",
            "EMAILID NIL",
            "X \"\x01)(\"",
        ] {
            for text in [
                format!("* 1 FETCH ({odd} UID 7 FLAGS (\\Seen) BODY[] {{3}}\r\nabc)\r\n"),
                format!("* 1 FETCH (UID 7 BODY[] {{3}}\r\nabc FLAGS (\\Seen) {odd})\r\n"),
            ] {
                let row = row(text.as_bytes());
                assert_eq!((row.uid, row.body), (Uid::new(7), Some(Body::Whole(b"abc".to_vec()))), "{text}");
            }
        }
        assert_eq!(row(b"* 1 FETCH (UID 7 RFC822.SIZE 99999999999)\r\n").size, Some(99_999_999_999));
    }

    #[test]
    fn a_bomb_of_parentheses_is_never_parsed_but_its_mail_is_found() {
        let bomb = format!("BODYSTRUCTURE {}{}", "(".repeat(5000), ")".repeat(5000));
        let row = row(format!("* 1 FETCH (UID 7 {bomb} BODY[] {{3}}\r\nabc)\r\n").as_bytes());
        assert_eq!((row.uid, row.body), (Uid::new(7), Some(Body::Whole(b"abc".to_vec()))));
    }

    #[test]
    fn a_short_mail_may_be_quoted_or_missing() {
        assert_eq!(row(b"* 1 FETCH (UID 7 BODY[] \"a\\\"b\")\r\n").body, Some(Body::Whole(b"a\"b".to_vec())));
        assert_eq!(row(b"* 1 FETCH (UID 7 BODY[] \"\")\r\n").body, Some(Body::Whole(Vec::new())));
        assert_eq!(row(b"* 1 FETCH (UID 7 BODY[] NIL)\r\n").body, None);
        assert_eq!(row(b"* 1 FETCH (FLAGS (\\Seen))\r\n").uid, None);
    }

    #[test]
    fn names_are_unescaped_decoded_and_tolerated_raw() {
        let name = |text: &str| list_entry(&frame(text.as_bytes())).map(|entry| entry.name);
        assert_eq!(name("* LIST () \"/\" \"a\\\"b\\\\c\"\r\n").unwrap(), "a\"b\\c");
        assert_eq!(name("* LIST () \"/\" {4}\r\na\\b\"\r\n").unwrap(), "a\\b\"");
        assert_eq!(name("* LIST () \"/\" \"Entw&APw-rfe\"\r\n").unwrap(), "Entwürfe");
        assert_eq!(name("* LIST () \"/\" \"Entwürfe\"\r\n").unwrap(), "Entwürfe");
        assert_eq!(name("* LIST () \"/\" iNbOx\r\n").unwrap(), "INBOX");
        assert_eq!(name("* LIST rubbish\r\n"), None);
        let entry = list_entry(&frame(b"* LIST (\\Noselect \\Sent) \"\\\\\" x\r\n")).unwrap();
        assert!(!entry.selectable);
        assert_eq!((entry.delimiter.as_deref(), entry.attributes[1].as_str()), (Some("\\"), "\\Sent"));
    }

    #[test]
    fn search_hits_are_read_with_and_without_extras() {
        let hits = |text: &str| search_hits(&frame(text.as_bytes()));
        assert_eq!(hits("* SEARCH\r\n"), Some(vec![]));
        assert_eq!(hits("* SEARCH 1 2 \r\n"), Some(vec![1, 2]));
        assert_eq!(hits("* SEARCH 1  2 (MODSEQ 9)\r\n"), Some(vec![1, 2]));
        assert_eq!(hits("* 1 EXISTS\r\n"), None);
    }

    proptest! {
        #[test]
        fn no_row_panics(items in "[ -~\\r\\n\\x80-\\xff]{0,80}") {
            let mut frame = Frame { text: format!("* 1 FETCH ({items}\r\n").into_bytes(), ..Frame::default() };
            fetch_row(&mut frame);
            scan(items.as_bytes());
        }
    }
}
