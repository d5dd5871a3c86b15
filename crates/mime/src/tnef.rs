//! winmail.dat: Outlook's envelope around a mail's files and rich text (MS-OXTNEF), opened.
//!
//! A stream of attributes: those of the message (its text as RTF, HTML or plain text; RTF that was made of HTML gives it back) and, behind each "rendering data",
//! those of one file. Bytes that are no TNEF give nothing, a stream that ends early gives what came before. One pass, and
//! no length is believed beyond the bytes there are. Checksums are not held against the content: a file with a flipped
//! bit is of more use than none.

use crate::budget::{Budget, Pass};
use crate::charsets;
use crate::defect::Defect;
use crate::filename;
use crate::mail::Attachment;
use crate::words::Decoder;
use mailfleet_model::Disposition;

mod lzfu;
mod properties;
mod rtf;

use properties::{Property, Reader, properties};

/// The first bytes of every stream, little endian.
const SIGNATURE: &[u8] = &[0x78, 0x9f, 0x3e, 0x22];
/// Messages within messages that are opened: one mail forwarded in another.
const MAX_DEPTH: usize = 2;
/// Bytes of unpacked RTF in one mail. It can be eight times as long as what it is packed in.
pub(crate) const MAX_RTF: usize = 8 * 1024 * 1024;

/// What winmail.dat held.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// Its files, with the text of the message as `message.rtf`, `message.html` or `message.txt` behind them.
    pub(crate) files: Vec<Attachment>,
    /// The message's own text, of its RTF where it has no other, for a mail that has none beside it.
    pub(crate) text: Option<String>,
    /// The message's own HTML, or what is wrapped in its RTF.
    pub(crate) html: Option<String>,
}

/// Whether these bytes are TNEF, whatever their label.
pub(crate) fn is_tnef(content: &[u8]) -> bool {
    content.starts_with(SIGNATURE)
}

/// How much may be taken out.
pub(crate) struct Taking<'b> {
    /// Files.
    pub(crate) room: usize,
    /// Bytes of unpacked RTF, counted over the whole mail.
    pub(crate) rtf_left: usize,
    /// The mail may have no other text.
    pub(crate) keep_text: bool,
    pub(crate) budget: &'b mut Budget,
}

/// Opens a stream.
pub(crate) fn open(content: &[u8], taking: &mut Taking<'_>, decoder: &mut Decoder) -> Opened {
    let mut opened = Opened::default();
    if !stream(content, 0, taking, &mut opened, decoder) {
        decoder.found.note(Defect::BadTnef);
    }
    opened
}

/// The attributes that matter, as level-independent tags of type and name.
mod tag {
    pub(super) const CODE_PAGE: u32 = 0x0006_9007;
    pub(super) const BODY: u32 = 0x0002_800c;
    pub(super) const MESSAGE_PROPERTIES: u32 = 0x0006_9003;
    pub(super) const FILE_BEGINS: u32 = 0x0006_9002;
    pub(super) const FILE_DATA: u32 = 0x0006_800f;
    pub(super) const FILE_TITLE: u32 = 0x0001_8010;
    pub(super) const FILE_PROPERTIES: u32 = 0x0006_9005;
}

/// The properties that matter.
mod id {
    pub(super) const BODY: u16 = 0x1000;
    pub(super) const RTF: u16 = 0x1009;
    pub(super) const HTML: u16 = 0x1013;
    pub(super) const DISPLAY_NAME: u16 = 0x3001;
    pub(super) const DATA: u16 = 0x3701;
    pub(super) const SHORT_NAME: u16 = 0x3704;
    pub(super) const LONG_NAME: u16 = 0x3707;
    pub(super) const MIME_TYPE: u16 = 0x370e;
    pub(super) const CONTENT_ID: u16 = 0x3712;
    pub(super) const INTERNET_CODE_PAGE: u16 = 0x3fde;
}

/// The message's text in the forms it comes in.
#[derive(Default)]
struct Bodies<'a> {
    plain: Option<Text<'a>>,
    html: Option<Text<'a>>,
    rtf: Option<&'a [u8]>,
    /// The code page of HTML that is bytes.
    html_page: Option<u32>,
}

/// Text as it is stored.
#[derive(Clone, Copy)]
enum Text<'a> {
    Utf16(&'a [u8]),
    Bytes(&'a [u8]),
}

/// One file while its attributes are read.
#[derive(Default)]
struct File<'a> {
    title: Option<Text<'a>>,
    /// By preference, the best first.
    names: [Option<Text<'a>>; 3],
    mime_type: Option<Text<'a>>,
    content_id: Option<Text<'a>>,
    data: Option<&'a [u8]>,
    /// A whole message in a stream of its own.
    message: Option<&'a [u8]>,
}

/// Reads one stream; `false` where it is none or ends early.
fn stream(
    content: &[u8],
    depth: usize,
    taking: &mut Taking<'_>,
    opened: &mut Opened,
    decoder: &mut Decoder,
) -> bool {
    let Some(rest) = content.strip_prefix(SIGNATURE) else { return false };
    let mut reader = Reader::new(rest);
    // A key that means nothing beyond Exchange.
    reader.skip(2);
    let mut page = String::new();
    let mut bodies = Bodies::default();
    let mut file: Option<File<'_>> = None;
    let mut whole = true;
    while !reader.is_empty() {
        let (Some(_level), Some(tag), Some(length)) = (reader.byte(), reader.u32(), reader.u32()) else {
            whole = false;
            break;
        };
        let data = reader.up_to(length);
        // What is cut off is still shown; the checksum behind it is not there.
        whole &= data.len() as u64 == u64::from(length);
        reader.skip(2);
        match tag {
            tag::CODE_PAGE => page = Reader::new(data).u32().map(code_page).unwrap_or_default(),
            tag::BODY => bodies.plain = bodies.plain.or(Some(Text::Bytes(data))),
            tag::MESSAGE_PROPERTIES => properties(data, |property| bodies.take(property)),
            tag::FILE_BEGINS => {
                finish(file.replace(File::default()), &page, depth, taking, opened, decoder);
            }
            tag::FILE_DATA | tag::FILE_TITLE | tag::FILE_PROPERTIES => {
                let file = file.get_or_insert_default();
                match tag {
                    tag::FILE_DATA => file.data = Some(data),
                    tag::FILE_TITLE => file.title = Some(Text::Bytes(data)),
                    _ => properties(data, |property| file.take(property)),
                }
            }
            _ => {}
        }
    }
    finish(file, &page, depth, taking, opened, decoder);
    bodies.finish(&page, depth, taking, opened, decoder);
    whole
}

impl<'a> Bodies<'a> {
    fn take(&mut self, property: Property<'a>) {
        match property.id {
            id::BODY => self.plain = text(property).or(self.plain),
            id::HTML => self.html = text(property).or(self.html),
            id::RTF => self.rtf = property.bytes().or(self.rtf),
            id::INTERNET_CODE_PAGE => self.html_page = property.number(),
            _ => {}
        }
    }

    fn finish(
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
        opened.text = Some(decoder.clean(rtf::to_text(&rtf))).filter(|text| !text.is_empty());
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
    let Some(html) = rtf::to_html(rtf, packed, taking.budget.decoded() / times) else {
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

impl<'a> File<'a> {
    fn take(&mut self, property: Property<'a>) {
        match property.id {
            id::LONG_NAME => self.names[0] = text(property),
            id::SHORT_NAME => self.names[1] = text(property),
            id::DISPLAY_NAME => self.names[2] = text(property),
            id::MIME_TYPE => self.mime_type = text(property),
            id::CONTENT_ID => self.content_id = text(property),
            id::DATA => match property.object() {
                Some(object) if is_tnef(object) => self.message = Some(object),
                Some(object) => self.data = self.data.or(Some(object)),
                None => self.data = self.data.or(property.bytes()),
            },
            _ => {}
        }
    }
}

/// Makes an attachment of a file, and opens the message that it may be.
fn finish(
    file: Option<File<'_>>,
    page: &str,
    depth: usize,
    taking: &mut Taking<'_>,
    opened: &mut Opened,
    decoder: &mut Decoder,
) {
    let Some(file) = file else { return };
    let Some(content) = file.message.or(file.data) else { return };
    if taking.room == 0 {
        decoder.found.note(Defect::TooManyParts);
        return;
    }
    if !taking.budget.decode(content.len(), &mut decoder.found) {
        return;
    }
    taking.room -= 1;
    let mut read = |text: Text<'_>| {
        let text = text.read(page, decoder).trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let [long, short, display] = file.names.map(|name| name.and_then(&mut read));
    let title = file.title.and_then(&mut read);
    let mime_type = file
        .mime_type
        .and_then(&mut read)
        .map(|mime_type| mime_type.to_ascii_lowercase())
        .filter(|mime_type| mime_type.contains('/') && mime_type.len() <= 255);
    let content_id = file.content_id.and_then(&mut read).map(|id| id.trim_matches(['<', '>']).to_owned());
    let fallback =
        if file.message.is_some() { "application/ms-tnef" } else { "application/octet-stream" }.to_owned();
    opened.files.push(Attachment {
        filename: long
            .or(title)
            .or(short)
            .or(display)
            .and_then(|name| filename::sanitise(&name, &mut decoder.found)),
        mime_type: mime_type.filter(|_| file.message.is_none()).unwrap_or(fallback),
        content: content.to_vec(),
        disposition: if content_id.is_some() { Disposition::Inline } else { Disposition::Attachment },
        content_id,
    });
    if let Some(message) = file.message
        && depth < MAX_DEPTH
        && !stream(message, depth + 1, taking, opened, decoder)
    {
        decoder.found.note(Defect::BadTnef);
    }
}

/// A property's value as text, if it can be one.
fn text(property: Property<'_>) -> Option<Text<'_>> {
    if property.is_unicode() {
        return property.bytes().map(Text::Utf16);
    }
    property.bytes().map(Text::Bytes)
}

impl Text<'_> {
    /// What its bytes, and where `shown` says so its characters, can weigh: one of two bytes has up to three as UTF-8, one of
    /// one byte as many. What is shown counts twice: of HTML text is made, and a copy of it is a file.
    const fn at_most(self, shown: bool) -> usize {
        match (self, shown) {
            (Self::Bytes(bytes), true) => bytes.len().saturating_mul(7),
            (Self::Bytes(bytes), false) => bytes.len(),
            (Self::Utf16(bytes), true) => bytes.len().saturating_mul(5),
            (Self::Utf16(bytes), false) => bytes.len().saturating_mul(2),
        }
    }

    /// As people see it, line ends as LF, without NUL characters.
    fn read(self, page: &str, decoder: &mut Decoder) -> String {
        let text = match self {
            Self::Utf16(bytes) => {
                let mut text = charsets::exact(encoding_rs::UTF_16LE, bytes).0.into_owned();
                text.truncate(text.trim_end_matches('\0').len());
                text
            }
            Self::Bytes(bytes) => charsets::decode(without_nul(bytes), page, &mut decoder.found),
        };
        decoder.clean(charsets::lf(text))
    }
}

/// Without the NUL that ends a string.
fn without_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

/// The charset of a Windows code page.
fn code_page(number: u32) -> String {
    match number {
        65001 => "utf-8".to_owned(),
        20127 => "us-ascii".to_owned(),
        20866 => "koi8-r".to_owned(),
        21866 => "koi8-u".to_owned(),
        10000 => "macintosh".to_owned(),
        50220..=50222 => "iso-2022-jp".to_owned(),
        51932 => "euc-jp".to_owned(),
        51949 => "euc-kr".to_owned(),
        54936 => "gb18030".to_owned(),
        28591..=28606 => format!("iso-8859-{}", number - 28590),
        _ => format!("cp{number}"),
    }
}

#[cfg(test)]
mod tests;
