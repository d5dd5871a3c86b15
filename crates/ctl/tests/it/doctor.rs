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
    assert!(table.contains("1 message in 1 watched mailbox"), "{table}");
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

#[test]
fn a_redis_user_without_scripts_is_an_error_with_the_acl_that_helps() {
    let acl = tempfile::NamedTempFile::new().expect("a file");
    let users = "user default on nopass ~* &* +@all\nuser fleet on nopass ~* &* +@all -eval -evalsha\n";
    std::fs::write(acl.path(), users).expect("written");
    let settings = [("aclfile", acl.path().to_str().expect("UTF-8"))];
    let redis = RedisServer::start_with(&settings).expect("redis");
    let fleet = Fleet::with_redis(&redis.url().replace("redis://", "redis://fleet:any@"));
    fleet.run(&["migrate"]).with_code(0);
    let all = fleet.run(&["doctor", "--json"]).with_code(1).json();
    error_of(&all, "redis", &["scripts", "NOPERM", "ACL SETUSER"]);
}

#[test]
fn each_way_postgresql_can_refuse_has_a_remedy_of_its_own() {
    let fleet = Fleet::new();
    fleet.sql("CREATE ROLE doctor_stranger LOGIN");
    let text = std::fs::read_to_string(&fleet.config).expect("read");
    let remedy = |from: &str, to: &str| {
        std::fs::write(&fleet.config, text.replace(from, to)).expect("written");
        let all = fleet.run(&["doctor", "--json", "--no-imap"]).with_code(1).json();
        let remedies: Vec<_> =
            findings(&all, "postgres", "error").iter().map(|e| e["remedy"].to_string()).collect();
        remedies.join("\n")
    };
    let stranger = remedy("postgres@", "doctor_stranger@");
    for role in ["mailfleet_writer", "mailfleet_maintenance"] {
        assert!(stranger.contains(&format!("GRANT {role} TO doctor_stranger")), "{stranger}");
    }
    let nobody = remedy("postgres@", "doctor_nobody@");
    assert!(nobody.contains("create the role"), "{nobody}");
    let nowhere = remedy(&format!("/{}\"\n[imap]", fleet.database), "/doctor_nowhere\"\n[imap]");
    assert!(nowhere.contains("create the database"), "{nowhere}");
    for remedy in [stranger, nobody, nowhere] {
        assert!(!remedy.contains("start PostgreSQL"), "{remedy}");
    }
}

#[test]
fn a_password_that_cannot_be_read_says_where_to_put_it() {
    let fleet = Fleet::new();
    let (missing, empty) = (fleet.path("no-such-file"), fleet.path("empty-file"));
    std::fs::write(&empty, "").expect("written");
    for (name, option, place) in [
        ("nofile", "--password-file", missing.as_str()),
        ("emptyfile", "--password-file", empty.as_str()),
        ("novariable", "--password-env", "MAILFLEET_NO_SUCH_PASSWORD"),
    ] {
        let words = ["account", "add", name, "--shared", "--host", "127.0.0.1", "--user", "u", option, place];
        fleet.run(&words).with_code(0);
    }
    let all = fleet.run(&["doctor", "--json"]).with_code(1).json();
    for (name, words) in [
        ("imap nofile", ["write the password into the first line", missing.as_str()]),
        ("imap emptyfile", ["it is empty", empty.as_str()]),
        ("imap novariable", ["set MAILFLEET_NO_SUCH_PASSWORD", "mailfleet account check novariable"]),
    ] {
        let remedy = findings(&all, name, "error")[0]["remedy"].to_string();
        assert!(words.iter().all(|word| remedy.contains(word)), "{name}: {remedy}");
    }
}

#[test]
fn findings_stand_beside_what_to_do_about_them_and_cells_are_short() {
    let bare = Fleet::bare();
    let said = bare.run(&["doctor", "--no-imap"]).with_code(1).out;
    assert_eq!(
        said.matches("run `mailfleet migrate`").count(),
        1,
        "one remedy for all that it puts right:\n{said}"
    );
    let (found, remedy) =
        (said.rfind("public.attachments does not exist"), said.find("run `mailfleet migrate`"));
    assert!(found < remedy, "{said}");

    let fleet = Fleet::new();
    fleet.sql("ALTER TABLE email_content DROP COLUMN content_html, DROP COLUMN headers");
    let all = fleet.run(&["doctor", "--json", "--no-imap"]).with_code(1).json();
    error_of(&all, "postgres", &["public.email_content lacks: content_html, headers"]);
}
