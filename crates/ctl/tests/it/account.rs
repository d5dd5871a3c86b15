//! Accounts: added without a password on the command line, checked by a login.

use mailfleet_testkit::free_port;

use crate::fleet::{Fleet, dovecot};

#[test]
fn an_account_is_checked_by_a_login_and_nothing_is_marked_as_read() {
    let fleet = Fleet::new();
    fleet.run(&["tenant", "add", "acme"]).with_code(0);
    dovecot().deliver("check-a", b"Subject: one\n\nbody\n").expect("delivered");
    dovecot().create_mailbox("check-a", "Archive").expect("created");
    fleet.add_account("sales", "check-a", &["--tenant", "acme"]).with_code(0);

    let checked = fleet.run(&["account", "check", "sales", "--json"]).with_code(0).json();
    let checked = &checked[0];
    assert_eq!(checked["ok"], true);
    assert_eq!(checked["idle"], true);
    assert_eq!(checked["mailboxes"][0]["messages"], 1);
    assert!(checked["mailboxes"][0]["uidvalidity"].is_u64(), "{checked}");
    assert_eq!(checked["others"], serde_json::json!(["Archive"]));
    let table = fleet.run(&["account", "check"]).with_code(0).out;
    assert!(table.contains("IDLE") && table.contains("INBOX"), "{table}");
    assert_eq!(dovecot().search("check-a", "INBOX", "SEEN").expect("searched"), Vec::<u32>::new());
}

#[test]
fn accounts_are_listed_with_their_owner_and_without_a_password() {
    let fleet = Fleet::new();
    fleet.run(&["tenant", "add", "acme"]).with_code(0);
    let sent = ["--tenant", "acme", "--sent-mailbox", "Sent", "--sent-mailbox", "Archive/Sent"];
    fleet.add_account("sales", "list-a", &sent).with_code(0);
    fleet
        .add_account("both", "list-c", &["--tenant", "acme", "--sent-mailbox", "INBOX"])
        .with_code(1)
        .error_naming(&["INBOX", "either"]);
    fleet
        .add_account("catchall", "list-b", &["--shared", "--mailbox", "INBOX", "--mailbox", "Bounces"])
        .with_code(0);
    let listed = fleet.run(&["account", "list", "--json"]).with_code(0);
    assert!(!listed.out.contains("secret"), "{}", listed.out);
    let listed = listed.json();
    let shared = listed.iter().find(|account| account["name"] == "catchall").expect("catchall");
    assert_eq!(shared["shared"], true);
    assert_eq!(shared["mailboxes"], serde_json::json!(["INBOX", "Bounces"]));
    let sales = listed.iter().find(|account| account["name"] == "sales").expect("sales");
    assert_eq!(sales["sent_mailboxes"], serde_json::json!(["Sent", "Archive/Sent"]));
    let table = fleet.run(&["account", "list"]).with_code(0).out;
    assert!(table.contains("acme") && table.contains("shared"), "{table}");
}

#[test]
fn each_way_a_login_can_fail_is_named_with_its_remedy() {
    let fleet = Fleet::new();
    let port = dovecot().port().to_string();
    let closed = free_port().to_string();
    let (right, wrong) = (fleet.path("password"), fleet.path("wrong-password"));
    let missing = fleet.path("no-such-file");
    for (name, host, port, password, mailbox, named) in [
        ("wrong", "127.0.0.1", &port, &wrong, "INBOX", "user-wrong"),
        ("closed", "127.0.0.1", &closed, &right, "INBOX", closed.as_str()),
        ("nohost", "no-such-host.invalid", &port, &right, "INBOX", "no-such-host.invalid"),
        ("nofile", "127.0.0.1", &port, &missing, "INBOX", "no-such-file"),
        ("nobox", "127.0.0.1", &port, &right, "Nowhere", "Nowhere"),
    ] {
        let user = format!("user-{name}");
        let words = [
            "account", "add", name, "--shared", "--tls", "plain", "--user", &user, "--host", host, "--port",
            port,
        ];
        fleet.run(&[&words[..], &["--password-file", password, "--mailbox", mailbox]].concat()).with_code(0);
        let said = fleet.run(&["account", "check", name]).with_code(1);
        assert!(said.out.contains(named), "{name}: {}", said.out);
        assert!(!said.out.contains("not it") && !said.err.contains("not it"), "{name}");
    }
    let all = fleet.run(&["account", "check", "--json"]).with_code(1).json();
    assert_eq!(all.len(), 5, "one that fails stops none of the others");
}

#[test]
fn a_name_that_is_taken_or_unknown_is_said_so() {
    let fleet = Fleet::new();
    fleet.add_account("sales", "dup", &["--shared"]).with_code(0);
    fleet.add_account("sales", "dup", &["--shared"]).with_code(1).error_naming(&["sales"]);
    fleet
        .add_account("other", "dup", &["--tenant", "nobody"])
        .with_code(1)
        .error_naming(&["nobody", "tenant list"]);
    fleet.run(&["account", "check", "marketing"]).with_code(1).error_naming(&["marketing", "account list"]);
}
