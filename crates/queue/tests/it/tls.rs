//! TLS: whom we believe, and what is said where we do not.

use mailfleet_model::{Class, Classify, Secret};
use mailfleet_queue::{Config, Queue};
use mailfleet_testkit::{Certificates, RedisSentinel, RedisServer};

use crate::fixture::{claim_one, config, job, until_it_listens};

async fn refusal(url: &str, ca: Option<&Certificates>) -> String {
    let config = Config { tls_ca_file: ca.map(Certificates::ca), ..config(url.to_owned()) };
    let error = Queue::connect(&config).unwrap().ping().await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.class(), Class::Fault, "waiting does not heal it: {text}");
    assert!(!text.contains('\n') && text.contains("Redis at "), "{text}");
    assert!(text.ends_with(error.remedy().unwrap_or("a remedy")), "{text}");
    text
}

#[tokio::test]
async fn a_private_authority_is_believed_when_it_is_named_and_work_goes_on_over_tls() {
    let certificates = Certificates::good().unwrap();
    let redis = RedisServer::start_tls(&certificates).unwrap();
    let config = Config { tls_ca_file: Some(certificates.ca()), ..config(redis.tls_url().unwrap()) };
    let queue = Queue::connect(&config).unwrap();
    let consumer = queue.consumer(mailfleet_queue::ConsumerName::for_this_process());
    let _keeper = consumer.spawn_keeper().unwrap();
    until_it_listens(&consumer).await;
    queue.enqueue(vec![job(1, mailfleet_model::Lane::High, vec![b'x'; 100_000])]).await.unwrap();
    let delivery = claim_one(&consumer).await;
    assert_eq!(delivery.raw().len(), 100_000);
    consumer.done(vec![delivery]).await.unwrap();
}

#[tokio::test]
async fn sentinels_and_the_master_that_they_name_are_spoken_to_by_tls_and_believed_by_the_same_authority() {
    let certificates = Certificates::good().unwrap();
    let redis = RedisServer::start_tls(&certificates).unwrap();
    let sentinel = RedisSentinel::start_tls(&redis, &certificates).unwrap();
    let at = |port: u16| format!("rediss+sentinel://127.0.0.1:{port}/{}", RedisSentinel::MASTER);
    let named = Config { tls_ca_file: Some(certificates.ca()), ..config(at(sentinel.tls_port().unwrap())) };
    let queue = Queue::connect(&named).unwrap();
    queue.enqueue(vec![job(1, mailfleet_model::Lane::High, "mail")]).await.unwrap();
    let consumer = queue.consumer(mailfleet_queue::ConsumerName::for_this_process());
    let delivery = claim_one(&consumer).await;
    consumer.done(vec![delivery]).await.unwrap();
    let clients: String = redis.ask("CLIENT LIST TYPE normal").unwrap();
    let tls_port = format!("laddr=127.0.0.1:{} ", redis.tls_port().unwrap());
    // All but the one that asks, and the sentinel's own two.
    assert!(clients.lines().filter(|line| line.contains(&tls_port)).count() >= 2, "{clients}");

    let other = Certificates::good().unwrap();
    let text = refusal(&at(sentinel.tls_port().unwrap()), Some(&other)).await;
    assert!(text.contains("UnknownIssuer") && text.contains("queue.tls_ca_file"), "{text}");
}

#[tokio::test]
async fn a_certificate_of_nobody_we_know_or_for_another_name_or_run_out_is_refused_and_said_so() {
    let (good, other) = (Certificates::good().unwrap(), Certificates::good().unwrap());
    let redis = RedisServer::start_tls(&good).unwrap();
    let url = redis.tls_url().unwrap();
    for ca in [None, Some(&other)] {
        let text = refusal(&url, ca).await;
        assert!(text.contains("UnknownIssuer") && text.contains("queue.tls_ca_file"), "{text}");
    }
    let named = Certificates::wrong_name().unwrap();
    let redis = RedisServer::start_tls(&named).unwrap();
    let text = refusal(&redis.tls_url().unwrap(), Some(&named)).await;
    assert!(text.contains("imap.example.org") && text.contains("localhost"), "{text}");
    assert!(text.contains("host name of queue.url"), "{text}");
    let expired = Certificates::expired().unwrap();
    let redis = RedisServer::start_tls(&expired).unwrap();
    let text = refusal(&redis.tls_url().unwrap(), Some(&expired)).await;
    assert!(text.contains("expired") && text.contains("new certificate"), "{text}");
}

#[tokio::test]
async fn an_authority_that_cannot_be_used_is_refused_before_anything_is_connected() {
    let certificates = Certificates::good().unwrap();
    let refused = |url: &str, path: std::path::PathBuf| {
        let config = Config { tls_ca_file: Some(path), url: Secret::new(url), ..Config::default() };
        let text = Queue::connect(&config).unwrap_err().to_string();
        assert!(text.contains("tls_ca_file"), "{text}");
        text
    };
    assert!(refused("rediss://h", "/nonexistent/ca.pem".into()).contains("/nonexistent/ca.pem"));
    assert!(refused("rediss+cluster://h", certificates.dir().join("nothing.pem")).contains("cannot be read"));
    std::fs::write(certificates.dir().join("text.pem"), "no certificate").unwrap();
    assert!(refused("rediss+sentinel://h/m", certificates.dir().join("text.pem")).contains("PEM"));
    // It would give a feeling of safety that is not there.
    assert!(refused("redis://h", certificates.ca()).contains("rediss"));
}

/// What is said of a server that is spoken to in a way that it does not understand.
async fn misunderstood(scheme: &str, port: u16) -> String {
    let path = if scheme.ends_with("sentinel") { "/m" } else { "" };
    let url = format!("{scheme}://u:hunter2@127.0.0.1:{port}{path}");
    let config = Config { response_timeout_ms: 600, ..config(url) };
    let error = Queue::connect(&config).unwrap().ping().await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot ping: Redis at 127.0.0.1:{port}: ")), "{text}");
    assert!(!text.contains('\n') && !text.contains("hunter2"), "{text}");
    assert!(error.remedy().is_none_or(|remedy| text.ends_with(&format!("; {remedy}"))), "{text}");
    text
}

#[tokio::test]
async fn tls_spoken_to_a_port_without_it_or_the_other_way_round_is_said_with_what_to_write_in_the_url() {
    let certificates = Certificates::good().unwrap();
    let redis = RedisServer::start_tls(&certificates).unwrap();
    // To Redis a greeting of TLS is a line that has not ended, unless there is a line feed in it by chance. So here is one
    // that surely waits for its end.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute = mute.local_addr().map(|address| (address.port(), mute)).unwrap();
    for kind in ["", "+sentinel", "+cluster"] {
        for port in [redis.port(), mute.0] {
            let text = misunderstood(&format!("rediss{kind}"), port).await;
            assert!(text.contains("does not speak TLS: write redis"), "{text}");
        }
        let text = misunderstood(&format!("redis{kind}"), redis.tls_port().unwrap()).await;
        assert!(text.contains("speaks TLS: write rediss"), "{text}");
        let text = misunderstood(&format!("redis{kind}"), mute.0).await;
        assert!(!text.contains("TLS"), "{text}");
    }
}
