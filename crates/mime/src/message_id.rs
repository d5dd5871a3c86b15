//! Message-IDs (RFC 5322 section 3.6.4), strict where they can be and lenient where they are not.
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use crate::words::Decoder;

/// Message-IDs read from one field at most; a thread longer than that keeps its newest.
const MAX_IDS: usize = 1_000;

/// All ids of a field, without angle brackets. Words outside brackets count only where no bracket is found:
/// `In-Reply-To` of old mailers holds prose.
pub(crate) fn read(raw: &[u8], decoder: &mut Decoder) -> Vec<String> {
    let text = decoder.text(raw);
    let mut ids: Vec<String> = Vec::new();
    let mut rest = text.as_str();
    while let Some((_, after)) = rest.split_once('<') {
        let end = after.find(['>', '<']).unwrap_or(after.len());
        let id: String = after[..end].chars().filter(|c| !c.is_whitespace()).collect();
        if !id.is_empty() {
            // The newest are kept: a field may hold very many.
            if ids.len() >= 2 * MAX_IDS {
                ids.drain(..MAX_IDS);
            }
            ids.push(id);
        }
        rest = &after[end..];
    }
    if ids.is_empty() {
        ids.extend(text.split_whitespace().filter(|word| word.contains('@')).map(str::to_owned));
    }
    if ids.len() > MAX_IDS {
        ids.drain(..ids.len() - MAX_IDS);
    }
    ids
}

/// The id of a Message-ID field: the first in brackets, else the whole value.
pub(crate) fn read_one(raw: &[u8], decoder: &mut Decoder) -> Option<String> {
    if let Some(id) = read(raw, decoder).into_iter().next() {
        return Some(id);
    }
    let text = decoder.text(raw);
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
        assert_eq!(read_one(b"<>", &mut Decoder::new(1)), None);
    }
}
