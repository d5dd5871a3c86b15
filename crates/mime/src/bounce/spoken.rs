//! What was said of a refusal, as the rules compare it: without what is no word of the server.

use crate::bounce::rules::Said;

/// Text that is compared with the rules.
const LONGEST: usize = 4_000;

/// A text as the rules compare it.
pub(crate) fn said(text: &str) -> Said {
    // Postfix means its own patience, not the account; and what stands below a notice is not why the mail came back.
    let text = normalised(text).replace("delivery temporarily suspended", "").replace("privacy policy", "");
    Said::new(text)
}

/// Lower case, single spaces, "doesn't" written out, without the codes that multi-line replies repeat before each line
/// (`550-5.7.1 …`), and without addresses, whose names are no words of the server.
fn normalised(said: &str) -> String {
    let mut text = String::new();
    for (index, word) in said.split_whitespace().enumerate() {
        if text.len() + word.len() > LONGEST {
            break;
        }
        let is_repeated = index > 2
            && word.split_once('-').is_some_and(|(reply, code)| {
                reply.len() == 3
                    && reply.bytes().all(|b| b.is_ascii_digit())
                    && code.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            });
        if is_repeated {
            continue;
        }
        if !text.is_empty() && !text.ends_with(' ') {
            text.push(' ');
        }
        // Its name is no word of the server either.
        let is_host = is_located(word) || text.ends_with("talking to ") && word.contains('.');
        if is_host {
            continue;
        }
        let begin = text.len();
        if word.is_ascii() && !word.contains('@') {
            text.push_str(word);
            text[begin..].make_ascii_lowercase();
        } else {
            text.push_str(&without_addresses(word).to_lowercase().replace('’', "'"));
        }
        if &text[begin..] == "doesn't" {
            text.replace_range(begin.., "does not");
        }
    }
    text
}

/// A host with its address, as Postfix and Exim name it: `mx.antivirus.example[192.0.2.1]:25`.
fn is_located(word: &str) -> bool {
    word.split_once('[').is_some_and(|(name, address)| {
        name.contains('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
            && address.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':')
    })
}

/// A word without the addresses in it; what stands around them is kept.
fn without_addresses(word: &str) -> String {
    let (mut kept, mut left) = (String::new(), word);
    while let Some((local, rest)) = left.split_once('@') {
        let begin = local.rfind(is_mark).map_or(0, |at| at + 1).max(local.rfind("..").map_or(0, |at| at + 2));
        let end = rest.find(|c: char| is_mark(c) || c == '@').unwrap_or(rest.len());
        let end = rest[..end].find("..").unwrap_or(end);
        // A full stop behind the address belongs to the sentence.
        let end = rest[..end].trim_end_matches(['.', '!', '?']).len();
        kept.push_str(&local[..begin]);
        left = &rest[end..];
    }
    kept + left
}

/// What can stand before or behind an address, and not in it.
fn is_mark(c: char) -> bool {
    matches!(c, '<' | '>' | '(' | ')' | '[' | ']' | '"' | '\'' | ',' | ';' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_no_word_of_the_server_and_what_stands_around_it_is() {
        for (said, compared) in [
            ("550 <full@example.org>: Invalid User", "550 <>: invalid user"),
            ("550 full@example.org:user not exist", "550 :user not exist"),
            ("not allowed...full@example.org", "not allowed..."),
            ("recipient full@example.org denied", "recipient denied"),
            ("to full@example.org.", "to ."),
            ("host mx.virus.example[192.0.2.1] said: 550 no", "host said: 550 no"),
            ("connect to mx.policy.example[2001:db8::1]:25: refused", "connect to refused"),
            ("... while talking to mx.virus.example.: <<< 550 no", "... while talking to <<< 550 no"),
            ("host not found", "host not found"),
            ("filter[1], see a.b[x]", "filter[1], see a.b[x]"),
            ("<a@b.c>,<d@e.f>... Unknown", "<>,<>... unknown"),
            ("@ @@ a@", ""),
            ("It DOESN'T", "it does not"),
        ] {
            assert_eq!(normalised(said), compared);
        }
    }

    #[test]
    fn a_contraction_is_what_it_stands_for() {
        assert_eq!(normalised("User doesn’t exist"), normalised("user does not exist"));
    }
}
