//! `deploy/compose.yaml`, as far as it can be held to its word without Docker.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use mailfleet_tests::Fleet;
use serde_json::Value;

use super::manifests::{Manifests, list, root};
use super::programs::{number, settings};

fn compose() -> Value {
    Manifests::read("deploy/compose.yaml").documents.remove(0)
}

fn services(compose: &Value) -> impl Iterator<Item = (&String, &Value)> {
    compose["services"].as_object().unwrap().iter()
}

fn exists(path: &str) {
    let path = root().join("deploy").join(path);
    assert!(path.exists(), "{} does not exist", path.display());
}

#[test]
fn everything_that_compose_names_is_there() {
    let compose = compose();
    let mut files = 0;
    for (name, service) in services(&compose) {
        let image = service["image"].as_str().unwrap();
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        assert!(!["", "latest"].contains(&tag), "{name} runs whatever {image} is");
        if let Some(context) = service["build"]["context"].as_str() {
            exists(&format!("{context}/{}", service["build"]["dockerfile"].as_str().unwrap()));
        }
        for volume in list(&service["volumes"]) {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            if source.starts_with('.') {
                exists(source);
                files += 1;
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{name}: volume {source}");
            }
        }
        for secret in list(&service["secrets"]) {
            exists(compose["secrets"][secret.as_str().unwrap()]["file"].as_str().unwrap());
        }
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            let other = &compose["services"][other];
            assert!(other.is_object(), "{name} depends on nobody");
            let healthy = how["condition"] == "service_healthy";
            assert!(
                !healthy || other["healthcheck"].is_object(),
                "{name} waits for a check that is not made"
            );
        }
    }
    assert!(files >= 6, "{files} files seen");
}

#[test]
fn compose_runs_one_producer_and_two_consumers_on_servers_that_keep_what_they_have() {
    let compose = compose();
    let services = &compose["services"];
    assert_eq!(services["producer"]["command"], serde_json::json!(["mailfleet-producer"]));
    assert!(services["producer"]["deploy"]["replicas"].is_null());
    assert_eq!(services["consumer"]["command"], serde_json::json!(["mailfleet-consumer"]));
    assert_eq!(services["consumer"]["deploy"]["replicas"], 2);
    assert_eq!(services["migrate"]["command"], serde_json::json!(["mailfleet", "migrate"]));
    let redis = services["redis"]["command"].as_str().unwrap();
    for option in ["--appendonly yes", "--appendfsync everysec", "--maxmemory-policy noeviction"] {
        assert!(redis.contains(option), "Redis without {option}");
    }
    for program in ["producer", "consumer", "migrate"] {
        assert_eq!(services[program]["read_only"], true, "{program}");
        assert_eq!(services[program]["cap_drop"], serde_json::json!(["ALL"]), "{program}");
    }
}

#[test]
fn compose_shows_no_password_and_opens_no_port_to_the_network() {
    let compose = compose();
    for (name, service) in services(&compose) {
        for (variable, _) in service["environment"].as_object().into_iter().flatten() {
            let secret = ["PASSWORD", "SECRET", "TOKEN"].iter().any(|word| variable.contains(word));
            assert!(!secret || variable.ends_with("_FILE"), "{name}: {variable} is given in clear");
        }
        for port in list(&service["ports"]) {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
    assert!(
        !std::fs::read_to_string(root().join("deploy/compose.yaml"))
            .unwrap()
            .contains("only-on-this-machine")
    );
}

#[test]
fn the_limits_of_compose_agree() {
    let compose = compose();
    let toml = std::fs::read_to_string(root().join("deploy/compose/mailfleet.toml")).unwrap();
    let settings = settings("compose", &toml);
    let drain = number("compose", &settings, "shutdown.drain_seconds");
    for name in ["producer", "consumer"] {
        let grace = compose["services"][name]["stop_grace_period"].as_str().unwrap();
        let grace: u64 = grace.strip_suffix('s').unwrap().parse().unwrap();
        assert!(grace >= drain + 10, "{name}: {grace} s for a drain of {drain} s");
    }
    let command = list(&compose["services"]["postgres"]["command"]);
    let offered = command.iter().find_map(|word| word.as_str()?.strip_prefix("max_connections="));
    let offered: u64 = offered.unwrap().parse().unwrap();
    // Producer, migration, `ctl`, and the consumers twice: an old one may drain beside its successor.
    let processes = 3 + 2 * compose["services"]["consumer"]["deploy"]["replicas"].as_u64().unwrap();
    // PostgreSQL keeps three for superusers.
    assert!(processes * number("compose", &settings, "postgres.pool_size") <= offered - 3);
}

/// The commands in the comment at the top, with continued lines joined.
fn commands() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("deploy/compose.yaml")).unwrap();
    let comment = text.lines().take_while(|line| line.starts_with('#'));
    let lines: Vec<_> = comment.filter_map(|line| line.strip_prefix("#   ")).collect();
    lines.join("\n").replace("\\\n", " ").lines().map(str::to_owned).collect()
}

#[test]
fn producer_and_ctl_have_every_secret_that_the_commands_name() {
    let compose = compose();
    let mut seen = 0;
    for command in commands().iter().filter(|command| command.contains(" ctl ")) {
        for name in command.split("/run/secrets/").skip(1).map(|rest| rest.split(' ').next().unwrap()) {
            for service in ["producer", "ctl"] {
                let has = list(&compose["services"][service]["secrets"]).iter().any(|secret| secret == name);
                assert!(has, "{service} has no {name}: {command}");
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 2, "an account's password and an endpoint's secret");
}

#[test]
fn the_sample_endpoint_takes_the_call_that_is_signed_as_the_comment_says() {
    let fleet = Fleet::start();
    let producer = fleet.builder("mailfleet-producer").env("MAILFLEET_WEBHOOKS__LISTEN", "127.0.0.1:0");
    let producer = fleet.started(producer);
    let said = producer.wait_for_line("are taken on http://", Duration::from_secs(20)).unwrap();
    let (_, address) = said.split_once("are taken on ").unwrap();
    let address = address.split(['"', ' ', '\u{1b}']).next().unwrap();

    let commands = commands();
    let at = commands.iter().position(|command| command.contains(" webhook add ")).unwrap();
    let (_, add) = commands[at].split_once(" ctl ").unwrap();
    let secrets = format!("{}/deploy/compose/secrets/", root().display());
    let add = add.replace("/run/secrets/", &secrets);
    let endpoint = fleet.mailfleet_json(&add.split_whitespace().collect::<Vec<_>>());
    let script = commands[at + 1..].join("\n").replace("http://127.0.0.1:8080", address);
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-euc", &script])
        .env("ENDPOINT_PATH", endpoint["path"].as_str().unwrap())
        .current_dir(root());
    let called = shell.output().unwrap();
    let errors = String::from_utf8_lossy(&called.stderr);
    let answer: Value =
        serde_json::from_slice(&called.stdout).unwrap_or_else(|_| panic!("{script}: {errors}"));
    assert_eq!(answer["status"], "accepted", "{answer}");
    assert_eq!(fleet.count("SELECT count(*) FROM mailfleet.webhook_inbox"), 1);
}

/// Answers one request with this status and tells what was asked.
fn answer_once(listener: &TcpListener, status: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut asked = [0; 256];
    let length = stream.read(&mut asked).unwrap();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
    String::from_utf8_lossy(&asked[..length]).into_owned()
}

#[test]
fn the_health_check_passes_when_the_program_is_ready_and_only_then() {
    let compose = compose();
    for (name, port) in [("producer", "9101"), ("consumer", "9102")] {
        let service = &compose["services"][name];
        assert_eq!(service["environment"]["MAILFLEET_ADMIN__LISTEN"], format!("0.0.0.0:{port}"));
        for (status, healthy) in [("200 OK", true), ("503 Service Unavailable", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let ours = listener.local_addr().unwrap().port().to_string();
            let test = list(&service["healthcheck"]["test"]).iter().map(|word| word.as_str().unwrap());
            // Compose writes one dollar for two.
            let words: Vec<_> = test.map(|word| word.replace("$$", "$").replace(port, &ours)).collect();
            let mut check = Command::new(&words[1]).args(&words[2..]).spawn().unwrap();
            let asked = answer_once(&listener, status);
            assert!(asked.starts_with("GET /readyz HTTP/1.0\r\n"), "{asked}");
            assert_eq!(check.wait().unwrap().success(), healthy, "{name} at {status}");
        }
    }
}

#[test]
fn the_sample_dovecot_is_configured_as_dovecot_understands() {
    let config = root().join("deploy/compose/dovecot/dovecot.conf");
    let output = Command::new("/usr/bin/doveconf").arg("-n").arg("-c").arg(config).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    for line in ["mail_location = maildir:/srv/mail/%u/Maildir", "ssl = no"] {
        assert!(said.contains(line), "no {line} in {said}");
    }
}
