//! A mail's text with what might be a secret taken out, for previews that end up in tickets and chats.
//!
//! Links (their paths and queries carry reset links and unsubscribe tokens), what stands behind `password:`, `token=` and
//! such, long opaque words and one-time codes go. What is left tells a person which mail it is and lets nobody act in its
//! recipient's name. In doubt a word goes.

/// Stands where something was taken out.
const GONE: &str = "[redacted]";
/// A word of letters and digits from this length on is taken for a token.
const TOKEN_CHARS: usize = 20;
/// Codes of this many digits are taken for one-time passwords.
const CODE_DIGITS: std::ops::RangeInclusive<usize> = 4..=10;

/// What the words before the present one make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// Nothing in particular.
    Any,
    /// The name of a secret was the last word: with a `:` or `=` next, its value follows.
    Separator(Secrecy),
    /// The value of a secret: this word, or all that is left of the line.
    Value { line: bool },
    /// A value was taken out: further groups of digits are its rest.
    Digits,
    /// A value was taken out that goes on to the end of its line.
    Line,
}

/// How much of what follows a secret's name is taken for the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    /// One word: tokens, keys and codes have no blanks.
    Word,
    /// The line after a colon: a pass phrase has blanks, and `Authorization: Bearer …` two words.
    Line,
}

/// The text without links, secrets behind their names, tokens and codes. Line ends stay; a secret may stand on the line
/// after its name.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut expect) = (text, Expect::Any);
    while !rest.is_empty() {
        let gap = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let (space, after) = rest.split_at(gap);
        let new_line = space.find('\n');
        match (expect, new_line) {
            (Expect::Line, None) => {}
            (Expect::Line, Some(at)) => out.push_str(space.get(at..).unwrap_or("\n")),
            _ => out.push_str(space),
        }
        if new_line.is_some() && matches!(expect, Expect::Line | Expect::Digits | Expect::Separator(_)) {
            expect = Expect::Any;
        }
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        let (word, next) = after.split_at(end);
        if !word.is_empty() {
            expect = redact_word(word, expect, &mut out);
        }
        rest = next;
    }
    out
}

/// One word in the light of those before it; says what to expect of the next.
fn redact_word(word: &str, expect: Expect, out: &mut String) -> Expect {
    match expect {
        Expect::Line => return Expect::Line,
        Expect::Value { line } => return value(word, line, out),
        Expect::Separator(secrecy) if word.starts_with(is_separator) => {
            return separated(word, 0, secrecy, out);
        }
        Expect::Separator(Secrecy::Line) if word.eq_ignore_ascii_case("is") => {
            out.push_str(word);
            return Expect::Value { line: false };
        }
        Expect::Digits if word.chars().all(|c| c.is_ascii_digit() || ".,-".contains(c)) => {
            out.push_str(GONE);
            return Expect::Digits;
        }
        Expect::Digits | Expect::Separator(_) | Expect::Any => {}
    }
    if is_link(word) {
        out.push_str(GONE);
        return Expect::Any;
    }
    for (at, _) in word.match_indices(is_separator) {
        if let Some(secrecy) = word.get(..at).and_then(names_a_secret) {
            return separated(word, at, secrecy, out);
        }
    }
    redact_runs(word, out);
    names_a_secret(word).map_or(Expect::Any, Expect::Separator)
}

/// A word with a separator at `at` behind (or without) the name of a secret.
fn separated(word: &str, at: usize, secrecy: Secrecy, out: &mut String) -> Expect {
    let (name, rest) = word.split_at(at);
    let after = rest.trim_start_matches(|c| is_separator(c) || c == '>');
    let (separator, after) = rest.split_at(rest.len() - after.len());
    redact_runs(name, out);
    out.push_str(separator);
    let line = secrecy == Secrecy::Line && !separator.starts_with('=');
    if after.is_empty() { Expect::Value { line } } else { value(after, line, out) }
}

/// The value of a secret. Quotes alone are not it yet.
fn value(word: &str, line: bool, out: &mut String) -> Expect {
    if !word.contains(char::is_alphanumeric) && word.chars().count() <= 2 {
        out.push_str(word);
        return Expect::Value { line };
    }
    out.push_str(GONE);
    if line { Expect::Line } else { Expect::Digits }
}

const fn is_separator(c: char) -> bool {
    matches!(c, ':' | '=' | '\u{ff1a}' | '\u{ff1d}')
}

/// Whether a text ends with what secrets are called: `password`, `access_token`, `"apiKey"`, `*PIN*`.
fn names_a_secret(text: &str) -> Option<Secrecy> {
    let in_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let text = text.trim_end_matches(|c: char| !in_name(c));
    let name = text.rsplit(|c: char| !in_name(c)).next()?.to_lowercase();
    let name = name.strip_suffix("s").filter(|_| !name.ends_with("ss")).unwrap_or(&name);
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    let ends = |parts: &[&str]| parts.iter().any(|part| name.ends_with(part));
    // `author: Ann` is no secret; `authorization: Bearer …` is.
    if has(&["passw", "passphrase", "secret", "kennwort"])
        || ends(&["pass", "pwd"])
        || (has(&["auth"]) && !ends(&["author"]))
    {
        return Some(Secrecy::Line);
    }
    (has(&["token", "credential"]) || ends(&["key", "code", "otp", "pin"])).then_some(Secrecy::Word)
}

/// `www.host/path` is a link to every mail program too; so is anything else with a path and a query.
fn is_link(word: &str) -> bool {
    let start = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    word.contains("://")
        || start.get(..4).is_some_and(|www| www.eq_ignore_ascii_case("www."))
        || word.contains('?') && word.contains('=')
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
            ("(https://host.example)", "host"),
            ("token=abc123secret", "abc123secret"),
            ("access_token = abc12", "abc12"),
            ("{\"apiKey\":\"ab12\"}", "ab12"),
            ("password: hunter2", "hunter2"),
            ("Password : hunter2", "hunter2"),
            ("pwd=\"hunter2\"", "hunter2"),
            ("Your password:\n\n  hunter2\n", "hunter2"),
            ("your password is hunter2", "hunter2"),
            ("*Passphrase:* correct horse battery", "battery"),
            ("Authorization: Bearer xyzzy", "xyzzy"),
            ("X-Auth-Token: xyzzy", "xyzzy"),
            ("Client secret = a-b-c", "a-b-c"),
            ("code: 123 456", "456"),
            ("PIN:77", "77"),
            ("Backup codes: 12-34", "12-34"),
            ("otp：991", "991"),
        ] {
            let shown = redact(text);
            assert!(!shown.contains(secret), "{text} → {shown}");
        }
    }

    #[test]
    fn what_tells_which_mail_it_is_stays() {
        let text = "From: Ann Lee <ann.lee@acme.example>\n\tHello,  the meeting is at 10 in room 12.\n-----------------------------\n";
        assert_eq!(redact(text), text);
        for text in ["Author: Ann Lee", "a new key\n: or not", "The meeting: room 12", "Re: bypass the town"]
        {
            assert_eq!(redact(text), text);
        }
        assert_eq!(redact("token=abc user=ann\nnext: line"), "token=[redacted] user=ann\nnext: line");
        assert_eq!(redact("password: a b c\nnext line"), "password: [redacted]\nnext line");
    }

    #[test]
    fn any_text_can_be_redacted() {
        for text in [
            "://",
            "a://",
            "é://é",
            "://://",
            "?=",
            "",
            "   ",
            "\u{1F600}?=\u{1F600}",
            "key=",
            "pin:",
            "=",
            "：=",
        ] {
            let _ = redact(text);
        }
    }
}
