//! Whatever stands in a mail, and however large it is: it is stored.

use data_encoding::{BASE64_MIME, HEXLOWER};
use sha2::{Digest as _, Sha256};

use crate::world::{World, mail};

#[tokio::test]
async fn nul_bytes_invalid_utf_8_and_lone_surrogates_never_break_an_insert() {
    let world = World::new().await;
    let odd: Vec<Vec<u8>> = vec![
        b"Subject: a\0b\r\nFrom: x\0@y\r\nX-\0: \0\r\n\r\nbody \0 end\r\n".to_vec(),
        b"Subject: \xff\xfe\xed\xa0\x80 raw\r\nX-Raw: \x80\xc3\r\n\r\n\xff\xfe\0\r\n".to_vec(),
        b"Subject: =?utf-8?Q?lone=ED=A0=80_=00?=\r\n\r\nx\r\n".to_vec(),
        b"Subject: =?utf-16be?B?2AAAQQ==?= =?utf-16le?B?ANg=?=\r\n\r\nx\r\n".to_vec(),
        b"Subject: =?utf-7?Q?+2AA-?=\r\nX-Json: \"\\ud800\\u0000\"\r\n\r\n{\"a\":\"\\udc00\"}\r\n".to_vec(),
        b"Content-Type: text/html; charset=utf-16\r\n\r\n\xd8\x00\x00\x00\xdc\x00".to_vec(),
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment; \
          filename=\"a\0\xff.txt\"\r\nContent-ID: <\0\xff>\r\nContent-Type: \0/\xff\r\n\r\n\0\xff\r\n--b--\r\n"
            .to_vec(),
        b"Message-ID: <\0\xff\xed\xa0\x80@x>\r\n\r\n".to_vec(),
        b"Date: Mon, 99 Foo 99999 99:99:99 +9999\r\n\r\n".to_vec(),
        vec![0; 5_000],
        vec![0xff; 5_000],
        Vec::new(),
    ];
    let count = odd.len();
    world.enqueue((1u32..).zip(odd)).await;
    let consumer = world.consumer("");
    world.until_empty().await;
    assert!(world.letters().await.is_empty(), "{:?}", world.letters().await);
    assert_eq!(world.sql("SELECT count(*) FROM email_messages"), count.to_string());
    assert_eq!(consumer.processed("persisted"), count as u64);
    assert_eq!(world.sql("SELECT count(*) FROM attachments WHERE content = '\\x00ff'"), "1");
}

#[tokio::test]
async fn a_mail_of_thirty_megabytes_is_stored_whole() {
    let world = World::new().await;
    let mut random = fastrand::Rng::with_seed(7);
    let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(22 << 20).collect();
    let mut raw = mail("huge", "Content-Type: multipart/mixed; boundary=b\r\n");
    raw.extend_from_slice(
        b"\r\n--b\r\nContent-Type: text/plain\r\n\r\ntext\r\n--b\r\nContent-Type: application/zip\r\n",
    );
    raw.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
    raw.extend_from_slice(BASE64_MIME.encode(&content).as_bytes());
    raw.extend_from_slice(b"\r\n--b--\r\n");
    assert!(raw.len() > 30_000_000);
    world.enqueue([(1, raw)]).await;
    world.enqueue([(2, mail("small", ""))]).await;
    let _consumer = world.consumer("");
    world.until_stored(2).await;
    world.until_empty().await;
    // The line before the first part is kept as well, as a file of its own.
    assert_eq!(world.sql("SELECT count(*) FROM attachments WHERE filename = 'preamble.txt'"), "1");
    let found = world.sql(
        "SELECT size_bytes, encode(sha256(content), 'hex'), content_hash FROM attachments WHERE filename IS NULL",
    );
    let hash = HEXLOWER.encode(&Sha256::digest(&content));
    assert_eq!(found, format!("{}|{hash}|{hash}", content.len()));
}

#[tokio::test]
async fn a_mail_above_the_limit_is_stored_with_its_headers_and_its_body_in_one_piece() {
    let world = World::new().await;
    let mut raw = mail("oversize", "Content-Type: multipart/mixed; boundary=b\r\n");
    raw.extend_from_slice(&b"--b\r\n\r\npart\r\n".repeat(10_000));
    let body = raw.len() - raw.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() - 4;
    world.enqueue([(1, raw)]).await;
    let _consumer = world.consumer("max_message_bytes = 65536\n");
    world.until_stored(1).await;
    assert_eq!(
        world.sql(
            "SELECT m.subject, a.mime_type, a.size_bytes FROM email_messages m JOIN attachments a ON \
             a.parent_storage_key = m.storage_key"
        ),
        format!("oversize|application/octet-stream|{body}")
    );
    assert!(world.letters().await.is_empty());
}
