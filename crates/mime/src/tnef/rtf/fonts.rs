//! The fonts of an RTF document, as far as they say which code page their text is in.

use std::collections::BTreeMap;

use super::characters::Page;

/// Fonts of one document; more than Outlook ever lists.
const MAX_FONTS: usize = 4_096;

/// What the font table said.
pub(super) struct Fonts {
    pages: BTreeMap<i32, Page>,
    /// The font that the table describes just now.
    described: i32,
    /// Of text in no font.
    default_font: i32,
    /// Of text in fonts that say nothing.
    pub(super) default: Page,
}

impl Fonts {
    pub(super) fn new(default: Page) -> Self {
        Self { pages: BTreeMap::new(), described: 0, default_font: 0, default }
    }

    /// Which font text is in that names none.
    pub(super) const fn by_default(&mut self, font: i32) {
        self.default_font = font;
    }

    /// What follows in the table is about this font.
    pub(super) const fn describe(&mut self, font: i32) {
        self.described = font;
    }

    /// The font described has this code page.
    pub(super) fn has(&mut self, page: Page) {
        if self.pages.len() < MAX_FONTS {
            self.pages.insert(self.described, page);
        }
    }

    /// The code page of a font, or of the document's.
    pub(super) fn page(&self, font: Option<i32>) -> Page {
        self.pages.get(&font.unwrap_or(self.default_font)).copied().unwrap_or(self.default)
    }
}

/// The code page of a Windows character set (`\fcharset`); of those that are none in particular there is none.
pub(super) const fn code_page(charset: i32) -> Option<u32> {
    Some(match charset {
        0 => 1252,
        77 => 10000,
        78 | 128 => 932,
        79 | 129 => 949,
        80 | 134 => 936,
        81 | 136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        254 => 437,
        255 => 850,
        _ => return None,
    })
}
