//! HTML to text and text to HTML.
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use memchr::memchr_iter;

use crate::budget::{Budget, Pass};
use crate::defect::{Defect, Found};
use crate::limits::Limits;

mod nesting;
mod tags;

use tags::Tags;

/// Columns of text made from HTML; longer words and links stay whole.
const WIDTH: usize = 100;

/// Elements that begin a new line where tags are cut out.
const BREAKING: &[&str] =
    &["br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "table", "blockquote", "hr"];

/// What stands within words; a comment has no name.
const INLINE: &[&str] =
    &["", "a", "b", "big", "em", "font", "i", "s", "small", "span", "strong", "sub", "sup", "u", "wbr"];

/// Elements whose content is no text of the mail.
const HIDDEN: &[&str] = &["style", "script", "title"];

/// Text as a person would read the HTML. html2text renders it; what is too long or too deeply nested for its
/// quadratic time, or what it gives up on, has its tags cut out.
pub(crate) fn to_text(html: &str, limits: &Limits, budget: &mut Budget, found: &mut Found) -> String {
    if is_renderable(html, limits) && budget.may(Pass::Render, html.len(), found) {
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
    budget.spend(Pass::CutTags, html.len());
    let (text, is_whole) = without_tags(html, budget.left());
    if !is_whole {
        found.note(Defect::TooMuchDecoded);
    }
    text
}

/// HTML that shows a text as it is, line by line.
pub(crate) fn from_text(text: &str) -> String {
    format!("<div style=\"white-space: pre-wrap\">{}</div>", html_escape::encode_text(text))
}

/// Whether the renderer's time for this is short: by its length, its tags, and their nesting.
pub(crate) fn is_renderable(html: &str, limits: &Limits) -> bool {
    // A `<` that begins no tag costs the renderer as well.
    if html.len() > limits.max_html_bytes || memchr_iter(b'<', html.as_bytes()).count() > limits.max_html_tags
    {
        return false;
    }
    nesting::is_within(html, limits.max_html_depth)
}

/// The text between the tags, in at most so many bytes, and whether that is all of it.
fn without_tags(html: &str, most: usize) -> (String, bool) {
    // Never longer than the HTML. Most are much shorter, and give the rest back.
    let most = most.min(html.len());
    let mut words = Words { text: String::with_capacity(most), most, ..Words::default() };
    let mut tags = Tags { rest: html };
    while let Some(tag) = tags.next() {
        words.take(tag.before);
        if !tag.closes && tag.is_one_of(HIDDEN) {
            tags.skip_raw(tag.name);
        }
        if !tag.is_one_of(INLINE) {
            words.gap(tag.is_one_of(BREAKING));
        }
    }
    words.take(tags.rest);
    if words.text.len() < html.len() / 2 {
        words.text.shrink_to_fit();
    }
    (words.text, !words.is_cut)
}

/// Words one space apart, at most one blank line between lines. Written at once: a list of the words, or a copy of the
/// text, would weigh many times as much as they do.
#[derive(Default)]
struct Words {
    text: String,
    /// White space waits to be written before the next word.
    space: bool,
    /// Line ends that wait as well.
    breaks: usize,
    /// Bytes that it may have.
    most: usize,
    /// More came, and is left out.
    is_cut: bool,
}

impl Words {
    fn gap(&mut self, is_break: bool) {
        self.space = true;
        self.breaks += usize::from(is_break);
    }

    /// Adds the text between two tags. A character reference holds no white space, so that each piece can be read alone.
    fn take(&mut self, text: &str) {
        for piece in text.split_inclusive(|c: char| c.is_ascii_whitespace()) {
            for c in html_escape::decode_html_entities(piece).chars() {
                self.char(c);
            }
        }
    }

    fn char(&mut self, c: char) {
        match c {
            // A numbered reference may be a NUL.
            '\0' => {}
            c if c.is_whitespace() => self.gap(c == '\n'),
            _ => {
                let gap = match (self.text.is_empty(), self.breaks) {
                    (false, 0) if self.space => " ",
                    (true, _) | (false, 0) => "",
                    (false, 1) => "\n",
                    (false, _) => "\n\n",
                };
                self.is_cut |= self.text.len() + gap.len() + c.len_utf8() > self.most;
                if self.is_cut {
                    return;
                }
                self.text.push_str(gap);
                (self.space, self.breaks) = (false, 0);
                self.text.push(c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> (String, usize) {
        let mut found = Found::default();
        let limits = Limits::default();
        let text = to_text(html, &limits, &mut Budget::new(html.len(), &limits), &mut found);
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
    fn what_is_cut_out_is_what_a_browser_does_not_show() {
        let rest = "<i> and so on ".repeat(Limits::default().max_html_tags);
        let begins = |html: &str| {
            let (text, defects) = text(&format!("{html}{rest}"));
            assert_eq!(defects, 1);
            text.split_once(" and so on").map(|(begin, _)| begin.to_owned()).unwrap_or(text)
        };
        for (html, shown) in [
            ("a<!-- <p>b --><!-- c > d -->e", "ae"),
            ("a<b>b</b>c<td>d", "abc d"),
            ("a<script>if (b<c) d()</script>e", "a e"),
            ("a<b title=\"c>d\">e", "ae"),
            ("<STYLE>a</style >b<title>c</title>d", "b d"),
            ("a < b<p>c", "a < b\nc"),
        ] {
            assert_eq!(begins(html), shown, "{html}");
        }
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
