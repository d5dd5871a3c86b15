//! HTML that can be shown: what a stranger sent, without what acts, loads or breaks out of its place.
//!
//! `ammonia` keeps what is on a list and nothing else. Mail is laid out by tables, attributes and inline styles, so that these
//! stay, as far as they only say how something looks where it stands.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};

use crate::html;
use crate::limits::Limits;

/// Schemes that a link may have, and an image of the mail itself.
const SCHEMES: &[&str] = &["http", "https", "mailto", "tel", "cid"];

/// Attributes that say how something looks.
const ATTRIBUTES: &[&str] = &[
    "align", "bgcolor", "border", "color", "dir", "face", "height", "lang", "size", "style", "title",
    "valign", "width",
];

/// Properties of inline styles that stay within their element: none that moves it, lays it over others or loads something.
const STYLES: &[&str] = &[
    "background-color",
    "border",
    "border-bottom",
    "border-collapse",
    "border-color",
    "border-left",
    "border-radius",
    "border-right",
    "border-spacing",
    "border-style",
    "border-top",
    "border-width",
    "color",
    "direction",
    "font",
    "font-family",
    "font-size",
    "font-style",
    "font-weight",
    "height",
    "letter-spacing",
    "line-height",
    "max-width",
    "padding",
    "padding-bottom",
    "padding-left",
    "padding-right",
    "padding-top",
    "text-align",
    "text-decoration",
    "vertical-align",
    "white-space",
    "width",
    "word-break",
];

/// What HTML may be to be cleaned in a short time; the parser's is quadratic in the nesting.
const MAX_BYTES: usize = 1024 * 1024;
const MAX_TAGS: usize = 20_000;

static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut cleaner = Builder::default();
    cleaner
        .rm_tags(["area", "map"])
        .add_tags(["font"])
        .add_generic_attributes(ATTRIBUTES)
        .add_tag_attributes("table", ["cellpadding", "cellspacing"])
        .filter_style_properties(STYLES.iter().copied().collect())
        .url_schemes(SCHEMES.iter().copied().collect())
        .url_relative(UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer"))
        .set_tag_attribute_value("a", "target", "_blank")
        .attribute_filter(attribute);
    cleaner
});

/// Keeps an attribute that loads nothing from elsewhere.
fn attribute<'v>(element: &str, name: &str, value: &'v str) -> Option<Cow<'v, str>> {
    let begins =
        |scheme: &str| value.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    let stays = match (element, name) {
        (_, "src") => begins("cid:"),
        // A part of the mail is shown, not opened.
        (_, "href") => !begins("cid:"),
        (_, "cite") => false,
        // Functions and escapes have no part in how mail looks, colours aside.
        (_, "style") => {
            let value = value.to_ascii_lowercase();
            !["url", "expression", "import", "\\", "javascript"].iter().any(|word| value.contains(word))
        }
        _ => true,
    };
    stays.then_some(Cow::Borrowed(value))
}

/// The HTML to show; `None` where it is too long or too deeply nested for the cleaner, or makes it fail.
pub(crate) fn clean(html: &str) -> Option<String> {
    let limits = Limits { max_html_bytes: MAX_BYTES, max_html_tags: MAX_TAGS, ..Limits::default() };
    if !html::is_renderable(html, &limits) {
        return None;
    }
    // The cleaner is not ours: a panic in it must cost this mail its looks, not the caller its life.
    catch_unwind(AssertUnwindSafe(|| CLEANER.clean(html).to_string())).ok()
}

#[cfg(test)]
mod tests;
