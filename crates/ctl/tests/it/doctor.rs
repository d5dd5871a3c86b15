//! `mailfleet doctor`: what is wrong is named with what to do, and goes on after an error.

use mailfleet_testkit::{RedisServer, free_port};
use serde_json::Value;

use crate::fleet::{Fleet, dovecot};

/// Findings of an area with a level.
fn findings<'a>(all: &'a [Value], area: &str, level: &str) -> Vec<&'a Value> {
    let starts = |finding: &&Value| finding["area"].as_str().is_some_and(|a| a.starts_with(area));
    all.iter().filter(starts).filter(|finding| finding["level"] == level).collect()
}

/// The one error of an area; it must hold the words and say what to do.
#[track_caller]
fn error_of(all: &[Value], area: &str, words: &[&str]) {
    let errors = findings(all, area, "error");
    assert!(!errors.is_empty(), "no error of {area} in {all:#?}");
    let text: Vec<String> = errors.iter().map(|e| format!("{} → {}", e["found"], e["remedy"])).collect();
    let text = text.join("\n");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in {text}");
    }
    assert!(errors.iter().all(|e| e["remedy"].as_str().is_some_and(|r| r.len() > 10)), "{text}");
}

#[test]
fn a_healthy_fleet_has_no_error() {
    let fleet = Fleet::new();
    dovecot().deliver("doctor-a", b"Subject: one\n\nbody\n").expect("delivered");
    fleet.add_account("sales", "doctor-a", &["--shared"]).with_code(0);
    let all = fleet.run(&["doctor", "--json"]).with_code(0).json();
    for area in ["redis", "postgres", "imap sales"] {
        assert!(!findings(&all, area, "ok").is_empty(), "{area}: {all:#?}");
    }
    assert!(all.iter().all(|finding| finding["level"] != "error"), "{all:#?}");
    let table = fleet.run(&["doctor"]).with_code(0).out;
    assert!(table.contains("noeviction") && table.contains("imap sales"), "{table}");
}

#[test]
fn a_redis_that_evicts_is_an_error() {
    let redis = RedisServer::start_with(&[("maxmemory", "64mb"), ("maxmemory-policy", "allkeys-lru")])
        .expect("redis");
    let fleet = Fleet::with_redis(&redis.url());
    fleet.run(&["migrate"]).with_code(0);
    let all = fleet.run(&["doctor", "--json"]).with_code(1).json();
    error_of(&all, "redis", &["allkeys-lru", "noeviction"]);
}

#[test]
fn the_eviction_policy_is_seen_where_config_is_forbidden() {
    let acl = tempfile::NamedTempFile::new().expect("a file");
    let users = "user default on nopass ~* &* +@all\nuser fleet on nopass ~* &* +@all -config\n";
    std::fs::write(acl.path(), users).expect("written");
    let acl = acl.path().to_str().expect("UTF-8");
    let settings = [("maxmemory-policy", "volatile-lru"), ("aclfile", acl)];
    let redis = RedisServer::start_with(&settings).expect("redis");
    let url = redis.url().replace("redis://", "redis://fleet:any@");
    let fleet = Fleet::with_redis(&url);
    fleet.run(&["migrate"]).with_code(0);
    let all = fleet.run(&["doctor", "--json"]).with_code(1).json();
    error_of(&all, "redis", &["volatile-lru", "noeviction"]);
}

#[test]
fn a_server_that_is_away_is_an_error_and_the_others_are_looked_at_all_the_same() {
    let fleet = Fleet::with_redis(&format!("redis://127.0.0.1:{}", free_port()));
    fleet.run(&["migrate"]).with_code(0);
    let all = fleet.run(&["doctor", "--json"]).with_code(1).json();
    error_of(&all, "redis", &["127.0.0.1", "queue.url"]);
    assert!(!findings(&all, "postgres", "ok").is_empty(), "{all:#?}");
}

#[test]
fn missing_migrations_and_a_wrong_column_are_errors() {
    let fleet = Fleet::bare();
    let all = fleet.run(&["doctor", "--json"]).with_code(1).json();
    error_of(&all, "postgres", &["mailfleet migrate"]);

    let fleet = Fleet::new();
    fleet.sql("ALTER TABLE attachments ALTER COLUMN size_bytes TYPE text USING size_bytes::text");
    let all = fleet.run(&["doctor", "--json"]).with_code(1).json();
    error_of(&all, "postgres", &["attachments", "size_bytes", "text"]);
}

#[test]
fn a_wrong_imap_password_and_an_unreachable_host_are_errors_of_their_accounts() {
    let fleet = Fleet::new();
    let port = dovecot().port().to_string();
    let closed = free_port().to_string();
    let password = fleet.path("wrong-password");
    for (name, port) in [("badpass", &port), ("away", &closed)] {
        let words = [
            "account",
            "add",
            name,
            "--shared",
            "--tls",
            "plain",
            "--user",
            "doctor-b",
            "--host",
            "127.0.0.1",
        ];
        fleet.run(&[&words[..], &["--port", port, "--password-file", &password]].concat()).with_code(0);
    }
    let all = fleet.run(&["doctor", "--json"]).with_code(1).json();
    error_of(&all, "imap badpass", &["doctor-b"]);
    error_of(&all, "imap away", &[&closed]);
    let all = fleet.run(&["doctor", "--json", "--no-imap"]).with_code(0).json();
    assert!(findings(&all, "imap", "error").is_empty());
}
