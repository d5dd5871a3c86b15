//! How deeply HTML nests, never counted as less than what a parser makes of it.
//!
//! An end tag ends an element only where the standard (HTML Living Standard, section 13.2.6) lets it whatever stands around it:
//! one that ends nothing must not be counted, or `<blockquote></x>` over and over looks flat. What is counted too high costs
//! a mail no more than its looks.

use super::tags::{RAW, Tag, Tags};

/// Elements that never nest: they have no end tag, or their end is implied by the next one of their kind.
const FLAT: &[&str] = &[
    "area", "base", "body", "br", "col", "dd", "dt", "embed", "head", "hr", "html", "img", "input", "li",
    "link", "meta", "o:p", "option", "p", "param", "source", "tbody", "td", "tfoot", "th", "thead", "title",
    "tr", "track", "wbr",
];

/// Of these, those that may hold others; what began before them can only be ended behind them.
const HOLDING: &[&str] = &["dd", "dt", "li", "option", "p", "tbody", "td", "tfoot", "th", "thead", "tr"];

/// Items of lists, whose end is implied by the next one of their group, and not by one of the other.
const ITEMS: [&[&str]; 2] = [&["li"], &["dd", "dt"]];

/// Elements that are opened anew where the one around them ends before them.
const FORMATTING: &[&str] =
    &["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];

/// Elements whose end tag ends what is open within them.
const BLOCKS: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "center",
    "details",
    "dir",
    "div",
    "dl",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "header",
    "main",
    "menu",
    "nav",
    "ol",
    "pre",
    "section",
    "summary",
    "table",
    "ul",
];

/// Elements that no end tag of an outer one reaches beyond.
const WALLS: &[&str] = &["applet", "button", "caption", "marquee", "object", "select", "table"];

/// Of these, those whose end tag ends what is open within them. A caption is none outside a table.
const ENDING_WALLS: &[&str] = &["applet", "button", "marquee", "object", "select"];

/// Elements within which, or behind which, tags may mean something else: no end tag is believed.
const OTHER_RULES: &[&str] =
    &["frameset", "iframe", "math", "noembed", "noframes", "noscript", "plaintext", "svg", "template", "xmp"];

/// Blocks within a formatting element that its end tag is sure to end it in spite of.
const MOST_BLOCKS: usize = 2;

/// An element that is open.
#[derive(Clone, Copy)]
struct Open<'a> {
    name: &'a str,
    /// Something in it holds what follows.
    is_covered: bool,
    /// The group of the last item in it.
    items: Option<usize>,
}

impl<'a> Open<'a> {
    const fn new(name: &'a str) -> Self {
        Self { name, is_covered: false, items: None }
    }

    fn is(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.name.eq_ignore_ascii_case(name))
    }
}

/// Whether no more than `most` elements are open at once.
pub(super) fn is_within(html: &str, most: usize) -> bool {
    // The document itself, which nothing ends.
    let mut open = Vec::with_capacity(32);
    open.push(Open::new(""));
    let mut tags = Tags { rest: html };
    while let Some(tag) = tags.next() {
        if tag.closes {
            close(&mut open, tag);
            continue;
        }
        if tag.is_one_of(OTHER_RULES) || tag.is_one_of(RAW) && is_odd(tags.clone(), tag, &open) {
            // Every `<` with a letter behind it may begin an element.
            let rest = tags.rest.as_bytes();
            let begins = memchr::memchr_iter(b'<', rest)
                .filter(|at| rest.get(at + 1).is_some_and(u8::is_ascii_alphabetic));
            return open.len() + begins.count() <= most;
        }
        if tag.is_one_of(RAW) {
            tags.skip_raw(tag.name);
        } else if tag.is_one_of(FLAT) {
            hold(&mut open, tag);
        } else if !tag.name.is_empty() {
            // `<div/>` is open, whatever it looks like.
            open.push(Open::new(tag.name));
        }
        if open.len() > most + 1 {
            return false;
        }
    }
    true
}

/// Notes an element that does not nest in others of its kind.
fn hold<'a>(open: &mut Vec<Open<'a>>, tag: Tag<'a>) {
    let Some(last) = open.last_mut().filter(|_| tag.is_one_of(HOLDING)) else { return };
    last.is_covered = true;
    let group = ITEMS.iter().position(|items| tag.is_one_of(items));
    let before = last.items;
    last.items = group.or(before);
    if group.is_some() && before.is_some() && group != before {
        // `<li><dd><li><dd>` does.
        open.push(Open { is_covered: true, items: group, ..Open::new(tag.name) });
    }
}

/// Whether what is text here may be none, or end elsewhere.
fn is_odd(mut tags: Tags<'_>, tag: Tag<'_>, open: &[Open<'_>]) -> bool {
    open.iter().any(|open| open.is(&["select"]))
        || tag.name.eq_ignore_ascii_case("script") && tags.skip_raw(tag.name).contains("<!--")
}

fn close(open: &mut Vec<Open<'_>>, tag: Tag<'_>) {
    if tag.is_one_of(FLAT) {
        return;
    }
    let Some(at) = open.iter().rposition(|open| tag.is_one_of(&[open.name])) else { return };
    let within = &open[at + 1..];
    if within.iter().any(|open| open.is(WALLS)) {
        return;
    }
    if tag.is_one_of(FORMATTING) {
        let blocks = within.iter().filter(|open| !open.is(FORMATTING)).count();
        if blocks <= MOST_BLOCKS {
            open.remove(at);
        }
    } else if tag.is_one_of(BLOCKS) || tag.is_one_of(ENDING_WALLS) {
        let formatting: Vec<Open<'_>> = within.iter().filter(|open| open.is(FORMATTING)).copied().collect();
        open.truncate(at);
        open.extend(formatting);
    } else if open[at..].iter().skip(1).all(|open| open.is(FORMATTING))
        && !open[at..].iter().any(|open| open.is_covered)
    {
        open.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many elements are open at once, at most.
    fn depth(html: &str) -> usize {
        (0..=html.len()).find(|&most| is_within(html, most)).unwrap()
    }

    #[test]
    fn elements_that_are_closed_do_not_count() {
        for (html, wanted) in [
            ("<div><p>x</p></div>", 1),
            ("<b><i>x</i></b><b><i>y</b></i>", 2),
            ("<table><tr><td><div>a</div></td></tr></table>", 2),
            ("<div><span>a<div><b>b</div>c</b></span></div>", 4),
            ("<ul><li><ul><li>a</ul></ul><br><img src=x>", 2),
            ("<style><div></style><!-- <div> --><title><div></title><a title=\"<div>\">x</a>", 1),
            ("<h1>a</h1><h2>b</h2><label>c</label>", 1),
        ] {
            assert_eq!(depth(&html.repeat(50)), wanted, "{html}");
        }
    }

    #[test]
    fn what_only_looks_closed_counts() {
        for html in [
            "<blockquote></x>",
            "<div></p></td>",
            "<blockquote/>",
            "<div><!-- > </div> -->",
            "<div title=\"></div>\">",
            "<div><style></div></style>",
            "<div><title></div></title>",
            "<div><table></div>",
            "<div><select></div>",
            "<my-a></my-b>",
            "<span><div></span>",
            "<span><p></span>",
            "<div><b></div>",
            "<h1><div><h2></h1>",
            "<caption><div></caption>",
            "<li><dd>",
            "<dd><li></li></dd>",
            "<div><![CDATA[></div>]]><svg>",
        ] {
            assert!(depth(&html.repeat(50)) >= 50, "{html}");
        }
    }
}
