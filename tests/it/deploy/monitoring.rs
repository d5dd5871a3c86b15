//! What Prometheus, its operator and KEDA read is one thing.

use super::manifests::{Manifests, list, root, selects};

fn production() -> Manifests {
    Manifests::render(&root().join("deploy/kubernetes"), "production")
}

#[test]
fn the_operator_gets_the_alerts_of_deploy_prometheus() {
    let manifests = production();
    let rule = &manifests.one("PrometheusRule", "mailfleet")["spec"]["groups"];
    let alerts = Manifests::read("deploy/prometheus/alerts.yaml").documents.remove(0);
    assert!(!list(&alerts["groups"]).is_empty());
    // Not assert_eq: both are pages long.
    assert!(
        rule == &alerts["groups"],
        "prometheus-rule.yaml is not up to date: run scripts/prometheus-rule.sh"
    );
}

#[test]
fn grafana_gets_the_dashboard_of_deploy_grafana_under_the_label_that_its_sidecar_looks_for() {
    let manifests = production();
    let map = manifests.one("ConfigMap", "mailfleet-dashboard");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let ours = std::fs::read_to_string(root().join("deploy/grafana/fleet.json")).unwrap();
    // Not assert_eq: both are pages long.
    assert!(map["data"]["fleet.json"].as_str() == Some(ours.as_str()), "another dashboard");
    assert_eq!(map["data"].as_object().unwrap().len(), 1);
    let readme = std::fs::read_to_string(root().join("deploy/kubernetes/README.md")).unwrap();
    assert!(readme.contains("`mailfleet-dashboard`"));
}

#[test]
fn the_autoscaler_reads_one_number_that_is_alerted_on_too_and_unknown_is_not_zero() {
    let manifests = production();
    let scaler = manifests.one("ScaledObject", "mailfleet-consumer");
    let [trigger] = list(&scaler["spec"]["triggers"]) else { panic!("one trigger: {scaler}") };
    let query = trigger["metadata"]["query"].as_str().unwrap();
    let namespace = scaler["metadata"]["namespace"].as_str().unwrap();
    let metric = "mailfleet_queue_backlog_entries";
    let by_queue = format!("max by (queue) ({metric}{{namespace=\"{namespace}\"}})");
    // A queue of which nothing is known is not an empty one: there are two.
    assert_eq!(query, format!("sum({by_queue}) and count({by_queue}) >= 2"));
    assert_eq!(trigger["metadata"]["ignoreNullValues"], "false");
    let alerts = std::fs::read_to_string(root().join("deploy/prometheus/alerts.yaml")).unwrap();
    assert!(alerts.contains(metric), "the alerts, which run against a real fleet, know no {metric}");
}

#[test]
fn the_monitor_finds_producer_and_consumers_under_the_names_that_compose_uses() {
    let manifests = production();
    let monitor = &manifests.one("ServiceMonitor", "mailfleet")["spec"];
    let scraped: Vec<_> = manifests
        .all("Service")
        .filter(|service| selects(&monitor["selector"]["matchLabels"], &service["metadata"]["labels"]))
        .collect();
    let compose = Manifests::read("deploy/prometheus/prometheus.yaml").documents.remove(0);
    let mut jobs: Vec<_> =
        list(&compose["scrape_configs"]).iter().map(|scrape| &scrape["job_name"]).collect();
    jobs.retain(|job| job.as_str().unwrap().starts_with("mailfleet-"));
    let mut names: Vec<_> = scraped.iter().map(|service| &service["metadata"]["name"]).collect();
    jobs.sort_by_key(ToString::to_string);
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, jobs, "a Service's name becomes `job`, which panels and alerts name");
    for service in scraped {
        let ports = list(&service["spec"]["ports"]);
        assert!(ports.iter().any(|port| port["name"] == monitor["endpoints"][0]["port"]), "{service}");
        assert_eq!(service["spec"]["clusterIP"], "None", "every pod is scraped: {service}");
        assert_eq!(service["spec"]["publishNotReadyAddresses"], true, "{service}");
    }
}
