//! What an operator reads when Redis will not have us: one line, the place, the remedy, no password.

use mailfleet_model::{Class, Classify, Secret};
use mailfleet_queue::{Config, Error, Queue};
use mailfleet_testkit::{RedisServer, eventually, free_port};

use crate::fixture::{Fixture, SOON, config};

/// The error as a start shows it: with all of its causes.
fn line(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    assert!(!text.contains('\n'), "{text}");
    text
}

fn with_login(f: &Fixture, login: &str) -> Queue {
    let url = f.redis.url().replace("redis://", &format!("redis://{login}@"));
    Queue::connect(&Config { url: Secret::new(url), ..config(String::new()) }).unwrap()
}

fn place(f: &Fixture) -> String {
    format!("Redis at 127.0.0.1:{}: ", f.redis.port())
}

#[tokio::test]
async fn a_missing_right_is_said_once_with_place_and_remedy() {
    let f = Fixture::start_with(&[], |config| config.partitions = 1);
    let _: String = f.redis("ACL SETUSER fleet on >hunter2 ~* &* +@all -xgroup").await;
    let queue = with_login(&f, "fleet:hunter2");
    let error = queue.ensure_groups().await.unwrap_err();
    let text = line(&error);
    assert_eq!(error.class(), Class::Fault, "{text}");
    assert!(text.starts_with(&format!("cannot create the consumer groups: {}", place(&f))), "{text}");
    assert!(text.contains("ACL SETUSER <user>"), "{text}");
    let refusals = ["can't run this command", "has no permissions", "NoPerm", "NOPERM"];
    assert!(refusals.iter().all(|words| text.matches(words).count() <= 1), "{text}");
    assert!(!text.contains("user_script"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.ends_with(&format!("; {}", error.remedy().unwrap())), "{text}");
    assert_eq!(queue.place(), format!("127.0.0.1:{}", f.redis.port()));

    // A right to run scripts at all, and a right to a plain command.
    let _: String = f.redis("ACL SETUSER fleet -@scripting -ping").await;
    for error in [queue.ensure_groups().await.unwrap_err(), queue.ping().await.unwrap_err()] {
        let text = line(&error);
        assert_eq!(error.class(), Class::Fault, "{text}");
        assert!(text.contains("ACL SETUSER <user>") && text.contains(&place(&f)), "{text}");
        assert!(text.to_uppercase().matches("NOPERM").count() == 1, "{text}");
    }
}

#[tokio::test]
async fn a_refused_login_names_place_and_remedy_and_never_the_password() {
    let f = Fixture::start_with(&[("requirepass", "right")], |config| config.partitions = 1);
    let bare = format!("redis://127.0.0.1:{}", f.redis.port());
    let wrong = format!("redis://:hunter2@127.0.0.1:{}", f.redis.port());
    let named = format!("redis://nobody:hunter2@127.0.0.1:{}", f.redis.port());
    let resp3 = format!("{named}/?protocol=resp3");
    for url in [bare, wrong, named, resp3] {
        let error = Queue::connect(&config(url.clone())).unwrap().ensure_groups().await.unwrap_err();
        let text = line(&error);
        assert_eq!(error.class(), Class::Fault, "{url}: {text}");
        assert!(text.contains(&place(&f)) && text.contains("queue.url"), "{text}");
        assert!(!format!("{text} {error:?}").contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let port = free_port();
    let error = Queue::connect(&config(format!("redis://u:hunter2@127.0.0.1:{port}"))).unwrap().ping().await;
    let text = line(&error.unwrap_err());
    assert!(
        text.starts_with(&format!("cannot ping: Redis at 127.0.0.1:{port}: Connection refused")),
        "{text}"
    );
    assert!(text.contains("queue.url") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn keys_of_something_else_are_named_as_such() {
    let f = Fixture::start_with(&[], |config| config.partitions = 1);
    let _: String = f.redis("SET K:normal rubbish").await;
    let text = line(&f.queue.ensure_groups().await.unwrap_err());
    assert!(text.contains(&place(&f)) && text.contains("queue.queue"), "{text}");
}

#[tokio::test]
async fn a_database_that_the_server_does_not_have_or_that_its_user_may_not_select_is_said_with_the_remedy() {
    // A cluster has one database.
    let redis = RedisServer::start().unwrap();
    let queue = Queue::connect(&config(redis.url())).unwrap();
    let f = Fixture { redis, others: Vec::new(), queue };
    let _: String = f.redis("ACL SETUSER fleet on >hunter2 ~* &* +@all -select").await;
    for (login, database, words) in [
        ("fleet:hunter2@", "0", None),
        ("", "99", Some("`databases`")),
        ("", "-1", Some("`databases`")),
        ("", "9999999999", Some("`databases`")),
        ("fleet:hunter2@", "1", Some("ACL SETUSER <user>")),
    ] {
        let url = format!("redis://{login}127.0.0.1:{}/{database}", f.redis.port());
        let answer = Queue::connect(&config(url)).unwrap().ping().await;
        let Some(words) = words else {
            answer.unwrap();
            continue;
        };
        let error = answer.unwrap_err();
        let text = line(&error);
        assert_eq!(error.class(), Class::Fault, "{text}");
        assert!(text.contains(&place(&f)) && text.contains("queue.url") && text.contains(words), "{text}");
        assert!(text.ends_with(&format!("; {}", error.remedy().unwrap())), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_is_busy_with_a_script_is_an_outage_whatever_the_database() {
    let f = Fixture::start();
    let _: String = f.redis("CONFIG SET busy-reply-threshold 10").await;
    let client = redis::Client::open(f.redis.url()).unwrap();
    let mut other = client.get_multiplexed_async_connection().await.unwrap();
    let endless = tokio::spawn(async move {
        let answer: redis::RedisResult<()> =
            redis::cmd("EVAL").arg("while true do end").arg(0).query_async(&mut other).await;
        answer.unwrap_err()
    });
    for database in ["", "/1"] {
        let url = format!("redis://127.0.0.1:{}{database}", f.redis.port());
        let queue = Queue::connect(&config(url)).unwrap();
        eventually("busy", SOON, || async {
            let error = queue.ping().await.err()?;
            assert!(error.is_outage(), "{database}: {error}");
            error.to_string().contains("busy").then_some(())
        })
        .await;
    }
    let _: String = f.redis.ask("SCRIPT KILL").unwrap();
    endless.await.unwrap();
}

#[tokio::test]
async fn a_host_name_that_nobody_knows_is_an_outage_and_said_with_the_remedy() {
    // No name is that long: nobody has to be asked.
    let host = "x".repeat(64);
    for (url, place) in [
        ("redis://:hunter2@HOST:6380", "HOST:6380"),
        ("rediss://:hunter2@HOST", "HOST:6379"),
        ("redis+sentinel://:hunter2@HOST/m", "HOST:26379"),
        ("redis+cluster://:hunter2@HOST", "HOST:6379"),
    ] {
        let (url, place) = (url.replace("HOST", &host), place.replace("HOST", &host));
        let error = Queue::connect(&config(url)).unwrap().ping().await.unwrap_err();
        let text = line(&error);
        // The DNS may be what is away.
        assert!(error.is_outage(), "{text}");
        assert!(text.contains(&format!("Redis at {place}: ")) && text.contains("correct the host"), "{text}");
        assert!(text.ends_with(&format!("; {}", error.remedy().unwrap())), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
