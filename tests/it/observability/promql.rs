//! As much of PromQL as it takes to find the series an expression speaks of.

/// A series selector of an expression, without range and offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// As written: `name` or `name{label="value"}`.
    pub text: String,
    /// The metric's name.
    pub metric: String,
    /// Labels that its matchers name.
    pub matched: Vec<String>,
    /// Where in the expression it begins.
    pub at: usize,
}

/// What an expression speaks of.
#[derive(Debug, Default)]
pub struct Found {
    /// Every selector, in order.
    pub selectors: Vec<Selector>,
    /// Labels named by `by`, `on`, `group_left` and their like.
    pub grouped: Vec<String>,
}

/// Words before a bracketed list of labels.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Words that are neither a metric nor followed by a bracket at once.
const WORDS: [&str; 14] = [
    "and", "or", "unless", "offset", "bool", "sum", "min", "max", "avg", "group", "count", "topk", "bottomk",
    "quantile",
];

/// Finds selectors and grouping labels. A name followed by a bracket is a function; everything else that is no word of
/// the language is taken for a metric, so that a mistake makes a metric which nobody exports, and not a gap.
pub fn read(expression: &str) -> Found {
    let mut found = Found::default();
    let mut at = 0;
    while let Some(first) = expression[at..].chars().next() {
        let rest = &expression[at..];
        at += match first {
            '"' | '\'' => string(rest),
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            _ if first.is_ascii_digit() => span(rest, |c| c.is_ascii_alphanumeric() || c == '.'),
            _ if first.is_ascii_alphabetic() || first == '_' => {
                let name = &rest[..span(rest, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))];
                word(name, rest, at, &mut found)
            }
            _ => first.len_utf8(),
        };
    }
    found
}

/// Takes in one word; how many bytes belong to it.
fn word(name: &str, rest: &str, at: usize, found: &mut Found) -> usize {
    let after = &rest[name.len()..];
    let gap = span(after, char::is_whitespace);
    if LISTS.contains(&name) && after[gap..].starts_with('(') {
        let list = &after[gap + 1..];
        let end = list.find(')').unwrap_or(list.len());
        let labels = list[..end].split(',').map(str::trim).filter(|label| !label.is_empty());
        found.grouped.extend(labels.map(str::to_owned));
        return name.len() + gap + 1 + end;
    }
    if WORDS.contains(&name) || LISTS.contains(&name) || after[gap..].starts_with('(') {
        return name.len();
    }
    let mut matched = Vec::new();
    let braces = if after.starts_with('{') { braces(after, &mut matched) } else { 0 };
    let text = rest[..name.len() + braces].to_owned();
    found.selectors.push(Selector { text, metric: name.to_owned(), matched, at });
    name.len() + braces
}

/// The length of `{…}`; the labels in it are added to `matched`.
fn braces(text: &str, matched: &mut Vec<String>) -> usize {
    let mut at = 1;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        at += match first {
            '}' => return at + 1,
            '"' => string(rest),
            _ if first.is_ascii_alphabetic() || first == '_' => {
                let name = &rest[..span(rest, |c| c.is_ascii_alphanumeric() || c == '_')];
                matched.push(name.to_owned());
                name.len()
            }
            _ => first.len_utf8(),
        };
    }
    text.len()
}

/// The length of a quoted string.
fn string(text: &str) -> usize {
    let quote = text.chars().next();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if Some(c) == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn span(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

#[test]
fn every_series_and_label_of_an_expression_is_found() {
    let found = read(
        "sum by (a, b) (rate(x_total{l=\"or }\",m=~\"y|z\"}[5m])) / on (c) group_left () clamp_min(y offset 1h, 0.5e3) \
         unless on() absent(z{}) > 2",
    );
    let texts: Vec<&str> = found.selectors.iter().map(|selector| selector.text.as_str()).collect();
    assert_eq!(texts, ["x_total{l=\"or }\",m=~\"y|z\"}", "y", "z{}"]);
    assert_eq!(found.selectors[0].matched, ["l", "m"]);
    assert_eq!(found.grouped, ["a", "b", "c"]);
}
