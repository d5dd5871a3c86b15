//! From parts to what people see: the text, the HTML, and the attachments. Every leaf ends as one of them;
//! preambles and epilogues are kept beside them ([`stray`](crate::stray)).

use memchr::memmem;

use crate::budget::{Budget, Pass};
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

mod joined;

use joined::Joined;

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
pub(crate) fn assemble(
    parts: &[Part<'_>],
    limits: &Limits,
    budget: &mut Budget,
    decoder: &mut Decoder,
) -> Assembled {
    let mut assembler = Assembler {
        body: Assembled::default(),
        text: Joined::default(),
        html: Joined::default(),
        limits,
        budget,
        enclosed: Enclosed::default(),
    };
    assembler.parts(parts, decoder);
    let Assembler { body, text, html, enclosed, .. } = assembler;
    let mut body = Assembled { text: text.all(), html: html.all(), ..body };
    enclosed.stand_in(&mut body);
    body
}

/// The body as it grows.
pub(crate) struct Assembler<'l> {
    /// Without its text and HTML.
    pub(crate) body: Assembled,
    pub(crate) text: Joined,
    pub(crate) html: Joined,
    pub(crate) limits: &'l Limits,
    pub(crate) budget: &'l mut Budget,
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
                Role::Epilogue => self.stray(Place::Epilogue, part.body, decoder),
                Role::Container if has_children.get(index) == Some(&true) => {
                    self.stray(Place::Preamble, part.body, decoder);
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
            d.value.starts_with("attachment") || named_inline && !self.text.is_none()
        });
        // A multipart that cannot be taken apart is shown as the text it is.
        let undivided = part.mime_type.starts_with("multipart/");
        self.budget.spend(Pass::Decode, part.body.len());
        let Some(mut content) = encoding.decode(part.body, self.budget.decoded(), &mut decoder.found) else {
            self.budget.refuse(&mut decoder.found);
            self.body.attachments.push(opaque(part.body));
            return;
        };
        if !is_attachment && (part.mime_type == "text/plain" || undivided) {
            // With a file name it is shown and listed: the name is content too, and who looks for the file finds it.
            let is_named_file = part.mime_type == "text/plain"
                && disposition.as_ref().is_some_and(|d| d.token("filename").is_some());
            if !self.text(part, content, decoder) || !is_named_file {
                return;
            }
            // Decoded again rather than kept beside its text.
            let Some(again) = encoding.decode(part.body, self.budget.decoded(), &mut decoder.found) else {
                self.budget.refuse(&mut decoder.found);
                self.body.attachments.push(opaque(part.body));
                return;
            };
            content = again;
        } else if !is_attachment && part.mime_type == "text/html" {
            let label = part.ctype.token("charset").unwrap_or_default();
            let meta = meta_charset(&content).filter(|meta| charsets::is_telling(meta));
            let hint = meta.unwrap_or_else(|| decoder.hint.clone());
            let Some(html) = self.decoded(part, content, label, &hint, decoder) else { return };
            if self.budget.decode(self.html.weight(&html), &mut decoder.found) {
                self.html.add(html);
            } else {
                drop(html);
                self.body.attachments.push(opaque(part.body));
            }
            return;
        }
        if !self.budget.decode(content.len(), &mut decoder.found) {
            drop(content);
            self.body.attachments.push(opaque(part.body));
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

    /// Adds what stood outside the parts.
    fn stray(&mut self, place: Place, raw: &[u8], decoder: &mut Decoder) {
        let Some(stray) = Stray::read(place, raw, decoder) else { return };
        if self.budget.decode(stray.text.len(), &mut decoder.found) {
            self.body.stray.push(stray);
        } else {
            drop(stray);
            self.body.attachments.push(opaque(raw));
        }
    }

    /// Adds text, and the files that it holds; `false` where it is an opaque attachment.
    fn text(&mut self, part: &Part<'_>, mut content: Vec<u8>, decoder: &mut Decoder) -> bool {
        let ctype = &part.ctype;
        let label = ctype.token("charset").unwrap_or_default();
        let mut files = Vec::new();
        if self.budget.may(Pass::Uuencode, content.len(), &mut decoder.found) {
            let room = self.enclosed.room(self.limits);
            let taken = uuencode::take_out(&mut content, room, self.budget.decoded());
            // It stays in the text, and what follows is not the worse for it.
            if taken.is_cut {
                decoder.found.note(Defect::TooMuchDecoded);
            }
            files = taken.files;
        }
        let size = files.iter().map(|file| file.content.len()).sum();
        if !self.budget.decode(size, &mut decoder.found) {
            files.clear();
        }
        let hint = decoder.hint.clone();
        let Some(mut text) = self.decoded(part, content, label, &hint, decoder) else { return false };
        let is = |name, value| ctype.token(name).is_some_and(|token| token.eq_ignore_ascii_case(value));
        if is("format", "flowed") && self.budget.may(Pass::Flowed, text.len(), &mut decoder.found) {
            text = flowed::join(text, is("delsp", "yes"));
        }
        if !self.budget.decode(self.text.weight(&text), &mut decoder.found) {
            drop(text);
            self.body.attachments.push(opaque(part.body));
            return false;
        }
        self.text.add(text);
        self.enclosed.count(files.len());
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
        true
    }

    /// The text of a part; `None` where there may be too much of it, and the part is an opaque attachment.
    fn decoded(
        &mut self,
        part: &Part<'_>,
        content: Vec<u8>,
        label: &str,
        hint: &str,
        decoder: &mut Decoder,
    ) -> Option<String> {
        // Asked before it is there. What files decoded to is the only thing that leaves so little room, and uuencoded lines
        // that stand for more than they are: these weigh as well, until their text is read.
        let room = self.budget.decoded();
        let room = room.saturating_sub(content.len().saturating_sub(part.body.len()));
        if content.len().saturating_mul(3) > room && charsets::at_most(&content, label) > room {
            self.budget.refuse(&mut decoder.found);
            drop(content);
            self.body.attachments.push(opaque(part.body));
            return None;
        }
        Some(text(content, label, hint, decoder))
    }

    /// Adds an attachment, and behind it what it encloses.
    fn add(&mut self, attachment: Attachment, decoder: &mut Decoder) {
        let index = self.body.attachments.len();
        self.body.attachments.push(attachment);
        enclosed::open(self, index, decoder);
    }
}

/// Text of a part; where its charset is missing or wrong, in the one of `hint`.
fn text(content: Vec<u8>, charset: &str, hint: &str, decoder: &mut Decoder) -> String {
    let text = charsets::decode_with(&content, charset, hint, &mut decoder.found);
    drop(content);
    decoder.clean(charsets::lf(text))
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
