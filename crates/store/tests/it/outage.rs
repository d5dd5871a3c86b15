//! PostgreSQL away, frozen, full or strange: the right class, in bounded time, and back again by itself.

use std::time::{Duration, Instant};

use mailfleet_model::{Class, Classify};
use mailfleet_store::{Config, Error, Persisted, Store};
use mailfleet_testkit::{PostgresServer, eventually};

use crate::support::{SOON, World, config, store};

/// A server of the test's own, which it may stop.
async fn own_world() -> World {
    // Leaked on purpose: the world borrows it for ever, and the test's process ends it.
    let server: &'static PostgresServer = Box::leak(Box::new(PostgresServer::start().unwrap()));
    World::at(server, server.fresh_database().unwrap(), "public").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_is_an_outage_and_work_goes_on_when_it_is_back() {
    let world = own_world().await;
    world.store.persist(&[world.mail(1)]).await.unwrap();
    for stop in [|server: &PostgresServer| server.stop().unwrap(), PostgresServer::kill] {
        stop(world.server);
        for _ in 0..3 {
            let error = world.store.persist(&[world.mail(2)]).await.unwrap_err();
            assert_eq!(error.class(), Class::Outage, "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        assert_eq!(world.store.migrate().await.unwrap_err().class(), Class::Outage);
        assert_eq!(world.store.check_schema().await.unwrap_err().class(), Class::Outage);
        world.server.start_again().unwrap();
        eventually("an answer of the server that came back", SOON, async || world.store.ping().await.ok())
            .await;
    }
    let fates = world.store.persist(&world.mails(1..=2)).await.unwrap();
    assert_eq!(fates, [Persisted::AlreadyRecorded, Persisted::New]);
    world.server.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_costs_a_bounded_wait() {
    let world = own_world().await;
    let bounded = Config {
        statement_timeout_ms: 300,
        connect_timeout_ms: 500,
        wait_timeout_ms: 500,
        pool_size: 1,
        ..config(&world.url)
    };
    let store = Store::connect(&bounded).unwrap();
    store.ping().await.unwrap();
    world.server.pause().unwrap();
    let begun = Instant::now();
    // The first meets the frozen connection, the second a frozen handshake.
    for _ in 0..2 {
        let error = store.persist(&[world.mail(1)]).await.unwrap_err();
        assert_eq!(error.class(), Class::Outage, "{error}");
    }
    assert_eq!(store.check_schema().await.unwrap_err().class(), Class::Outage);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    world.server.resume().unwrap();
    let persisted =
        eventually("a persisted mail", SOON, async || store.persist(&[world.mail(1)]).await.ok()).await;
    assert!(matches!(persisted.as_slice(), [Persisted::New | Persisted::AlreadyRecorded]), "{persisted:?}");
    assert_eq!(world.count("email_content"), 1);
    world.server.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_an_outage() {
    let world = World::new().await;
    let store = Store::connect(&Config { statement_timeout_ms: 200, ..config(&world.url) }).unwrap();
    let rival = world.rival().await;
    rival.batch_execute("BEGIN; LOCK TABLE email_content IN EXCLUSIVE MODE").await.unwrap();
    let error = store.persist(&[world.mail(1)]).await.unwrap_err();
    assert_eq!((error.code(), error.class()), (Some("57014"), Class::Outage), "{error}");
    rival.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(store.persist(&[world.mail(1)]).await.unwrap(), [Persisted::New]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_stays_busy_says_so() {
    let world = World::new().await;
    let one = Config { pool_size: 1, wait_timeout_ms: 200, ..config(&world.url) };
    let store = Store::connect(&one).unwrap();
    let rival = world.rival().await;
    rival.batch_execute("BEGIN; LOCK TABLE email_content IN EXCLUSIVE MODE").await.unwrap();
    let (working, mail) = (store.clone(), world.mail(1));
    let persisting = tokio::spawn(async move { working.persist(&[mail]).await });
    world.waiting_backend().await;
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, Error::PoolBusy { size: 1, .. }), "{error}");
    assert_eq!((error.class(), store.pool_usage()), (Class::Outage, (1, 1)));
    rival.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(persisting.await.unwrap().unwrap(), [Persisted::New]);
}

#[tokio::test(flavor = "multi_thread")]
async fn start_up_errors_name_the_thing_and_the_remedy() {
    let server = PostgresServer::shared();
    let missing = store(&server.url("no_such_database")).ping().await.unwrap_err();
    assert_eq!(missing.class(), Class::Fault);
    assert!(missing.to_string().contains("no_such_database"), "{missing}");
    assert!(missing.to_string().contains("create the database"), "{missing}");

    let empty = store(&server.fresh_database().unwrap());
    let unmigrated = empty.accounts(true).await.unwrap_err();
    assert!(unmigrated.to_string().ends_with("run `mailfleet migrate`"), "{unmigrated}");
    let required = empty.require_schema().await.unwrap_err();
    assert!(required.to_string().contains("migrations have not been applied: V1"), "{required}");

    let nobody = store("postgres://me:geheim@127.0.0.1:1/x").ping().await.unwrap_err();
    assert_eq!(nobody.class(), Class::Outage);
    assert!(nobody.to_string().contains("127.0.0.1:1/x"), "{nobody}");
    assert!(!format!("{nobody} {nobody:?}").contains("geheim"));
}
