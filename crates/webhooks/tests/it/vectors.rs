//! Signatures made elsewhere verify here; whatever is changed about them, they no longer do.

use data_encoding::BASE64;
use mailfleet_testkit::RsaSigner;
use mailfleet_webhooks::{Refusal, Trust, by_name};
use serde_json::{Value, json};

use crate::support::{SIGNED_AT, TOPIC, file, hmac_hex, text, trust, vectors, verify};

/// The time of the vectors of SNS, in seconds since 1970.
const SNS_SIGNED_AT: i64 = SIGNED_AT + 5;

fn refused(result: &Result<(), Refusal>) -> bool {
    matches!(result, Err(Refusal::Unverified(_)))
}

/// A public key, and a certificate of it valid from November 2026 to 2126, of an elliptic curve (P-256).
const EC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEkn3Q/ZJZaRtQqxXQPyoJWf9Fkuad
VyZalZWBDelJ63DbgwINf4aGHsELN7h/VWG5CVmbCuBzUQ181Wd51XhbuQ==
-----END PUBLIC KEY-----
";
const EC_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBhDCCASmgAwIBAgIUbsztFq8G8BNGz02Q5F1ODoOTAlkwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLdGVzdCBzaWduZXIwIBcNMjYxMTI3MDIyNjQ2WhgPMjEyNjEx
MDMwMjI2NDZaMBYxFDASBgNVBAMMC3Rlc3Qgc2lnbmVyMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEkn3Q/ZJZaRtQqxXQPyoJWf9FkuadVyZalZWBDelJ63DbgwIN
f4aGHsELN7h/VWG5CVmbCuBzUQ181Wd51XhbuaNTMFEwHQYDVR0OBBYEFGbwPhkA
na0EFtygTzhn/peOXWv/MB8GA1UdIwQYMBaAFGbwPhkAna0EFtygTzhn/peOXWv/
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAKCszIy0jkqMZzhA
EzkOwgo0aDEjwuTvSswPJrJ2Tsi3AiEAqfxIVHbEi0APuHLVZDIkddQ+OnqXUc9d
xXOJpva9XN4=
-----END CERTIFICATE-----
";

/// The body with one byte of it changed.
fn tampered(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    let changed = String::from_utf8(body.to_vec()).unwrap().replacen(from, to, 1).into_bytes();
    assert_ne!(changed, body, "`{from}` is in the body");
    changed
}

#[test]
fn standard_webhooks_hold_for_body_id_time_and_secret_alone() {
    let vector = &vectors()["standard-webhooks"];
    let (secret, headers) = (text(vector, "secret").as_bytes(), &vector["headers"]);
    let body = file(text(vector, "body_file"));
    let name = "standard-webhooks";
    verify(name, headers, &body, &trust(secret)).unwrap();
    let mut rotated = headers.clone();
    rotated["webhook-signature"] = vector["rotated_header"].clone();
    verify(name, &rotated, &body, &trust(secret)).unwrap();
    let two = [b"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n", secret].concat();
    verify(name, headers, &body, &trust(&two)).unwrap();

    assert!(refused(&verify(name, headers, &tampered(&body, "hard", "soft"), &trust(secret))));
    for (header, value) in [
        ("webhook-id", "msg_test0003"),
        ("webhook-timestamp", "1772359206"),
        ("webhook-signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("webhook-signature", "v1a,4phfdmMRXgaplgmLDYEsqWIDi3zxKyHpoXC3USzgpUU="),
        ("webhook-signature", ""),
    ] {
        let mut other = headers.clone();
        other[header] = value.into();
        assert!(refused(&verify(name, &other, &body, &trust(secret))), "{header}: {value}");
        other.as_object_mut().unwrap().remove(header);
        assert!(refused(&verify(name, &other, &body, &trust(secret))), "without {header}");
    }
    assert!(refused(&verify(name, headers, &body, &trust(b"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))));
    for late in [301, -301] {
        let trust = Trust { now_ms: (SIGNED_AT + late) * 1_000, ..trust(secret) };
        assert!(refused(&verify(name, headers, &body, &trust)), "{late} s late");
    }
}

#[test]
fn mailgun_holds_for_its_time_and_token_alone() {
    let vector = &vectors()["mailgun"];
    let secret = text(vector, "secret").as_bytes();
    let body =
        |signature: Value| json!({"signature": signature, "event-data": {"event": "delivered"}}).to_string();
    let check = |signature: &Value, trust: &Trust<'_>| {
        verify("mailgun", &Value::Null, body(signature.clone()).as_bytes(), trust)
    };
    check(vector, &trust(secret)).unwrap();
    for (key, value) in [
        ("timestamp", json!("1772359206")),
        ("token", json!("00000000001f2e3d4c5b6a79880123456789abcdef012346")),
        ("signature", json!("692ec387fa31dccaff3b247227b16db7927e3399d01c58a6e36a1f41808e416b")),
        ("signature", json!("not hexadecimal")),
        ("signature", json!(7)),
        ("token", json!(null)),
    ] {
        let mut other = vector.clone();
        other[key] = value;
        assert!(refused(&check(&other, &trust(secret))), "{key}");
    }
    assert!(refused(&check(vector, &trust(b"another-signing-key"))));
    // Mailgun repeats a call for eight hours with its first signature.
    let later = |seconds: i64| Trust { now_ms: (SIGNED_AT + seconds) * 1_000, ..trust(secret) };
    for repeated in [600, 8 * 3_600, 86_400] {
        check(vector, &later(repeated)).unwrap();
    }
    for stale in [86_401, -301] {
        assert!(refused(&check(vector, &later(stale))), "{stale}");
    }
    for payload in [
        "complained",
        "delivered",
        "failed_permanent",
        "failed_suppressed",
        "failed_temporary",
        "unsubscribed",
    ] {
        verify("mailgun", &Value::Null, &file(&format!("mailgun/{payload}.json")), &trust(secret)).unwrap();
    }
    assert!(matches!(verify("mailgun", &Value::Null, b"{", &trust(secret)), Err(Refusal::Malformed(_))));
}

#[test]
fn postal_holds_for_body_and_key_alone_with_either_hash() {
    let vector = &vectors()["postal"];
    let (secret, headers) = (text(vector, "public_key_pem").as_bytes(), &vector["headers"]);
    let body = file(text(vector, "body_file"));
    verify("postal", headers, &body, &trust(secret)).unwrap();
    let only = |name: &str| json!({ name: headers[name] });
    verify("postal", &only("X-Postal-Signature"), &body, &trust(secret)).unwrap();
    verify("postal", &only("X-Postal-Signature-256"), &body, &trust(secret)).unwrap();
    let bare: String =
        String::from_utf8(secret.to_vec()).unwrap().lines().filter(|l| !l.starts_with('-')).collect();
    verify("postal", headers, &body, &trust(bare.as_bytes())).unwrap();

    assert!(refused(&verify("postal", headers, &tampered(&body, "ann@", "bob@"), &trust(secret))));
    assert!(refused(&verify("postal", &json!({}), &body, &trust(secret))));
    for (late, taken) in [(86_400, true), (86_401, false), (-300, true), (-301, false)] {
        // The vector's time has a fraction of a second, which is cut here.
        let now_ms = (SIGNED_AT + late) * 1_000 + 250;
        let result = verify("postal", headers, &body, &Trust { now_ms, ..trust(secret) });
        assert_eq!((result.is_ok(), refused(&result)), (taken, !taken), "{late} s late");
    }
    // A bad signature of the better kind is not made good by a good one of the worse kind.
    let mixed = json!({
        "X-Postal-Signature": headers["X-Postal-Signature"],
        "X-Postal-Signature-256": headers["X-Postal-Signature"],
    });
    assert!(refused(&verify("postal", &mixed, &body, &trust(secret))));
    assert!(matches!(
        verify("postal", headers, &body, &trust(b"a shared secret is no public key")),
        Err(Refusal::Unconfigured(_))
    ));
}

#[test]
fn a_call_of_postal_without_a_time_that_can_be_read_is_taken_and_an_old_one_is_not() {
    let signer = RsaSigner::new().unwrap();
    let secret = signer.public_key().unwrap();
    let check = |timestamp: Value| {
        let body = json!({"event": "MessageSent", "timestamp": timestamp, "uuid": "u"}).to_string();
        let signature = BASE64.encode(&signer.sign(body.as_bytes()).unwrap());
        let headers = json!({ "X-Postal-Signature-256": signature });
        verify("postal", &headers, body.as_bytes(), &trust(secret.as_bytes()))
    };
    for timestamp in [json!(null), json!("soon"), json!({}), json!(SIGNED_AT), json!(SIGNED_AT - 86_400)] {
        check(timestamp.clone()).unwrap_or_else(|refusal| panic!("{timestamp}: {refusal}"));
    }
    for timestamp in [json!(SIGNED_AT - 86_401), json!(SIGNED_AT + 301), json!((SIGNED_AT + 301).to_string())]
    {
        assert!(refused(&check(timestamp.clone())), "{timestamp}");
    }
}

#[test]
fn sns_messages_of_both_versions_hold_for_the_pinned_certificate_and_topic_alone() {
    let vector = &vectors()["ses-sns"];
    let certificate = text(vector, "cert_pem").as_bytes();
    let check = |message: &Value, trust: &Trust<'_>| {
        verify("ses-sns", &Value::Null, message.to_string().as_bytes(), trust)
    };
    let messages = vector["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3);
    for message in messages {
        check(message, &trust(certificate)).unwrap();
        // SNS does not sign a message anew when it repeats it, and does not repeat it for days.
        for (late, taken) in [(86_400, true), (86_401, false), (-300, true), (-301, false)] {
            let now_ms = (SNS_SIGNED_AT + late) * 1_000;
            let result = check(message, &Trust { now_ms, ..trust(certificate) });
            assert_eq!((result.is_ok(), refused(&result)), (taken, !taken), "{late} s late");
        }
        for (key, value) in [
            ("Message", "{}"),
            ("MessageId", "22222222-3333-4444-8555-666666666667"),
            ("Timestamp", "2026-03-01T10:00:11.000Z"),
            ("TopicArn", "arn:aws:sns:us-east-1:123456789012:other"),
            ("SignatureVersion", if message["SignatureVersion"] == "1" { "2" } else { "1" }),
            ("SignatureVersion", "3"),
            ("Signature", "RVhBTVBMRQ=="),
            ("SigningCertURL", "https://sns.us-east-1.amazonaws.com.example.org/x.pem"),
            ("SigningCertURL", "http://sns.us-east-1.amazonaws.com/x.pem"),
            ("Type", "Something"),
        ] {
            let mut other = message.clone();
            other[key] = value.into();
            assert!(refused(&check(&other, &trust(certificate))), "{key}: {value}");
            other.as_object_mut().unwrap().remove(key);
            assert!(refused(&check(&other, &trust(certificate))), "without {key}");
        }
        let elsewhere =
            Trust { topic: Some("arn:aws:sns:us-east-1:123456789012:mine"), ..trust(certificate) };
        assert!(refused(&check(message, &elsewhere)), "genuine, and of somebody else's topic");
        let nowhere = Trust { topic: None, ..trust(certificate) };
        assert!(matches!(check(message, &nowhere), Err(Refusal::Unconfigured(_))));
        let expired = Trust { now_ms: 4_000_000_000_000, ..trust(certificate) };
        assert!(matches!(check(message, &expired), Err(Refusal::Unconfigured(_))));
    }
    let mut confirmation = messages[2].clone();
    confirmation["SubscribeURL"] = "https://sns.us-east-1.amazonaws.com/?Action=Other".into();
    assert!(refused(&check(&confirmation, &trust(certificate))));
    let unsigned = file("ses-sns/delivery.json");
    assert!(refused(&verify("ses-sns", &Value::Null, &unsigned, &trust(certificate))));
}

#[test]
fn a_secret_that_cannot_work_is_found_before_the_first_call() {
    let vectors = vectors();
    for (provider, good, bad) in [
        ("generic", "sixteen-characters-or-more", "hunter2"),
        ("mailgun", text(&vectors["mailgun"], "secret"), " \n"),
        ("postal", text(&vectors["postal"], "public_key_pem"), "sixteen-characters-or-more"),
        ("ses-sns", text(&vectors["ses-sns"], "cert_pem"), text(&vectors["postal"], "public_key_pem")),
        ("standard-webhooks", text(&vectors["standard-webhooks"], "secret"), "whsec_hunter2"),
    ] {
        let provider = by_name(provider).unwrap();
        provider.usable(&trust(good.as_bytes())).unwrap();
        let refusal = provider.usable(&trust(bad.as_bytes())).unwrap_err();
        assert!(matches!(refusal, Refusal::Unconfigured(_)), "{}: {refusal:?}", provider.name());
        assert!(bad.trim().is_empty() || !refusal.to_string().contains(bad), "the secret is not repeated");
    }
    let ses = by_name("ses-sns").unwrap();
    let certificate = text(&vectors["ses-sns"], "cert_pem").as_bytes();
    assert!(ses.needs_topic() && ses.usable(&Trust { topic: None, ..trust(certificate) }).is_err());
    assert_eq!(TOPIC.split(':').count(), 6);
}

#[test]
fn a_key_that_is_not_of_rsa_is_refused_before_the_first_call() {
    let vectors = vectors();
    let in_2030 = |secret: &'static str| Trust { now_ms: 1_900_000_000_000, ..trust(secret.as_bytes()) };
    let bare: &'static str = EC_KEY.lines().filter(|line| !line.starts_with('-')).collect::<String>().leak();
    for (provider, secret) in [("postal", EC_KEY), ("postal", bare), ("ses-sns", EC_CERTIFICATE)] {
        let refusal = by_name(provider).unwrap().usable(&in_2030(secret)).unwrap_err();
        assert!(matches!(refusal, Refusal::Unconfigured(_)), "{provider}: {refusal:?}");
        assert!(refusal.to_string().starts_with("no RSA "), "{provider}: {refusal}");
    }
    // Beside one of RSA it does no harm.
    for (provider, good, other) in [
        ("postal", text(&vectors["postal"], "public_key_pem"), EC_KEY),
        ("ses-sns", text(&vectors["ses-sns"], "cert_pem"), EC_CERTIFICATE),
    ] {
        by_name(provider).unwrap().usable(&trust(format!("{other}{good}").as_bytes())).unwrap();
    }
}

#[test]
fn what_everybody_knows_of_a_file_is_no_shared_secret() {
    let vectors = vectors();
    let body = b"{}";
    let time = SIGNED_AT.to_string();
    for header in
        ["-----BEGIN PRIVATE KEY-----", "# the secret of acme-relay", "#c2VjcmV0IHNlY3JldCBzZWNyZXQ="]
    {
        // Whoever guesses that line could sign with it.
        let mac = hmac_hex(header.as_bytes(), &[time.as_bytes(), b".", body]);
        let generic = json!({ "X-Mailfleet-Signature": format!("t={time},v1={mac}") });
        let mac = hmac_hex(header.as_bytes(), &[time.as_bytes(), b"token"]);
        let mailgun =
            json!({"signature": {"timestamp": time, "token": "token", "signature": mac}}).to_string();
        for (provider, headers, body, good) in [
            ("generic", &generic, &body[..], "sixteen-characters-or-more"),
            ("mailgun", &json!({}), mailgun.as_bytes(), text(&vectors["mailgun"], "secret")),
            ("standard-webhooks", &json!({}), &body[..], text(&vectors["standard-webhooks"], "secret")),
        ] {
            let file = format!("{header}\n{good}\n");
            let trust = trust(file.as_bytes());
            let usable = by_name(provider).unwrap().usable(&trust);
            for refused in [usable, verify(provider, headers, body, &trust)] {
                let Err(Refusal::Unconfigured(why)) = refused else {
                    panic!("{provider} {header}: {refused:?}");
                };
                assert!(
                    why.contains(if header.starts_with('#') { "begins with `#`" } else { "is a PEM file" }),
                    "{why}"
                );
            }
        }
    }
}
