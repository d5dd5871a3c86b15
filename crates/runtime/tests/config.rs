//! The configuration loader as the binaries use it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use mailfleet_model::{Class, Classify as _, Secret};
use mailfleet_runtime::{ConfigError, Loaded, Loader, Unread};
use serde::Deserialize;

const PASSWORD: &str = "hunter2";
const SECRETS: &[&str] = &["redis.url", "postgres.url"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    redis: Redis,
    #[serde(default)]
    producer: Producer,
    #[serde(default)]
    consumer: Option<Unread>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Redis {
    url: Secret,
    #[serde(default = "queue")]
    queue: String,
    #[serde(default)]
    pool_size: u16,
    #[serde(default)]
    weights: Weights,
}

fn queue() -> String {
    "email:processing".into()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Weights {
    high: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Producer {
    mailboxes: Vec<String>,
    poll: bool,
    mode: Option<Mode>,
    listen: Option<std::net::SocketAddr>,
    limits: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Idle,
    Poll,
}

/// A directory with a `mailfleet.toml`.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mailfleet.toml"), text).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn load(&self, environment: &[(&str, &str)]) -> Result<Loaded<Config>, ConfigError> {
        let file = self.path("mailfleet.toml");
        let environment: Vec<_> =
            environment.iter().map(|(name, text)| (OsString::from(name), OsString::from(text))).collect();
        Loader::new(Some(&file), SECRETS).environment(environment).load()
    }

    /// The error, which must be one line and must not hold the password.
    fn error(&self, environment: &[(&str, &str)]) -> String {
        let error = self.load(environment).unwrap_err();
        assert_eq!(error.class(), Class::Fault);
        let text = error.to_string();
        assert!(!text.contains('\n'), "one line: {text}");
        assert!(!text.contains(PASSWORD) && !format!("{error:?}").contains(PASSWORD), "{text}");
        text
    }
}

fn assert_names(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "`{word}` is missing in: {error}");
    }
}

const GOOD: &str = r#"
[redis]
url = "redis://:hunter2@127.0.0.1/"
pool_size = 4

[producer]
mailboxes = ["INBOX", "Junk"]

[consumer]
anything = { goes = ["here"] }
"#;

#[test]
fn a_file_is_read_and_foreign_sections_are_left_alone() {
    let loaded = Place::new(GOOD).load(&[]).unwrap();
    assert_eq!(loaded.config.redis.url.expose(), "redis://:hunter2@127.0.0.1/");
    assert_eq!(loaded.config.redis.queue, "email:processing");
    assert_eq!(loaded.config.producer.mailboxes, ["INBOX", "Junk"]);
    assert_eq!(loaded.config.consumer, Some(Unread));
}

#[test]
fn the_environment_overrides_the_file_at_every_level() {
    let environment = [
        ("MAILFLEET_REDIS__POOL_SIZE", "9"),
        ("MAILFLEET_REDIS__WEIGHTS__HIGH", "70"),
        ("MAILFLEET_PRODUCER__MAILBOXES", r#"["Sent"]"#),
        ("MAILFLEET_PRODUCER__POLL", "true"),
        ("MAILFLEET_PRODUCER__MODE", "idle"),
        ("MAILFLEET_PRODUCER__LISTEN", "127.0.0.1:9401"),
        ("MAILFLEET_PRODUCER__LIMITS__INBOX", "5"),
    ];
    let config = Place::new(GOOD).load(&environment).unwrap().config;
    assert_eq!((config.redis.pool_size, config.redis.weights.high), (9, 70));
    assert_eq!(config.producer.mailboxes, ["Sent"]);
    assert!(config.producer.poll);
    assert_eq!(config.producer.mode, Some(Mode::Idle));
    assert_eq!(config.producer.listen, "127.0.0.1:9401".parse().ok());
    assert_eq!(config.producer.limits["inbox"], 5);
}

#[test]
fn text_that_looks_like_a_number_is_still_text_where_text_is_wanted() {
    let environment = [("MAILFLEET_REDIS__URL", "12345"), ("MAILFLEET_REDIS__QUEUE", "2026")];
    let config = Place::new("").load(&environment).unwrap().config;
    assert_eq!((config.redis.url.expose(), config.redis.queue.as_str()), ("12345", "2026"));
    let config = Place::new("").load(&[("MAILFLEET_REDIS__URL", "[1,{\"x\"")]).unwrap().config;
    assert_eq!(config.redis.url.expose(), "[1,{\"x\"", "a secret is never parsed");
}

#[test]
fn a_typo_in_a_section_is_refused_with_the_key_that_was_meant() {
    let error = Place::new("[redis]\nurl = \"x\"\npool_sise = 3").error(&[]);
    assert_names(&error, &["`redis.pool_sise`", "mailfleet.toml", "did you mean `redis.pool_size`"]);
    let error = Place::new("[redis]\nurl = \"x\"\nweights = { hihg = 1 }").error(&[]);
    assert_names(&error, &["`redis.weights.hihg`", "did you mean `redis.weights.high`"]);
    let error = Place::new("[redis]\nurl_fil = \"x\"").error(&[]);
    assert_names(&error, &["`redis.url_fil`", "did you mean `redis.url_file`"]);
}

#[test]
fn a_typo_at_the_top_is_refused_with_the_section_that_was_meant() {
    let error = Place::new("[redsi]\nurl = \"redis://:hunter2@h/\"").error(&[]);
    assert_names(&error, &["`redsi`", "mailfleet.toml", "did you mean `redis`"]);
}

#[test]
fn a_key_that_resembles_nothing_is_refused_with_the_list_of_known_keys() {
    let error = Place::new("[redis]\nurl = \"x\"\ncolour = \"hunter2\"").error(&[]);
    assert_names(&error, &["`redis.colour`", "`url`", "`queue`", "`pool_size`", "`url_file`"]);
    assert_names(&Place::new("[colours]").error(&[]), &["`colours`", "`redis`", "`producer`", "`consumer`"]);
}

#[test]
fn a_typo_in_a_variable_names_the_variable_and_the_one_that_was_meant() {
    let place = Place::new(GOOD);
    let error = place.error(&[("MAILFLEET_REDIS__POOLSIZE", PASSWORD)]);
    assert_names(
        &error,
        &["`redis.poolsize`", "MAILFLEET_REDIS__POOLSIZE", "did you mean MAILFLEET_REDIS__POOL_SIZE"],
    );
    assert!(!error.contains("mailfleet.toml"), "{error}");
    let error = place.error(&[("MAILFLEET_REDSI__URL", PASSWORD)]);
    assert_names(&error, &["`redsi`", "MAILFLEET_REDSI__URL", "did you mean MAILFLEET_REDIS__URL?"]);
    let error = place.error(&[("MAILFLEET_REDIS_URL", PASSWORD)]);
    assert_names(&error, &["MAILFLEET_REDIS_URL", "two underscores", "did you mean MAILFLEET_REDIS__URL?"]);
    let error = place.error(&[("MAILFLEET_REDSI_POOL_SIZE", PASSWORD)]);
    assert_names(&error, &["two underscores", "did you mean MAILFLEET_REDIS__POOL_SIZE?"]);
    let error = place.error(&[("MAILFLEET_REDSI", PASSWORD)]);
    assert_names(&error, &["`redsi`", "two underscores", "as in MAILFLEET_REDIS__KEY"]);
    let error = place.error(&[("MAILFLEET_SOMETHING", PASSWORD)]);
    assert_names(&error, &["`something`", "two underscores", "`redis`", "`producer`"]);
}

#[test]
fn a_wrong_type_names_the_key_and_never_the_value() {
    for (text, key, wanted) in [
        (
            "[redis]\nurl = \"x\"\npool_size = \"hunter2\"",
            "`redis.pool_size`",
            "whole number from 0 to 65535, found text",
        ),
        ("[redis]\nurl = \"x\"\npool_size = 70000", "`redis.pool_size`", "a whole number from 0 to 65535"),
        ("[redis]\nurl = \"x\"\npool_size = 1.5", "`redis.pool_size`", "found a number with a fraction"),
        ("[redis]\nurl = \"x\"\nweights = { high = -1 }", "`redis.weights.high`", "a whole number from 0"),
        ("[redis]\nurl = \"x\"\nweights = 3", "`redis.weights`", "expected a section, found a whole number"),
        ("[redis]\nurl = \"x\"\n[producer]\npoll = \"hunter2\"", "`producer.poll`", "expected true or false"),
        ("[redis]\nurl = \"x\"\n[producer]\nmode = 7", "`producer.mode`", "expected"),
        (
            "[redis]\nurl = \"x\"\n[producer]\nlimits = { a = \"hunter2\" }",
            "`producer.limits.a`",
            "0 or more",
        ),
        ("[redis]\nurl = \"x\"\n[producer]\nlisten = 7", "`producer.listen`", "such as 127.0.0.1:9101"),
        ("[redis]\nurl = [\"hunter2\"]", "`redis.url`", "a list"),
        ("redis = \"hunter2\"", "`redis`", "text"),
        ("[redis]\nurl = \"x\"\n[producer]\nmode = \"hunter2\"", "`producer.mode`", "`idle`, `poll`"),
        (
            "[redis]\nurl = \"x\"\n[producer]\nlisten = \"hunter2\"",
            "`producer.listen`",
            "such as 127.0.0.1:9101",
        ),
        ("[redis]\nurl = \"x\"\n[producer]\nmailboxes = \"hunter2\"", "`producer.mailboxes`", "a list"),
        ("[redis]\nurl = \"x\"\n[producer]\nmailboxes = [7]", "`producer.mailboxes.0`", "expected text"),
    ] {
        let error = Place::new(text).error(&[]);
        assert_names(&error, &[key, wanted, "mailfleet.toml): "]);
        for rust in
            ["u8", "u16", "u32", "u64", "usize", "struct", "sequence", "boolean", "enum", "variant", "syntax"]
        {
            assert!(!error.contains(rust), "`{rust}` is no word of a configuration file: {error}");
        }
        assert!(error.starts_with(&format!("{key} (in ")), "{error}");
    }
    let error = Place::new(GOOD).error(&[("MAILFLEET_REDIS__POOL_SIZE", PASSWORD)]);
    assert_names(&error, &["`redis.pool_size`", "MAILFLEET_REDIS__POOL_SIZE"]);
}

#[test]
fn a_missing_key_tells_every_way_to_give_it() {
    let error = Place::new("[redis]").error(&[]);
    assert_names(
        &error,
        &["`redis.url` (not set): is missing", "mailfleet.toml", "`redis.url_file`", "MAILFLEET_REDIS__URL"],
    );
}

#[test]
fn every_key_has_the_origin_it_came_from() {
    let loaded = Place::new(GOOD).load(&[("MAILFLEET_REDIS__QUEUE", "q")]).unwrap();
    let origin = |key: &str| loaded.origin(key).to_string();
    assert_names(&origin("redis.pool_size"), &["in ", "mailfleet.toml"]);
    assert_eq!(origin("redis.queue"), "in the environment variable MAILFLEET_REDIS__QUEUE");
    assert_eq!(origin("producer.poll"), "not set", "a default");
}

#[test]
fn broken_toml_names_the_line_and_never_shows_it() {
    let error = Place::new("[redis]\npool_size = 1\nurl = \"redis://:hunter2@h\nqueue = \"q\"").error(&[]);
    assert_names(&error, &["mailfleet.toml line 3"]);
    let error = Place::new("[redis]\nurl = \"redis://:hunter2@h\"\nurl = \"redis://:hunter2@i\"").error(&[]);
    assert_names(&error, &["mailfleet.toml line 3", "duplicate"]);
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let place = Place::new("");
    let missing = place.path("other.toml");
    let error = Loader::new(Some(&missing), SECRETS).load::<Config>().unwrap_err().to_string();
    assert_names(&error, &["other.toml", "No such file"]);
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let place = Place::new(GOOD);
    let named = [(OsString::from("MAILFLEET_CONFIG"), place.path("mailfleet.toml").into_os_string())];
    let loaded = Loader::new(None, SECRETS).environment(named).load::<Config>().unwrap();
    assert_eq!(loaded.file, Some(place.path("mailfleet.toml")));
}

#[test]
fn a_secret_may_stand_in_a_file_of_its_own() {
    let place = Place::new("");
    let secret = place.path("redis-url");
    fs::write(&secret, "redis://:hunter2@h/ \nsecond line\n").unwrap();
    let by_file = Place::new(&format!("[redis]\nurl_file = \"{}\"", secret.display()));
    assert_eq!(by_file.load(&[]).unwrap().config.redis.url.expose(), "redis://:hunter2@h/");
    let by_variable = [("MAILFLEET_REDIS__URL_FILE", secret.to_str().unwrap())];
    assert_eq!(place.load(&by_variable).unwrap().config.redis.url.expose(), "redis://:hunter2@h/");
}

#[test]
fn a_secret_as_value_and_as_file_is_refused_naming_both() {
    let error =
        Place::new("[redis]\nurl = \"redis://:hunter2@h\"\nurl_file = \"/run/secrets/url\"").error(&[]);
    assert_names(&error, &["`redis.url`", "`redis.url_file`", "keep one"]);
    let error = Place::new(GOOD).error(&[("MAILFLEET_REDIS__URL_FILE", "/run/secrets/url")]);
    assert_names(&error, &["`redis.url`", "mailfleet.toml", "MAILFLEET_REDIS__URL_FILE"]);
}

#[test]
fn the_file_of_a_secret_that_cannot_be_read_is_named_with_its_key() {
    let error = Place::new("[redis]\nurl_file = \"/nonexistent/redis-url\"").error(&[]);
    assert_names(&error, &["`redis.url_file`", "/nonexistent/redis-url", "No such file", "mailfleet.toml"]);
    let place = Place::new("");
    let empty = place.path("empty");
    fs::write(&empty, "\n").unwrap();
    let error = place.error(&[("MAILFLEET_REDIS__URL_FILE", empty.to_str().unwrap())]);
    assert_names(&error, &["`redis.url_file`", "empty", "MAILFLEET_REDIS__URL_FILE"]);
    assert_names(&Place::new("[redis]\nurl_file = 7").error(&[]), &["`redis.url_file`", "name of a file"]);
}

#[test]
fn the_print_out_shows_origins_and_no_secret() {
    let text = format!(
        "{GOOD}\n[consumer.smtp]\npassword = \"hunter2\"\nrelay = \"smtp://me:hunter2@h\"\nport = 25"
    );
    let loaded = Place::new(&text)
        .load(&[("MAILFLEET_REDIS__POOL_SIZE", "8"), ("MAILFLEET_CONSUMER__API_TOKEN", PASSWORD)])
        .unwrap();
    for line in [
        "redis.url = [redacted]  # in ",
        "redis.pool_size = 8  # in the environment variable MAILFLEET_REDIS__POOL_SIZE",
        "producer.mailboxes = [\"INBOX\", \"Junk\"]  # in ",
        "consumer.smtp.password = [redacted]",
        "consumer.smtp.relay = [redacted]",
        "consumer.smtp.port = 25",
        "consumer.api_token = [redacted]",
    ] {
        assert_names(&loaded.description, &[line]);
    }
    assert!(!loaded.description.contains(PASSWORD), "{}", loaded.description);
    assert!(!format!("{loaded:?}").contains(PASSWORD));
}

#[test]
fn the_file_of_a_secret_is_shown_and_its_content_is_not() {
    let place = Place::new("");
    let secret = place.path("redis-url");
    fs::write(&secret, "hunter2\n").unwrap();
    let loaded = Place::new(&format!("[redis]\nurl_file = \"{}\"", secret.display())).load(&[]).unwrap();
    assert_names(&loaded.description, &["redis.url_file = \"", file_name(&secret)]);
    assert!(!loaded.description.contains(PASSWORD));
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap()
}
