//! What is signed is one text made of several fields: whoever captured a call must not be able to cut it elsewhere, and so
//! give it another name under which it would be taken a second time.

use data_encoding::BASE64;
use mailfleet_testkit::RsaSigner;
use mailfleet_webhooks::{Call, Refusal, Trust, by_name};
use serde_json::{Value, json};

use crate::support::{SIGNED_AT, TOPIC, hmac_hex, trust, verify};

/// The time of the calls of SNS; the signer's certificate is valid from now on, so it is that of the clock.
fn now_ms() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

/// The fields that SNS signs, in its order.
const SIGNED: [&str; 8] =
    ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];

/// A notification as SNS signs it, whatever its fields hold.
fn signed_by_sns(signer: &RsaSigner, mut message: Value) -> Value {
    let parts = SIGNED.iter().filter_map(|key| Some(format!("{key}\n{}\n", message[key].as_str()?)));
    let signature = signer.sign(parts.collect::<String>().as_bytes()).unwrap();
    message["Signature"] = BASE64.encode(&signature).into();
    message
}

fn notification(now_ms: i64) -> Value {
    let time = chrono::DateTime::from_timestamp_millis(now_ms).unwrap().to_rfc3339();
    json!({
        "Type": "Notification", "MessageId": "id-1", "TopicArn": TOPIC, "Subject": "Amazon SES Email Event Notification",
        "Message": "{\"eventType\": \"Delivery\"}\nMessageId\nin the message itself", "Timestamp": time,
        "SignatureVersion": "2", "SigningCertURL": "https://sns.us-east-1.amazonaws.com/x.pem",
    })
}

#[test]
fn a_notification_of_sns_cannot_be_split_elsewhere_and_taken_again() {
    let signer = RsaSigner::new().unwrap();
    let (certificate, now_ms) = (signer.certificate().unwrap(), now_ms());
    let check = |message: &Value| {
        let trust = Trust { now_ms, ..trust(certificate.as_bytes()) };
        verify("ses-sns", &Value::Null, message.to_string().as_bytes(), &trust)
    };
    let captured = signed_by_sns(&signer, notification(now_ms));
    check(&captured).unwrap();

    let mut without_subject = captured.clone();
    without_subject.as_object_mut().unwrap().remove("Subject");
    without_subject["MessageId"] = "id-1\nSubject\nAmazon SES Email Event Notification".into();
    let mut shorter = captured.clone();
    shorter["Message"] = "{\"eventType\": \"Delivery\"}".into();
    shorter["MessageId"] = "in the message itself\nMessageId\nid-1".into();
    for forged in [without_subject, shorter] {
        let text = |message: &Value| {
            let parts = SIGNED.iter().filter_map(|key| Some(format!("{key}\n{}\n", message[key].as_str()?)));
            parts.collect::<String>()
        };
        assert_eq!(text(&forged), text(&captured), "the signature fits");
        let refused = check(&forged);
        assert_eq!(
            refused,
            Err(Refusal::Unverified("MessageId: contains a control character".to_owned())),
            "{forged}"
        );
    }
}

#[test]
fn no_signed_field_of_sns_but_the_message_may_break_a_line() {
    let signer = RsaSigner::new().unwrap();
    let (certificate, now_ms) = (signer.certificate().unwrap(), now_ms());
    let confirmation = || {
        let mut message = notification(now_ms);
        message.as_object_mut().unwrap().remove("Subject");
        message["Type"] = "SubscriptionConfirmation".into();
        message["Token"] = "0123".into();
        message["SubscribeURL"] = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription".into();
        message
    };
    let check = |message: &Value| {
        let trust = Trust { now_ms, ..trust(certificate.as_bytes()) };
        verify("ses-sns", &Value::Null, message.to_string().as_bytes(), &trust)
    };
    for whole in [notification(now_ms), confirmation()] {
        check(&signed_by_sns(&signer, whole.clone())).unwrap();
        let fields =
            SIGNED.iter().filter(|key| whole[**key].is_string() && !matches!(**key, "Message" | "Type"));
        for key in fields {
            for odd in ["\n", "\r", "\r\n", "\t", "\0", "\u{85}"] {
                let mut message = whole.clone();
                message[*key] = format!("{}{odd}x", message[*key].as_str().unwrap()).into();
                let refused = check(&signed_by_sns(&signer, message));
                let want = Refusal::Unverified(format!("{key}: contains a control character"));
                assert_eq!(refused, Err(want), "{key} {odd:?}");
            }
        }
    }
}

#[test]
fn time_and_token_of_mailgun_can_be_split_in_one_way_only() {
    let key = b"a signing key of the tests";
    let whole = format!("{SIGNED_AT}1234567890123456789012345678901234567890");
    let signature = hmac_hex(key, &[whole.as_bytes()]);
    let taken: Vec<usize> = (0..=whole.len())
        .filter(|cut| {
            let (time, token) = whole.split_at(*cut);
            let body = json!({"signature": {"timestamp": time, "token": token, "signature": signature}});
            verify("mailgun", &Value::Null, body.to_string().as_bytes(), &trust(key)).is_ok()
        })
        .collect();
    assert_eq!(taken, [SIGNED_AT.to_string().len()]);
}

#[test]
fn id_time_and_body_of_standard_webhooks_can_be_split_in_one_way_only() {
    let key = b"0123456789abcdef0123456789abcdef";
    let secret = format!("whsec_{}", BASE64.encode(key));
    let provider = by_name("standard-webhooks").unwrap();
    // Ids with dots, and texts in which a sender's user tries to begin another body.
    let ids = ["msg_1", "a.1772359205.b", "1772359205.1772359205"];
    let texts = [
        ".1772359205.{\"type\": \"x.complained\"}",
        ".1772359205.",
        ".1772359205.[",
        ".1772359205.{",
        ".1772359205.7",
        ".1772359205.\\",
        ",\"type\":\"x\".1772359205.{\"type\":\"x.complained\",\"data\":[]}",
    ];
    for (id, said) in ids.iter().flat_map(|id| texts.map(|said| (*id, said))) {
        let data =
            json!({"recipient": "a@example.com", "message_id": "m", "diagnostic": said, "reason": said});
        let body = json!({"type": "message.delivered", "data": [data], said: said}).to_string();
        let whole = format!("{id}.{SIGNED_AT}.{body}");
        let mac = data_encoding::HEXLOWER.decode(hmac_hex(key, &[whole.as_bytes()]).as_bytes()).unwrap();
        let signature = format!("v1,{}", BASE64.encode(&mac));
        let dots: Vec<usize> = whole.match_indices('.').map(|(at, _)| at).collect();
        let mut taken = Vec::new();
        for (index, first) in dots.iter().enumerate() {
            for second in &dots[index + 1..] {
                let (id, time) = (&whole[..*first], &whole[first + 1..*second]);
                let headers = [
                    ("webhook-id", id),
                    ("webhook-timestamp", time),
                    ("webhook-signature", signature.as_str()),
                ];
                let call = Call::new(&headers, &whole.as_bytes()[second + 1..]);
                let read =
                    provider.verify(&call, &trust(secret.as_bytes())).and_then(|()| provider.read(&call));
                taken.extend(read.map(|reading| reading.dedupe));
            }
        }
        assert_eq!(taken, [id], "{whole}");
    }
}
