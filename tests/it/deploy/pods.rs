//! How every pod is run: without rights, within bounds, watched, and moved with care.

use serde_json::{Value, json};

use super::manifests::{installations, list, selects};

#[test]
fn every_pod_runs_without_rights_and_within_bounds() {
    for (title, manifests) in installations() {
        for (name, template) in manifests.pods() {
            let pod = &template["spec"];
            assert_eq!(pod["automountServiceAccountToken"], false, "{title}: {name}");
            assert_eq!(pod["serviceAccountName"], "mailfleet", "{title}: {name}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{title}: {name}");
            assert_eq!(pod["securityContext"]["runAsUser"], 65532, "{title}: {name}");
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{title}: {name}");
            assert!(!list(&pod["containers"]).is_empty(), "{title}: {name}");
            for container in list(&pod["containers"]) {
                bounded(&format!("{title}: {name}: {}", container["name"]), pod, container);
            }
        }
    }
}

/// Asserts that a container has no rights beyond its pod's, bounds, and an image that says which.
fn bounded(place: &str, pod: &Value, container: &Value) {
    let want = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    });
    assert_eq!(container["securityContext"], want, "{place}");
    for bound in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
        assert!(container["resources"].pointer(bound).is_some(), "{place} has no {bound}");
    }
    let image = container["image"].as_str().unwrap();
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    assert!(!["", "latest"].contains(&tag), "{place} runs whatever {image} is");
    for mount in list(&container["volumeMounts"]) {
        assert_eq!(mount["readOnly"], true, "{place}: {mount}");
        let volumes = list(&pod["volumes"]);
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{place}: {mount}");
    }
}

#[test]
fn every_long_lived_pod_is_asked_for_life_and_readiness_where_it_answers() {
    for (title, manifests) in installations() {
        for name in ["mailfleet-producer", "mailfleet-consumer"] {
            let pod = &manifests.one("Deployment", name)["spec"]["template"]["spec"];
            let container = &pod["containers"][0];
            assert_eq!(container["command"], json!([name]), "{title}");
            let ports = list(&container["ports"]);
            let admin = ports.iter().find(|port| port["name"] == "admin").unwrap();
            let listen = list(&container["env"])
                .iter()
                .find(|variable| variable["name"] == "MAILFLEET_ADMIN__LISTEN")
                .unwrap_or_else(|| panic!("{title}: {name} listens on 127.0.0.1, where no probe comes"));
            assert_eq!(listen["value"], format!("0.0.0.0:{}", admin["containerPort"]), "{title}");
            for (probe, path) in
                [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
            {
                assert_eq!(
                    container[probe]["httpGet"],
                    json!({ "path": path, "port": "admin" }),
                    "{title}: {name}"
                );
            }
        }
    }
}

#[test]
fn a_node_can_be_drained_and_takes_one_consumer_at_a_time() {
    for (title, manifests) in installations() {
        for name in ["mailfleet-producer", "mailfleet-consumer"] {
            let budget = &manifests.one("PodDisruptionBudget", name)["spec"];
            let labels = &manifests.one("Deployment", name)["spec"]["template"]["metadata"]["labels"];
            assert!(selects(&budget["selector"]["matchLabels"], labels), "{title}: {name}");
            assert_eq!(budget["maxUnavailable"], 1, "{title}: {name}");
            assert_eq!(budget["minAvailable"], Value::Null, "{title}: {name}");
        }
        let spread = &manifests.one("Deployment", "mailfleet-consumer")["spec"]["template"]["spec"]["topologySpreadConstraints"];
        assert!(list(spread).iter().all(|rule| rule["whenUnsatisfiable"] == "ScheduleAnyway"), "{title}");
        assert_eq!(list(spread).len(), 2, "{title}");
    }
}
