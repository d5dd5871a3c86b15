//! The characters of RTF: bytes in the code page of the document or of a font, and units of UTF-16, written into one text
//! as they come. Nothing is held back but the beginning of a character, so that no document costs more than its text.

use std::collections::HashMap;

use encoding_rs::{CoderResult, Decoder, Encoding, WINDOWS_1252};

use crate::charsets::{self, Meaning};
use crate::defect::Found;

/// What the bytes of a text mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Encoding(&'static Encoding),
    /// A code page of DOS: the place of its upper half among those of the document.
    Table(usize),
}

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
    pages: HashMap<u32, Page>,
    tables: Vec<Box<[char]>>,
}

impl Characters {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            out: String::with_capacity(capacity),
            page: Page::Encoding(WINDOWS_1252),
            decoder: WINDOWS_1252.new_decoder_without_bom_handling(),
            waits: false,
            high: None,
            pages: HashMap::new(),
            tables: Vec::new(),
        }
    }

    /// The code page of a number; that of the West where there is none.
    pub(super) fn page(&mut self, number: u32) -> Page {
        if let Some(page) = self.pages.get(&number) {
            return *page;
        }
        if self.pages.len() >= MAX_PAGES {
            return Page::Encoding(WINDOWS_1252);
        }
        let label = crate::tnef::code_page(number);
        let page = match charsets::meaning(&label) {
            Meaning::Known(charset) => Encoding::for_label(charset.name().as_bytes())
                .filter(|encoding| encoding.is_ascii_compatible())
                .map_or(Page::Encoding(WINDOWS_1252), Page::Encoding),
            Meaning::Page(_) => {
                let character =
                    |byte| charsets::decode(&[byte], &label, &mut Found::default()).chars().next();
                let upper = (0x80..=0xff).map(|byte| character(byte).unwrap_or(char::REPLACEMENT_CHARACTER));
                self.tables.push(upper.collect());
                Page::Table(self.tables.len() - 1)
            }
            _ => Page::Encoding(WINDOWS_1252),
        };
        self.pages.insert(number, page);
        page
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
                    Some(place) => upper.get(usize::from(place)).copied().unwrap_or('?'),
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
        loop {
            // Room for the longest character and a little more, so that each turn gets on.
            self.out.reserve(bytes.len().min(4096) + 16);
            let (result, read, _) = self.decoder.decode_to_string(bytes, &mut self.out, last);
            bytes = bytes.get(read..).unwrap_or_default();
            if result == CoderResult::InputEmpty {
                return;
            }
        }
    }
}
