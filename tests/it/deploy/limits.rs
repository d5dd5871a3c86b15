//! Numbers that stand in different files and must agree: connections, replicas, grace and drain.

use std::collections::BTreeMap;

use serde_json::Value;

use super::manifests::{Manifests, installations, list, root};
use super::programs::{number, settings};

/// Seconds that a grace period must have beyond the drain: the signal's way, the last answers, the end of the process.
const MARGIN: u64 = 10;

fn config(title: &str, manifests: &Manifests) -> BTreeMap<String, String> {
    settings(title, manifests.configuration())
}

/// The most consumers that may be asked for.
fn most_consumers(manifests: &Manifests) -> u64 {
    let consumers = &manifests.one("Deployment", "mailfleet-consumer")["spec"]["replicas"];
    let keda = manifests.all("ScaledObject").map(|scaler| &scaler["spec"]["maxReplicaCount"]);
    let plain = manifests.all("HorizontalPodAutoscaler").map(|scaler| &scaler["spec"]["maxReplicas"]);
    let mut numbers = keda.chain(plain).chain([consumers]).filter_map(Value::as_u64);
    let most = numbers.next().expect("nobody says how many consumers there are");
    assert_eq!(numbers.next(), None, "two places say how many consumers there are");
    most
}

#[test]
fn the_programs_accept_the_configuration_of_every_installation() {
    for (title, manifests) in installations() {
        let settings = config(title, &manifests);
        assert!(number(title, &settings, "postgres.pool_size") > 0);
        assert_eq!(settings["log.format"], "json", "{title}: pods log for machines");
        let producer =
            &manifests.one("Deployment", "mailfleet-producer")["spec"]["template"]["spec"]["containers"][0];
        let ports = list(&producer["ports"]);
        let door = ports.iter().find(|port| port["name"] == "http").unwrap();
        assert_eq!(settings["webhooks.listen"], format!("0.0.0.0:{}", door["containerPort"]), "{title}");
    }
}

/// How many connections so many consumers may need at the worst, and how many there are for mailfleet.
fn connections(title: &str, manifests: &Manifests, consumers: u64) -> (u64, u64) {
    let pool = number(title, &config(title, manifests), "postgres.pool_size");
    let deployment = manifests.one("Deployment", "mailfleet-consumer");
    let declared = |name: &str| {
        let text = &deployment["metadata"]["annotations"][format!("mailfleet.example/postgres-{name}")];
        text.as_str()
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or_else(|| panic!("{title}: {name}: {text}"))
    };
    let strategy = &deployment["spec"]["strategy"]["rollingUpdate"];
    assert_eq!(strategy["maxUnavailable"], 0, "{title}");
    let surge = strategy["maxSurge"].as_u64().expect("a number, so that it can be added");
    let producer = manifests.one("Deployment", "mailfleet-producer");
    assert_eq!(producer["spec"]["strategy"]["type"], "Recreate", "{title}: never two producers");
    // A pod that drains has left the Deployment's count and still has its connections: at the worst a whole old
    // generation drains beside the new one. Then one producer, one migration, one operator with `mailfleet …`.
    let processes = 2 * consumers + surge + producer["spec"]["replicas"].as_u64().unwrap() + 1 + 1;
    (processes * pool, declared("max-connections") - declared("kept-connections"))
}

#[test]
fn consumers_never_need_more_connections_than_postgresql_has() {
    for (title, manifests) in installations() {
        let (needed, offered) = connections(title, &manifests, most_consumers(&manifests));
        assert!(needed <= offered, "{title}: {needed} connections, {offered} offered");
    }
}

#[test]
fn the_runbook_adds_consumers_where_their_number_is_kept_and_no_more_than_postgresql_can_take() {
    let runbook = std::fs::read_to_string(root().join("deploy/runbooks/queue.md")).unwrap();
    for (title, manifests) in installations() {
        let (before, after) = match title {
            "dev" => ("scale deploy/mailfleet-consumer --replicas=", "\n"),
            "production" => (
                "patch scaledobject mailfleet-consumer --type=merge --patch='{\"spec\":{\"maxReplicaCount\":",
                "}}'\n",
            ),
            _ => ("patch hpa mailfleet-consumer --type=merge --patch='{\"spec\":{\"maxReplicas\":", "}}'\n"),
        };
        let (_, rest) = runbook.split_once(before).unwrap_or_else(|| panic!("{title}: no line `{before}…`"));
        let more: u64 = rest.split_once(after).unwrap().0.parse().unwrap();
        assert!(more > most_consumers(&manifests), "{title}: {more} is no more than there may be already");
        let (needed, offered) = connections(title, &manifests, more);
        assert!(needed <= offered, "{title}: {more} consumers need {needed} connections, {offered} offered");
    }
}

#[test]
fn the_grace_period_outlasts_the_drain() {
    for (title, manifests) in installations() {
        let drain = number(title, &config(title, &manifests), "shutdown.drain_seconds");
        for name in ["mailfleet-producer", "mailfleet-consumer"] {
            let pod = &manifests.one("Deployment", name)["spec"]["template"]["spec"];
            let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
            assert!(grace >= drain + MARGIN, "{title}: {name} has {grace} s for a drain of {drain} s");
            let lifecycle = &pod["containers"][0]["lifecycle"];
            assert!(
                lifecycle.is_null(),
                "{title}: {name}: a hook before SIGTERM takes from the drain's time"
            );
        }
    }
}

#[test]
fn an_autoscaler_owns_the_number_of_consumers_alone_and_never_sends_all_home() {
    for (title, manifests) in installations() {
        let consumers = manifests.one("Deployment", "mailfleet-consumer");
        if title == "dev" {
            assert_eq!(consumers["spec"]["replicas"], 2);
            continue;
        }
        assert!(consumers["spec"]["replicas"].is_null(), "{title}: each apply would set the number back");
        let kind = if title == "production" { "ScaledObject" } else { "HorizontalPodAutoscaler" };
        let scaler = &manifests.one(kind, "mailfleet-consumer")["spec"];
        assert_eq!(scaler["scaleTargetRef"]["name"], "mailfleet-consumer", "{title}");
        let least =
            scaler.get("minReplicaCount").or(scaler.get("minReplicas")).and_then(Value::as_u64).unwrap();
        assert!((1..=most_consumers(&manifests)).contains(&least), "{title}: {least}");
        if kind == "ScaledObject" {
            let fallback = &scaler["fallback"];
            assert_eq!(fallback["behavior"], "currentReplicasIfHigher");
            assert!(fallback["replicas"].as_u64().unwrap() >= least);
        } else {
            let pod = &consumers["spec"]["template"]["spec"]["containers"][0];
            assert!(pod["resources"]["requests"]["cpu"].is_string(), "utilization is a share of the request");
        }
    }
}
