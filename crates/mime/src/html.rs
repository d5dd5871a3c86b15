//! HTML to text and text to HTML.
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use memchr::memchr;

use crate::defect::{Defect, Found};
use crate::limits::Limits;

/// Columns of text made from HTML; longer words and links stay whole.
const WIDTH: usize = 100;

/// Elements that never nest: they have no end tag, or their end is implied by the next one of their kind.
const FLAT: &[&str] = &[
    "area", "base", "body", "br", "col", "dd", "dt", "embed", "head", "hr", "html", "img", "input", "li",
    "link", "meta", "o:p", "option", "p", "param", "source", "tbody", "td", "tfoot", "th", "thead", "title",
    "tr", "track", "wbr",
];

/// Elements that begin a new line where tags are cut out.
const BREAKING: &[&str] =
    &["br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "table", "blockquote", "hr"];

/// Text as a person would read the HTML. html2text renders it; what is too long or too deeply nested for its
/// quadratic time, or what it gives up on, has its tags cut out.
pub(crate) fn to_text(html: &str, limits: &Limits, found: &mut Found) -> String {
    if html.len() <= limits.max_html_bytes && depth(html, limits.max_html_depth) <= limits.max_html_depth {
        // The renderer is not ours: a panic in it must cost this rendering, not the worker.
        let rendered = catch_unwind(AssertUnwindSafe(|| {
            html2text::config::plain_no_decorate()
                .raw_mode(true)
                .allow_width_overflow()
                .string_from_read(html.as_bytes(), WIDTH)
        }));
        if let Ok(Ok(text)) = rendered {
            return text.replace('\0', "");
        }
    }
    found.note(Defect::HtmlNotRendered);
    without_tags(html)
}

/// HTML that shows a text as it is, line by line.
pub(crate) fn from_text(text: &str) -> String {
    format!("<div style=\"white-space: pre-wrap\">{}</div>", html_escape::encode_text(text))
}

/// The deepest nesting of tags, counted up to a little more than `enough`.
fn depth(html: &str, enough: usize) -> usize {
    let (mut open, mut deepest) = (0usize, 0usize);
    for tag in (Tags { rest: html }) {
        if tag.closes {
            open = open.saturating_sub(1);
        } else if !tag.empty && !FLAT.iter().any(|flat| tag.name.eq_ignore_ascii_case(flat)) {
            open += 1;
            deepest = deepest.max(open);
            if deepest > enough {
                break;
            }
        }
    }
    deepest
}

/// One tag, and the text before it.
struct Tag<'a> {
    before: &'a str,
    name: &'a str,
    /// `</x>`.
    closes: bool,
    /// `<x/>`.
    empty: bool,
}

/// The tags of a text in one pass.
struct Tags<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        let mut from = 0;
        loop {
            let at = from + memchr(b'<', self.rest.as_bytes().get(from..)?)?;
            let inner = self.rest.get(at + 1..)?;
            let closes = inner.starts_with('/');
            let word = inner.strip_prefix('/').unwrap_or(inner);
            let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != ':').unwrap_or(word.len());
            let name = &word[..end];
            if name.is_empty() && !inner.starts_with(['!', '?']) {
                from = at + 1;
                continue;
            }
            let before = &self.rest[..at];
            let length = memchr(b'>', inner.as_bytes()).unwrap_or(inner.len());
            let empty = inner[..length].ends_with('/') || name.is_empty();
            self.rest = inner.get(length + 1..).unwrap_or_default();
            // `<!` and `<?` have no name; a comment may hold a `>`, which is then text: crude, and safe.
            return Some(Tag { before, name, closes, empty });
        }
    }
}

fn without_tags(html: &str) -> String {
    let mut text = String::with_capacity(html.len() / 2);
    let mut hidden = false;
    let mut tags = Tags { rest: html };
    for tag in &mut tags {
        if !hidden {
            text.push_str(tag.before);
        }
        if ["style", "script", "title"].iter().any(|name| tag.name.eq_ignore_ascii_case(name)) {
            hidden = !tag.closes;
        }
        text.push(if BREAKING.iter().any(|name| tag.name.eq_ignore_ascii_case(name)) { '\n' } else { ' ' });
    }
    if !hidden {
        text.push_str(tags.rest);
    }
    let decoded = html_escape::decode_html_entities(&text);
    // A numbered entity may be a NUL.
    let decoded = if decoded.contains('\0') { Cow::Owned(decoded.replace('\0', "")) } else { decoded };
    // Words one space apart, at most one blank line between lines. Written at once: a list of the words would weigh many
    // times as much as they do.
    let mut lines = String::with_capacity(decoded.len());
    let mut blank = true;
    for line in decoded.lines() {
        let mut words = line.split_whitespace().peekable();
        let is_blank = words.peek().is_none();
        if is_blank && blank {
            continue;
        }
        if !lines.is_empty() {
            lines.push('\n');
        }
        for (index, word) in words.enumerate() {
            if index > 0 {
                lines.push(' ');
            }
            lines.push_str(word);
        }
        blank = is_blank;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> (String, usize) {
        let mut found = Found::default();
        let text = to_text(html, &Limits::default(), &mut found);
        (text.trim().to_owned(), found.into_vec().len())
    }

    #[test]
    fn html_becomes_the_text_people_see() {
        assert_eq!(text("<p>Dear&nbsp;all</p><p>a &lt; b</p>"), ("Dear\u{a0}all\n\na < b".to_owned(), 0));
    }

    #[test]
    fn deeply_nested_html_is_stripped_instead_of_rendered() {
        let html = format!("{}deep<style>x</style>{}", "<div>".repeat(50_000), "</div>".repeat(50_000));
        assert_eq!(text(&html), ("deep".to_owned(), 1));
        let open = "<blockquote>".repeat(5_000) + "deep";
        assert_eq!(text(&open), ("deep".to_owned(), 1));
    }

    #[test]
    fn sloppy_html_of_unclosed_paragraphs_is_rendered() {
        assert_eq!(text(&"<p>x".repeat(1_000)).1, 0);
    }

    #[test]
    fn text_becomes_html_that_shows_it() {
        assert_eq!(from_text("a < b\n& c"), "<div style=\"white-space: pre-wrap\">a &lt; b\n&amp; c</div>");
    }
}
