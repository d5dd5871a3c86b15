//! Which log lines are written: `LEVEL` for everything, `TARGET=LEVEL` for a part, joined by commas.
//!
//! The user's words decide over mailfleet's own crates. Other crates never say more than warnings, whatever stands in
//! the filter: at `debug` the PostgreSQL client logs every statement with its parameters, which are whole mails, and
//! at `info` it repeats what the server's notices say.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// What the targets of our own crates begin with.
const OWN: &str = "mailfleet";

/// The most that crates of others may say.
pub(super) const FOREIGN_CAP: LevelFilter = LevelFilter::WARN;

/// The words for levels, silent to noisy.
const LEVELS: &str = "off, error, warn, info, debug or trace";

/// Reads a filter. The error says what is wrong with which part.
///
/// Stricter than the usual reader of such filters, which takes `inof` and `nonsense=,,` for targets that nobody has
/// and thereby turns every log off. Where only targets are named the rest stays at `info`.
pub(super) fn parse(text: &str) -> Result<Targets, String> {
    let mut rest = LevelFilter::INFO;
    let mut named = Vec::new();
    for part in text.split(',').map(str::trim) {
        match part.split_once('=') {
            None => rest = level(part)?,
            Some((target, word)) => {
                if target.is_empty() || !target.chars().all(in_target) {
                    return Err(format!("`{part}` names no crate or module"));
                }
                let level = level(word)?;
                named.push((target, if is_own(target) { level } else { level.min(FOREIGN_CAP) }));
            }
        }
    }
    // The longest target that fits a line decides, so that `OWN` wins over whatever shorter one the user names.
    let filter = Targets::new().with_default(rest.min(FOREIGN_CAP)).with_target(OWN, rest);
    Ok(filter.with_targets(named))
}

fn level(word: &str) -> Result<LevelFilter, String> {
    if word.is_empty() {
        return Err(format!("a level is missing, give {LEVELS}"));
    }
    // `LevelFilter` would also take numbers.
    let known = word.chars().any(char::is_alphabetic);
    let parsed = known.then(|| word.parse().ok()).flatten();
    parsed.ok_or_else(|| format!("`{word}` is not a level, give {LEVELS}"))
}

fn is_own(target: &str) -> bool {
    target.strip_prefix(OWN).is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', ':']))
}

fn in_target(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn writes(filter: &str, target: &str, level: Level) -> bool {
        parse(filter).unwrap().would_enable(target, &level)
    }

    #[test]
    fn our_own_crates_follow_the_filter() {
        for target in ["mailfleet", "mailfleet::doctor", "mailfleet_queue", "mailfleet_queue::reclaim"] {
            assert!(writes("trace", target, Level::TRACE), "{target}");
            assert!(writes("info", target, Level::INFO) && !writes("info", target, Level::DEBUG), "{target}");
            assert!(!writes("off", target, Level::ERROR), "{target}");
        }
        let filter = "warn,mailfleet_queue=debug";
        assert!(writes(filter, "mailfleet_queue::reclaim", Level::DEBUG));
        assert!(!writes(filter, "mailfleet_store", Level::INFO));
        assert!(writes(" Info , mailfleet_queue=DEBUG ", "mailfleet_queue", Level::DEBUG));
    }

    #[test]
    fn naming_one_target_leaves_the_rest_at_info() {
        assert!(writes("mailfleet_queue=debug", "mailfleet_store", Level::INFO));
        assert!(writes("tokio_postgres=off", "mailfleet_store", Level::INFO));
        assert!(!writes("tokio_postgres=off", "tokio_postgres::query", Level::ERROR));
    }

    #[test]
    fn no_filter_makes_a_foreign_crate_say_more_than_warnings() {
        for filter in
            ["trace", "trace,tokio_postgres=trace", "tokio_postgres::query=debug", "mail=trace", "t=info"]
        {
            for target in ["tokio_postgres::query", "mailparse", "mail", "hyper", "rustls"] {
                assert!(!writes(filter, target, Level::INFO), "{filter} {target}");
                assert!(writes(filter, target, Level::WARN), "{filter} {target}");
            }
        }
        assert!(writes("trace,mail=off", "mailfleet_queue", Level::TRACE), "`mail` is not ours");
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_part_that_is_wrong() {
        for (text, word) in [
            ("", "missing"),
            ("nonsense=,,", "missing"),
            ("inof", "`inof`"),
            ("blah=blub", "`blub`"),
            ("info,=debug", "`=debug`"),
            ("info,", "missing"),
            ("mailfleet_queue", "`mailfleet_queue`"),
            ("mailfleet[span{a=1}]=debug", "`mailfleet[span{a"),
            ("3", "`3`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
