//! Content-Type and Content-Disposition: mailparse reads the parameters (RFC 2231), what it leaves is read here.

use std::collections::BTreeMap;

use crate::charsets;
use crate::defect::Found;
use crate::words::{self, Decoder};

/// A value with parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parameterised {
    /// The value before the first `;`, in lower case.
    pub(crate) value: String,
    params: BTreeMap<String, String>,
}

/// mailparse's time for continued parameters is quadratic in their number; this much text keeps it below a millisecond.
const LONGEST: usize = 16 * 1024;

impl Parameterised {
    /// Reads a field's raw value.
    pub(crate) fn read(raw: &[u8]) -> Self {
        let line = words::unfold(&raw[..raw.len().min(LONGEST)]);
        let text = charsets::guess(&line).replace('\0', "");
        let mut parsed = mailparse::parse_content_type(&text);
        let mut value = parsed.mimetype.trim().to_owned();
        // `text/plain charset=utf-8`: the semicolon is missing.
        if let Some((first, rest)) = value.split_once(char::is_whitespace) {
            if rest.contains('=') {
                let again = text.trim_start().split_once(char::is_whitespace).map_or("", |(_, rest)| rest);
                let more = mailparse::parse_content_type(&format!("x;{again}"));
                for (name, value) in more.params {
                    parsed.params.entry(name).or_insert(value);
                }
            }
            value = first.to_owned();
        }
        let value = value.trim_matches(|c| matches!(c, '"' | '\'' | ',' | '<' | '>')).to_owned();
        Self { value, params: parsed.params }
    }

    /// A parameter that is an ASCII token: boundary, charset, report-type.
    pub(crate) fn token(&self, name: &str) -> Option<&str> {
        let value = self.params.get(name)?;
        // `"x" (comment)` and a quote that was never closed.
        let value = match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap_or_default(),
            None => value,
        };
        let value = value.trim_end();
        (!value.is_empty()).then_some(value)
    }

    /// A parameter that people read, such as a file name: with a charset (RFC 2231) or encoded words.
    pub(crate) fn text(&self, name: &str, decoder: &mut Decoder) -> Option<String> {
        let value = self
            .params
            .get(&format!("{name}*"))
            .map(|value| extended(value, &mut decoder.found))
            .or_else(|| self.continued(name, &mut decoder.found))
            .or_else(|| self.params.get(name).cloned())?;
        let value = if value.contains("=?") { decoder.words(value.as_bytes()) } else { value };
        let value = decoder.clean(value);
        (!value.trim().is_empty()).then(|| value.trim().to_owned())
    }

    /// `name*0`, `name*1*`, …: what mailparse left because a plain `name` stood beside it or the charset was
    /// unknown to it.
    fn continued(&self, name: &str, found: &mut Found) -> Option<String> {
        let mut joined = String::new();
        for index in 0..=self.params.len() {
            let key = format!("{name}*{index}");
            match (self.params.get(&key), self.params.get(&format!("{key}*"))) {
                (Some(literal), _) => joined.push_str(literal),
                (None, Some(encoded)) => joined.push_str(encoded),
                (None, None) => break,
            }
        }
        (!joined.is_empty()).then(|| if joined.contains('%') { extended(&joined, found) } else { joined })
    }
}

/// `charset'language'percent-encoded`, tolerating that the first two are missing.
fn extended(value: &str, found: &mut Found) -> String {
    let mut pieces = value.splitn(3, '\'');
    let (charset, encoded) = match (pieces.next(), pieces.next(), pieces.next()) {
        (Some(charset), Some(_), Some(encoded)) => (charset, encoded),
        _ => ("", value),
    };
    charsets::decode(&percent_decode(encoded), charset, found)
}

fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) if byte == b'%' => {
                out.push(value);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// A media type as `type/subtype`; what is none becomes `fallback`.
pub(crate) fn media_type(value: &str, fallback: &str) -> String {
    match value {
        "text" => return "text/plain".to_owned(),
        "html" => return "text/html".to_owned(),
        _ => {}
    }
    match value.split_once('/') {
        Some((kind, sub)) if !kind.is_empty() && !sub.is_empty() && value.len() <= 255 => value.to_owned(),
        _ => fallback.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(raw: &str) -> Option<String> {
        Parameterised::read(raw.as_bytes()).text("name", &mut Decoder::new(100))
    }

    #[test]
    fn file_names_are_read_in_every_way_they_are_written() {
        assert_eq!(name("a/b; name=\"x y.pdf\"").as_deref(), Some("x y.pdf"));
        assert_eq!(name("a/b; name*=UTF-8''na%C3%AFve.txt").as_deref(), Some("naïve.txt"));
        assert_eq!(name("a/b; name*=ks_c_5601-1987''%B0%A1").as_deref(), Some("가"));
        assert_eq!(name("a/b; name*=na%C3%AFve.txt").as_deref(), Some("naïve.txt"));
        assert_eq!(
            name("a/b; name*0*=UTF-8''na%C3; name*1*=%AFve; name*2=.txt").as_deref(),
            Some("naïve.txt")
        );
        assert_eq!(name("a/b;\r\n name*0=\"long \";\r\n\tname*1=\"name\"").as_deref(), Some("long name"));
        assert_eq!(name("a/b; name=\"=?utf-8?Q?na=C3=AFve?=\"").as_deref(), Some("naïve"));
        assert_eq!(name("a/b; name=plain; name*=UTF-8''ext").as_deref(), Some("ext"));
        assert_eq!(name("a/b; name=\"\"").as_deref(), None);
    }

    #[test]
    fn a_missing_semicolon_does_not_lose_the_parameters() {
        let read = Parameterised::read(b"text/plain charset=utf-8; format=flowed");
        assert_eq!((read.value.as_str(), read.token("charset")), ("text/plain", Some("utf-8")));
    }

    #[test]
    fn what_is_no_media_type_becomes_the_fallback() {
        assert_eq!(media_type("text", "a/b"), "text/plain");
        assert_eq!(media_type("rubbish", "a/b"), "a/b");
        assert_eq!(media_type("", "a/b"), "a/b");
    }
}
