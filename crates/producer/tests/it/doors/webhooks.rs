//! Genuine calls of every provider are taken, once.

use mailfleet_model::Lane;
use mailfleet_queue::State;
use mailfleet_testkit::RsaSigner;
use serde_json::{Value, json};

use super::{
    SECRET, endpoint, event, events_queue, hex, hmac, now, only_job, open, rows, signature, until_live,
};
use crate::world::World;

fn corpus(name: &str) -> Vec<u8> {
    std::fs::read(mailfleet_testkit::corpus_dir().join("webhooks").join(name)).unwrap()
}

/// A message of SNS with another time, signed anew (version 2).
fn signed_by_sns(signer: &RsaSigner, message: &Value, timestamp: &str) -> Value {
    let mut message = message.clone();
    message["Timestamp"] = timestamp.into();
    message["SignatureVersion"] = "2".into();
    // The order in which SNS signs them is that of the alphabet; what is not there is not signed.
    let parts = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];
    let parts = parts.iter().filter_map(|key| Some(format!("{key}\n{}\n", message[key].as_str()?)));
    let signature = signer.sign(parts.collect::<String>().as_bytes()).unwrap();
    message["Signature"] = data_encoding::BASE64.encode(&signature).into();
    message
}

/// Seconds since 1970 as SNS writes them.
fn utc(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, 0).unwrap().to_rfc3339()
}

fn vectors() -> Value {
    serde_json::from_slice(&corpus("signature_vectors.json")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_kept_byte_for_byte_and_goes_into_the_queue_of_events_once() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let (producer, client) = open(&world, "");
    producer.until_ready(200).await;
    let body =
        json!([event(1), event(2), {"event": "teleported", "recipient": "a@example.com", "message_id": "m"}]);
    let answer = client.generic(&endpoint, &body);
    assert_eq!((answer.code, answer.json()), (200, json!({"status": "accepted", "events": 2})), "{answer:?}");
    assert_eq!(world.sql("SELECT convert_from(body, 'UTF8') FROM mailfleet.webhook_inbox"), body.to_string());
    let row = world.sql(
        "SELECT tenant_id || ' ' || provider || ' ' || jsonb_array_length(events) || ' ' || (events->0->>'recipient') \
         || ' ' || (events->0->>'permanence') || ' ' || (applied IS NULL) FROM mailfleet.webhook_inbox",
    );
    assert_eq!(row, format!("{} generic 2 r1@example.com hard true", world.tenant));

    let (queue, job) = (events_queue(&world), only_job(&world));
    until_live(&queue, &job).await;
    let place = queue.locate(&job).await.unwrap().unwrap();
    assert_eq!((place.lane, place.state), (Lane::High, State::Waiting));

    for _ in 0..3 {
        let again = client.generic(&endpoint, &body);
        assert_eq!((again.code, again.json()), (200, json!({"status": "duplicate"})));
    }
    assert_eq!(rows(&world), 1);
    assert_eq!(queue.depth().await.unwrap().lane(Lane::High).waiting, Some(1));
    for (metric, value) in [
        ("mailfleet_webhook_requests_total{provider=\"generic\",result=\"accepted\"}", 1.0),
        ("mailfleet_webhook_requests_total{provider=\"generic\",result=\"duplicate\"}", 3.0),
        ("mailfleet_webhook_requests_total{provider=\"postal\",result=\"accepted\"}", 0.0),
        ("mailfleet_webhook_events_total{kind=\"bounced\",provider=\"generic\"}", 2.0),
        ("mailfleet_webhook_seconds_count", 4.0),
        ("mailfleet_webhook_inbox_waiting", 1.0),
    ] {
        producer.until_metric(metric, value).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_with_the_same_call_make_one_row() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let (_producer, client) = open(&world, "");
    let answers: Vec<String> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..16).map(|_| scope.spawn(|| client.generic(&endpoint, &event(1)))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap().json()["status"].to_string()).collect()
    });
    assert_eq!(answers.iter().filter(|status| *status == "\"accepted\"").count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| *status == "\"duplicate\"").count(), 15, "{answers:?}");
    assert_eq!(rows(&world), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_call_of_every_provider_is_taken_and_a_tampered_one_is_not() {
    let world = World::without_accounts().await;
    let vectors = vectors();
    let text = |provider: &str, key: &str| vectors[provider][key].as_str().unwrap().to_owned();
    let (_producer, client) = open(&world, "");

    let signer = RsaSigner::new().unwrap();
    let postal = endpoint(&world, "postal", &signer.public_key().unwrap()).await;
    let ses = endpoint(&world, "ses-sns", &signer.certificate().unwrap()).await;
    let mailgun = endpoint(&world, "mailgun", "a signing key of the tests").await;
    let standard = endpoint(&world, "standard-webhooks", &text("standard-webhooks", "secret")).await;

    let mut calls = Vec::new();
    let mut body: Value = serde_json::from_slice(&corpus("postal/message_sent.json")).unwrap();
    body["timestamp"] = now().into();
    let body = body.to_string().into_bytes();
    let signature = data_encoding::BASE64.encode(&signer.sign(&body).unwrap());
    calls.push((&postal, vec![("X-Postal-Signature-256".to_owned(), signature)], body, "msg-1@", 1));
    let message = signed_by_sns(&signer, &vectors["ses-sns"]["messages"][1], &utc(now()));
    calls.push((&ses, Vec::new(), message.to_string().into_bytes(), "nobody@", 1));

    let mut body: Value = serde_json::from_slice(&corpus("mailgun/delivered.json")).unwrap();
    let (time, token) = (now().to_string(), "a-token");
    let mac = hex(&hmac(b"a signing key of the tests", &[time.as_bytes(), token.as_bytes()]));
    body["signature"] = json!({"timestamp": time, "token": token, "signature": mac});
    calls.push((&mailgun, Vec::new(), body.to_string().into_bytes(), "a-token", 1));

    let body = corpus("standard-webhooks/delivery_status.json");
    let key = b"test-webhook-secret-not-real-0001";
    let mac = hmac(key, &[b"msg_1.", time.as_bytes(), b".", &body]);
    let headers = vec![
        ("webhook-id".to_owned(), "msg_1".to_owned()),
        ("webhook-timestamp".to_owned(), time.clone()),
        ("webhook-signature".to_owned(), format!("v1,{}", data_encoding::BASE64.encode(&mac))),
    ];
    calls.push((&standard, headers, body, "nobody@", 1));

    for (kept, (endpoint, headers, body, part, events)) in (1..).zip(&calls) {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let good = String::from_utf8(body.clone()).unwrap();
        let tampered = good.replacen(part, "x", 1);
        assert_ne!(tampered, good, "{}", endpoint.path);
        let refused = client.post(&endpoint.path, &headers, tampered.as_bytes());
        assert_eq!((refused.code, refused.error().as_str()), (401, "unauthorized"), "{refused:?}");
        let first = client.post(&endpoint.path, &headers, body);
        assert_eq!(
            (first.code, first.json()),
            (200, json!({"status": "accepted", "events": events})),
            "{first:?}"
        );
        let again = client.post(&endpoint.path, &headers, body);
        assert_eq!((again.code, again.json()), (200, json!({"status": "duplicate"})), "{again:?}");
        assert_eq!(rows(&world), kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_call_is_refused_and_a_replayed_token_takes_no_second_event() {
    let world = World::without_accounts().await;
    let generic = endpoint(&world, "generic", SECRET).await;
    let mailgun = endpoint(&world, "mailgun", "a signing key of the tests").await;
    let (_producer, client) = open(&world, "clock_skew_seconds = 60\n");
    let body = event(1).to_string();
    for late in [-90, 90] {
        let answer = client.post(&generic.path, &[signature(&body, now() + late, SECRET)], body.as_bytes());
        assert_eq!((answer.code, answer.error().as_str()), (401, "unauthorized"));
        assert!(answer.json()["message"].as_str().unwrap().contains("more than 60 s"), "{answer:?}");
    }
    let call = |time: i64, event: &str| {
        let mac = hex(&hmac(b"a signing key of the tests", &[time.to_string().as_bytes(), b"token"]));
        json!({
            "signature": {"timestamp": time.to_string(), "token": "token", "signature": mac},
            "event-data": {"event": event, "recipient": "a@example.com", "message": {"headers": {"message-id": "m"}}},
        })
        .to_string()
    };
    let post = |body: String| client.post::<&str>(&mailgun.path, &[], body.as_bytes());
    assert_eq!(post(call(now() + 90, "delivered")).code, 401);
    // One that is repeated after an outage has its first time.
    assert_eq!(post(call(now() - 8 * 3_600, "delivered")).json()["status"], "accepted");
    // Mailgun signs neither event nor recipient: whoever saw a call could put others into it.
    assert_eq!(post(call(now(), "complained")).json()["status"], "duplicate");
    assert_eq!(rows(&world), 1);

    // SNS repeats a message for long without signing it anew, but not for days.
    let signer = RsaSigner::new().unwrap();
    let ses = endpoint(&world, "ses-sns", &signer.certificate().unwrap()).await;
    let sns = |age: i64| {
        let message = signed_by_sns(&signer, &vectors()["ses-sns"]["messages"][1], &utc(now() - age));
        client.post::<&str>(&ses.path, &[], message.to_string().as_bytes())
    };
    for age in [86_400 + 60, -90] {
        let answer = sns(age);
        assert_eq!((answer.code, answer.error().as_str()), (401, "unauthorized"), "{age} s old");
        assert!(answer.body.contains("the signed time is"), "{answer:?}");
    }
    assert_eq!(sns(86_400 - 60).json()["status"], "accepted");
    assert_eq!(rows(&world), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_sns_itself_is_kept_and_shown_to_the_operator_and_nothing_is_fetched() {
    let world = World::without_accounts().await;
    let signer = RsaSigner::new().unwrap();
    let ses = endpoint(&world, "ses-sns", &signer.certificate().unwrap()).await;
    let (producer, client) = open(&world, "");
    let confirmation = signed_by_sns(&signer, &vectors()["ses-sns"]["messages"][2], &utc(now())).to_string();
    let answer = client.post::<&str>(&ses.path, &[], confirmation.as_bytes());
    assert_eq!((answer.code, answer.json()), (200, json!({"status": "accepted", "events": 0})));
    let listed = world.store.endpoints().await.unwrap();
    assert!(
        listed[0].note.as_deref().unwrap().contains("https://sns.us-east-1.amazonaws.com/?Action=Confirm")
    );
    assert_eq!(
        world.sql("SELECT applied IS NOT NULL FROM mailfleet.webhook_inbox"),
        "t",
        "there is nothing to apply"
    );
    producer.process.wait_for_line("mailfleet webhook list", crate::world::LONG).unwrap();
    assert_eq!(producer.logged("0123456789abcdef"), 0, "the token of the subscription is not logged");
    assert_eq!(events_queue(&world).depth().await.unwrap().lane(Lane::High).waiting, Some(0));
}
