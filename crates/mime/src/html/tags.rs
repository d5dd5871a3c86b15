//! The tags of HTML, as browsers cut them (HTML Living Standard, section 13.2.5): quoted values, comments, and elements whose
//! content is text.
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use memchr::{memchr, memmem};

/// Elements whose content is text up to their end tag.
pub(super) const RAW: &[&str] = &["style", "script", "title", "textarea"];

/// One tag, and the text before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    pub(super) before: &'a str,
    /// Empty of a comment and the like.
    pub(super) name: &'a str,
    /// `</x>`.
    pub(super) closes: bool,
}

impl Tag<'_> {
    pub(super) fn is_one_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.name.eq_ignore_ascii_case(name))
    }
}

/// The tags of a text in one pass.
#[derive(Debug, Clone)]
pub(super) struct Tags<'a> {
    /// What was not read yet.
    pub(super) rest: &'a str,
}

impl<'a> Tags<'a> {
    /// Goes on at the end tag of this element, whose content is text, or at the end; gives the content.
    pub(super) fn skip_raw(&mut self, name: &str) -> &'a str {
        let text = self.rest;
        let ends = |at: &usize| {
            let rest = &text.as_bytes()[at + 2..];
            rest.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name.as_bytes()))
                && rest.get(name.len()).is_none_or(|&byte| ends_name(byte))
        };
        let end = memmem::find_iter(text.as_bytes(), b"</").find(ends).unwrap_or(text.len());
        let (raw, rest) = text.split_at(end);
        self.rest = rest;
        raw
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        let text = self.rest;
        let mut from = 0;
        loop {
            let at = from + memchr(b'<', text.as_bytes().get(from..)?)?;
            let inner = &text[at + 1..];
            let closes = inner.starts_with('/');
            let word = if closes { &inner[1..] } else { inner };
            let length = match word.as_bytes().first() {
                Some(byte) if byte.is_ascii_alphabetic() => {
                    let end = word.bytes().position(ends_name).unwrap_or(word.len());
                    let (name, values) = word.split_at(end);
                    self.rest = &values[behind_values(values)..];
                    return Some(Tag { before: &text[..at], name, closes });
                }
                _ if inner.starts_with("!--") => 3 + comment(&inner[3..]),
                Some(_) if closes || inner.starts_with(['!', '?']) => {
                    memchr(b'>', inner.as_bytes()).map_or(inner.len(), |end| end + 1)
                }
                // It begins nothing.
                _ => {
                    from = at + 1;
                    continue;
                }
            };
            self.rest = &inner[length..];
            return Some(Tag { before: &text[..at], name: "", closes: false });
        }
    }
}

/// The length of a comment behind its beginning, with its end.
fn comment(text: &str) -> usize {
    if let Some(empty) = [">", "->"].into_iter().find(|end| text.starts_with(end)) {
        return empty.len();
    }
    let mut dashes = memmem::find_iter(text.as_bytes(), b"--");
    dashes
        .find_map(|at| {
            let behind = &text[at + 2..];
            // A third dash may belong to the end.
            [(">", 3), ("->", 4), ("!>", 4), ("-!>", 5)]
                .into_iter()
                .find(|(end, _)| behind.starts_with(end))
                .map(|(_, length)| at + length)
        })
        .unwrap_or(text.len())
}

/// Where a tag ends, its `>` included, which may stand in quoted values before that.
fn behind_values(text: &str) -> usize {
    let bytes = text.as_bytes();
    let from = |at: usize| bytes.get(at..).unwrap_or_default();
    let run = |at: usize, goes_on: fn(u8) -> bool| from(at).iter().take_while(|&&byte| goes_on(byte)).count();
    let mut at = 0;
    loop {
        at += run(at, |byte| is_space(byte) || byte == b'/');
        match bytes.get(at) {
            None => return bytes.len(),
            Some(b'>') => return at + 1,
            // A name, whatever it begins with.
            Some(_) => at += 1 + run(at + 1, |byte| !ends_name(byte) && byte != b'='),
        }
        at += run(at, is_space);
        if bytes.get(at) != Some(&b'=') {
            continue;
        }
        at += 1 + run(at + 1, is_space);
        match bytes.get(at) {
            Some(&quote @ (b'"' | b'\'')) => match memchr(quote, from(at + 1)) {
                Some(length) => at += length + 2,
                None => return bytes.len(),
            },
            _ => at += run(at, |byte| !is_space(byte) && byte != b'>'),
        }
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

const fn ends_name(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'/' | b'>')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(html: &str) -> Vec<String> {
        Tags { rest: html }.map(|tag| format!("{}{}", if tag.closes { "/" } else { "" }, tag.name)).collect()
    }

    #[test]
    fn a_tag_ends_where_it_does_for_a_browser() {
        for (html, wanted) in [
            ("<a title=\"x>y\">b</a>", &["a", "/a"][..]),
            ("<a title = 'x>y' b=c/d>b", &["a"]),
            ("<a b=\"c\" =\"><i>", &["a", "i"]),
            ("<a b\"><i>\">", &["a", "i"]),
            ("<a =\"><i>", &["a", "i"]),
            ("<a/b=/\"><i>", &["a", "i"]),
            ("<a b=><i>", &["a", "i"]),
            ("<br/><o:p></o:p><my-x\n>", &["br", "o:p", "/o:p", "my-x"]),
            ("a < b <1> </ x> </> <?x?> <!x> <", &["", "", "", ""]),
            (
                "<!-- > <b> --><i><!--><u><!---><s><!-- --!><q><!----->",
                &["", "i", "", "u", "", "s", "", "q", ""],
            ),
            ("<!-- ---!><i>", &["", "i"]),
            ("<!-- <b>", &[""]),
            ("<a b=\"<i>", &["a"]),
        ] {
            assert_eq!(names(html), wanted, "{html}");
        }
    }

    #[test]
    fn what_is_text_ends_at_its_own_end_tag() {
        let mut tags = Tags { rest: "a </b> </stylex> </ style> </STYLE >c" };
        assert_eq!(tags.skip_raw("style"), "a </b> </stylex> </ style> ");
        assert_eq!(tags.next(), Some(Tag { before: "", name: "STYLE", closes: true }));
        assert_eq!((tags.skip_raw("style"), tags.rest), ("c", ""));
    }
}
