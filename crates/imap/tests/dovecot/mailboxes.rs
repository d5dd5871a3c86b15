//! Mailboxes, listings and mails as Dovecot serves them.

use std::ops::ControlFlow;

use mailfleet_imap::{Error, MailSource, UidInfo, batches};
use mailfleet_model::Uid;

use super::{fetch, inbox, log_in, plain, shared, uid};

fn list_all(source: &mut dyn MailSource) -> Vec<UidInfo> {
    let mut all: Vec<UidInfo> = Vec::new();
    loop {
        let from = all.last().map_or(1, |info| info.uid.get() + 1);
        let page = source.list_uids(from).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

#[test]
fn every_byte_of_a_mail_arrives_with_its_date_and_flags_and_nothing_is_marked_as_read() {
    let (server, _) = shared();
    let mails: [&[u8]; 5] = [
        b"Subject: plain\r\n\r\nbody\r\n",
        b"Subject: caf\xe9 \xc3\xa9\r\n\r\n8-bit \xff\xfe body\r\n",
        b"",
        b"no header at all {17}\r\n* 1 FETCH (UID 9)\r\nf2 OK\r\n",
        b"Subject: no end",
    ];
    for mail in mails.iter().filter(|mail| !mail.is_empty()) {
        server.imap_append("bytes", "INBOX", mail, Some("01-Feb-2024 10:00:00 +0200")).unwrap();
    }
    let mut source = inbox(&plain(server), "bytes");
    let listed = list_all(source.as_mut());
    assert_eq!(listed.len(), 4);
    let (report, fetched) = fetch(source.as_mut(), &[1, 2, 3, 4]);
    assert!(report.missing.is_empty());
    for (mail, (info, expected)) in
        fetched.iter().zip(listed.iter().zip(mails.iter().filter(|m| !m.is_empty())))
    {
        assert_eq!(&mail.raw, expected);
        assert_eq!((mail.uid, mail.size), (info.uid, info.size));
        assert_eq!(mail.internal_date_ms, Some(1_706_774_400_000));
        assert_eq!(info.internal_date_ms, mail.internal_date_ms);
        assert!(!mail.flags.iter().any(|flag| flag == "\\Seen"));
    }
    assert_eq!(server.search("bytes", "INBOX", "SEEN").unwrap(), [0u32; 0]);
}

#[test]
fn a_long_mailbox_is_listed_in_pages_and_fetched_in_bounded_batches() {
    let (server, _) = shared();
    let mut client = server.client("pages").unwrap();
    for n in 1..=130 {
        client.append("INBOX", format!("Subject: {n}\r\n\r\n{}", "x".repeat(n)).as_bytes(), None).unwrap();
    }
    let gone: Vec<u32> = (31..=90).collect();
    server.expunge("pages", "INBOX", &gone).unwrap();
    let mut endpoint = plain(server);
    endpoint.config.list_window = 20;
    let mut source = inbox(&endpoint, "pages");
    assert!(source.list_uids(1).unwrap().len() <= 20);
    let listed = list_all(source.as_mut());
    let expected: Vec<u32> = (1..=30).chain(91..=130).collect();
    assert_eq!(listed.iter().map(|info| info.uid.get()).collect::<Vec<_>>(), expected);
    let found = source.search_uids(1, u32::MAX).unwrap();
    assert_eq!(found.iter().map(|uid| uid.get()).collect::<Vec<_>>(), expected);
    assert_eq!(source.search_uids(25, 95).unwrap().len(), 11);
    let mut arrived = Vec::new();
    for batch in batches(&listed, 16, 1_000) {
        let uids: Vec<Uid> = batch.iter().map(|info| info.uid).collect();
        let report = source.fetch(&uids, &mut |mail| {
            assert!(mail.raw.ends_with(&vec![b'x'; mail.uid.get() as usize]));
            ControlFlow::Continue(())
        });
        arrived.extend(report.unwrap().arrived);
    }
    assert_eq!(arrived.iter().map(|uid| uid.get()).collect::<Vec<_>>(), expected);
}

#[test]
fn an_expunged_message_is_missing_and_known_to_be_gone() {
    let (server, _) = shared();
    for n in 0..3 {
        server.imap_append("expunged", "INBOX", format!("Subject: {n}\r\n\r\n").as_bytes(), None).unwrap();
    }
    let mut source = inbox(&plain(server), "expunged");
    assert_eq!(list_all(source.as_mut()).len(), 3);
    server.expunge("expunged", "INBOX", &[2]).unwrap();
    let (report, mails) = fetch(source.as_mut(), &[1, 2, 3, 99]);
    assert!(mails.iter().all(|mail| report.arrived.contains(&mail.uid)));
    assert_eq!(source.still_there(&report.missing).unwrap(), [] as [Uid; 0]);
    assert_eq!(source.still_there(&[uid(1), uid(2), uid(3)]).unwrap(), [uid(1), uid(3)]);
    assert_eq!(fetch(source.as_mut(), &[1, 3]).0.arrived, [uid(1), uid(3)]);
}

#[test]
fn a_mailbox_made_anew_has_another_uidvalidity() {
    let (server, _) = shared();
    server.create_mailbox("epoch", "Work").unwrap();
    server.imap_append("epoch", "Work", b"Subject: old\r\n\r\n", None).unwrap();
    let mut source = log_in(&plain(server), "epoch").unwrap();
    let before = source.examine("Work").unwrap();
    assert_eq!((before.exists, before.uidnext), (1, Some(2)));
    assert_eq!(before.uidvalidity.unwrap().get(), server.uidvalidity("epoch", "Work").unwrap());
    let mut client = server.client("epoch").unwrap();
    client.command("DELETE Work").unwrap();
    client.command("CREATE Work").unwrap();
    drop(source);
    let mut source = log_in(&plain(server), "epoch").unwrap();
    let after = source.examine("Work").unwrap();
    assert_ne!(after.uidvalidity, before.uidvalidity);
    assert!(after.uidvalidity.is_some());
    assert_eq!(after.exists, 0);
    assert!(source.list_uids(1).unwrap().is_empty());
}

#[test]
fn a_missing_mailbox_is_named_and_the_session_goes_on() {
    let (server, _) = shared();
    let mut source = log_in(&plain(server), "missing").unwrap();
    let error = source.examine("Nowhere").unwrap_err();
    assert!(matches!(error, Error::NoSuchMailbox { .. }), "{error:?}");
    assert!(error.to_string().contains("Nowhere"), "{error}");
    source.examine("INBOX").unwrap();
}

#[test]
fn mailboxes_with_any_name_are_listed_and_opened_by_it() {
    let (server, _) = shared();
    // As they travel, and as people read them.
    let names = [
        ("Entw&APw-rfe", "Entwürfe"),
        ("A &- B", "A & B"),
        ("quote\"d", "quote\"d"),
        ("&U,BTFw-.&ZeVnLIqe-", "台北.日本語"),
        ("with space", "with space"),
    ];
    for (wire, _) in names {
        server.create_mailbox("names", wire).unwrap();
    }
    let mut source = log_in(&plain(server), "names").unwrap();
    let listed = source.list_mailboxes().unwrap();
    for (_, name) in names {
        let entry = listed.iter().find(|mailbox| mailbox.name == name);
        let entry = entry.unwrap_or_else(|| panic!("{name} is not in {listed:?}"));
        assert!(entry.selectable && entry.delimiter.as_deref() == Some("."));
        source.examine(name).unwrap();
    }
    assert!(listed.iter().any(|mailbox| mailbox.name == "INBOX"));
}
