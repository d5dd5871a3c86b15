//! Endpoints of webhooks, and tokens of senders.

use crate::fleet::Fleet;

fn fleet() -> Fleet {
    let fleet = Fleet::new();
    fleet.run(&["tenant", "add", "acme"]).with_code(0);
    std::fs::write(fleet.path("secret"), "a shared secret of the tests\n").unwrap();
    fleet
}

fn add(fleet: &Fleet, more: &[&str]) -> crate::support::Said {
    let secret = fleet.path("secret");
    let mut words = vec!["webhook", "add", "--tenant", "acme", "--name", "events", "--secret-file", &secret];
    words.extend_from_slice(more);
    fleet.run(&words)
}

#[test]
fn an_endpoint_shows_its_address_once_and_is_listed_without_it() {
    let fleet = fleet();
    let added = add(&fleet, &["--provider", "generic"]).with_code(0).out;
    let path = added.lines().find_map(|line| line.trim().strip_prefix("/webhooks/generic/")).expect("a path");
    assert!(path.starts_with("mfw_") && path.len() == 68, "{path}");
    assert_eq!(added.matches(path).count(), 1, "{added}");
    for listed in [fleet.run(&["webhook", "list"]), fleet.run(&["webhook", "list", "--json"])] {
        let listed = listed.with_code(0).out;
        assert!(
            listed.contains("events") && listed.contains("generic") && listed.contains("secret"),
            "{listed}"
        );
        assert!(!listed.contains(&path[4..20]) && !listed.contains("a shared secret"), "{listed}");
    }
    let listed = fleet.run(&["webhook", "list", "--json"]).json();
    assert_eq!((&listed[0]["enabled"], &listed[0]["last_call"]), (&true.into(), &serde_json::Value::Null));
    fleet.run(&["webhook", "disable", "events"]).with_code(0);
    assert_eq!(fleet.run(&["webhook", "list", "--json"]).json()[0]["enabled"], false);
    fleet.run(&["webhook", "enable", "events"]).with_code(0);
    fleet.run(&["webhook", "disable", "nobody"]).with_code(1).error_naming(&["nobody", "webhook list"]);
    add(&fleet, &["--provider", "generic"]).with_code(1).error_naming(&["endpoint", "events"]);
}

#[test]
fn what_could_never_verify_a_call_is_refused_at_once() {
    let fleet = fleet();
    add(&fleet, &["--provider", "postal"]).with_code(1).error_naming(&["RSA public key", "PEM"]);
    add(&fleet, &["--provider", "standard-webhooks"]).with_code(1).error_naming(&["whsec_"]);
    add(&fleet, &["--provider", "ses-sns"]).with_code(1).error_naming(&["--topic-arn"]);
    let topic = "arn:aws:sns:eu-west-1:123456789012:ses-events";
    add(&fleet, &["--provider", "ses-sns", "--topic-arn", topic]).with_code(1).error_naming(&["certificate"]);
    add(&fleet, &["--provider", "generic", "--topic-arn", topic]).with_code(1).error_naming(&["ses-sns"]);
    add(&fleet, &["--provider", "postcard"]).with_code(64).error_naming(&["postcard", "mailgun"]);
    let variable =
        ["webhook", "add", "--tenant", "acme", "--name", "x", "--provider", "generic", "--secret-env"];
    fleet
        .run(&[&variable[..], &["MAILFLEET_KEY"]].concat())
        .with_code(64)
        .error_naming(&["MAILFLEET_SECRET_"]);
    assert_eq!(fleet.sql("SELECT count(*) FROM mailfleet.webhook_endpoints"), "0");
    // What stands with the producer alone is a hint.
    let elsewhere = fleet.run(&[&variable[..], &["MAILFLEET_SECRET_ELSEWHERE"]].concat()).with_code(0);
    assert!(elsewhere.err.contains("MAILFLEET_SECRET_ELSEWHERE"), "{}", elsewhere.err);
}

#[test]
fn a_short_signing_key_of_mailgun_is_refused_at_once() {
    let fleet = fleet();
    std::fs::write(fleet.path("secret"), "hunter2\n").unwrap();
    let refused = add(&fleet, &["--provider", "mailgun"]).with_code(1);
    assert!(!refused.err.contains("hunter2"), "{}", refused.err);
    refused.error_naming(&["16 characters", "HTTP webhook signing key"]);
    std::fs::write(fleet.path("secret"), "0123456789abcdef0123456789abcdef\n").unwrap();
    add(&fleet, &["--provider", "mailgun"]).with_code(0);
}

#[test]
fn the_list_shows_why_an_endpoint_takes_no_calls_before_what_its_last_call_asks_for() {
    let fleet = fleet();
    add(&fleet, &["--provider", "generic"]).with_code(0);
    let to_do = || {
        let listed = fleet.run(&["webhook", "list"]).with_code(0).out;
        let note = fleet.run(&["webhook", "list", "--json"]).json()[0]["note"].clone();
        assert!(note.as_str().is_none_or(|note| listed.contains(note)), "{listed}");
        note
    };
    assert!(to_do().is_null());
    fleet.sql(
        "INSERT INTO mailfleet.webhook_inbox (endpoint_id, tenant_id, provider, dedupe, body, note) \
         SELECT id, tenant_id, provider, 'one', '', 'confirm it' FROM mailfleet.webhook_endpoints",
    );
    assert_eq!(to_do(), "confirm it");
    fleet.sql("UPDATE mailfleet.webhook_endpoints SET note = 'calls are refused'");
    assert_eq!(to_do(), "calls are refused");
}

#[test]
fn a_token_is_shown_once_listed_without_itself_and_revoked() {
    let fleet = fleet();
    let added = fleet.run(&["token", "add", "--tenant", "acme", "sender", "--json"]).with_code(0).json();
    let token = added[0]["token"].as_str().expect("a token");
    assert!(token.starts_with("mft_") && token.len() == 68, "{token}");
    for listed in [fleet.run(&["token", "list"]), fleet.run(&["token", "list", "--json"])] {
        let listed = listed.with_code(0).out;
        assert!(listed.contains("sender") && !listed.contains(&token[4..20]), "{listed}");
    }
    fleet
        .run(&["token", "add", "--tenant", "acme", "sender"])
        .with_code(1)
        .error_naming(&["token", "sender"]);
    fleet
        .run(&["token", "add", "--tenant", "nobody", "x"])
        .with_code(1)
        .error_naming(&["nobody", "tenant list"]);
    fleet.run(&["token", "revoke", "sender"]).with_code(0);
    assert!(fleet.run(&["token", "list", "--json"]).json()[0]["revoked"].is_string());
    fleet.run(&["token", "revoke", "nobody"]).with_code(1).error_naming(&["nobody", "token list"]);
}
