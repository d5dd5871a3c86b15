//! Reading `/metrics` of a running process.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mailfleet_testkit::Process;

/// The address a process announced for its admin server.
#[must_use]
pub fn admin_address(process: &Process) -> String {
    let line = process.wait_for_line("admin server listens", Duration::from_secs(20)).unwrap();
    let (_, rest) = line.split_once("http://").unwrap_or_else(|| panic!("no address in: {line}"));
    rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect()
}

/// Status and body of `GET path`.
#[must_use]
pub fn get(process: &Process, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(admin_address(process)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status =
        answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{answer}"));
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// The sum of all series whose line contains every one of `words`; `None` when there is no such series.
#[must_use]
pub fn sum(process: &Process, words: &[&str]) -> Option<f64> {
    let (_, text) = get(process, "/metrics");
    let values: Vec<f64> = text
        .lines()
        .filter(|line| !line.starts_with('#') && words.iter().all(|word| line.contains(word)))
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}
