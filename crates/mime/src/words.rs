//! Encoded words (RFC 2047) in one pass, and unfolding.
//!
//! mailparse's own decoder is quadratic in the number of words of one header (2 MB of them take it 88 s) and
//! decodes each word alone, which breaks a multi-byte character that was split over two. Here the bytes of
//! neighbouring words of one charset are joined before they are decoded, an unknown charset is guessed instead of
//! being shown as it stands, and each byte is looked at a bounded number of times.
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use memchr::{memchr, memmem};

use crate::charsets;
use crate::defect::{Defect, Found};
use crate::transfer;

/// Decodes header values; counts encoded words over a whole mail.
#[derive(Debug)]
pub(crate) struct Decoder {
    words_left: usize,
    /// The charset that the body declares: what raw 8-bit header text is in, if it is not UTF-8.
    pub(crate) hint: String,
    pub(crate) found: Found,
}

impl Decoder {
    pub(crate) fn new(max_words: usize) -> Self {
        Self { words_left: max_words, hint: String::new(), found: Found::default() }
    }

    /// A header value as people see it: unfolded to one line, words decoded, raw 8-bit text as UTF-8,
    /// the charset of the mail or windows-1252, without NUL.
    pub(crate) fn text(&mut self, raw: &[u8]) -> String {
        // Most values are plain: what was unfolded is the text, without a copy.
        let text = match String::from_utf8(unfold(raw)) {
            Ok(text) if is_plain(&text) => text,
            Ok(text) => self.words(text.as_bytes()),
            Err(error) => self.words(error.as_bytes()),
        };
        self.clean(text)
    }

    /// A value that machines compare, as [`Decoder::text`]: it reads the same whatever else the mail declares and however many
    /// words it holds elsewhere.
    pub(crate) fn text_alone(&mut self, raw: &[u8]) -> String {
        const MAX_WORDS: usize = 400;
        let mut alone = Self::new(MAX_WORDS);
        std::mem::swap(&mut alone.found, &mut self.found);
        let text = alone.text(raw);
        self.found = alone.found;
        text
    }

    /// Removes NUL characters, which neither TEXT nor JSONB can hold.
    pub(crate) fn clean(&mut self, mut text: String) -> String {
        if text.contains('\0') {
            self.found.note(Defect::NulRemoved);
            text.retain(|c| c != '\0');
        }
        text
    }

    /// Decodes the encoded words of a line that is already unfolded.
    pub(crate) fn words(&mut self, line: &[u8]) -> String {
        let Some(first) = memmem::find(line, b"=?") else {
            return charsets::guess_with(line, &self.hint).into_owned();
        };
        let mut out = Joined { hint: self.hint.clone(), ..Joined::default() };
        let (before, mut rest) = line.split_at(first);
        out.plain(before, &mut self.found);
        while !rest.is_empty() {
            // What is no word: its first two bytes are plain, the next word is looked for behind them.
            let mut skip = 2.min(rest.len());
            if let Some((word, after)) = self.word_at(rest) {
                out.word(&word, &mut self.found);
                (rest, skip) = (after, 0);
            }
            let next = memmem::find(&rest[skip..], b"=?").map_or(rest.len(), |at| at + skip);
            let (plain, after) = rest.split_at(next);
            out.plain(plain, &mut self.found);
            rest = after;
        }
        out.finish(&mut self.found)
    }

    /// Reads one encoded word at the start of `line`.
    fn word_at<'a>(&mut self, line: &'a [u8]) -> Option<(Word<'a>, &'a [u8])> {
        const LONGEST_CHARSET: usize = 80;
        let inner = line.strip_prefix(b"=?")?;
        let charset_end = memchr(b'?', inner.get(..LONGEST_CHARSET.min(inner.len()))?)?;
        let (charset, inner) = (&inner[..charset_end], &inner[charset_end + 1..]);
        let encoding = inner.first()?.to_ascii_lowercase();
        if inner.get(1) != Some(&b'?') || !matches!(encoding, b'q' | b'b') || charset.is_empty() {
            return None;
        }
        let inner = &inner[2..];
        // A word ends at `?=`, and before the next word begins: an unterminated one must not swallow its
        // neighbour, nor the search for its end run over the whole header for each of them.
        let end = word_end(inner)?;
        if self.words_left == 0 {
            self.found.note(Defect::TooManyEncodedWords);
            return None;
        }
        self.words_left -= 1;
        let text = &inner[..end];
        let bytes = if encoding == b'b' {
            transfer::base64_word(text)
        } else {
            transfer::quoted_printable_word(text)
        };
        let after = &inner[end + 2..];
        let sent = &line[..line.len() - after.len()];
        Some((Word { charset, bytes, sent }, after))
    }
}

/// Where `?=` ends an encoded word's text; `None` when another word begins before, or none ends within reach.
fn word_end(text: &[u8]) -> Option<usize> {
    /// RFC 2047 allows 75 characters; senders that ignore it put a whole subject into one word.
    const LONGEST_WORD: usize = 16 * 1024;
    let mut from = 0;
    let window = &text[..text.len().min(LONGEST_WORD)];
    while let Some(at) = memchr(b'?', window.get(from..)?) {
        let at = from + at;
        if window.get(at + 1) == Some(&b'=') {
            return Some(at);
        }
        if at > 0 && window.get(at - 1) == Some(&b'=') {
            return None;
        }
        from = at + 1;
    }
    None
}

struct Word<'a> {
    charset: &'a [u8],
    bytes: Vec<u8>,
    /// As it stands.
    sent: &'a [u8],
}

/// Words that wait for a neighbour of the same charset.
struct Waiting {
    charset: String,
    bytes: Vec<u8>,
    /// As they stand.
    sent: Vec<u8>,
}

/// The output: text, and the bytes of the words that wait for a neighbour of the same charset.
#[derive(Default)]
struct Joined {
    text: String,
    hint: String,
    waiting: Option<Waiting>,
    /// White space after a word: dropped when another word follows (RFC 2047 section 6.2).
    gap: Vec<u8>,
}

impl Joined {
    fn plain(&mut self, bytes: &[u8], found: &mut Found) {
        if bytes.is_empty() {
            return;
        }
        if self.waiting.is_some() && bytes.iter().all(u8::is_ascii_whitespace) {
            self.gap.extend_from_slice(bytes);
            return;
        }
        self.flush(found);
        self.text.push_str(&charsets::guess_with(bytes, &self.hint));
    }

    fn word(&mut self, word: &Word<'_>, found: &mut Found) {
        let charset = String::from_utf8_lossy(word.charset).to_ascii_lowercase();
        self.gap.clear();
        match &mut self.waiting {
            Some(waiting) if waiting.charset == charset && joinable(&charset) => {
                waiting.bytes.extend_from_slice(&word.bytes);
                waiting.sent.push(b' ');
                waiting.sent.extend_from_slice(word.sent);
            }
            _ => {
                self.flush(found);
                let (bytes, sent) = (word.bytes.clone(), word.sent.to_vec());
                self.waiting = Some(Waiting { charset, bytes, sent });
            }
        }
    }

    fn flush(&mut self, found: &mut Found) {
        if let Some(Waiting { charset, bytes, sent }) = self.waiting.take() {
            if charsets::is_noise(&bytes, &charset) {
                // Decoded it would be rubbish from which nobody gets the word back.
                found.note(Defect::BadCharset(charset));
                self.text.push_str(&String::from_utf8_lossy(&sent));
            } else {
                let text = charsets::decode(&bytes, &charset, found);
                // A line end within a word would make two lines of a field.
                self.text.push_str(&text.replace("\r\n", " ").replace(['\r', '\n'], " "));
            }
        }
        self.text.push_str(&String::from_utf8_lossy(&self.gap));
        self.gap.clear();
    }

    fn finish(mut self, found: &mut Found) -> String {
        self.flush(found);
        self.text
    }
}

/// Whether words of this charset are pieces of one text. Those of ISO-2022-JP should each begin and end in ASCII; where
/// they do not, a program has cut a text into pieces without a look at its state. Of other charsets with a state no such
/// program is known, and each word starts anew.
fn joinable(charset: &str) -> bool {
    let has_state =
        charset.starts_with("iso-2022") || charset.starts_with("utf-7") || charset.starts_with("hz");
    !has_state || charset.starts_with("iso-2022-jp")
}

/// The charset of the first encoded word, or of what looks like one.
pub(crate) fn first_charset(raw: &[u8]) -> Option<&str> {
    const LONGEST_CHARSET: usize = 80;
    let inner = raw.get(memmem::find(raw, b"=?")? + 2..)?;
    let end = memchr(b'?', &inner[..LONGEST_CHARSET.min(inner.len())])?;
    std::str::from_utf8(&inner[..end]).ok()
}

/// Joins the lines of a folded value: each line end with the white space around it becomes one space.
pub(crate) fn unfold(raw: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        line.extend_from_slice(&rest[..at]);
        while line.last().is_some_and(|b| matches!(b, b' ' | b'\t')) {
            line.pop();
        }
        let blank = rest[at..].iter().take_while(|b| b.is_ascii_whitespace()).count();
        line.push(b' ');
        rest = &rest[at + blank..];
    }
    line.extend_from_slice(rest);
    line.truncate(line.trim_ascii_end().len());
    let blank = line.len() - line.trim_ascii_start().len();
    line.drain(..blank);
    line
}

/// Whether UTF-8 is text as it stands: no encoded word, no escape of ISO-2022, no byte order mark.
fn is_plain(text: &str) -> bool {
    !text.starts_with('\u{feff}') && !text.contains('\x1b') && memmem::find(text.as_bytes(), b"=?").is_none()
}
