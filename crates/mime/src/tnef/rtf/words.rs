//! The words of RTF that say something about its text.

/// Groups whose content is no text. So is every group that begins with `\*`.
pub(super) const SILENT: &[&[u8]] = &[
    b"fonttbl",
    b"colortbl",
    b"stylesheet",
    b"info",
    b"pict",
    b"object",
    b"header",
    b"headerf",
    b"headerl",
    b"headerr",
    b"footer",
    b"footerf",
    b"footerl",
    b"footerr",
    b"fldinst",
    b"filetbl",
    b"listtable",
    b"revtbl",
    b"nonshppict",
];

/// Words that stand for a character.
pub(super) const CHARACTERS: &[(&[u8], &str)] = &[
    (b"par", "\n"),
    (b"line", "\n"),
    (b"row", "\n"),
    (b"sect", "\n"),
    (b"page", "\n"),
    (b"tab", "\t"),
    (b"cell", "\t"),
    (b"emdash", "—"),
    (b"endash", "–"),
    (b"bullet", "•"),
    (b"lquote", "‘"),
    (b"rquote", "’"),
    (b"ldblquote", "“"),
    (b"rdblquote", "”"),
];

/// Those of them that are tags in HTML.
pub(super) const ONLY_IN_TEXT: &[&[u8]] = &[b"row", b"sect", b"page", b"cell"];
