//! winmail.dat: Outlook's envelope around a mail's files and rich text (MS-OXTNEF), opened.
//!
//! A stream of attributes: those of the message (its text as RTF, HTML or plain text; RTF that was made of HTML gives it
//! back) and, behind each "rendering data", those of one file. Bytes that are no TNEF give nothing, a stream that ends early gives what came before. One pass, and
//! no length is believed beyond the bytes there are. Checksums are not held against the content: a file with a flipped
//! bit is of more use than none.

use crate::budget::Budget;
use crate::charsets;
use crate::defect::Defect;
use crate::mail::Attachment;
use crate::words::Decoder;

mod file;
mod lzfu;
mod message;
mod properties;
mod rtf;

use file::File;
use message::Message;
use properties::{Property, Reader, properties};

/// The first bytes of every stream, little endian.
const SIGNATURE: &[u8] = &[0x78, 0x9f, 0x3e, 0x22];
/// Messages within messages that are opened: one mail forwarded in another.
const MAX_DEPTH: usize = 2;
/// Bytes of unpacked RTF in one mail. It can be eight times as long as what it is packed in.
pub(crate) const MAX_RTF: usize = 8 * 1024 * 1024;
/// Bytes of it that are read for HTML or text, beyond as many as it was packed in: what packs well takes long for what it
/// weighs in the mail. A document with more is a file, and stands as one beside the mail.
pub(crate) const MAX_READ: usize = 2 * 1024 * 1024;

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
    /// Of these, bytes that are read beyond what they were packed in.
    pub(crate) read_left: usize,
    /// The mail may have no other text.
    pub(crate) keep_text: bool,
    pub(crate) budget: &'b mut Budget,
}

impl Taking<'_> {
    /// How many of so many bytes of RTF may be read, which were packed in so many.
    fn may_read(&mut self, rtf: usize, packed: usize) -> usize {
        let most = rtf.min(self.read_left.saturating_add(packed));
        self.read_left -= most.saturating_sub(packed);
        most
    }
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

/// Text as it is stored.
#[derive(Clone, Copy)]
enum Text<'a> {
    Utf16(&'a [u8]),
    Bytes(&'a [u8]),
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
    let mut message = Message::default();
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
            tag::BODY => message.plain = message.plain.or(Some(Text::Bytes(data))),
            tag::MESSAGE_PROPERTIES => properties(data, |property| message.take(property)),
            tag::FILE_BEGINS => {
                file::finish(file.replace(File::default()), &page, depth, taking, opened, decoder);
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
    file::finish(file, &page, depth, taking, opened, decoder);
    message.finish(&page, depth, taking, opened, decoder);
    whole
}

/// A property's value as text, if it can be one.
fn text(property: Property<'_>) -> Option<Text<'_>> {
    if property.is_unicode() {
        return property.bytes().map(Text::Utf16);
    }
    property.bytes().map(Text::Bytes)
}

impl<'a> Text<'a> {
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

    /// Its first bytes.
    fn beginning(self, bytes: usize) -> Self {
        let cut = |all: &'a [u8]| all.get(..bytes).unwrap_or(all);
        match self {
            Self::Utf16(all) => Self::Utf16(cut(all)),
            Self::Bytes(all) => Self::Bytes(cut(all)),
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
