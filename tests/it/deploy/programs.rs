//! Our programs' own word on a configuration file.

use std::collections::BTreeMap;
use std::time::Duration;

use mailfleet_testkit::Process;

/// The programs that read the file.
const PROGRAMS: [&str; 3] = ["mailfleet-producer", "mailfleet-consumer", "mailfleet"];

/// Has every program check `toml` and gives what is set in it, as text by dotted path. The secrets stand in for the ones
/// that an installation mounts.
pub fn settings(title: &str, toml: &str) -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let config = file("mailfleet.toml", toml);
    let redis = file("redis-url", "redis://redis.example.com:6379\n");
    let postgres = file("postgres-url", "postgres://mailfleet:x@postgres.example.com/mailfleet\n");
    let mut settings = BTreeMap::new();
    for program in PROGRAMS {
        let mut check = Process::binary(program).unwrap().arg("--config").arg(&config).arg("--check-config");
        check = check.env("MAILFLEET_POSTGRES__URL_FILE", &postgres);
        if toml.contains("/run/secrets/mailfleet/redis-url") {
            check = check.env("MAILFLEET_QUEUE__URL_FILE", &redis);
        }
        let checked = check.finish(Duration::from_secs(10)).unwrap();
        assert!(checked.status.success(), "{title}: {program}: {}", checked.stderr);
        let lines = checked.stdout.lines().filter_map(|line| line.split("  #").next()?.split_once(" = "));
        settings.extend(lines.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())));
    }
    settings
}

/// A whole number among the settings. What other files depend on is written down, not left to a default.
pub fn number(title: &str, settings: &BTreeMap<String, String>, key: &str) -> u64 {
    let text = settings.get(key).unwrap_or_else(|| panic!("{title}: `{key}` is not in the file"));
    text.parse().unwrap_or_else(|_| panic!("{title}: `{key}` is {text}"))
}
