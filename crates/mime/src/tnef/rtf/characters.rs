//! The characters of RTF: bytes in the code page of the document or of a font, and units of UTF-16, written into one text
//! as they come. Nothing is held back but the beginning of a character, so that no document costs more than its text.

use std::collections::BTreeMap;

use encoding_rs::{CoderResult, Decoder, Encoding, WINDOWS_1252};

use crate::charsets::{self, Meaning};
use crate::defect::Found;

/// What the bytes of a text mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// One of the East, or UTF-8.
    Encoding(&'static Encoding),
    /// One byte is one character: the place of its upper half among those of the document.
    Table(usize),
}

/// What holds where nothing else is said: the code page of the West.
pub(super) const WESTERN: Page = Page::Table(0);

/// Code pages of one document.
const MAX_PAGES: usize = 64;

/// The text so far.
pub(super) struct Characters {
    pub(super) out: String,
    page: Page,
    decoder: Decoder,
    /// The decoder may wait for the rest of a character.
    waits: bool,
    /// The first half of a pair of UTF-16.
    high: Option<u16>,
    pages: BTreeMap<u32, Page>,
    tables: Vec<Box<[char]>>,
}

impl Characters {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            out: String::with_capacity(capacity),
            page: WESTERN,
            decoder: WINDOWS_1252.new_decoder_without_bom_handling(),
            waits: false,
            high: None,
            pages: BTreeMap::new(),
            tables: vec![upper(&decoded(WINDOWS_1252))],
        }
    }

    /// The code page of a number; that of the West where there is none.
    pub(super) fn page(&mut self, number: u32) -> Page {
        if let Some(page) = self.pages.get(&number) {
            return *page;
        }
        if self.pages.len() >= MAX_PAGES {
            return WESTERN;
        }
        let label = crate::tnef::code_page(number);
        let page = match charsets::meaning(&label) {
            Meaning::Known(charset) => match Encoding::for_label(charset.name().as_bytes()) {
                Some(encoding) if encoding.is_single_byte() => self.table(&decoded(encoding)),
                Some(encoding) if encoding.is_ascii_compatible() => Page::Encoding(encoding),
                _ => WESTERN,
            },
            Meaning::Page(_) => self.table(&charsets::decode(&UPPER, &label, &mut Found::default())),
            _ => WESTERN,
        };
        self.pages.insert(number, page);
        page
    }

    fn table(&mut self, text: &str) -> Page {
        self.tables.push(upper(text));
        Page::Table(self.tables.len() - 1)
    }

    /// Bytes in a code page.
    pub(super) fn bytes(&mut self, bytes: &[u8], page: Page) {
        self.end_pair();
        if page != self.page {
            self.end_bytes();
            self.page = page;
            if let Page::Encoding(encoding) = page {
                self.decoder = encoding.new_decoder_without_bom_handling();
            }
        }
        if !self.waits
            && bytes.is_ascii()
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            self.out.push_str(text);
            return;
        }
        match page {
            Page::Encoding(_) => {
                self.decode(bytes, false);
                self.waits = bytes.last().is_some_and(|byte| !byte.is_ascii());
            }
            Page::Table(place) => {
                let upper = self.tables.get(place).map_or(&[][..], |upper| upper);
                self.out.extend(bytes.iter().map(|&byte| match byte.checked_sub(0x80) {
                    None => char::from(byte),
                    Some(place) => {
                        upper.get(usize::from(place)).copied().unwrap_or(char::REPLACEMENT_CHARACTER)
                    }
                }));
            }
        }
    }

    /// One unit of UTF-16.
    pub(super) fn unit(&mut self, unit: u16) {
        self.end_bytes();
        match (self.high.take(), unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                let pair = 0x1_0000 + ((u32::from(high) & 0x3ff) << 10) + (u32::from(unit) & 0x3ff);
                self.out.push(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            (high, _) => {
                self.high = high;
                self.end_pair();
                if matches!(unit, 0xd800..=0xdbff) {
                    self.high = Some(unit);
                } else {
                    self.out.push(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
            }
        }
    }

    /// Text as it is.
    pub(super) fn text(&mut self, text: &str) {
        self.end_pair();
        self.end_bytes();
        self.out.push_str(text);
    }

    /// All of it.
    pub(super) fn finish(mut self) -> String {
        self.text("");
        self.out
    }

    /// Half a pair is no character.
    fn end_pair(&mut self) {
        if self.high.take().is_some() {
            self.out.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn end_bytes(&mut self) {
        if self.waits
            && let Page::Encoding(encoding) = self.page
        {
            self.decode(b"", true);
            self.decoder = encoding.new_decoder_without_bom_handling();
            self.waits = false;
        }
    }

    fn decode(&mut self, mut bytes: &[u8], last: bool) {
        // A small one: most runs are of one byte.
        let mut piece = [0; 128];
        loop {
            let (result, read, written, _) = self.decoder.decode_to_utf8(bytes, &mut piece, last);
            let text = piece.get(..written).and_then(|text| std::str::from_utf8(text).ok());
            self.out.push_str(text.unwrap_or_default());
            bytes = bytes.get(read..).unwrap_or_default();
            if result == CoderResult::InputEmpty {
                return;
            }
        }
    }
}

/// The bytes beyond ASCII.
const UPPER: [u8; 128] = {
    let mut bytes = [0; 128];
    let mut byte = 0x80;
    while byte < 0xff {
        bytes[byte as usize - 0x80] = byte;
        byte += 1;
    }
    bytes[0x7f] = 0xff;
    bytes
};

fn decoded(encoding: &'static Encoding) -> String {
    encoding.decode_without_bom_handling(&UPPER).0.into_owned()
}

fn upper(text: &str) -> Box<[char]> {
    text.chars().collect()
}
