//! Text that was broken for transport (format=flowed, RFC 3676), with its paragraphs whole again.
//!
//! A line that ends in a space goes on in the next one of the same quote depth; with DelSp that space was put there too.
//! A space before a line's text was added to protect it. `-- ` before a signature is a line of its own.

use memchr::memchr;

/// Joins the lines of flowed text with LF as line ends, where they stand. The marks of a quoted paragraph stay as its first
/// line has them.
pub(crate) fn join(text: String, del_sp: bool) -> String {
    let mut text = text.into_bytes();
    // What is written up to `to` is never longer than what was read up to `at`: a line end that is put back was left out
    // before.
    let (mut at, mut to) = (0, 0);
    // The depth of the paragraph that the last line leaves open.
    let mut open: Option<usize> = None;
    while at < text.len() {
        let rest = &text[at..];
        let (end, ended) = memchr(b'\n', rest).map_or((rest.len(), false), |end| (end, true));
        let line = &rest[..end];
        let depth = line.iter().take_while(|&&byte| byte == b'>').count();
        let quoted = &line[depth..];
        let body = quoted.strip_prefix(b" ").unwrap_or(quoted);
        let is_signature = body == b"-- ";
        let ends_paragraph = open.is_some_and(|before| before != depth || is_signature || body.is_empty());
        let goes_on = open.is_some() && !ends_paragraph;
        let flows = body.ends_with(b" ") && !is_signature && ended;
        let from = if goes_on || depth == 0 { at + line.len() - body.len() } else { at };
        let line_end = at + end;
        if ends_paragraph {
            // The paragraph ends without its last line: its line end was meant, and so is a blank one.
            text[to] = b'\n';
            to += 1;
        }
        if goes_on && del_sp {
            to -= 1;
        }
        text.copy_within(from..line_end, to);
        to += line_end - from;
        open = flows.then_some(depth);
        at = line_end + usize::from(ended);
        if ended && !flows {
            text[to] = b'\n';
            to += 1;
        }
    }
    if open.is_some() {
        text[to] = b'\n';
        to += 1;
    }
    text.truncate(to);
    // Whole lines were moved, and single bytes of ASCII left out: it is text still.
    String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join_text(text: &str, del_sp: bool) -> String {
        join(text.to_owned(), del_sp)
    }

    #[test]
    fn paragraphs_are_whole_again() {
        assert_eq!(join_text("one \ntwo \nthree\n\nfour\n", false), "one two three\n\nfour\n");
        assert_eq!(join_text("no end ", false), "no end ");
        assert_eq!(join_text("open \n", false), "open \n");
        assert_eq!(join_text("", false), "");
    }

    #[test]
    fn del_sp_joins_words_that_were_broken() {
        assert_eq!(
            join_text("https://a.example/ \npath and  \nmore\n", true),
            "https://a.example/path and more\n"
        );
        assert_eq!(join_text("日本 \n語\n", true), "日本語\n");
        assert_eq!(join_text("one \n\ntwo\n", true), "one \n\ntwo\n");
    }

    #[test]
    fn the_space_before_a_line_was_added() {
        assert_eq!(
            join_text(" From me\n > no quote\n  indented\n", false),
            "From me\n> no quote\n indented\n"
        );
    }

    #[test]
    fn quotes_flow_within_their_depth_only() {
        assert_eq!(
            join_text("> one \n> two\n>> deeper \n>> still\n>tight \n> one\nanswer \n> quote\n", false),
            "> one two\n>> deeper still\n>tight one\nanswer \n> quote\n"
        );
    }

    #[test]
    fn a_signature_is_not_drawn_into_the_text() {
        assert_eq!(join_text("bye \n-- \nAnn\n> -- \n> Bob\n", false), "bye \n-- \nAnn\n> -- \n> Bob\n");
    }
}
