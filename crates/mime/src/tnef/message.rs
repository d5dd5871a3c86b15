//! The message itself in winmail.dat: its text as RTF, HTML or plain text, each of which is a file, and one of which may be
//! the mail's own.

use crate::budget::Pass;
use crate::defect::Defect;
use crate::mail::Attachment;
use crate::words::Decoder;
use mailfleet_model::Disposition;

use super::properties::Property;
use super::{Opened, Taking, Text, code_page, id, lzfu, rtf, text, without_nul};

/// The message's text in the forms it comes in.
#[derive(Default)]
pub(super) struct Message<'a> {
    pub(super) plain: Option<Text<'a>>,
    html: Option<Text<'a>>,
    rtf: Option<&'a [u8]>,
    /// The code page of HTML that is bytes.
    html_page: Option<u32>,
}

impl<'a> Message<'a> {
    pub(super) fn take(&mut self, property: Property<'a>) {
        match property.id {
            id::BODY => self.plain = text(property).or(self.plain),
            id::HTML => self.html = text(property).or(self.html),
            id::RTF => self.rtf = property.bytes().or(self.rtf),
            id::INTERNET_CODE_PAGE => self.html_page = property.number(),
            _ => {}
        }
    }

    pub(super) fn finish(
        self,
        page: &str,
        depth: usize,
        taking: &mut Taking<'_>,
        opened: &mut Opened,
        decoder: &mut Decoder,
    ) {
        let html_page = self.html_page.map_or_else(|| page.to_owned(), code_page);
        let keep = depth == 0 && taking.keep_text;
        if let Some(packed) = self.rtf {
            let wanted = RichText {
                html: self.html.is_none(),
                text: self.html.is_none() && self.plain.is_none(),
                keep,
            };
            rich_text(packed, wanted, taking, opened, decoder);
        }
        for (name, mime_type, text, page) in
            [("html", "text/html", self.html, html_page.as_str()), ("txt", "text/plain", self.plain, page)]
        {
            let Some(text) = text else { continue };
            if !taking.budget.fits(text.at_most(keep), &mut decoder.found) {
                continue;
            }
            let (bytes, shown) = match text {
                Text::Bytes(bytes) => (without_nul(bytes).to_vec(), keep.then(|| text.read(page, decoder))),
                Text::Utf16(_) => {
                    let shown = text.read(page, decoder);
                    if keep { (shown.clone().into_bytes(), Some(shown)) } else { (shown.into_bytes(), None) }
                }
            };
            let is_blank = |shown: &String| shown.trim().is_empty();
            if bytes.trim_ascii().is_empty() || shown.as_ref().is_some_and(is_blank) {
                continue;
            }
            taking.budget.decode(bytes.len() + 2 * shown.as_ref().map_or(0, String::len), &mut decoder.found);
            body_file(name, mime_type, bytes, taking, opened, decoder);
            if shown.is_some() {
                *if name == "html" { &mut opened.html } else { &mut opened.text } = shown;
            }
        }
    }
}

/// What is wanted of rich text.
#[derive(Clone, Copy)]
struct RichText {
    /// The HTML that is wrapped in it: the message has no other.
    html: bool,
    /// Its words: they are the only ones.
    text: bool,
    /// They are those of the mail.
    keep: bool,
}

/// Unpacks rich text, and the HTML within.
fn rich_text(
    packed: &[u8],
    wanted: RichText,
    taking: &mut Taking<'_>,
    opened: &mut Opened,
    decoder: &mut Decoder,
) {
    let found = &mut decoder.found;
    // The text of it weighs no more than it does.
    let most = taking.rtf_left.min(taking.budget.decoded() / 2);
    let rtf = match lzfu::unpack(packed, most) {
        Ok(rtf) => rtf,
        // What follows is not the worse for it.
        Err(lzfu::Closed::TooLong) => return found.note(Defect::TooMuchDecoded),
        Err(lzfu::Closed::NotPacked) => return,
    };
    taking.rtf_left -= rtf.len();
    taking.budget.decode(rtf.len(), found);
    let html =
        if wanted.html { wrapped_html(&rtf, packed.len(), wanted.keep, taking, decoder) } else { None };
    let found = &mut decoder.found;
    if wanted.keep && wanted.text && html.is_none() && taking.budget.may(Pass::RichText, rtf.len(), found) {
        // More is a file, and stands as one beside it.
        let read = rtf.get(..taking.may_read(rtf.len(), packed.len())).unwrap_or(&rtf);
        opened.text = Some(decoder.clean(rtf::to_text(read))).filter(|text| !text.is_empty());
        let text = opened.text.as_ref().map_or(0, String::len);
        taking.budget.decode(text, &mut decoder.found);
    }
    body_file("rtf", "application/rtf", rtf, taking, opened, decoder);
    if let Some(html) = html {
        if wanted.keep {
            opened.html = Some(html.clone());
        }
        body_file("html", "text/html", html.into_bytes(), taking, opened, decoder);
    }
}

/// The HTML that is wrapped in rich text, if there is any.
fn wrapped_html(
    rtf: &[u8],
    packed: usize,
    keep: bool,
    taking: &mut Taking<'_>,
    decoder: &mut Decoder,
) -> Option<String> {
    if !rtf::is_html(rtf) || !taking.budget.may(Pass::RichText, rtf.len(), &mut decoder.found) {
        return None;
    }
    // As a file, and where it is shown twice more: text is made of it.
    let times = if keep { 3 } else { 1 };
    let is_short = taking.may_read(rtf.len(), packed) == rtf.len();
    let html = is_short.then(|| rtf::to_html(rtf, packed, taking.budget.decoded() / times)).flatten();
    let Some(html) = html else {
        // The rich text is there; what follows is not the worse for it.
        decoder.found.note(Defect::TooMuchDecoded);
        return None;
    };
    let html = decoder.clean(html);
    taking.budget.decode(times * html.len(), &mut decoder.found);
    Some(html).filter(|html| !html.trim().is_empty())
}

fn body_file(
    extension: &str,
    mime_type: &str,
    content: Vec<u8>,
    taking: &mut Taking<'_>,
    opened: &mut Opened,
    decoder: &mut Decoder,
) {
    if taking.room == 0 {
        decoder.found.note(Defect::TooManyParts);
        return;
    }
    taking.room -= 1;
    opened.files.push(Attachment {
        filename: Some(format!("message.{extension}")),
        mime_type: mime_type.to_owned(),
        content,
        disposition: Disposition::Attachment,
        content_id: None,
    });
}
