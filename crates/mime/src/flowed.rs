//! Text that was broken for transport (format=flowed, RFC 3676), with its paragraphs whole again.
//!
//! A line that ends in a space goes on in the next one of the same quote depth; with DelSp that space was put there too.
//! A space before a line's text was added to protect it. `-- ` before a signature is a line of its own.

/// Joins the lines of flowed text with LF as line ends. The marks of a quoted paragraph stay as its first line has them.
pub(crate) fn join(text: &str, del_sp: bool) -> String {
    let mut out = String::with_capacity(text.len());
    // The depth of the paragraph that the last line leaves open.
    let mut open: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let (line, ended) = match line.strip_suffix('\n') {
            Some(line) => (line, true),
            None => (line, false),
        };
        let depth = line.bytes().take_while(|&byte| byte == b'>').count();
        let quoted = line.get(depth..).unwrap_or_default();
        let body = quoted.strip_prefix(' ').unwrap_or(quoted);
        let is_signature = body == "-- ";
        if let Some(before) = open
            && (before != depth || is_signature || body.is_empty())
        {
            // The paragraph ends without its last line: its line end was meant, and so is a blank one.
            out.push('\n');
            open = None;
        }
        if open.is_some() {
            if del_sp {
                out.pop();
            }
            out.push_str(body);
        } else if depth > 0 {
            out.push_str(line);
        } else {
            out.push_str(body);
        }
        let flows = body.ends_with(' ') && !is_signature && ended;
        open = flows.then_some(depth);
        if !flows && ended {
            out.push('\n');
        }
    }
    if open.is_some() {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_whole_again() {
        assert_eq!(join("one \ntwo \nthree\n\nfour\n", false), "one two three\n\nfour\n");
        assert_eq!(join("no end ", false), "no end ");
        assert_eq!(join("open \n", false), "open \n");
        assert_eq!(join("", false), "");
    }

    #[test]
    fn del_sp_joins_words_that_were_broken() {
        assert_eq!(
            join("https://a.example/ \npath and  \nmore\n", true),
            "https://a.example/path and more\n"
        );
        assert_eq!(join("日本 \n語\n", true), "日本語\n");
        assert_eq!(join("one \n\ntwo\n", true), "one \n\ntwo\n");
    }

    #[test]
    fn the_space_before_a_line_was_added() {
        assert_eq!(join(" From me\n > no quote\n  indented\n", false), "From me\n> no quote\n indented\n");
    }

    #[test]
    fn quotes_flow_within_their_depth_only() {
        assert_eq!(
            join("> one \n> two\n>> deeper \n>> still\n>tight \n> one\nanswer \n> quote\n", false),
            "> one two\n>> deeper still\n>tight one\nanswer \n> quote\n"
        );
    }

    #[test]
    fn a_signature_is_not_drawn_into_the_text() {
        assert_eq!(join("bye \n-- \nAnn\n> -- \n> Bob\n", false), "bye \n-- \nAnn\n> -- \n> Bob\n");
    }
}
