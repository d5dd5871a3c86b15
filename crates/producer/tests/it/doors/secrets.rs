//! Tokens and secrets stay where they are, also at the noisiest level.

use std::fmt::Write as _;

use mailfleet_testkit::Process;

use super::{SECRET, client, endpoint, event, now, section, signature};
use crate::world::{LONG, Producer, World};

#[tokio::test(flavor = "multi_thread")]
async fn neither_token_nor_secret_reaches_a_log_a_metric_or_an_answer() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let api = world.store.add_api_token(world.tenant, "sender").await.unwrap();
    let config = world.config(&section("rate_burst = 6\nrate_per_second = 1\n"));
    let process = Process::binary("mailfleet-producer")
        .unwrap()
        .arg("--config")
        .arg(&config)
        .env("MAILFLEET_LOG", "trace,hyper=trace,axum=trace,tokio_postgres=trace")
        .spawn()
        .unwrap();
    let producer = Producer { process };
    let client = client(&producer);
    let mut said = String::new();
    let mut say = |answer: super::Answer| writeln!(said, "{answer:?}").unwrap();
    let body = event(1).to_string();
    let good = signature(&body, now(), SECRET);
    say(client.post(&endpoint.path, std::slice::from_ref(&good), body.as_bytes()));
    say(client.post(&endpoint.path, std::slice::from_ref(&good), body.as_bytes()));
    say(client.post(&endpoint.path, &[signature(&body, 7, SECRET)], body.as_bytes()));
    say(client.post(&endpoint.path, std::slice::from_ref(&good), b"{"));
    say(client.post(&endpoint.path, std::slice::from_ref(&good), &vec![b' '; (1 << 20) + 1]));
    std::fs::remove_file(&endpoint.file).unwrap();
    for _ in 0..3 {
        say(client.post(&endpoint.path, std::slice::from_ref(&good), body.as_bytes()));
    }
    say(client.send("GET", &endpoint.path, std::slice::from_ref(&good), b""));
    say(client.post(&format!("{}/more", endpoint.path), std::slice::from_ref(&good), b""));
    say(client.post(&format!("{}x", endpoint.path), &[good], b""));
    let bearer = ("Authorization", format!("Bearer {}", api.expose()));
    say(client.post(super::messages::PATH, std::slice::from_ref(&bearer), b"{"));
    say(client.post(
        super::messages::PATH,
        &[bearer],
        br#"{"message_id": "m", "from": "a@b.example", "to": ["c@d.example"]}"#,
    ));
    world.redis.kill();
    producer.process.wait_for_line("cannot read the identity of Redis", LONG).unwrap();
    let (_, metrics) = producer.get("/metrics");
    producer.process.sigterm();
    assert!(producer.process.wait_exit(LONG).unwrap().success());
    let log = format!("{}{}", producer.process.stderr(), producer.process.stdout());
    assert!(log.contains("a webhook call was taken"), "the level works: {log}");
    for (place, text) in [("log", &log), ("metrics", &metrics), ("answers", &said)] {
        assert!(text.len() > 500, "{place}: {text}");
        for secret in
            [endpoint.token.as_str(), &endpoint.token[4..36], SECRET, api.expose(), &api.expose()[4..36]]
        {
            assert!(!text.contains(secret), "a secret is in the {place}");
        }
    }
    for code in [
        "code: 200",
        "code: 400",
        "code: 401",
        "code: 404",
        "code: 405",
        "code: 413",
        "code: 429",
        "code: 503",
    ] {
        assert!(said.contains(code), "{code} is not among the answers:\n{said}");
    }
    // Nor are they in PostgreSQL: what is kept is a hash.
    let kept = world.sql("SELECT string_agg(e::text, ' ') FROM mailfleet.webhook_endpoints e")
        + &world.sql("SELECT string_agg(t::text, ' ') FROM mailfleet.api_tokens t");
    assert!(
        !kept.contains(&endpoint.token[4..36])
            && !kept.contains(SECRET)
            && !kept.contains(&api.expose()[4..36])
    );
}
