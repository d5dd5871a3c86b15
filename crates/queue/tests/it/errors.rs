//! What an operator reads when Redis will not have us: one line, the place, the remedy, no password.

use mailfleet_model::{Class, Classify, Secret};
use mailfleet_queue::{Config, Error, Queue};
use mailfleet_testkit::free_port;

use crate::fixture::{Fixture, config};

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
