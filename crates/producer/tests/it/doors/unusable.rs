//! An endpoint whose secret cannot be read or used: operators find it, whatever else is going on.

use mailfleet_model::SecretSource;
use mailfleet_store::NewEndpoint;

use super::http::Client;
use super::{SECRET, endpoint, endpoint_of, event, now, open, signature};
use crate::world::{LONG, World};

const PEM: &str = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";

/// What `mailfleet webhook list` shows as TO DO of the only endpoint.
async fn to_do(world: &World<'_>) -> Option<String> {
    world.store.endpoints().await.unwrap().remove(0).note
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_cannot_verify_calls_tells_operators_why_until_one_is_verified() {
    let world = World::without_accounts().await;
    let generic = endpoint(&world, "generic", SECRET).await;
    let (_producer, client) = open(&world, "");
    let version = || world.sql("SELECT xmin FROM mailfleet.webhook_endpoints");
    let good = |number| client.generic(&generic, &event(number)).code;
    let signed = |body: &str, secret: &str| {
        client.post(&generic.path, &[signature(body, now(), secret)], body.as_bytes()).code
    };
    assert_eq!((good(0), to_do(&world).await), (200, None));
    let place = generic.file.to_str().unwrap();
    for (number, (content, why)) in (1..).zip([
        (None, place),
        (Some(" \n"), "is empty"),
        (Some(PEM), "PEM file"),
        (Some("abc"), "16 char"),
    ]) {
        match content {
            None => std::fs::remove_file(&generic.file).unwrap(),
            Some(content) => std::fs::write(&generic.file, content).unwrap(),
        }
        assert_eq!(good(number), 503, "{why}");
        let note = to_do(&world).await.expect("a note");
        assert!(note.contains(why) && note.contains("Put a shared secret of your choice"), "{note}");
        let written = version();
        for _ in 0..20 {
            assert_eq!(signed("{}", "another secret of the tests"), 503);
        }
        assert_eq!(version(), written, "many calls are one write");
        std::fs::write(&generic.file, SECRET).unwrap();
        assert_eq!(signed("{}", "another secret of the tests"), 401);
        assert_eq!(to_do(&world).await, Some(note), "a stranger's call shows nothing");
        // Verified is enough, whether it can be read or not.
        let code = if number % 2 == 0 { good(number) } else { signed("{", SECRET) };
        assert_eq!((code, to_do(&world).await), (if number % 2 == 0 { 200 } else { 400 }, None), "{why}");
    }
    // Nothing of any secret, nor of what callers wrote, came there.
    std::fs::write(&generic.file, "hunter2").unwrap();
    assert_eq!(good(9), 503);
    let note = to_do(&world).await.expect("a note");
    assert!(!note.contains("hunter2") && !note.contains("example.com"), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_that_one_of_several_producers_leaves_stands_although_others_verify_calls() {
    let world = World::without_accounts().await;
    let generic = endpoint(&world, "generic", SECRET).await;
    let (_with, has) = open(&world, "");
    let (_without, lacks) = open(&world, "");
    let tell = |client: &Client, number| client.generic(&generic, &event(number)).code;
    // One file system for both: what one cannot read is away for as long as it is asked.
    let refuse = |number| {
        std::fs::remove_file(&generic.file).unwrap();
        assert_eq!(tell(&lacks, number), 503);
        std::fs::write(&generic.file, SECRET).unwrap();
    };
    refuse(1);
    assert!(to_do(&world).await.unwrap().contains("each of them"));
    assert_eq!((tell(&has, 2), to_do(&world).await), (200, None), "it may be from before");
    let version = || world.sql("SELECT xmin FROM mailfleet.webhook_endpoints");
    refuse(3);
    let written = version();
    for number in 4..10 {
        assert_eq!(tell(&has, number), 200);
        refuse(100 + number);
    }
    assert!(to_do(&world).await.is_some());
    assert_eq!(version(), written, "nor is it written again and again");
    // Whoever left it takes it away.
    assert_eq!((tell(&lacks, 10), to_do(&world).await), (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_not_set_is_named_to_operators() {
    let world = World::without_accounts().await;
    let new = NewEndpoint {
        tenant: world.tenant,
        provider: "mailgun".to_owned(),
        name: "elsewhere".to_owned(),
        secret: SecretSource::Env("MAILFLEET_SECRET_THAT_IS_NOT_SET".to_owned()),
        topic: None,
    };
    let token = world.store.add_endpoint(&new).await.unwrap();
    let (_producer, client) = open(&world, "");
    let refused = client.post::<&str>(&format!("/webhooks/mailgun/{}", token.expose()), &[], b"{}");
    assert_eq!((refused.code, refused.error().as_str()), (503, "unavailable"));
    let note = to_do(&world).await.expect("a note");
    assert!(note.contains("the environment variable MAILFLEET_SECRET_THAT_IS_NOT_SET is not set"), "{note}");
    assert!(note.contains("Put the account's HTTP webhook signing key"), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_calls_do_not_hide_an_endpoint_without_its_secret_from_the_log() {
    let world = World::without_accounts().await;
    let healthy = endpoint_of(&world, world.tenant, "healthy", "generic", SECRET).await;
    let broken = endpoint_of(&world, world.tenant, "broken", "generic", SECRET).await;
    std::fs::remove_file(&broken.file).unwrap();
    let (producer, client) = open(&world, "");
    let body = event(1).to_string();
    let forged = [signature(&body, now(), "another secret of the tests")];
    assert_eq!(client.post(&healthy.path, &forged, body.as_bytes()).code, 401);
    // Within the same second, and once only.
    assert_eq!(client.generic(&broken, &event(1)).code, 503);
    producer.process.wait_for_line(broken.file.to_str().unwrap(), LONG).unwrap();
}
