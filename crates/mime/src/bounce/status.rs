//! Status codes in the words of servers: enhanced ones (RFC 3463) and replies of SMTP.

/// Text longer than this is not searched.
const LONGEST: usize = 8 * 1024;

/// The first enhanced status code of a text, such as `5.1.1`; one that says more than `x.0.0` is preferred.
pub(crate) fn enhanced(text: &str) -> Option<String> {
    let (mut vague, mut before) = (None, "");
    for word in words(text) {
        // What programs say of themselves: `Release 5.0.3`.
        let names_program = ["release", "version"].iter().any(|name| before.eq_ignore_ascii_case(name));
        before = word;
        if names_program {
            continue;
        }
        let word = word.trim_start_matches('#').trim_end_matches('.');
        let mut pieces = word.split('.');
        let (Some(class), Some(subject), Some(detail), None) =
            (pieces.next(), pieces.next(), pieces.next(), pieces.next())
        else {
            continue;
        };
        let number =
            |piece: &str| (1..=3).contains(&piece.len()) && piece.bytes().all(|b| b.is_ascii_digit());
        // Subjects end at 7 (RFC 3463): `4.96.2` is the version of a program.
        if matches!(class, "2" | "4" | "5") && subject.len() == 1 && number(subject) && number(detail) {
            if (subject, detail) != ("0", "0") {
                return Some(word.to_owned());
            }
            vague = vague.or_else(|| Some(word.to_owned()));
        }
    }
    vague
}

/// An enhanced status code that stands behind an SMTP reply (`550 5.1.1`), and says more than `x.0.0`.
pub(crate) fn specific(text: &str) -> Option<String> {
    let mut after_reply = false;
    for word in words(text) {
        let code = word.split_once('-').map_or(word, |(_, code)| code);
        if (after_reply || code.len() < word.len())
            && let Some(found) = enhanced(code).filter(|found| !found.ends_with(".0.0"))
        {
            return Some(found);
        }
        after_reply = reply_code(word).is_some();
    }
    enhanced(text).filter(|found| !found.ends_with(".0.0"))
}

/// The first SMTP error reply of a text: 4xx or 5xx standing alone. Those above 559 are not in RFC 5321; some servers say
/// them all the same, but they are also the numbers of ports: they count where a text begins with one, behind who
/// said it or of whom, or where an enhanced status follows.
pub(crate) fn reply_code(text: &str) -> Option<u16> {
    let mut before = "";
    let mut words = words(text).peekable();
    while let Some(word) = words.next() {
        match code(word) {
            Some(code @ 400..560) => return Some(code),
            Some(code @ 560..600) if announces(before) || words.peek().is_some_and(|next| is_final(next)) => {
                return Some(code);
            }
            _ => before = word,
        }
    }
    None
}

/// The reply code that a line begins with, as servers do: `550 no`, `550-no`, `#550 5.1.1 no`.
pub(crate) fn reply_line(line: &str) -> Option<u16> {
    code(words(line.split_whitespace().next()?).next()?).filter(|code| (400..560).contains(code))
}

/// What stands before a reply: nothing, `smtp;`, `said:`, `reason:`, or the recipient.
fn announces(word: &str) -> bool {
    word.is_empty()
        || word.contains('@')
        || ["smtp", "said", "reason"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// The three digits that a word is, or begins with before a hyphen.
fn code(word: &str) -> Option<u16> {
    let digits = word.trim_start_matches('#').split('-').next()?;
    (digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// An enhanced status that gives up.
fn is_final(word: &str) -> bool {
    word.starts_with("5.") && enhanced(word).is_some()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let end = (0..=LONGEST.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text[..end]
        .split(|c: char| {
            c.is_whitespace()
                || matches!(c, '(' | ')' | '[' | ']' | ',' | ';' | ':' | '<' | '>' | '"' | '\'' | '=')
        })
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_what_servers_say() {
        let text = "smtp; 550-5.1.1 <a@b>: Recipient address rejected (#5.1.1), see 10.0.0.1";
        assert_eq!((reply_code(text), enhanced(text)), (Some(550), None.or(Some("5.1.1".to_owned()))));
        assert_eq!(enhanced("5.0.0 (permanent) 5.2.2 full").as_deref(), Some("5.2.2"));
        assert_eq!(enhanced("host 10.2.3.4 said no"), None);
        assert_eq!(enhanced("550 no (Exim 4.96.2)"), None);
        assert_eq!(enhanced("Domino Release 5.0.3 said 5.1.1 no").as_deref(), Some("5.1.1"));
        assert_eq!(reply_code("552 too big"), Some(552));
        assert_eq!(reply_code("sent 5500 bytes, 1550"), None);
        assert_eq!(reply_code("smtp; 571 5.7.1 not authorized"), Some(571));
        assert_eq!(reply_code("smtp; 599 no"), Some(599));
        assert_eq!(reply_code("a@b.c>: host mx.b.c said: 599 no"), Some(599));
        assert_eq!(reply_code("after RCPT TO:<a@b.c>: 599 no"), Some(599));
        assert_eq!(reply_code("host a.b said: 571 5.7.1 not authorized"), Some(571));
        assert_eq!(reply_code("on port 587 it said 550 no"), Some(550));
        assert_eq!((reply_code("on port 587"), reply_line("587 Main street")), (None, None));
    }
}
