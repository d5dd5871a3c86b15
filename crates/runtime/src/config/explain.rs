//! Turns what deserialising says into an error for people. Only the shape of a value is told, never the value: a
//! password put into the wrong key must not be printed either.

use figment::error::{Actual, Kind};

use super::environment;
use super::error::{ConfigError, Origin};
use super::origins::{Origins, join};
use super::secrets::FILE_SUFFIX;
use super::suggest::nearest;

/// What the standard library says of a bad [`std::net::SocketAddr`].
const BAD_ADDRESS: &str = "invalid socket address syntax";

/// figment's error as ours.
pub(super) fn explain(mut error: figment::Error, origins: &Origins, secrets: &[&str]) -> ConfigError {
    // An unknown key is the end of figment's own path; here the path is that of its section.
    if let Kind::UnknownField(name, _) = &error.kind
        && error.path.last() == Some(name)
    {
        error.path.pop();
    }
    let section = error.path.join(".");
    let value =
        |problem: String| ConfigError::Value { origin: origins.of(&section), key: section.clone(), problem };
    match error.kind {
        Kind::UnknownField(name, known) => {
            let key = join(&section, &name);
            let advice = advice(&section, &name, known, origins, secrets);
            ConfigError::UnknownKey { origin: origins.of(&key), key, advice }
        }
        Kind::MissingField(name) => missing(join(&section, &name), origins, secrets),
        Kind::InvalidType(found, wanted) => {
            value(format!("expected {}, found {}", in_words(&wanted), shape(&found)))
        }
        Kind::InvalidValue(_, wanted) => value(format!("expected {}", in_words(&wanted))),
        Kind::InvalidLength(count, wanted) => {
            value(format!("expected {}, found {count} values", in_words(&wanted)))
        }
        Kind::UnknownVariant(_, known) => value(format!("expected one of {}", list(known.iter().copied()))),
        Kind::DuplicateField(name) => value(format!("`{name}` is given twice")),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => value("the number is out of range".to_owned()),
        Kind::Unsupported(found) | Kind::UnsupportedKey(found, _) => {
            value(format!("{} is not supported here", shape(&found)))
        }
        Kind::Message(_) if secrets.contains(&section.as_str()) => value("not a valid value".to_owned()),
        Kind::Message(text) if text == BAD_ADDRESS => {
            value(format!("expected {}", in_words("socket address")))
        }
        Kind::Message(text) => value(text),
    }
}

fn missing(key: String, origins: &Origins, secrets: &[&str]) -> ConfigError {
    let file =
        origins.file().map_or_else(|| "the configuration file".into(), |file| file.display().to_string());
    let secret = secrets.contains(&key.as_str());
    let by_file = if secret { format!(", name a file in `{key}{FILE_SUFFIX}`") } else { String::new() };
    let problem = format!("is missing; set it in {file}{by_file}, or set {}", environment::name_of(&key));
    ConfigError::Value { key, origin: Origin::NotSet, problem }
}

/// The key that was probably meant, spelled as the origin wants it; else the keys there are.
fn advice(section: &str, name: &str, known: &[&str], origins: &Origins, secrets: &[&str]) -> String {
    let files: Vec<String> = known
        .iter()
        .filter(|known| secrets.contains(&join(section, known).as_str()))
        .map(|known| format!("{known}{FILE_SUFFIX}"))
        .collect();
    let all: Vec<&str> = known.iter().copied().chain(files.iter().map(String::as_str)).collect();
    let key = join(section, name);
    let variable = match origins.of(&key) {
        Origin::Variable(_) => origins.variable_path(&key),
        Origin::File(_) | Origin::NotSet => None,
    };
    if let Some(path) = variable {
        // What the variable names within the unknown part: `.url` of `redsi.url`.
        let rest = path.strip_prefix(&key).unwrap_or_default();
        if section.is_empty() && rest.is_empty() {
            return flat_advice(name, &all);
        }
        if let Some(meant) = nearest(name, all.iter().copied()) {
            return format!(
                "did you mean {}?",
                environment::name_of(&format!("{}{rest}", join(section, meant)))
            );
        }
    } else if let Some(meant) = nearest(name, all.iter().copied()) {
        return format!("did you mean `{}`?", join(section, meant));
    }
    match (all.is_empty(), section.is_empty()) {
        (true, _) => "there are no keys here".to_owned(),
        (false, true) => format!("known sections are {}", list(all)),
        (false, false) => format!("known keys of [{section}] are {}", list(all)),
    }
}

/// A variable without a section, such as `MAILFLEET_REDIS_URL`: one underscore too few.
fn flat_advice(name: &str, sections: &[&str]) -> String {
    let whole = sections.iter().find_map(|section| {
        let rest = name.strip_prefix(section)?.strip_prefix('_')?;
        Some((*section, rest.trim_start_matches('_')))
    });
    let split = || {
        let (head, rest) = name.split_once('_')?;
        Some((nearest(head, sections.iter().copied())?, rest.trim_start_matches('_')))
    };
    let rule = "two underscores divide levels";
    match whole.or_else(split).filter(|(_, rest)| !rest.is_empty()) {
        Some((section, rest)) => {
            format!("{rule}, did you mean {}?", environment::name_of(&join(section, rest)))
        }
        None => match nearest(name, sections.iter().copied()) {
            Some(section) => format!("{rule}, as in {}", environment::name_of(&join(section, "key"))),
            None => format!("{rule}; known sections are {}", list(sections.iter().copied())),
        },
    }
}

fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// What was wanted, in the words of a person who writes TOML. Serde names Rust's types.
fn in_words(wanted: &str) -> String {
    let words = match wanted {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "u128" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" | "bool" => "true or false",
        "a string" | "string" | "str" | "a borrowed string" | "a character" => "text",
        "path string" => "the name of a file",
        "socket address" => "an address and a port, such as 127.0.0.1:9101",
        "a sequence" => "a list",
        "a map" => "a section",
        _ if wanted.starts_with("struct ") => "a section",
        _ if wanted.starts_with("enum ") || wanted == "variant identifier" => "a word",
        _ => wanted,
    };
    words.to_owned()
}

/// What kind of value was found, without the value.
fn shape(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) => "a whole number",
        Actual::Float(_) => "a number with a fraction",
        Actual::Char(_) | Actual::Str(_) => "text",
        Actual::Seq => "a list",
        Actual::Map => "a section",
        Actual::Bytes(_)
        | Actual::Unit
        | Actual::Option
        | Actual::NewtypeStruct
        | Actual::Enum
        | Actual::UnitVariant
        | Actual::NewtypeVariant
        | Actual::TupleVariant
        | Actual::StructVariant
        | Actual::Other(_) => "something else",
    }
}
