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
        if !["nofile", "nohost"].contains(&name) {
            assert!(said.out.contains(&format!("mailfleet account set {name}")), "{name}: {}", said.out);
        }
        assert!(!said.out.contains("email_accounts"), "{name}: {}", said.out);
    }
    let all = fleet.run(&["account", "check", "--json"]).with_code(1).json();
    assert_eq!(all.len(), 5, "one that fails stops none of the others");
}

#[test]
fn a_name_that_is_taken_or_unknown_is_said_so() {
    let fleet = Fleet::new();
    fleet.add_account("sales", "dup", &["--shared"]).with_code(0);
    fleet
        .add_account("sales", "dup", &["--shared"])
        .with_code(1)
        .error_naming(&["sales", "mailfleet account set sales"]);
    fleet
        .add_account("other", "dup", &["--tenant", "nobody"])
        .with_code(1)
        .error_naming(&["nobody", "tenant list"]);
    fleet.run(&["account", "check", "marketing"]).with_code(1).error_naming(&["marketing", "account list"]);
}

#[test]
fn an_account_is_corrected_and_only_what_is_given_changes() {
    let fleet = Fleet::new();
    dovecot().deliver("set-right", b"Subject: one\n\nbody\n").expect("delivered");
    fleet.add_account("sales", "set-wrong", &["--shared", "--mailbox", "Nowhere"]).with_code(0);
    fleet.run(&["account", "set", "sales", "--password-file", &fleet.path("wrong-password")]).with_code(0);
    fleet.run(&["account", "check", "sales"]).with_code(1);
    let listed = || fleet.run(&["account", "list", "--json"]).with_code(0).json().swap_remove(0);
    let before = listed();

    let password = fleet.path("password");
    let words = ["--username", "set-right", "--mailbox", "INBOX", "--password-file", &password];
    let said = fleet.run(&[&["account", "set", "sales"][..], &words].concat()).with_code(0).out;
    for wanted in [
        "user: set-wrong → set-right",
        "mailbox: Nowhere → INBOX",
        "wrong-password → ",
        "account check sales",
    ] {
        assert!(said.contains(wanted), "{wanted} is missing in\n{said}");
    }
    for same in ["host", "port", "tls", "not it"] {
        assert!(!said.contains(same), "{same} in\n{said}");
    }
    fleet.run(&["account", "check", "sales"]).with_code(0);
    let mut wanted = before;
    (wanted["user"], wanted["mailboxes"]) = ("set-right".into(), serde_json::json!(["INBOX"]));
    assert_eq!(listed(), wanted);

    let again = fleet.run(&["account", "set", "sales", "--user", "set-right", "--json"]).with_code(0).json();
    assert_eq!(again[0]["changed"], serde_json::json!({}));
    let sent = |more: &[&str]| {
        let said = fleet.run(&[&["account", "set", "sales", "--json"], more].concat()).with_code(0).json();
        said[0]["changed"]["sent-mailbox"].clone()
    };
    assert_eq!(sent(&["--sent-mailbox", "Sent"]), serde_json::json!({ "from": "none", "to": "Sent" }));
    assert_eq!(sent(&["--no-sent-mailbox"]), serde_json::json!({ "from": "Sent", "to": "none" }));
    // A port that was right for the protection before is left, and said so.
    fleet.run(&["account", "set", "sales", "--tls", "tls", "--port", "993"]).with_code(0);
    let said = fleet.run(&["account", "set", "sales", "--tls", "starttls"]).with_code(0);
    assert!(said.err.contains("port stays 993") && said.err.contains("143"), "{}", said.err);
}

#[test]
fn what_an_account_cannot_be_it_is_not_changed_to() {
    let fleet = Fleet::new();
    fleet.run(&["tenant", "add", "acme"]).with_code(0);
    fleet.add_account("sales", "set-c", &["--tenant", "acme"]).with_code(0);
    let before = fleet.run(&["account", "list", "--json"]).out;
    let set = |more: &[&str]| fleet.run(&[&["account", "set", "sales"], more].concat());
    set(&[]).with_code(64).error_naming(&["--host"]);
    set(&["--host", "imap.acme.example:993"]).with_code(64).error_naming(&["--port"]);
    set(&["--user", "a\nb"]).with_code(64).error_naming(&["line breaks"]);
    set(&["--mailbox", ""]).with_code(64).error_naming(&["mailbox"]);
    set(&["--password", "secret"]).with_code(64).error_naming(&["--password"]);
    set(&["--password-env", "A", "--password-file", "b"]).with_code(64).error_naming(&["--password-file"]);
    set(&["--recipient-from-to-cc"]).with_code(64).error_naming(&["shared"]);
    set(&["--host", "imap2.acme.example", "--sent-mailbox", "INBOX"])
        .with_code(1)
        .error_naming(&["INBOX", "either"]);
    fleet
        .run(&["account", "set", "marketing", "--port", "143"])
        .with_code(1)
        .error_naming(&["marketing", "account list"]);
    assert_eq!(fleet.run(&["account", "list", "--json"]).out, before);
}

#[test]
fn another_host_or_login_of_an_account_that_was_read_must_be_said_to_lead_to_the_same_folders() {
    let fleet = Fleet::new();
    fleet.add_account("sales", "set-moved", &["--shared"]).with_code(0);
    fleet.sql(
        "INSERT INTO mailfleet.mailboxes (account_id, name, uidvalidity, last_uid) \
         SELECT id, 'INBOX', 7, 40 FROM mailfleet.email_accounts",
    );
    let set = |more: &[&str]| fleet.run(&[&["account", "set", "sales"], more].concat());
    for other in [["--host", "imap2.acme.example"], ["--user", "somebody"]] {
        set(&other).with_code(64).error_naming(&["--same-mailboxes", "account disable sales"]);
    }
    // What leads to the same server and login is no move.
    set(&["--user", "set-moved", "--mailbox", "INBOX", "--mailbox", "Bounces"]).with_code(0);
    let said = set(&["--host", "imap2.acme.example", "--same-mailboxes"]).with_code(0).out;
    assert!(said.contains("imap2.acme.example"), "{said}");
    assert_eq!(fleet.sql("SELECT last_uid FROM mailfleet.mailboxes"), "40");
}
