//! A real process under real signals: the example `steady`, which `cargo test` builds beside the tests.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `steady`, killed by its pid when the test ends.
struct Steady {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    dir: tempfile::TempDir,
}

fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/steady");
    assert!(program.exists(), "build the examples first: {} is missing", program.display());
    program
}

impl Steady {
    fn start(mode: &str, sections: &str, arguments: &[&str]) -> Self {
        Self::start_with(mode, sections, arguments, &[])
    }

    fn start_with(mode: &str, sections: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("steady.toml");
        let release = dir.path().join("release");
        let text = format!(
            "[steady]\nmode = \"{mode}\"\nrelease = \"{}\"\ntoken = \"hunter2\"\n[redis]\nurl = \"x\"\n{sections}",
            release.display()
        );
        fs::write(&config, text).unwrap();
        let mut child = Command::new(program())
            .env_clear()
            .envs(variables.iter().copied())
            .arg("--config")
            .arg(&config)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        // Ends with the process, which closes its stderr.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, seen: Vec::new(), dir }
    }

    /// The first line, seen already or still to come, with `word` in it.
    fn line(&mut self, word: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.contains(word)) {
            return line.clone();
        }
        let until = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.seen.push(line.clone());
            if line.contains(word) {
                return line;
            }
        }
        panic!("no line with `{word}` in {:#?}", self.seen);
    }

    /// All lines of a process that has ended.
    fn rest(&mut self) -> Vec<String> {
        self.seen.extend(self.lines.iter());
        self.seen.clone()
    }

    fn admin(&mut self) -> SocketAddr {
        let line: Value = serde_json::from_str(&self.line("admin server listens")).unwrap();
        line["admin"].as_str().unwrap().parse().unwrap()
    }

    fn started(mode: &str, sections: &str) -> (Self, SocketAddr) {
        let mut steady = Self::start(mode, sections, &[]);
        let admin = steady.admin();
        steady.line("steady started");
        (steady, admin)
    }

    fn signal(&self, name: &str) {
        let status =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    fn release(&self) {
        fs::write(self.dir.path().join("release"), "").unwrap();
    }

    fn exit(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("still running after {PATIENCE:?}: {:#?}", self.seen);
    }

    fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        // Errors say that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body of a GET.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: steady\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn the_first_signal_drains_and_the_process_ends_with_zero() {
    for signal in ["TERM", "INT"] {
        let (mut steady, admin) = Steady::started("drain", "");
        assert_eq!(get(admin, "/readyz").0, 200);
        steady.signal(signal);
        steady.line("steady drains");
        let (status, body) = get(admin, "/readyz");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["stopping"]), (503, &Value::Bool(true)), "nothing more must be sent here");
        assert!(steady.runs(), "it waits for what it holds");
        steady.release();
        assert_eq!(steady.exit().code(), Some(0), "{signal}");
        steady.line("ends: drained");
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let (mut steady, _) = Steady::started("drain", "[shutdown]\ndrain_seconds = 3600");
    steady.signal("TERM");
    steady.line("steady drains");
    steady.signal("TERM");
    assert_eq!(steady.exit().code(), Some(1));
    steady.line("steady: error: second signal");
}

#[test]
fn the_deadline_ends_a_process_that_does_not_drain() {
    let (mut steady, _) = Steady::started("drain", "[shutdown]\ndrain_seconds = 1");
    steady.signal("TERM");
    assert_eq!(steady.exit().code(), Some(1));
    steady.line("steady: error: not drained after 1 s");
}

#[test]
fn workers_that_are_all_stuck_keep_neither_signals_nor_the_admin_server_from_working() {
    let (mut steady, admin) = Steady::started("busy", "[shutdown]\ndrain_seconds = 3600");
    let until = Instant::now() + PATIENCE;
    while get(admin, "/healthz").0 == 200 {
        assert!(Instant::now() < until, "a stuck runtime was called alive");
        std::thread::sleep(Duration::from_millis(100));
    }
    steady.signal("TERM");
    steady.line("draining");
    steady.signal("TERM");
    assert_eq!(steady.exit().code(), Some(1));
}

#[test]
fn a_failing_component_ends_the_process_with_a_failure_that_names_it() {
    let (mut steady, _) = Steady::started("fail", "");
    steady.release();
    assert_eq!(steady.exit().code(), Some(1));
    assert_eq!(steady.line("error: "), "steady: error: component steady failed: lost its way");
}

#[test]
fn a_failed_start_is_one_line_with_its_causes() {
    let mut steady = Steady::start("no-start", "", &[]);
    assert_eq!(steady.exit().code(), Some(1));
    assert_eq!(steady.line("error: "), "steady: error: cannot reach the other side: connection refused");
    let line: Value = serde_json::from_str(&steady.line("steady ends")).unwrap();
    let message = "steady ends: cannot reach the other side: connection refused";
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"ERROR".into(), &message.into()),
        "for a reader of JSON"
    );
}

#[test]
fn a_failed_start_is_the_plain_line_alone_where_people_read() {
    let mut steady = Steady::start("no-start", "[log]\nformat = \"human\"", &[]);
    assert_eq!(steady.exit().code(), Some(1));
    steady.line("steady: error: cannot reach");
    let lines = steady.rest();
    assert_eq!(lines.iter().filter(|line| line.contains("cannot reach")).count(), 1, "{lines:#?}");
}

#[test]
fn a_failure_that_is_in_the_log_is_not_logged_again() {
    let (mut steady, _) = Steady::started("fail", "");
    steady.release();
    assert_eq!(steady.exit().code(), Some(1));
    let lines = steady.rest();
    assert_eq!(lines.iter().filter(|line| line.contains("\"ERROR\"")).count(), 1, "{lines:#?}");
}

#[test]
fn bad_configuration_ends_with_64_and_one_line() {
    for (more, word) in [
        ("[steadi]", "steady.toml): unknown key, did you mean `steady`?"),
        ("[shutdown]\ndrain_seconds = 0", "`shutdown.drain_seconds` (in "),
        ("[log]\nfilter = \"a=b=c\"", "`log.filter` (in "),
        ("[log]\nformat = \"loud\"", "`auto`, `human`, `json`"),
        ("[admin]\nlisten = \"9102\"", "such as 127.0.0.1:9101"),
    ] {
        // Nothing that is refused at the start passes the check.
        for arguments in [&[][..], &["--check-config"]] {
            refused(Steady::start("drain", more, arguments), word);
        }
    }
}

/// Asserts one line on stderr with this word in it, and 64.
fn refused(mut steady: Steady, word: &str) {
    assert_eq!(steady.exit().code(), Some(64), "{word}");
    let lines = steady.rest();
    assert_eq!(lines.len(), 1, "one line: {lines:#?}");
    assert!(lines[0].starts_with("steady: error: ") && lines[0].contains(word), "{word}: {}", lines[0]);
}

#[test]
fn a_setting_that_cannot_work_is_refused_with_its_own_origin() {
    let variable = |name, value| Steady::start_with("drain", "", &["--check-config"], &[(name, value)]);
    refused(
        variable("MAILFLEET_SHUTDOWN__DRAIN_SECONDS", "0"),
        "`shutdown.drain_seconds` (in the environment variable MAILFLEET_SHUTDOWN__DRAIN_SECONDS): is 0",
    );
    refused(
        variable("MAILFLEET_STEADY__TOKEN", ""),
        "`steady.token` (in the environment variable MAILFLEET_STEADY__TOKEN): is empty",
    );
    for filter in ["nonsense=,,", "inof", "mailfleet=loud"] {
        refused(
            variable("MAILFLEET_LOG", filter),
            "`log.filter` (in the environment variable MAILFLEET_LOG)",
        );
    }
}

#[test]
fn a_wrong_command_line_is_one_line_and_64() {
    for (argument, word) in [("--check-confg", "--check-config"), ("start", "start"), ("--config", "FILE")] {
        refused(Steady::start("drain", "", &[argument]), word);
    }
}

#[test]
fn no_log_level_makes_foreign_crates_tell_what_they_handle() {
    for format in ["json", "human"] {
        for filter in ["trace", "trace,tokio_postgres=trace,hyper=trace,h2=trace"] {
            let sections = format!("[log]\nformat = \"{format}\"");
            let mut steady = Steady::start_with("drain", &sections, &[], &[("MAILFLEET_LOG", filter)]);
            steady.line("steady started");
            steady.signal("TERM");
            steady.release();
            assert_eq!(steady.exit().code(), Some(0));
            let lines = steady.rest();
            let all = lines.join("\n");
            assert!(all.contains("steady says much"), "our own lines follow the filter: {all}");
            assert!(!all.contains("Dear Ada"), "a mail is in the log: {all}");
            let odd = lines.iter().find(|line| line.contains("the connection was odd")).unwrap();
            assert!(odd.contains("WARN"), "{odd}");
            for place in ["log.file", "log.line", "module_path", ".rs", ".cargo"] {
                assert!(!odd.contains(place), "`{place}` tells of the machine it was built on: {odd}");
            }
            if format == "json" {
                let odd: Value = serde_json::from_str(odd).unwrap();
                assert_eq!(odd["target"], "tokio_postgres::connection");
            }
        }
    }
}

#[test]
fn check_config_prints_the_settings_without_secrets_and_starts_nothing() {
    let mut steady = Steady::start("drain", "", &["--check-config"]);
    assert_eq!(steady.exit().code(), Some(0));
    let mut out = String::new();
    steady.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(out.contains("steady.mode = \"drain\"") && out.contains("configuration is valid"), "{out}");
    assert!(out.contains("steady.token = [redacted]") && !out.contains("hunter2"), "{out}");
    assert!(out.contains("# checked: log, admin, shutdown, steady; "), "{out}");
    assert!(out.contains("# not checked: redis, which `restless --check-config` checks"), "{out}");
    let mut steady = Steady::start("drain", "[admin]\nlisten = 7", &["--check-config"]);
    assert_eq!(steady.exit().code(), Some(64));
}

#[test]
fn a_port_that_is_taken_is_named_with_the_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut steady = Steady::start("drain", &format!("[admin]\nlisten = \"{address}\""), &[]);
    assert_eq!(steady.exit().code(), Some(1));
    let line = steady.line("error: ");
    assert!(line.contains(&address.to_string()) && line.contains("admin.listen"), "{line}");
}

#[test]
fn a_default_port_that_is_taken_gives_way_to_a_free_one() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let default = taken.local_addr().unwrap().to_string();
    let mut steady = Steady::start_with("drain", "", &[], &[("STEADY_ADMIN", &default)]);
    let admin = steady.admin();
    assert_ne!(admin.to_string(), default);
    assert_eq!(get(admin, "/healthz").0, 200);
    let line: Value = serde_json::from_str(&steady.line("admin server listens")).unwrap();
    let message = line["message"].as_str().unwrap();
    assert!(
        line["level"] == "WARN" && message.contains(&default) && message.contains("admin.listen"),
        "{line}"
    );
}

#[test]
fn the_admin_server_tells_metrics_health_and_readiness() {
    let (mut steady, admin) = Steady::started("drain", "");
    let (status, body) = get(admin, "/metrics");
    assert_eq!(status, 200);
    for line in [
        "steady_work_total{lane=\"high\"} 0",
        "mailfleet_build_info{name=\"steady\",version=",
        "mailfleet_component_ok{component=\"steady\"} 1",
        "mailfleet_component_progress_age_seconds{component=\"steady\"}",
        "process_resident_memory_bytes",
    ] {
        assert!(body.contains(line), "`{line}` is missing in {body}");
    }
    assert!(!body.contains("steady_depth{"), "an unknown depth is absent: {body}");
    let (status, body) = get(admin, "/healthz");
    assert_eq!(status, 200, "{body}");
    let (status, body) = get(admin, "/readyz");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["components"]["steady"]["state"]), (200, &Value::from("ok")));
    assert!(body["components"]["steady"]["age_ms"].is_u64());
    assert_eq!(get(admin, "/other").0, 404);
    let line: Value = serde_json::from_str(&steady.line("steady starts")).unwrap();
    assert_eq!(line["level"], "INFO", "not a terminal: JSON lines");
}
