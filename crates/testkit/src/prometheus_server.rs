//! A private Prometheus, and its tool.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::ports::free_port;
use crate::process::{Process, ProcessBuilder};
use crate::programs;
use crate::server::{Server, with_fresh_ports};
use crate::watchdog::Farewell;
use crate::workdir::Workdir;

/// The Debian package of both programs.
const PACKAGE: &str = "prometheus";

/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The largest answer that is read; what is asked for in tests is far smaller.
const ANSWER_MAX: u64 = 16 << 20;

/// A Prometheus that scrapes and evaluates its rules once a second and keeps nothing after its end.
#[derive(Debug)]
pub struct PrometheusServer {
    // Dropped in this order: the server ends before its directory goes.
    _server: Server,
    _dir: Workdir,
    port: u16,
}

/// What is scraped under one job name.
#[derive(Debug, Clone)]
pub struct ScrapeJob {
    /// The value of the label `job`.
    pub name: String,
    /// `host:port` of each process.
    pub targets: Vec<String>,
    /// More labels of all of them.
    pub labels: Vec<(String, String)>,
}

impl PrometheusServer {
    /// Starts one that scrapes `jobs` and evaluates the given rule files. An error where the program is not installed,
    /// a rule file cannot be read, or it does not answer in time; the end of its log is in the message.
    pub fn start(jobs: &[ScrapeJob], rules: &[PathBuf]) -> Result<Self> {
        with_fresh_ports(|| Self::begin(jobs, rules))
    }

    fn begin(jobs: &[ScrapeJob], rules: &[PathBuf]) -> Result<Self> {
        let program = programs::find("prometheus", PACKAGE)?;
        let (dir, port) = (Workdir::temporary()?, free_port());
        let config = dir.path().join("prometheus.yaml");
        fs::write(&config, configuration(jobs, rules)?)
            .with_context(|| format!("write {}", config.display()))?;
        let server = Server::new("prometheus", dir.path().join("prometheus.log"), Farewell::Kill);
        let mut command = Command::new(program);
        command.current_dir(dir.path());
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.arg("--log.level=warn");
        server.launch(command, |_| get(port, "/-/ready").is_ok_and(|(status, _)| status == 200))?;
        Ok(Self { _server: server, _dir: dir, port })
    }

    /// Body of `GET /api/v1/<path>` with these parameters, whatever its status: errors are JSON as well.
    pub fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let mut target = format!("/api/v1/{path}");
        for (index, (name, value)) in parameters.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(name);
            target.push('=');
            target.push_str(&percent_encoded(value));
        }
        get(self.port, &target).map(|(_, body)| body).with_context(|| format!("ask Prometheus for {target}"))
    }
}

/// Prepares `promtool`, which checks rules, runs their unit tests and checks configurations.
pub fn promtool() -> Result<ProcessBuilder> {
    programs::find("promtool", PACKAGE).map(|path| Process::program(&path))
}

/// Strings in double quotes with JSON's escapes are YAML as well.
fn configuration(jobs: &[ScrapeJob], rules: &[PathBuf]) -> Result<String> {
    let mut text =
        String::from("global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n");
    writeln!(text, "rule_files: [{}]", list(rules.iter().map(|path| path.to_string_lossy())))?;
    text.push_str("scrape_configs:\n");
    for job in jobs {
        let labels = job.labels.iter().map(|(name, value)| format!("{name}: {}", quoted(value)));
        let labels = labels.collect::<Vec<_>>().join(", ");
        writeln!(text, "- job_name: {}", quoted(&job.name))?;
        writeln!(text, "  static_configs: [{{targets: [{}], labels: {{{labels}}}}}]", list(&job.targets))?;
    }
    Ok(text)
}

fn list(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    items.into_iter().map(|item| quoted(item.as_ref())).collect::<Vec<_>>().join(", ")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    encoded
}

/// Status and body. HTTP/1.0, so that the body comes in one piece and ends with the connection.
fn get(port: u16, target: &str) -> Result<(u16, String)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    write!(stream, "GET {target} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { bail!("not an HTTP answer: {answer}") };
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.with_context(|| format!("no status in {head}"))?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_survives_the_way_into_an_address() {
        assert_eq!(percent_encoded("a{b=\"c d\"}"), "a%7Bb%3D%22c%20d%22%7D");
    }

    #[test]
    fn jobs_and_rules_stand_in_the_configuration() {
        let job = ScrapeJob {
            name: "one".to_owned(),
            targets: vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()],
            labels: vec![("namespace".to_owned(), "a\"b".to_owned())],
        };
        let text = configuration(&[job], &[PathBuf::from("/rules.yaml")]).expect("writing to a string");
        assert!(text.contains("rule_files: [\"/rules.yaml\"]"), "{text}");
        assert!(
            text.contains("targets: [\"127.0.0.1:1\", \"127.0.0.1:2\"], labels: {namespace: \"a\\\"b\"}"),
            "{text}"
        );
    }
}
