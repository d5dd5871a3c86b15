//! The words of RTF that say something about its text.

/// Groups whose content is no text. So is every group that begins with `\*`.
pub(super) const SILENT: &[&str] = &[
    "fonttbl",
    "colortbl",
    "stylesheet",
    "info",
    "pict",
    "object",
    "header",
    "headerf",
    "headerl",
    "headerr",
    "footer",
    "footerf",
    "footerl",
    "footerr",
    "fldinst",
    "filetbl",
    "listtable",
    "revtbl",
    "nonshppict",
];

/// Words that stand for a character.
pub(super) const CHARACTERS: &[(&str, &str)] = &[
    ("par", "\n"),
    ("line", "\n"),
    ("row", "\n"),
    ("sect", "\n"),
    ("page", "\n"),
    ("tab", "\t"),
    ("cell", "\t"),
    ("emdash", "—"),
    ("endash", "–"),
    ("bullet", "•"),
    ("lquote", "‘"),
    ("rquote", "’"),
    ("ldblquote", "“"),
    ("rdblquote", "”"),
];

/// Those of them that are tags in HTML.
pub(super) const ONLY_IN_TEXT: &[&str] = &["row", "sect", "page", "cell"];
