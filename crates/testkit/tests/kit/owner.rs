use std::path::Path;

use mailfleet_testkit::{DovecotServer, PostgresServer, Process, RedisServer, eventually_blocking};

use crate::{PATIENCE, is_running, processes_mentioning};

/// Set in the process that owns the servers and gets killed.
const ROLE: &str = "TESTKIT_ROLE_OWNER";

/// The test runs itself a second time, as the owner of one server of each kind.
#[test]
fn everything_ends_when_the_owner_is_killed_even_what_is_paused() {
    if std::env::var_os(ROLE).is_some() {
        own_servers_for_ever();
    }
    let program = std::env::current_exe().expect("this test's own path");
    let name = "owner::everything_ends_when_the_owner_is_killed_even_what_is_paused";
    let owner =
        Process::program(&program).args(["--exact", name, "--nocapture"]).env(ROLE, "1").spawn().unwrap();
    owner.wait_for_line("owned: all", 3 * PATIENCE).expect("servers");
    let (mut pids, mut dirs) = (Vec::new(), Vec::new());
    for line in owner.lines() {
        // The first line stands behind libtest's own "test … ".
        let Some((_, server)) = line.text.split_once("owned: ") else { continue };
        if let Some((pid, dir)) = server.split_once(' ') {
            pids.push(pid.parse::<u32>().expect("a process id"));
            dirs.push(dir.to_owned());
        }
    }
    assert_eq!(pids.len(), 5, "{:?}", owner.lines());
    assert!(pids.iter().all(|pid| is_running(*pid)));
    owner.sigkill();
    eventually_blocking("all processes and directories are gone", PATIENCE, || {
        let gone = pids.iter().all(|pid| !is_running(*pid))
            && dirs.iter().all(|dir| !Path::new(dir).exists() && processes_mentioning(dir).is_empty());
        gone.then_some(())
    });
}

fn own_servers_for_ever() -> ! {
    let redis = RedisServer::start().expect("a server");
    let dovecot = DovecotServer::start().expect("a server");
    let postgres = PostgresServer::shared();
    let paused_postgres = PostgresServer::start().expect("a server");
    let paused_dovecot = DovecotServer::start().expect("a server");
    let owned = [
        (redis.pid(), redis.dir()),
        (dovecot.pid(), dovecot.dir()),
        (postgres.pid(), postgres.dir()),
        (paused_postgres.pid(), paused_postgres.dir()),
        (paused_dovecot.pid(), paused_dovecot.dir()),
    ];
    for (pid, dir) in owned {
        println!("owned: {} {}", pid.expect("a process"), dir.display());
    }
    paused_postgres.pause().expect("a pause");
    paused_dovecot.pause().expect("a pause");
    println!("owned: all");
    loop {
        std::thread::park();
    }
}
