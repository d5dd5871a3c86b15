//! The text in RTF, for mail whose only text is in winmail.dat, and the HTML that was wrapped in RTF (MS-OXRTFEX).
//!
//! Fonts, colours and pictures are left out. Of wrapped HTML the groups `\*\htmltag` hold what RTF has no words for; what
//! stands between `\htmlrtf` and `\htmlrtf0` is RTF that the HTML never had; all else is text of both. One pass over the
//! bytes.

mod characters;
mod fonts;
mod tokens;
mod words;

use characters::{Characters, Page, WESTERN};
use fonts::Fonts;
use tokens::{Token, Tokens};
use words::{CHARACTERS, ONLY_IN_TEXT, SILENT};

/// Groups within groups whose state is kept; deeper ones share that of the last.
const MAX_DEPTH: usize = 200;

/// Characters behind a `\u` that may stand for it.
const MAX_STAND_INS: i32 = 16;

/// What a group holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// HTML as it was.
    Tag,
    Fonts,
    Silent,
}

/// What holds within a group.
#[derive(Clone, Copy)]
struct Group {
    kind: Kind,
    /// RTF that is not of the HTML.
    left_out: bool,
    /// Characters behind a `\u` that stand for it where Unicode is not known.
    stand_ins: usize,
    font: Option<i32>,
    /// The code page of its text.
    page: Page,
}

struct Reader {
    /// HTML is wanted, else text.
    html: bool,
    characters: Characters,
    fonts: Fonts,
    group: Group,
    outer: Vec<Group>,
    /// Groups beyond those that are kept.
    deeper: usize,
    to_skip: usize,
    /// What the group held before the `\*` that was just read.
    before_star: Option<Kind>,
}

/// Bytes of text that are read; a document with more is a file, and stands as one beside it.
const MOST_TEXT: usize = 1024 * 1024;

/// Bytes of HTML that are given back, beyond as many as the RTF was packed in. What Outlook writes is far shorter, for its
/// pictures are files; a document with more is a file as well.
const MOST_HTML: usize = 1024 * 1024;

/// How a document begins.
const BEGIN: &[u8] = b"{\\rtf";

/// Tokens within which a document says that it was HTML.
const SAYS_ORIGIN: usize = 10;

/// The text of an RTF document, at its beginning; empty of what is none.
pub(super) fn to_text(rtf: &[u8]) -> String {
    if !rtf.starts_with(BEGIN) {
        return String::new();
    }
    let mut reader = Reader::new(false, 0);
    Tokens::new(rtf).take_while(|token| reader.read(*token, MOST_TEXT)).for_each(drop);
    reader.characters.finish().trim().to_owned()
}

/// Whether HTML is wrapped in a document.
pub(super) fn is_html(rtf: &[u8]) -> bool {
    let says = |token| matches!(token, Token::Word(b"fromhtml", number) if number != Some(0));
    rtf.starts_with(BEGIN) && Tokens::new(rtf).take(SAYS_ORIGIN).any(says)
}

/// The HTML that is wrapped in a document, which was packed in so many bytes; nothing where it has more than `most`, or
/// more than anyone writes.
pub(super) fn to_html(rtf: &[u8], packed: usize, most: usize) -> Option<String> {
    let most = most.min(MOST_HTML.saturating_add(packed));
    // Mostly it is shorter than the RTF around it.
    let mut reader = Reader::new(true, rtf.len().min(most));
    let mut all = Tokens::new(rtf);
    if !all.all(|token| reader.read(token, most)) {
        return None;
    }
    let mut html = reader.characters.finish();
    html.shrink_to_fit();
    (html.len() <= most).then_some(html)
}

impl Reader {
    fn new(html: bool, capacity: usize) -> Self {
        let characters = Characters::new(capacity);
        Self {
            html,
            characters,
            fonts: Fonts::new(WESTERN),
            group: Group { kind: Kind::Text, left_out: false, stand_ins: 1, font: None, page: WESTERN },
            outer: Vec::new(),
            deeper: 0,
            to_skip: 0,
            before_star: None,
        }
    }

    /// Reads a token; `false` once there are more than `most` bytes.
    fn read(&mut self, token: Token<'_>, most: usize) -> bool {
        let before_star = self.before_star.take();
        match token {
            Token::Open => self.open(),
            Token::Close => self.close(),
            Token::Text(bytes) => self.bytes(bytes),
            Token::Byte(byte) => self.bytes(&[byte]),
            Token::Symbol(symbol) => self.symbol(symbol),
            Token::Word(word, number) => self.word(word, number, before_star),
        }
        self.characters.out.len() <= most
    }

    fn open(&mut self) {
        self.to_skip = 0;
        if self.outer.len() < MAX_DEPTH {
            self.outer.push(self.group);
        } else {
            self.deeper += 1;
        }
    }

    fn close(&mut self) {
        self.to_skip = 0;
        if self.deeper > 0 {
            self.deeper -= 1;
        } else if let Some(group) = self.outer.pop() {
            let inner = std::mem::replace(&mut self.group, group);
            if inner.kind == Kind::Fonts && group.kind != Kind::Fonts {
                self.group.page = self.fonts.page(group.font);
            }
        }
    }

    fn word(&mut self, word: &[u8], number: Option<i32>, before_star: Option<Kind>) {
        match (word, number) {
            (b"u", Some(unit)) => {
                if self.is_shown() {
                    // Signed, of 16 bits.
                    self.characters.unit(u16::try_from(unit & 0xffff).unwrap_or(0xfffd));
                }
                self.to_skip = self.group.stand_ins;
            }
            (b"uc", Some(count)) => {
                self.group.stand_ins = usize::try_from(count.clamp(0, MAX_STAND_INS)).unwrap_or(1);
            }
            (b"htmlrtf", number) if self.html => self.group.left_out = number != Some(0),
            // A group of the kind that can be skipped, which this one is not.
            (b"htmltag", _) if self.html => {
                let before = before_star.unwrap_or(self.group.kind);
                self.group.kind = if before == Kind::Text { Kind::Tag } else { before };
            }
            (b"fonttbl", _) => self.group.kind = Kind::Fonts,
            (b"f" | b"plain" | b"deff" | b"fcharset" | b"cpg" | b"ansicpg", number) => {
                self.font(word, number);
            }
            // None of those below is so short, and most words are.
            _ if word.len() < 3 => {}
            _ if SILENT.contains(&word) => self.group.kind = Kind::Silent,
            _ => {
                if let Some((_, text)) = CHARACTERS.iter().find(|(name, _)| *name == word)
                    && !(self.html && ONLY_IN_TEXT.contains(&word))
                {
                    self.text(text);
                }
            }
        }
    }

    /// Reads what fonts say, also where nothing is shown: they hold behind it.
    fn font(&mut self, word: &[u8], number: Option<i32>) {
        match (word, number) {
            (b"f", Some(font)) if self.group.kind == Kind::Fonts => self.fonts.describe(font),
            (b"fcharset", Some(charset)) if self.group.kind == Kind::Fonts => {
                if let Some(page) = fonts::code_page(charset) {
                    self.fonts.has(self.characters.page(page));
                }
            }
            (b"cpg", Some(page)) if self.group.kind == Kind::Fonts => {
                self.fonts.has(self.characters.page(u32::try_from(page).unwrap_or(1252)));
            }
            (b"ansicpg", Some(page)) => {
                self.fonts.default = self.characters.page(u32::try_from(page).unwrap_or(1252));
            }
            (b"deff", Some(font)) => self.fonts.by_default(font),
            (b"f", font) => self.group.font = font,
            (b"plain", _) => self.group.font = None,
            _ => return,
        }
        self.group.page = self.fonts.page(self.group.font);
    }

    fn symbol(&mut self, symbol: u8) {
        match symbol {
            b'*' => {
                self.before_star = Some(self.group.kind);
                self.group.kind = Kind::Silent;
            }
            b'~' => self.text("\u{a0}"),
            b'_' => self.text(if self.html { "\u{ad}" } else { "-" }),
            b'\r' | b'\n' => self.text("\n"),
            _ => {}
        }
    }

    const fn is_shown(&self) -> bool {
        matches!(self.group.kind, Kind::Text | Kind::Tag) && !self.group.left_out
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let skipped = self.to_skip.min(bytes.len());
        self.to_skip -= skipped;
        let bytes = bytes.get(skipped..).unwrap_or_default();
        if self.is_shown() && !bytes.is_empty() {
            // Tags are in the document's code page, whatever font is on.
            let page = if self.group.kind == Kind::Tag { self.fonts.default } else { self.group.page };
            self.characters.bytes(bytes, page);
        }
    }

    fn text(&mut self, text: &str) {
        if self.is_shown() {
            self.characters.text(if self.html && text == "\n" { "\r\n" } else { text });
        }
    }
}

#[cfg(test)]
mod tests;
