//! A mail's text with what might be a secret taken out, for previews that end up in tickets and chats.
//!
//! Whole addresses of the web (paths and queries carry reset links and unsubscribe tokens), long opaque words and
//! one-time codes go. What is left tells a person which mail it is and lets nobody act in its recipient's name.

/// Stands where something was taken out.
const GONE: &str = "[redacted]";
/// A word of letters and digits from this length on is taken for a token.
const TOKEN_CHARS: usize = 20;
/// Codes of this many digits are taken for one-time passwords.
const CODE_DIGITS: std::ops::RangeInclusive<usize> = 4..=10;

/// The text without URLs' paths, tokens and codes. Line ends stay.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let gap = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let (space, after) = rest.split_at(gap);
        out.push_str(space);
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        let (word, next) = after.split_at(end);
        redact_word(word, &mut out);
        rest = next;
    }
    out
}

/// One word, which may be a URL within punctuation or brackets.
fn redact_word(word: &str, out: &mut String) {
    if let Some(scheme) = word.find("://") {
        let start = word
            .get(..scheme)
            .and_then(|before| before.rfind(|c: char| !c.is_ascii_alphanumeric() && !"+.-".contains(c)))
            .map_or(0, |at| at + word.get(at..).and_then(|s| s.chars().next()).map_or(0, char::len_utf8));
        let (before, url) = word.split_at(start);
        redact_runs(before, out);
        out.push_str(&redact_url(url));
        return;
    }
    // `www.host/path` is a link to every mail program too; so is anything else with a path and a query.
    if word.to_ascii_lowercase().starts_with("www.") || word.contains('?') && word.contains('=') {
        out.push_str(word.split(['/', '?']).next().unwrap_or_default());
        out.push('/');
        out.push_str(GONE);
        return;
    }
    redact_runs(word, out);
}

/// Scheme and host; what stands before the `@` of the host is a login.
fn redact_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return GONE.to_owned() };
    let host = rest.split(['/', '?', '#', '>', '"', '\'', ')', ']']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if host.len() == rest.len() { format!("{scheme}://{host}") } else { format!("{scheme}://{host}/{GONE}") }
}

/// Runs of token characters within a word; an address around an `@` is left, it is what the preview is for.
fn redact_runs(word: &str, out: &mut String) {
    let is_token_char = |c: char| c.is_ascii_alphanumeric() || "_-+/=".contains(c);
    let mut rest = word;
    while !rest.is_empty() {
        let length = rest.find(|c: char| !is_token_char(c)).unwrap_or(rest.len());
        if length == 0 {
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let (other, next) = rest.split_at(first);
            out.push_str(other);
            rest = next;
            continue;
        }
        let (run, next) = rest.split_at(length);
        out.push_str(if is_token(run) { GONE } else { run });
        rest = next;
    }
}

fn is_token(run: &str) -> bool {
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    if digits == run.len() {
        return CODE_DIGITS.contains(&digits) || digits >= TOKEN_CHARS;
    }
    // A long word of letters alone may be a word; a divider line has no letters at all.
    let letters = run.bytes().filter(u8::is_ascii_alphabetic).count();
    let mixed = run.bytes().any(|b| b.is_ascii_lowercase()) && run.bytes().any(|b| b.is_ascii_uppercase());
    run.len() >= TOKEN_CHARS && letters > 0 && (digits > 0 || mixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_token_or_code_is_left() {
        for (text, secret) in [
            ("see https://app.example/reset?token=abc123 now", "abc123"),
            ("<https://user:pa55@app.example/x/y>", "pa55"),
            ("(http://app.example/u/Zm9vYmFy)", "Zm9vYmFy"),
            ("www.app.example/unsubscribe/77", "unsubscribe"),
            ("app.example/go?id=5", "id=5"),
            ("key=sk_live_51H8abcdefghijklmnop", "51H8abcdef"),
            ("Your code is 482913.", "482913"),
            ("\"https://a.example/p\"x", "/p"),
            ("ünïcode→https://a.example/geheim", "geheim"),
        ] {
            let shown = redact(text);
            assert!(!shown.contains(secret), "{text} → {shown}");
        }
    }

    #[test]
    fn what_tells_which_mail_it_is_stays() {
        let text = "From: Ann Lee <ann.lee@acme.example>\n\tHello,  the meeting is at 10 in room 12.\n-----------------------------\n";
        assert_eq!(redact(text), text);
        assert_eq!(redact("at https://acme.example"), "at https://acme.example");
    }

    #[test]
    fn any_text_can_be_redacted() {
        for text in ["://", "a://", "é://é", "://://", "?=", "", "   ", "\u{1F600}?=\u{1F600}"] {
            let _ = redact(text);
        }
    }
}
