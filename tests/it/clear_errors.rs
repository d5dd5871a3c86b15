//! What is wrong is said in one line that names the thing and the remedy, with a failing exit code at start-up.

use std::time::Duration;

use mailfleet_tests::{Fleet, metrics, numbered};

/// Asserts one line on stderr that holds every word, and a failing exit code.
fn refused(finished: &mailfleet_testkit::Finished, words: &[&str]) {
    assert!(!finished.status.success(), "{}", finished.stdout);
    let line = finished
        .stderr
        .lines()
        .find(|line| line.contains("error:"))
        .unwrap_or_else(|| panic!("{}", finished.stderr));
    for word in words {
        assert!(line.contains(word), "no `{word}` in: {line}");
    }
}

#[test]
fn an_unknown_key_is_refused_by_name_by_all_three_binaries() {
    let fleet = Fleet::servers();
    fleet.configure("\n[queue_typo]\nx = 1\n");
    for binary in ["mailfleet-producer", "mailfleet-consumer", "mailfleet"] {
        let finished =
            fleet.builder(binary).args(["--check-config"]).finish(Duration::from_secs(10)).unwrap();
        refused(&finished, &["queue_typo", "mailfleet.toml"]);
        assert_eq!(finished.status.code(), Some(64));
    }
    fleet.configure("");
    for (binary, variable) in [
        ("mailfleet-producer", "MAILFLEET_QUEUE__LEASE_MSS"),
        ("mailfleet-consumer", "MAILFLEET_CONSUMER__WORKERSS"),
        ("mailfleet", "MAILFLEET_POSTGRES__ULR"),
    ] {
        let builder = fleet.builder(binary).args(["--check-config"]).env(variable, "1");
        refused(&builder.finish(Duration::from_secs(10)).unwrap(), &[variable]);
    }
}

#[test]
fn an_unknown_option_and_an_unusable_log_filter_are_one_line_and_64() {
    let fleet = Fleet::servers();
    for binary in ["mailfleet-producer", "mailfleet-consumer", "mailfleet"] {
        let finished = fleet.builder(binary).args(["--check-confg"]).finish(Duration::from_secs(10)).unwrap();
        refused(&finished, &["--check-confg", "--help"]);
        assert_eq!(
            (finished.status.code(), finished.stderr.lines().count()),
            (Some(64), 1),
            "{}",
            finished.stderr
        );
    }
    for binary in ["mailfleet-producer", "mailfleet-consumer"] {
        let builder =
            fleet.builder(binary).args(["--check-config"]).env("MAILFLEET_LOG__FILTER", "info,blah=blub");
        let finished = builder.finish(Duration::from_secs(10)).unwrap();
        refused(&finished, &["log.filter", "blah=blub"]);
        assert_eq!(finished.status.code(), Some(64));
    }
}

#[test]
fn a_checked_configuration_shows_no_secret() {
    let fleet = Fleet::servers();
    for binary in ["mailfleet-producer", "mailfleet-consumer", "mailfleet"] {
        let builder = fleet
            .builder(binary)
            .args(["--check-config"])
            .env("MAILFLEET_POSTGRES__URL", "postgres://user:hunter2@127.0.0.1/x");
        let finished = builder.finish(Duration::from_secs(10)).unwrap();
        assert!(finished.status.success(), "{}", finished.stderr);
        assert!(
            !finished.stdout.contains("hunter2") && !finished.stderr.contains("hunter2"),
            "{}",
            finished.stdout
        );
    }
}

#[test]
fn a_redis_that_evicts_is_refused_at_start() {
    let fleet = Fleet::start();
    let evicting =
        mailfleet_testkit::RedisServer::start_with(&[("maxmemory-policy", "allkeys-lru")]).unwrap();
    for binary in ["mailfleet-producer", "mailfleet-consumer"] {
        let builder = fleet.builder(binary).env("MAILFLEET_QUEUE__URL", evicting.url());
        refused(&builder.finish(Duration::from_secs(20)).unwrap(), &["allkeys-lru", "noeviction"]);
    }
    let doctor = fleet.builder("mailfleet").args(["doctor"]).env("MAILFLEET_QUEUE__URL", evicting.url());
    let doctor = doctor.finish(Duration::from_secs(20)).unwrap();
    assert!(
        !doctor.status.success() && doctor.stdout.contains("noeviction"),
        "{}\n{}",
        doctor.stdout,
        doctor.stderr
    );
}

#[test]
fn a_redis_that_cannot_be_reached_as_the_url_says_is_named_with_the_remedy_and_never_the_password() {
    let fleet = Fleet::start();
    let place = format!("127.0.0.1:{}", fleet.redis.port());
    // No name is that long: nobody has to be asked.
    let unknown = format!("{}:6380", "x".repeat(64));
    for (url, place, remedy) in [
        (format!("rediss://u:hunter2@{place}"), &place, "this port does not speak TLS: write redis://"),
        (format!("redis://default:hunter2@{place}/99"), &place, "write one in queue.url that is below"),
        (format!("redis://:hunter2@{unknown}"), &unknown, "correct the host in queue.url"),
    ] {
        let doctor = fleet.builder("mailfleet").args(["doctor", "--no-imap"]);
        let doctor =
            doctor.env("MAILFLEET_QUEUE__URL", url).env("MAILFLEET_QUEUE__RESPONSE_TIMEOUT_MS", "1000");
        let doctor = doctor.finish(Duration::from_secs(20)).unwrap();
        let said = format!("{}{}", doctor.stdout, doctor.stderr);
        assert!(!doctor.status.success(), "{said}");
        assert!(said.contains(place.as_str()) && said.contains(remedy), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_database_without_migrations_is_refused_at_start() {
    let fleet = Fleet::servers();
    for binary in ["mailfleet-producer", "mailfleet-consumer"] {
        refused(&fleet.builder(binary).finish(Duration::from_secs(20)).unwrap(), &["mailfleet migrate"]);
    }
}

#[test]
fn a_hierarchy_table_with_a_wrong_column_is_named() {
    let fleet = Fleet::servers();
    let _ = fleet.sql(
        "CREATE TABLE email_content (storage_key text PRIMARY KEY, tenant_id uuid NOT NULL, headers integer)",
    );
    refused(&fleet.try_mailfleet(&["migrate"]), &["email_content", "headers", "integer", "jsonb"]);
}

#[test]
fn a_wrong_password_or_a_missing_mailbox_stops_only_its_own_account() {
    let fleet = Fleet::start();
    std::fs::write(fleet.path("wrong"), "not the password\n").unwrap();
    let (port, wrong) = (fleet.dovecot.port().to_string(), fleet.path("wrong"));
    let wrong = wrong.to_str().unwrap();
    let common = ["--host", "127.0.0.1", "--port", &port, "--tls", "plain", "--tenant", "acme"];
    fleet.mailfleet(
        &[&["account", "add", "locked", "--user", "locked", "--password-file", wrong], &common[..]].concat(),
    );
    fleet.add_account("lacking", &["--tenant", "acme", "--mailbox", "NoSuchFolder"]);

    let check = fleet.try_mailfleet(&["account", "check"]);
    let said = format!("{}{}", check.stdout, check.stderr);
    assert!(!check.status.success());
    assert!(said.contains("locked") && said.contains("password") && said.contains("NoSuchFolder"), "{said}");
    assert!(!said.contains("not the password"), "{said}");

    let producer = fleet.producer();
    let _consumer = fleet.consumer();
    fleet.deliver([numbered(1)]);
    fleet.wait_accounted(1, Duration::from_secs(20));
    producer.wait_for_line("NoSuchFolder", Duration::from_secs(10)).unwrap();
    producer.wait_for_line("locked", Duration::from_secs(10)).unwrap();
    mailfleet_testkit::eventually_blocking(
        "a producer that is ready all the same",
        Duration::from_secs(10),
        || (metrics::get(&producer, "/readyz").0 == 200).then_some(()),
    );
}

#[test]
fn an_unreachable_host_and_a_certificate_nobody_vouches_for_are_named_with_the_remedy() {
    let fleet = Fleet::start();
    let certificates = mailfleet_testkit::Certificates::expired().unwrap();
    let options = mailfleet_testkit::DovecotOptions { tls: Some(certificates.clone()), ..Default::default() };
    let dovecot = mailfleet_testkit::DovecotServer::start_with(&options).unwrap();
    let password = fleet.path("password");
    let add = |name: &str, port: u16, tls: &str, more: &[&str]| {
        let port = port.to_string();
        let args =
            ["account", "add", name, "--host", "127.0.0.1", "--port", &port, "--tls", tls, "--user", name];
        let args =
            [&args[..], &["--tenant", "acme", "--password-file", password.to_str().unwrap()], more].concat();
        fleet.mailfleet(&args);
        let check = fleet.try_mailfleet(&["account", "check", name]);
        assert!(!check.status.success());
        format!("{}{}", check.stdout, check.stderr)
    };
    let nobody = mailfleet_testkit::free_port();
    let said = add("away", nobody, "plain", &[]);
    assert!(said.contains("127.0.0.1") && said.contains(&nobody.to_string()), "{said}");
    let said = add("stranger", dovecot.tls_port().unwrap(), "tls", &[]);
    assert!(said.contains("certificate") && said.contains("ca"), "{said}");
    let ca = certificates.ca();
    let said = add("expired", dovecot.tls_port().unwrap(), "tls", &["--ca-file", ca.to_str().unwrap()]);
    assert!(said.contains("expired"), "{said}");
}
