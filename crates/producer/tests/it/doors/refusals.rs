//! Every refusal has its code, its word, and says what to do.

use std::io::{Read as _, Write as _};

use serde_json::json;

use super::http::{answer, answer_while_sending, request};
use super::{SECRET, endpoint, endpoint_of, event, now, open, rows, signature};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_leads_nowhere_is_404_and_one_cannot_tell_why() {
    let world = World::without_accounts().await;
    let generic = endpoint(&world, "generic", SECRET).await;
    let closed = endpoint_of(&world, world.tenant, "closed", "generic", SECRET).await;
    assert!(world.store.set_endpoint_enabled("closed", false).await.unwrap());
    let (producer, client) = open(&world, "");
    let body = event(1).to_string();
    let header = [signature(&body, now(), SECRET)];
    let mut said = Vec::new();
    for path in [
        "/webhooks/generic/mfw_0000".to_owned(),
        closed.path.clone(),
        generic.path.replace("generic", "postal"),
        generic.path.replace("generic", "postcard"),
        format!("{}0", generic.path),
        format!("/webhooks/generic/{}", "x".repeat(5_000)),
        "/webhooks/generic/%ff%00".to_owned(),
    ] {
        let answer = client.post(&path, &header, body.as_bytes());
        assert_eq!((answer.code, answer.error().as_str()), (404, "not_found"), "{path}");
        said.push(answer.body);
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    for path in ["/", "/webhooks/generic", "/webhooks", "/metrics", &format!("{}/", generic.path)] {
        let answer = client.post(path, &header, body.as_bytes());
        assert_eq!((answer.code, answer.error().as_str()), (404, "not_found"), "{path}");
    }
    for (method, path) in [("GET", generic.path.as_str()), ("PUT", "/v1/messages")] {
        let answer = client.send(method, path, &header, b"");
        assert_eq!((answer.code, answer.error().as_str()), (405, "method_not_allowed"));
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    assert_eq!(rows(&world), 0);
    producer
        .until_metric("mailfleet_webhook_requests_total{provider=\"unknown\",result=\"not_found\"}", 2.0)
        .await;
    producer
        .until_metric("mailfleet_webhook_requests_total{provider=\"generic\",result=\"not_found\"}", 4.0)
        .await;
    assert!(world.store.set_endpoint_enabled("closed", true).await.unwrap());
    assert_eq!(client.generic(&closed, &event(1)).code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_400_and_what_is_not_signed_401() {
    let world = World::without_accounts().await;
    let generic = endpoint(&world, "generic", SECRET).await;
    let (_producer, client) = open(&world, "");
    for (body, word) in [
        ("{\"event\":", "not JSON"),
        ("[7]", "[0]: must be an object"),
        ("{\"event\": \"bounced\"}", "recipient: is missing"),
        (
            "{\"event\": \"bounced\", \"recipient\": \"nope\", \"message_id\": \"m\"}",
            "recipient: must be a bare address",
        ),
        ("", "not JSON"),
    ] {
        let refused = client.post(&generic.path, &[signature(body, now(), SECRET)], body.as_bytes());
        assert_eq!((refused.code, refused.error().as_str()), (400, "malformed"), "{refused:?}");
        assert!(refused.body.contains(word), "{refused:?}");
    }
    let body = event(1).to_string();
    for header in [signature(&body, now(), "another secret"), ("X-Other", "t=1,v1=00".to_owned())] {
        let refused = client.post(&generic.path, &[header], body.as_bytes());
        assert_eq!((refused.code, refused.error().as_str()), (401, "unauthorized"), "{refused:?}");
    }
    assert_eq!(rows(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_413_whether_its_length_is_told_or_not() {
    let world = World::without_accounts().await;
    let generic = endpoint(&world, "generic", SECRET).await;
    let (_producer, client) = open(&world, "body_max_bytes = 2048\n");
    let large = vec![b' '; 2_049];
    let refused = client.post::<&str>(&generic.path, &[], &large);
    assert_eq!((refused.code, refused.error().as_str()), (413, "too_large"), "{refused:?}");
    // As a stream of pieces, and longer than any buffer on the way.
    let piece = [b"10000\r\n".as_slice(), &vec![b' '; 0x1_0000], b"\r\n"].concat();
    let chunked = [piece.repeat(16), b"0\r\n\r\n".to_vec()].concat();
    let refused = client.post(&generic.path, &[("Transfer-Encoding", "chunked")], &chunked);
    assert_eq!((refused.code, refused.error().as_str()), (413, "too_large"), "{refused:?}");
    // What is told is enough: nobody waits for a gigabyte.
    let mut stream = client.connect();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: door.test\r\nConnection: close\r\nContent-Length: 1000000000\r\n\r\n",
        generic.path
    );
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(answer(stream).code, 413);
    // Just fitting is fitting.
    let mut body = event(1).to_string();
    body.push_str(&" ".repeat(2_048 - body.len()));
    let taken = client.post(&generic.path, &[signature(&body, now(), SECRET)], body.as_bytes());
    assert_eq!(taken.code, 200, "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_in_time_is_408_however_the_sender_dawdles() {
    let world = World::without_accounts().await;
    let generic = endpoint(&world, "generic", SECRET).await;
    let token = world.store.add_api_token(world.tenant, "sender").await.unwrap();
    let (producer, client) = open(&world, "body_timeout_seconds = 1\n");
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: door.test\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Content-Length: 1000\r\n\r\n{{",
            token.expose()
        )
    };
    for path in [generic.path.as_str(), super::messages::PATH] {
        // One falls silent, another sends byte after byte and is no better for it.
        let mut silent = client.connect();
        silent.write_all(head(path).as_bytes()).unwrap();
        let slow = answer_while_sending(client.connect(), head(path).as_bytes());
        for refused in [answer(silent), slow] {
            assert_eq!((refused.code, refused.error().as_str()), (408, "slow"), "{refused:?}");
            assert!(refused.body.contains("within 1 s"), "{refused:?}");
        }
    }
    for metric in [
        "mailfleet_webhook_requests_total{provider=\"generic\",result=\"slow\"}",
        "mailfleet_outbound_requests_total{result=\"slow\"}",
    ] {
        producer.until_metric(metric, 2.0).await;
    }
    assert_eq!(client.generic(&generic, &event(1)).code, 200, "who is quick is taken");
    assert_eq!(rows(&world), 1, "half a body is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_calls_of_one_endpoint_are_429_and_another_one_does_not_notice() {
    let world = World::without_accounts().await;
    let one = endpoint_of(&world, world.tenant, "one", "generic", SECRET).await;
    let other = endpoint_of(&world, world.tenant, "other", "generic", SECRET).await;
    let (producer, client) = open(&world, "rate_per_second = 1\nrate_burst = 3\n");
    let codes: Vec<u16> = (0..8).map(|n| client.generic(&one, &event(n)).code).collect();
    assert_eq!(codes[..3], [200; 3], "{codes:?}");
    assert!(codes.contains(&429), "{codes:?}");
    let refused = client.generic(&one, &event(9));
    assert_eq!((refused.code, refused.error().as_str()), (429, "rate_limited"));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds));
    assert_eq!(client.generic(&other, &event(10)).code, 200);
    mailfleet_testkit::eventually("a call that is taken again", crate::world::LONG, || async {
        (client.generic(&one, &event(11)).code == 200).then_some(())
    })
    .await;
    assert!(
        producer.metric("mailfleet_webhook_requests_total{provider=\"generic\",result=\"rate_limited\"}")
            > Some(0.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_its_secret_asks_to_come_again_and_tells_the_operator_why() {
    let world = World::without_accounts().await;
    let generic = endpoint(&world, "generic", SECRET).await;
    std::fs::remove_file(&generic.file).unwrap();
    let (producer, client) = open(&world, "");
    let refused = client.generic(&generic, &event(1));
    assert_eq!((refused.code, refused.error().as_str()), (503, "unavailable"));
    assert!(refused.header("retry-after").is_some());
    let place = generic.file.to_str().unwrap();
    assert!(!refused.body.contains(place), "the caller does not hear where our secrets are");
    producer.process.wait_for_line(place, crate::world::LONG).unwrap();
    std::fs::write(&generic.file, format!("another one of these secrets\n{SECRET}\n")).unwrap();
    assert_eq!(
        client.generic(&generic, &event(1)).code,
        200,
        "mended without a restart; either line is a secret"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_rules_of_http_gets_its_code_alone() {
    let world = World::without_accounts().await;
    let (_producer, client) = open(&world, "");
    let many = "X-Odd: 1\r\n".repeat(101);
    for (headers, code) in [
        ("Content-Length: ten\r\n", "400"),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", "400"),
        (many.as_str(), "431"),
    ] {
        let mut stream = client.connect();
        let head = format!("POST {} HTTP/1.1\r\nHost: door.test\r\n{headers}\r\n", super::messages::PATH);
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{code}: {answer:?}"));
        assert_eq!((head.split(' ').nth(1), body), (Some(code), ""), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_no_sender_makes_are_survived() {
    let world = World::without_accounts().await;
    let generic = endpoint(&world, "generic", SECRET).await;
    let (_producer, client) = open(&world, "");
    for odd in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"\0\0\0\0"]
    {
        let mut stream = client.connect();
        stream.write_all(odd).unwrap();
    }
    let mut half = client.connect();
    let whole = request(
        "POST",
        &generic.path,
        &[signature(&event(1).to_string(), now(), SECRET)],
        event(1).to_string().as_bytes(),
    );
    half.write_all(&whole[..whole.len() - 10]).unwrap();
    drop(half);
    assert_eq!(client.generic(&generic, &event(2)).json(), json!({"status": "accepted", "events": 1}));
    assert_eq!(rows(&world), 1, "half a call is none");
}
