use std::time::{Duration, Instant};

use mailfleet_testkit::{Certificates, RedisServer, eventually, eventually_blocking};
use redis::AsyncCommands;

use crate::{PATIENCE, is_running, processes_mentioning};

#[tokio::test]
async fn redis_keeps_its_data_over_stop_and_start_again_on_the_same_port() {
    let server = RedisServer::start().expect("a server");
    let url = server.url();
    let () = server.connection().await.set("key", "kept").await.expect("SET");
    server.stop().expect("an orderly end");
    assert!(server.pid().is_none());
    assert!(
        redis::Client::open(url.as_str()).unwrap().get_connection().is_err(),
        "nothing may answer while stopped"
    );
    server.start_again().expect("a second start");
    assert_eq!(server.url(), url);
    let kept: String = server.connection().await.get("key").await.expect("GET");
    assert_eq!(kept, "kept");
    server.flushall().await;
    let left: u64 = redis::cmd("DBSIZE").query_async(&mut server.connection().await).await.expect("DBSIZE");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn redis_killed_comes_back_with_what_was_in_the_append_only_file() {
    let server = RedisServer::start().expect("a server");
    let pid = server.pid().expect("a process");
    let () = server.connection().await.set("key", "kept").await.expect("SET");
    // Written before the reply, except while an fsync is going on: then it may stay in memory for two seconds.
    eventually("the write is in the append-only file", PATIENCE, || async {
        let mut connection = server.connection().await;
        let info: String = redis::cmd("INFO").arg("persistence").query_async(&mut connection).await.ok()?;
        info.contains("aof_buffer_length:0\r").then_some(())
    })
    .await;
    server.kill();
    assert!(!is_running(pid));
    server.start_again().expect("a start after a crash");
    let kept: String = server.connection().await.get("key").await.expect("GET");
    assert_eq!(kept, "kept");
}

#[tokio::test]
async fn a_paused_redis_accepts_and_does_not_answer_until_it_goes_on() {
    let server = RedisServer::start().expect("a server");
    let mut connection = server.connection().await;
    server.pause().expect("a pause");
    let mut other = connection.clone();
    let mut ping = tokio::spawn(async move { redis::cmd("PING").query_async::<String>(&mut other).await });
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut ping).await.is_err(), "no answer may come");
    server.resume().expect("to go on");
    assert_eq!(ping.await.expect("the task").expect("PING"), "PONG");
    let () = connection.set("key", 1).await.expect("SET");
}

#[tokio::test]
async fn settings_of_the_test_win_over_those_of_the_kit() {
    let server =
        RedisServer::start_with(&[("maxmemory", "50mb"), ("maxmemory-policy", "allkeys-lru")]).unwrap();
    let mut connection = server.connection().await;
    let (_, policy): (String, String) =
        redis::cmd("CONFIG").arg("GET").arg("maxmemory-policy").query_async(&mut connection).await.unwrap();
    assert_eq!(policy, "allkeys-lru");
}

#[tokio::test]
async fn a_redis_that_ended_by_itself_can_be_started_again() {
    let server = RedisServer::start_with(&[("requirepass", "hush")]).expect("a server");
    let mut connection = server.connection().await;
    redis::cmd("SHUTDOWN").query_async::<()>(&mut connection).await.expect_err("the connection ends with it");
    eventually_blocking("it has ended", PATIENCE, || server.pid().is_none().then_some(()));
    assert!(server.pause().is_err());
    server.start_again().expect("a second start");
    let pong: String = redis::cmd("PING").query_async(&mut server.connection().await).await.expect("PING");
    assert_eq!(pong, "PONG");
    assert!(server.start_again().is_err(), "one process at a time");
}

#[tokio::test]
async fn a_redis_with_certificates_is_reached_by_those_who_trust_them() {
    let certificates = Certificates::good().expect("certificates");
    let server = RedisServer::start_tls(&certificates).expect("a server");
    let url = server.tls_url().expect("a URL");
    let root_cert = Some(std::fs::read(certificates.ca()).expect("PEM"));
    let tls = redis::TlsCertificates { client_tls: None, root_cert };
    let client = redis::Client::build_with_tls(url.as_str(), tls).expect("a client");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let pong: String = redis::cmd("PING").query_async(&mut connection).await.expect("PING");
    assert_eq!(pong, "PONG");
    let stranger = redis::Client::open(url).expect("a client");
    assert!(stranger.get_multiplexed_async_connection().await.is_err());
}

#[test]
fn a_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = RedisServer::start_in(dir.path()).expect("a server");
    let error = RedisServer::start_in(dir.path()).expect_err("must be refused").to_string();
    assert!(error.contains("is in use by another redis"), "{error}");
    drop(first);
    RedisServer::start_in(dir.path()).expect("free again");
}

#[test]
fn a_redis_that_cannot_start_says_why_with_its_log() {
    let error =
        RedisServer::start_with(&[("no-such-setting", "1")]).expect_err("must be refused").to_string();
    assert!(error.contains("no-such-setting"), "{error}");
}

#[test]
fn dropping_a_paused_redis_is_prompt_and_leaves_neither_process_nor_directory() {
    let server = RedisServer::start().expect("a server");
    let (pid, dir) = (server.pid().expect("a process"), server.dir().to_path_buf());
    server.pause().expect("a pause");
    let begun = Instant::now();
    drop(server);
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
    assert!(!is_running(pid) && !dir.exists());
    let dir = dir.to_string_lossy().into_owned();
    eventually_blocking("no watchdog is left", PATIENCE, || {
        processes_mentioning(&dir).is_empty().then_some(())
    });
}

#[test]
fn a_given_directory_is_used_again_with_its_data() {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = RedisServer::start_in(dir.path()).expect("a server");
    let () = runtime.block_on(async { first.connection().await.set("key", "kept").await }).expect("SET");
    drop(first);
    let second = RedisServer::start_in(dir.path()).expect("a server");
    let kept: String = runtime.block_on(async { second.connection().await.get("key").await }).expect("GET");
    assert_eq!(kept, "kept");
}
