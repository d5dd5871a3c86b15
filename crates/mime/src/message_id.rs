//! Message-IDs (RFC 5322 section 3.6.4), strict where they can be and lenient where they are not.

use crate::words::Decoder;

/// Message-IDs read from one field at most; a thread longer than that keeps its newest.
const MAX_IDS: usize = 1_000;

/// All ids of a field, without angle brackets. Words outside brackets count only where no bracket is found:
/// `In-Reply-To` of old mailers holds prose.
pub(crate) fn read(raw: &[u8], decoder: &mut Decoder) -> Vec<String> {
    let text = decoder.text_alone(raw);
    let mut ids: Vec<String> = Vec::new();
    for id in bracketed(&text) {
        // The newest are kept: a field may hold very many.
        if ids.len() >= 2 * MAX_IDS {
            ids.drain(..MAX_IDS);
        }
        ids.push(id);
    }
    if ids.is_empty() {
        ids.extend(bare(&text).map(str::to_owned));
    }
    if ids.len() > MAX_IDS {
        ids.drain(..ids.len() - MAX_IDS);
    }
    ids
}

/// The ids in brackets.
fn bracketed(text: &str) -> impl Iterator<Item = String> {
    // What stands before the first bracket is none.
    let pieces = text.split('<').skip(1);
    let ids = pieces.map(|piece| piece.split('>').next().unwrap_or_default());
    ids.map(|id| id.chars().filter(|c| !c.is_whitespace()).collect::<String>()).filter(|id| !id.is_empty())
}

/// The words that look like an id without its brackets.
fn bare(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().filter(|word| word.contains('@'))
}

/// The id of a Message-ID field: the first in brackets, else the first word with an `@`, else the whole value.
pub(crate) fn read_one(raw: &[u8], decoder: &mut Decoder) -> Option<String> {
    let text = decoder.text_alone(raw);
    if let Some(id) = bracketed(&text).next().or_else(|| bare(&text).next().map(str::to_owned)) {
        return Some(id);
    }
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '<' || c == '>');
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_with_and_without_brackets() {
        let ids = |raw: &str| read(raw.as_bytes(), &mut Decoder::new(10));
        assert_eq!(ids("<a@b> <c@d>\r\n <e@f>"), ["a@b", "c@d", "e@f"]);
        assert_eq!(ids("<a@b><c@d"), ["a@b", "c@d"]);
        assert_eq!(ids("Your message of Monday <a@b>"), ["a@b"]);
        assert_eq!(ids("a@b"), ["a@b"]);
        assert_eq!(read_one(b"no-at-sign", &mut Decoder::new(1)).as_deref(), Some("no-at-sign"));
        let many = (0..3_000).map(|n| format!("<{n}@x>")).collect::<Vec<_>>().join(" ");
        assert_eq!(read_one(many.as_bytes(), &mut Decoder::new(1)).as_deref(), Some("0@x"));
        assert_eq!(read(many.as_bytes(), &mut Decoder::new(1)).first().map(String::as_str), Some("2000@x"));
        assert_eq!(read_one(b"<>", &mut Decoder::new(1)), None);
    }
}
