//! What the label of a charset means: exact names, families of variants, numbers of code pages.

use charset::Charset;

use super::pages::{self, Page};
use super::shifted::{self, Shifted};

/// Labels that mean another one. Compared in lower case, without quotes, `_` and spaces as `-`.
const ALIASES: &[(&str, &str)] = &[
    ("gb2312", "gb18030"),
    ("gb-2312", "gb18030"),
    ("gb-2312-80", "gb18030"),
    ("csgb2312", "gb18030"),
    ("gbk", "gb18030"),
    ("x-gbk", "gb18030"),
    ("euc-cn", "gb18030"),
    ("uhc", "euc-kr"),
    ("ks-x-1001", "euc-kr"),
    ("x-euc-tw", "big5"),
    ("tis620", "windows-874"),
    ("latin1", "windows-1252"),
    ("latin-1", "windows-1252"),
    ("latin2", "iso-8859-2"),
    ("latin-2", "iso-8859-2"),
    ("latin-9", "iso-8859-15"),
    ("latin9", "iso-8859-15"),
    ("ansi", "windows-1252"),
    ("western", "windows-1252"),
    ("x-mac-roman", "macintosh"),
    ("mac-roman", "macintosh"),
    ("macroman", "macintosh"),
    ("mac-cyrillic", "x-mac-cyrillic"),
    ("koi8", "koi8-r"),
    ("utf-7", "utf-7"),
    ("unicode-1-1-utf-7", "utf-7"),
    ("utf7", "utf-7"),
    ("utf8", "utf-8"),
    ("unicode-1-1-utf-8", "utf-8"),
    ("hz", "hz-gb-2312"),
];

/// Beginnings of names, without an `x-` before them, of which everything longer is a variant.
const FAMILIES: &[(&str, &str)] = &[
    ("sjis", "shift_jis"),
    ("shift-jis", "shift_jis"),
    ("shiftjis", "shift_jis"),
    ("eucjp", "euc-jp"),
    ("euc-jp", "euc-jp"),
    ("iso-2022-jp", "iso-2022-jp"),
    ("cp5022", "iso-2022-jp"),
    ("cp51932", "euc-jp"),
    ("gb18030", "gb18030"),
    ("gbk", "gb18030"),
    ("gb2312", "gb18030"),
    ("cn-gb", "gb18030"),
    ("big5", "big5"),
    ("cn-big5", "big5"),
    ("euckr", "euc-kr"),
    ("euc-kr", "euc-kr"),
    ("ksc", "euc-kr"),
    ("ks-c", "euc-kr"),
    ("tis620", "windows-874"),
    ("tis-620", "windows-874"),
    ("koi8-u", "koi8-u"),
    ("koi8-r", "koi8-r"),
    ("utf-8", "utf-8"),
    ("utf8", "utf-8"),
];

/// Numbers of code pages, whatever stands before them.
const NUMBERS: &[(&str, &str)] = &[
    ("932", "shift_jis"),
    ("936", "gb18030"),
    ("949", "euc-kr"),
    ("950", "big5"),
    ("874", "windows-874"),
    ("866", "ibm866"),
];

/// Labels that say no more than a missing one.
const VAGUE: &[&str] = &[
    "",
    "us-ascii",
    "ascii",
    "ansi-x3.4-1968",
    "ansi-x3.110-1983",
    "unknown",
    "unknown-8bit",
    "x-unknown",
    "8bit",
    "7bit",
    "default",
    "x-user-defined",
    "binary",
    "iso-646-us",
    "none",
    "utf-8-or-unknown",
];

/// What a label means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meaning {
    /// Nothing: the bytes decide.
    Vague,
    /// A charset of the `charset` crate.
    Known(Charset),
    /// A code page of DOS: the upper half.
    Page(&'static Page),
    /// Pairs of bytes without their high bits.
    Shifted(&'static Shifted),
    /// UTF-16 of either order of bytes.
    Utf16,
    /// A label nobody knows.
    Unknown,
}

/// Finds what a label means.
pub(crate) fn meaning(label: &str) -> Meaning {
    // What nearly every mail says needs no search.
    if label.eq_ignore_ascii_case("utf-8") {
        return Meaning::Known(Charset::for_encoding(encoding_rs::UTF_8));
    }
    if label.is_empty() || label.eq_ignore_ascii_case("us-ascii") {
        return Meaning::Vague;
    }
    // RFC 2231 allows a language after the charset: `utf-8*en`.
    let label = label.split('*').next().unwrap_or_default();
    let mut name: String = label
        .trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | ';' | ','))
        .chars()
        .take(64)
        .map(|c| if c == '_' || c == ' ' { '-' } else { c.to_ascii_lowercase() })
        .collect();
    if let Some((_, alias)) = ALIASES.iter().find(|(from, _)| *from == name) {
        name = (*alias).to_owned();
    }
    if VAGUE.contains(&name.as_str()) {
        return Meaning::Vague;
    }
    match name.as_str() {
        "iso-2022-kr" => return Meaning::Shifted(&shifted::ISO_2022_KR),
        "iso-2022-cn" | "iso-2022-cn-ext" => return Meaning::Shifted(&shifted::ISO_2022_CN),
        "hz-gb-2312" => return Meaning::Shifted(&shifted::HZ),
        "utf-16" | "ucs-2" | "iso-10646-ucs-2" | "unicode" => return Meaning::Utf16,
        _ => {}
    }
    // `iso8859-1`, `iso-88591`, `8859-1`, `cp1252`, `windows1252`, `win-1251`, `ibm852`: the digits say it.
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    if let Some(page) = pages::page(digits.trim_start_matches('0'))
        && ["cp", "ibm", "dos", "pc", "8"].iter().any(|begin| name.starts_with(begin))
    {
        return Meaning::Page(page);
    }
    let bare = name.strip_prefix("x-").unwrap_or(&name);
    let family = FAMILIES.iter().find(|(begin, _)| bare.starts_with(begin));
    let guesses = [
        Some(name.clone()),
        Some(name.replace('-', "_")),
        digits.strip_prefix("8859").map(|part| format!("iso-8859-{part}")),
        (digits.len() == 4 && digits.starts_with("125")).then(|| format!("windows-{digits}")),
        family.map(|(_, charset)| (*charset).to_owned()),
        NUMBERS.iter().find(|(number, _)| *number == digits).map(|(_, charset)| (*charset).to_owned()),
    ];
    guesses
        .into_iter()
        .flatten()
        .find_map(|guess| Charset::for_label_no_replacement(guess.as_bytes()))
        .map_or(Meaning::Unknown, Meaning::Known)
}
