//! The text in RTF, for mail whose only text is in winmail.dat. Fonts, colours and pictures are left out; of HTML that was
//! wrapped in RTF (MS-OXRTFEX) the RTF's own words are read. One pass over the bytes.

use crate::charsets;
use crate::defect::Found;

/// Groups whose content is no text. So is every group that begins with `\*`.
const SILENT: &[&str] = &[
    "fonttbl",
    "colortbl",
    "stylesheet",
    "info",
    "pict",
    "object",
    "header",
    "headerf",
    "headerl",
    "headerr",
    "footer",
    "footerf",
    "footerl",
    "footerr",
    "fldinst",
    "filetbl",
    "listtable",
    "revtbl",
    "nonshppict",
];

/// Words that stand for a character.
const CHARACTERS: &[(&str, &str)] = &[
    ("par", "\n"),
    ("line", "\n"),
    ("row", "\n"),
    ("sect", "\n"),
    ("page", "\n"),
    ("tab", "\t"),
    ("cell", "\t"),
    ("emdash", "—"),
    ("endash", "–"),
    ("bullet", "•"),
    ("lquote", "‘"),
    ("rquote", "’"),
    ("ldblquote", "“"),
    ("rdblquote", "”"),
];

/// Groups within groups whose state is kept; deeper ones share that of the last.
const MAX_DEPTH: usize = 200;

/// What holds within a group.
#[derive(Clone, Copy)]
struct Group {
    silent: bool,
    /// Characters behind a `\u` that stand for it where Unicode is not known.
    stand_ins: usize,
}

struct Reader {
    out: String,
    /// Bytes in the document's code page, and UTF-16, that wait to be decoded together.
    bytes: Vec<u8>,
    wide: Vec<u16>,
    page: String,
    group: Group,
    outer: Vec<Group>,
    /// Groups beyond those that are kept.
    deeper: usize,
    to_skip: usize,
}

/// Bytes of text that are read; a document with more is a file, and stands as one beside it.
const MOST_TEXT: usize = 1024 * 1024;

/// The text of an RTF document, at its beginning; empty of what is none.
pub(super) fn to_text(rtf: &[u8]) -> String {
    if !rtf.starts_with(b"{\\rtf") {
        return String::new();
    }
    let group = Group { silent: false, stand_ins: 1 };
    let mut reader = Reader {
        out: String::new(),
        bytes: Vec::new(),
        wide: Vec::new(),
        page: "cp1252".to_owned(),
        group,
        outer: Vec::new(),
        deeper: 0,
        to_skip: 0,
    };
    let mut rest = rtf;
    while let Some((&byte, tail)) = rest.split_first()
        && reader.out.len() + reader.bytes.len() + reader.wide.len() < MOST_TEXT
    {
        rest = tail;
        match byte {
            b'{' => reader.open(),
            b'}' => reader.close(),
            b'\\' => rest = reader.control(tail),
            b'\r' | b'\n' | 0 => {}
            _ => reader.byte(byte),
        }
    }
    reader.flush();
    reader.out.trim().to_owned()
}

impl Reader {
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
            self.group = group;
        }
    }

    /// Reads what follows a backslash.
    fn control<'a>(&mut self, tail: &'a [u8]) -> &'a [u8] {
        let letters = tail.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if letters == 0 {
            return self.symbol(tail);
        }
        let (word, rest) = tail.split_at(letters);
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = rest.iter().skip(sign).take_while(|byte| byte.is_ascii_digit()).take(10).count();
        let (number, rest) = if digits == 0 { rest.split_at(0) } else { rest.split_at(sign + digits) };
        let number = std::str::from_utf8(number).ok().and_then(|text| text.parse::<i32>().ok());
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        let word = std::str::from_utf8(word).unwrap_or_default();
        match (word, number) {
            // Raw bytes, which may look like anything.
            ("bin", Some(length)) => {
                return rest.get(usize::try_from(length).unwrap_or(0)..).unwrap_or_default();
            }
            ("u", Some(unit)) => {
                if !self.group.silent {
                    self.decode_bytes();
                    // Signed, of 16 bits.
                    self.wide.push(u16::try_from(unit & 0xffff).unwrap_or(0xfffd));
                }
                self.to_skip = self.group.stand_ins;
            }
            ("uc", Some(count)) => self.group.stand_ins = usize::try_from(count).unwrap_or(1).min(16),
            ("ansicpg", Some(page)) => self.page = super::code_page(u32::try_from(page).unwrap_or(1252)),
            _ if SILENT.contains(&word) => self.group.silent = true,
            _ => {
                if let Some((_, text)) = CHARACTERS.iter().find(|(name, _)| *name == word) {
                    self.text(text);
                }
            }
        }
        rest
    }

    fn symbol<'a>(&mut self, tail: &'a [u8]) -> &'a [u8] {
        let Some((&symbol, rest)) = tail.split_first() else { return tail };
        match symbol {
            b'\'' => {
                let digit = |at: usize| rest.get(at).and_then(|&byte| char::from(byte).to_digit(16));
                if let (Some(high), Some(low)) = (digit(0), digit(1)) {
                    self.byte(u8::try_from(high * 16 + low).unwrap_or_default());
                    return rest.get(2..).unwrap_or_default();
                }
            }
            b'*' => self.group.silent = true,
            b'~' => self.text("\u{a0}"),
            b'_' => self.text("-"),
            b'\r' | b'\n' => self.text("\n"),
            b'\\' | b'{' | b'}' => self.byte(symbol),
            _ => {}
        }
        rest
    }

    fn byte(&mut self, byte: u8) {
        if self.to_skip > 0 {
            self.to_skip -= 1;
        } else if !self.group.silent {
            self.decode_wide();
            self.bytes.push(byte);
        }
    }

    fn text(&mut self, text: &str) {
        if !self.group.silent {
            self.flush();
            self.out.push_str(text);
        }
    }

    fn flush(&mut self) {
        self.decode_bytes();
        self.decode_wide();
    }

    fn decode_bytes(&mut self) {
        if !self.bytes.is_empty() {
            self.out.push_str(&charsets::decode(&self.bytes, &self.page, &mut Found::default()));
            self.bytes.clear();
        }
    }

    fn decode_wide(&mut self) {
        if !self.wide.is_empty() {
            self.out.push_str(&String::from_utf16_lossy(&self.wide));
            self.wide.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_words_are_read_and_nothing_else() {
        let rtf = br"{\rtf1\ansi\ansicpg1251\deff0{\fonttbl{\f0\fswiss Arial;}}{\*\generator x;}
{\colortbl;\red0\green0\blue255;}\pard\f0\fs20 \'cf\'f0\'e8\'e2\'e5\'f2, {\b you} \{all\}\par
caf\u233? \u-10179?\u-8693?!\tab{\pict\bin3 }}x}a\~b\line end}";
        assert_eq!(to_text(rtf), "Привет, you {all}\ncafé \u{1f60b}!\ta\u{a0}b\nend");
    }

    #[test]
    fn html_in_rtf_is_read_by_its_words() {
        let rtf = br"{\rtf1\ansi\fromhtml1 {\*\htmltag64 <p>}\htmlrtf {\htmlrtf0 Dear all\htmlrtf \par}\htmlrtf0 {\*\htmltag72 </p>}bye}";
        assert_eq!(to_text(rtf), "Dear all\nbye");
    }

    #[test]
    fn deep_groups_and_long_words_do_no_harm() {
        let deep =
            [&b"{\\rtf1 a"[..], &b"{".repeat(1_000_000), b"b", &b"}".repeat(1_000_000), b"c}"].concat();
        assert_eq!(to_text(&deep), "abc");
        assert_eq!(to_text(&[&b"{\\rtf1 \\"[..], &b"a".repeat(1_000_000), b" x"].concat()), "x");
        assert_eq!(to_text(b"no RTF"), "");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(tail in "[{}\\\\a-z'0-9u* -]{0,300}") {
            let rtf = format!("{{\\rtf1{tail}");
            prop_assert!(to_text(rtf.as_bytes()).len() <= rtf.len() * 4);
        }
    }
}
