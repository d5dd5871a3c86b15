//! From parts to what people see: the text, the HTML, and the attachments. Every leaf ends as one of them;
//! preambles and epilogues are kept beside them ([`stray`](crate::stray)).

use memchr::memmem;

use crate::charsets;
use crate::content_type::Parameterised;
use crate::defect::Defect;
use crate::enclosed::{self, Enclosed};
use crate::filename;
use crate::flowed;
use crate::header;
use crate::limits::Limits;
use crate::mail::Attachment;
use crate::parse::opaque;
use crate::stray::{Place, Stray};
use crate::structure::{Part, Role};
use crate::transfer::Encoding;
use crate::uuencode;
use crate::words::Decoder;
use mailfleet_model::Disposition;

/// The body of a mail.
#[derive(Debug, Default)]
pub(crate) struct Assembled {
    pub(crate) text: Option<String>,
    pub(crate) html: Option<String>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) stray: Vec<Stray>,
    /// Index into `attachments` of the machine-readable reports and returned mails.
    pub(crate) reports: Vec<usize>,
}

/// Media types of reports.
const REPORTS: &[&str] = &[
    "message/delivery-status",
    "message/global-delivery-status",
    "message/disposition-notification",
    "message/feedback-report",
];

/// Media types of what a report returns.
pub(crate) const RETURNED: &[&str] = &[
    "message/rfc822",
    "message/global",
    "message/partial",
    "text/rfc822",
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global-headers",
];

/// Puts the parts together.
pub(crate) fn assemble(parts: &[Part<'_>], limits: &Limits, decoder: &mut Decoder) -> Assembled {
    let mut assembler = Assembler { body: Assembled::default(), limits, enclosed: Enclosed::default() };
    assembler.parts(parts, decoder);
    let Assembler { mut body, enclosed, .. } = assembler;
    enclosed.stand_in(&mut body);
    body
}

/// The body as it grows.
pub(crate) struct Assembler<'l> {
    pub(crate) body: Assembled,
    pub(crate) limits: &'l Limits,
    pub(crate) enclosed: Enclosed,
}

impl Assembler<'_> {
    /// Adds these parts.
    pub(crate) fn parts(&mut self, parts: &[Part<'_>], decoder: &mut Decoder) {
        let mut has_children = vec![false; parts.len()];
        let inside = parts.iter().filter(|part| part.role != Role::Epilogue);
        for parent in inside.filter_map(|part| part.parent) {
            if let Some(flag) = has_children.get_mut(parent) {
                *flag = true;
            }
        }
        for (index, part) in parts.iter().enumerate() {
            let parent = part.parent.and_then(|parent| parts.get(parent));
            match part.role {
                Role::Leaf => self.leaf(part, parent, decoder),
                Role::Opaque => self.body.attachments.push(opaque(part.body)),
                Role::Epilogue => self.body.stray.extend(Stray::read(Place::Epilogue, part.body, decoder)),
                Role::Container if has_children.get(index) == Some(&true) => {
                    self.body.stray.extend(Stray::read(Place::Preamble, part.body, decoder));
                }
                Role::Container => {
                    decoder.found.note(Defect::BoundaryNotFound);
                    self.leaf(part, parent, decoder);
                }
            }
        }
    }

    fn leaf(&mut self, part: &Part<'_>, parent: Option<&Part<'_>>, decoder: &mut Decoder) {
        let encoding = header::first(&part.fields, "content-transfer-encoding")
            .map(|raw| decoder.text(raw))
            .map_or(Encoding::Lines, |value| Encoding::from_header(&value, &mut decoder.found));
        let disposition = header::first(&part.fields, "content-disposition").map(Parameterised::read);
        // A named file behind the text is an attachment even where the sender says `inline` (Apple Mail does).
        let is_attachment = disposition.as_ref().is_some_and(|d| {
            let named_inline = d.value.starts_with("inline") && d.token("filename").is_some();
            d.value.starts_with("attachment") || named_inline && self.body.text.is_some()
        });
        // A multipart that cannot be taken apart is shown as the text it is.
        let undivided = part.mime_type.starts_with("multipart/");
        let content = encoding.decode(part.body, &mut decoder.found);
        if !is_attachment && (part.mime_type == "text/plain" || undivided) {
            // With a file name it is shown and listed: the name is content too, and who looks for the file finds it.
            let is_named_file = part.mime_type == "text/plain"
                && disposition.as_ref().is_some_and(|d| d.token("filename").is_some());
            self.text(&part.ctype, &content, decoder);
            if !is_named_file {
                return;
            }
        } else if !is_attachment && part.mime_type == "text/html" {
            let label = part.ctype.token("charset").unwrap_or_default();
            let html = match meta_charset(&content).filter(|meta| charsets::is_telling(meta)) {
                Some(meta) => text_with(&content, label, &meta, decoder),
                None => text(&content, label, decoder),
            };
            drop(content);
            join(&mut self.body.html, html);
            return;
        }
        let name = disposition
            .as_ref()
            .and_then(|d| d.text("filename", decoder).or_else(|| d.text("name", decoder)))
            .or_else(|| part.ctype.text("name", decoder))
            .or_else(|| part.ctype.text("filename", decoder));
        let content_id = header::first(&part.fields, "content-id")
            .map(|raw| decoder.text(raw).trim_matches(['<', '>', ' ']).to_owned())
            .filter(|id| !id.is_empty());
        let inline = match &disposition {
            Some(d) => d.value.starts_with("inline"),
            None => {
                content_id.is_some() && parent.is_some_and(|parent| parent.mime_type == "multipart/related")
            }
        };
        if REPORTS.iter().chain(RETURNED).any(|report| *report == part.mime_type) {
            self.body.reports.push(self.body.attachments.len());
        }
        self.add(
            Attachment {
                filename: name.and_then(|name| filename::sanitise(&name, &mut decoder.found)),
                mime_type: part.mime_type.clone(),
                content,
                disposition: if inline { Disposition::Inline } else { Disposition::Attachment },
                content_id,
            },
            decoder,
        );
    }

    /// Adds text, and the files that it holds.
    fn text(&mut self, ctype: &Parameterised, content: &[u8], decoder: &mut Decoder) {
        let label = ctype.token("charset").unwrap_or_default();
        let (text, files) = match uuencode::take_out(content, self.enclosed.room(self.limits)) {
            None => (text(content, label, decoder), Vec::new()),
            Some((rest, files)) => (text(&rest, label, decoder), files),
        };
        self.enclosed.count(files.len());
        let is = |name, value| ctype.token(name).is_some_and(|token| token.eq_ignore_ascii_case(value));
        if is("format", "flowed") {
            join(&mut self.body.text, flowed::join(&text, is("delsp", "yes")));
        } else {
            join(&mut self.body.text, text);
        }
        for file in files {
            let name = decoder.text(&file.name);
            let attachment = Attachment {
                filename: filename::sanitise(&name, &mut decoder.found),
                mime_type: "application/octet-stream".to_owned(),
                content: file.content,
                disposition: Disposition::Attachment,
                content_id: None,
            };
            self.add(attachment, decoder);
        }
    }

    /// Adds an attachment, and behind it what it encloses.
    fn add(&mut self, attachment: Attachment, decoder: &mut Decoder) {
        let index = self.body.attachments.len();
        self.body.attachments.push(attachment);
        enclosed::open(self, index, decoder);
    }
}

/// Text of a part; where its charset is missing or wrong, in the one of the mail.
fn text(content: &[u8], charset: &str, decoder: &mut Decoder) -> String {
    let hint = decoder.hint.clone();
    text_with(content, charset, &hint, decoder)
}

fn text_with(content: &[u8], charset: &str, hint: &str, decoder: &mut Decoder) -> String {
    let text = charsets::decode_with(content, charset, hint, &mut decoder.found);
    // Lone CRs end lines as well: whoever wrote the text saw them so, whatever the mail's other lines end with.
    let text = if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text };
    decoder.clean(text)
}

fn join(to: &mut Option<String>, text: String) {
    match to {
        None => *to = Some(text),
        Some(joined) => {
            if !joined.is_empty() && !joined.ends_with('\n') {
                joined.push('\n');
            }
            joined.push_str(&text);
        }
    }
}

/// The charset that HTML declares itself: `<meta charset=x>` or `<meta … content="text/html; charset=x">`.
fn meta_charset(html: &[u8]) -> Option<String> {
    let head = html.get(..html.len().min(2048))?.to_ascii_lowercase();
    let at = memmem::find(&head, b"charset=")?;
    let value: String = head
        .get(at + b"charset=".len()..)?
        .iter()
        .map(|&byte| char::from(byte))
        .skip_while(|c| matches!(c, '"' | '\'' | ' '))
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':'))
        .take(40)
        .collect();
    (!value.is_empty()).then_some(value)
}
