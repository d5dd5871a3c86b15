use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mailfleet_testkit::{Certificates, PostgresOptions, PostgresServer, eventually_blocking};

use crate::{PATIENCE, is_running, processes_mentioning};

#[test]
fn postgres_keeps_its_data_over_stop_kill_and_start_again() {
    let server = PostgresServer::start().expect("a server");
    let url = server.url("kept");
    server.create_database("kept").expect("a database");
    server.psql("kept", "CREATE TABLE t (n int); INSERT INTO t VALUES (1)").expect("SQL");
    server.stop().expect("an orderly end");
    let error = server.psql("kept", "SELECT 1").expect_err("nothing may answer while stopped").to_string();
    assert!(error.contains("Connection refused") || error.contains("connection"), "{error}");
    server.start_again().expect("a second start");
    server.psql("kept", "INSERT INTO t VALUES (2)").expect("SQL");
    let pid = server.pid().expect("a process");
    server.kill();
    assert!(!is_running(pid));
    server.start_again().expect("a start after a crash");
    assert_eq!(server.url("kept"), url);
    assert_eq!(server.psql("kept", "SELECT n FROM t ORDER BY n").expect("SQL"), "1\n2");
}

#[test]
fn fresh_databases_are_apart_and_a_template_is_copied() {
    let server = PostgresServer::shared();
    server.create_database("model").expect("a database");
    server.psql("model", "CREATE TABLE t AS SELECT 7 AS n").expect("SQL");
    let (one, two) = (server.fresh_database_from("model").unwrap(), server.fresh_database().unwrap());
    assert_ne!(one, two);
    let name = |url: &str| url.rsplit_once('/').expect("a name").1.to_owned();
    assert_eq!(server.psql(&name(&one), "SELECT n FROM t").expect("SQL"), "7");
    let error = server.psql(&name(&two), "SELECT n FROM t").expect_err("an empty database").to_string();
    assert!(error.contains("does not exist"), "{error}");
}

#[test]
fn durability_and_settings_are_as_asked_for() {
    let options = PostgresOptions {
        durable: true,
        settings: vec![("max_connections".to_owned(), "17".to_owned())],
        ..PostgresOptions::default()
    };
    let server = PostgresServer::start_with(&options).expect("a server");
    let show = |name: &str| server.psql("postgres", &format!("SHOW {name}")).expect("SHOW");
    assert_eq!((show("fsync").as_str(), show("full_page_writes").as_str()), ("on", "on"));
    assert_eq!(show("max_connections"), "17");
    assert_eq!(PostgresServer::shared().psql("postgres", "SHOW fsync").expect("SHOW"), "off");
}

#[test]
fn a_postgres_with_certificates_is_reached_by_those_who_trust_them() {
    let certificates = Certificates::good().expect("certificates");
    let tls = Some(certificates.clone());
    let server =
        PostgresServer::start_with(&PostgresOptions { tls, ..PostgresOptions::default() }).expect("a server");
    let asked = |ca: &Certificates| {
        let database = format!("postgres?sslmode=verify-full&sslrootcert={}", ca.ca().display());
        server.psql(&database, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    };
    assert_eq!(asked(&certificates).expect("SQL"), "t");
    let stranger = Certificates::good().expect("certificates");
    let error = asked(&stranger).expect_err("another authority").to_string();
    assert!(error.contains("certificate verify failed"), "{error}");
}

#[test]
fn sql_larger_than_a_pipe_is_taken() {
    let server = PostgresServer::shared();
    let sql = format!("SELECT length('{}')", "x".repeat(1 << 20));
    assert_eq!(server.psql("postgres", &sql).expect("SQL"), (1 << 20).to_string());
}

#[test]
fn dropping_postgres_is_prompt_and_leaves_neither_process_nor_directory() {
    let server = PostgresServer::start().expect("a server");
    let (pid, dir) = (server.pid().expect("a process"), server.dir().to_path_buf());
    let begun = Instant::now();
    drop(server);
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    assert!(!is_running(pid) && !dir.exists());
    let dir = dir.to_string_lossy().into_owned();
    eventually_blocking("no process is left", PATIENCE, || {
        processes_mentioning(&dir).is_empty().then_some(())
    });
}

#[test]
fn a_given_directory_is_used_again_with_its_databases() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = PostgresServer::start_in(dir.path(), &PostgresOptions::default()).expect("a server");
    assert!(
        first.dir().starts_with(dir.path().canonicalize().unwrap()),
        "root's closed directories are opened"
    );
    first.create_database("kept").expect("a database");
    drop(first);
    let second = PostgresServer::start_in(dir.path(), &PostgresOptions::default()).expect("a server");
    assert_eq!(second.psql("kept", "SELECT 1").expect("SQL"), "1");
}

#[test]
fn a_paused_postgres_goes_on_where_it_was() {
    let server = PostgresServer::start().expect("a server");
    server.pause().expect("a pause");
    // SSLRequest is answered by one byte, before any login.
    let mut silent = TcpStream::connect(("127.0.0.1", server.port())).expect("a connection");
    silent.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    silent.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).expect("to write");
    assert_eq!(silent.read(&mut [0]).expect_err("no answer may come").kind(), ErrorKind::WouldBlock);
    server.resume().expect("to go on");
    silent.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut answer = [0];
    silent.read_exact(&mut answer).expect("the answer comes after all");
    assert_eq!(&answer, b"N");
}
