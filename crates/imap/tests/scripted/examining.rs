//! Opening mailboxes, listing mailboxes and messages.

use mailfleet_imap::Error;
use mailfleet_model::{Class, Classify, UidValidity};

use crate::script::{Server, uid, uids};

#[test]
fn untagged_no_and_bad_during_examine_are_only_warnings() {
    let server = Server::session("", |peer| {
        let tag = peer.expect("EXAMINE \"INBOX\"");
        peer.send(format!(
            "* NO mailbox is being repaired\r\n* BAD never mind\r\n* 3 EXISTS\r\n* XFOO 1 (2)\r\n\
             * OK [UIDVALIDITY 7] \u{e9}\r\n* OK [UIDNEXT 12]\r\n* OK [HIGHESTMODSEQ 99999999999] x\r\n\
             * OK [NEWCODE {{5}}\r\n{tag} OK [READ-ONLY] \u{e9}\r\n"
        ));
    });
    let selected = server.connect().examine("INBOX").unwrap();
    assert_eq!(selected.uidvalidity, UidValidity::new(7));
    assert_eq!((selected.uidnext, selected.exists), (Some(12), 3));
    assert_eq!(selected.highest_modseq, Some(99_999_999_999));
    server.finish();
}

#[test]
fn bye_during_examine_ends_the_session_with_its_reason() {
    let server = Server::session("", |peer| {
        peer.expect("EXAMINE");
        peer.send("* BYE Session invalidated - AccessTokenExpired\r\n");
    });
    let mut source = server.connect();
    let error = source.examine("INBOX").unwrap_err();
    assert_eq!(error.class(), Class::Outage);
    assert!(error.to_string().contains("AccessTokenExpired"), "{error}");
    assert!(matches!(source.examine("INBOX"), Err(Error::Disconnected { .. })));
    server.finish();
}

#[test]
fn a_mailbox_without_uidvalidity_is_asked_again_and_stays_open() {
    let server = Server::session("", |peer| {
        peer.answer("EXAMINE", "* 3 EXISTS\r\n* OK [UIDVALIDITY 0] no\r\n* OK [UIDNEXT 99999999999] no\r\n");
        peer.answer("STATUS \"INBOX\"", "* STATUS INBOX (UIDVALIDITY 8 UIDNEXT 5)\r\n");
        peer.answer("EXAMINE", "* 3 EXISTS\r\n");
        peer.answer("STATUS", "");
    });
    let mut source = server.connect();
    let selected = source.examine("INBOX").unwrap();
    assert_eq!((selected.uidvalidity, selected.uidnext), (UidValidity::new(8), Some(5)));
    let selected = source.examine("INBOX").unwrap();
    assert_eq!((selected.uidvalidity, selected.uidnext, selected.exists), (None, None, 3));
    server.finish();
}

#[test]
fn one_missing_mailbox_leaves_the_session_to_the_others() {
    let server = Server::session("", |peer| {
        let tag = peer.expect("EXAMINE \"dovecot.sieve\"");
        peer.send(format!("{tag} NO [NONEXISTENT] Mailbox doesn't exist\r\n"));
        peer.open(0, 1);
    });
    let mut source = server.connect();
    let error = source.examine("dovecot.sieve").unwrap_err();
    assert!(matches!(error, Error::NoSuchMailbox { .. }));
    let text = error.to_string();
    assert!(text.contains("dovecot.sieve") && text.contains("ann") && text.contains("127.0.0.1"), "{text}");
    assert_eq!(source.examine("INBOX").unwrap().exists, 0);
    server.finish();
}

#[test]
fn a_server_with_raw_utf_8_names_is_understood() {
    let server = Server::session("", |peer| {
        let tag = peer.expect("EXAMINE \"Entw&APw-rfe\"");
        peer.send(format!("{tag} NO no such mailbox\r\n"));
        let tag = peer.expect("EXAMINE \"Entwürfe\"");
        peer.send(format!("* 0 EXISTS\r\n* OK [UIDVALIDITY 7]\r\n{tag} OK\r\n"));
    });
    server.connect().examine("Entwürfe").unwrap();
    server.finish();
}

#[test]
fn a_mailbox_name_cannot_carry_a_command() {
    let server = Server::session("", super::script::Peer::expect_end);
    let error = server.connect().examine("INBOX\r\nf9 DELETE INBOX").unwrap_err();
    assert!(matches!(error, Error::NoSuchMailbox { .. }));
    server.finish();
}

#[test]
fn an_empty_mailbox_is_not_asked_for_its_messages() {
    let server = Server::session("", |peer| {
        peer.open(0, 1);
        peer.expect_end();
    });
    let mut source = server.connect();
    source.examine("INBOX").unwrap();
    assert!(source.list_uids(1).unwrap().is_empty());
    assert!(source.search_uids(1, u32::MAX).unwrap().is_empty());
    drop(source);
    server.finish();
}

#[test]
fn a_listing_tolerates_rows_without_flags_date_or_sense() {
    let server = Server::session("", |peer| {
        peer.open(4, 20);
        peer.answer(
            "UID FETCH 5:* (UID FLAGS INTERNALDATE RFC822.SIZE)",
            "* 1 FETCH (UID 9 RFC822.SIZE 10)\r\n\
             * 2 FETCH (RFC822.SIZE 99999999999 INTERNALDATE NIL UID 8 FLAGS (\\Seen))\r\n\
             * 3 FETCH (FLAGS (\\Answered))\r\n* 4 FETCH (UID 12 FLAGS ())\r\n* 5 FETCH rubbish\r\n\
             * 6 FETCH (UID 3 RFC822.SIZE 1)\r\n* NO odd\r\n* 5 EXISTS\r\n",
        );
    });
    let mut source = server.connect();
    source.examine("INBOX").unwrap();
    let page = source.list_uids(5).unwrap();
    let rows: Vec<(u32, u64)> = page.iter().map(|info| (info.uid.get(), info.size)).collect();
    assert_eq!(rows, [(8, 99_999_999_999), (9, 10)]);
    assert_eq!(page[0].flags, ["\\Seen"]);
    server.finish();
}

#[test]
fn a_mailbox_of_sparse_uids_is_crossed_in_few_windows() {
    let server = Server::session("", |peer| {
        peer.open(2, 4_000_000_001);
        let mut windows = 0;
        loop {
            let line = peer.line();
            let set = line.split(' ').nth(3).unwrap().to_owned();
            let tag = line.split(' ').next().unwrap();
            let row = if set.ends_with(":*") { "* 2 FETCH (UID 4000000000 RFC822.SIZE 1)\r\n" } else { "" };
            peer.send(format!("{row}{tag} OK done\r\n"));
            windows += 1;
            if !row.is_empty() {
                break;
            }
        }
        assert!(windows < 20, "{windows} windows");
    });
    let mut source = server.connect();
    source.examine("INBOX").unwrap();
    assert_eq!(source.list_uids(1).unwrap()[0].uid, uid(4_000_000_000));
    server.finish();
}

#[test]
fn a_server_without_uidnext_is_listed_page_by_page() {
    let all = "* 1 FETCH (UID 3 RFC822.SIZE 1)\r\n* 2 FETCH (UID 2 RFC822.SIZE 1)\r\n* 3 FETCH (UID 9 RFC822.SIZE 1)\r\n";
    let server = Server::session("", move |peer| {
        peer.answer("EXAMINE", "* 3 EXISTS\r\n* OK [UIDVALIDITY 7]\r\n");
        peer.answer("UID FETCH 1:*", all);
        peer.answer("UID FETCH 4:*", all);
        peer.answer("UID FETCH 10:*", all);
    })
    .with(|config| config.list_window = 2);
    let mut source = server.connect();
    source.examine("INBOX").unwrap();
    let mut from = 1;
    let mut found = Vec::new();
    loop {
        let page = source.list_uids(from).unwrap();
        let Some(last) = page.last() else { break };
        from = last.uid.get() + 1;
        found.extend(page.iter().map(|info| info.uid));
    }
    assert_eq!(found, uids(&[2, 3, 9]));
    server.finish();
}

#[test]
fn a_refused_search_is_an_error_and_not_an_empty_answer() {
    let server = Server::session("", |peer| {
        peer.open(3, 20);
        let tag = peer.expect("UID SEARCH UID 1:19");
        peer.send(format!("* SEARCH 1 2\r\n{tag} NO [SERVERBUG] Internal error\r\n"));
    });
    let mut source = server.connect();
    source.examine("INBOX").unwrap();
    assert!(source.search_uids(1, 19).is_err());
    server.finish();
}

#[test]
fn one_bad_line_spoils_no_list_of_mailboxes() {
    let server = Server::session("", |peer| {
        let tag = peer.expect("LIST");
        let mut bytes =
            b"* LIST (\\HasNoChildren) \"/\" INBOX\r\n* LIST () \"/\" \"caf\xe9\"\r\n* LIST rubbish\r\n\
            * LIST () NIL {6}\r\na\"b\\{1\r\n* NO odd\r\n* LIST (\\Noselect) \"/\" \"[Gmail]\"\r\n"
                .to_vec();
        bytes.extend(format!("{tag} OK\r\n").bytes());
        peer.send(bytes);
    });
    let list = server.connect().list_mailboxes().unwrap();
    let names: Vec<&str> = list.iter().map(|mailbox| mailbox.name.as_str()).collect();
    assert_eq!(names, ["INBOX", "caf\u{fffd}", "a\"b\\{1", "[Gmail]"]);
    assert!(!list[3].selectable);
    server.finish();
}
