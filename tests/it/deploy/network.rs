//! Who may talk to whom: everything is closed, and what is open is on this list.

use std::collections::BTreeSet;

use serde_json::Value;

use super::manifests::{Manifests, installations, list, selects};

fn policies<'a>(manifests: &'a Manifests, labels: &'a Value) -> impl Iterator<Item = &'a Value> {
    let all = manifests.all("NetworkPolicy").map(|policy| &policy["spec"]);
    all.filter(|policy| selects(&policy["podSelector"]["matchLabels"], labels))
}

fn open(manifests: &Manifests, labels: &Value, way: &str) -> BTreeSet<String> {
    let rules = policies(manifests, labels).flat_map(|policy| list(&policy[way]));
    let ports = rules.flat_map(|rule| {
        assert!(!list(&rule["ports"]).is_empty(), "a rule without ports opens all: {rule}");
        list(&rule["ports"])
    });
    ports.map(|port| port["port"].to_string().trim_matches('"').to_owned()).collect()
}

#[test]
fn a_pod_reaches_what_it_needs_and_is_reached_where_it_serves() {
    for (title, manifests) in installations() {
        let mut seen = 0;
        for (name, template) in manifests.pods() {
            let labels = &template["metadata"]["labels"];
            let closed = policies(&manifests, labels).any(|policy| {
                policy["policyTypes"] == serde_json::json!(["Ingress", "Egress"])
                    && policy["ingress"].is_null()
                    && policy["egress"].is_null()
            });
            assert!(closed, "{title}: {name} is not closed by default");
            let (egress, ingress): (&[&str], &[&str]) = match name {
                "mailfleet-producer" => (&["53", "6379", "5432", "993", "143"], &["admin", "http"]),
                // These two have no port `admin`: the rule for metrics opens nothing there.
                "mailfleet-operator" => (&["53", "6379", "5432", "993", "143"], &["admin"]),
                "mailfleet-consumer" | "mailfleet-migrate" => (&["53", "6379", "5432"], &["admin"]),
                other => panic!("{title}: no word on who talks to {other}"),
            };
            let set = |ports: &[&str]| ports.iter().map(|port| (*port).to_owned()).collect::<BTreeSet<_>>();
            assert_eq!(open(&manifests, labels, "egress"), set(egress), "{title}: {name}");
            assert_eq!(open(&manifests, labels, "ingress"), set(ingress), "{title}: {name}");
            seen += 1;
        }
        assert_eq!(seen, 4, "{title}");
    }
}

#[test]
fn every_service_leads_to_a_port_of_a_pod() {
    for (title, manifests) in installations() {
        for service in manifests.all("Service") {
            let spec = &service["spec"];
            let mut pods =
                manifests.pods().filter(|(_, pod)| selects(&spec["selector"], &pod["metadata"]["labels"]));
            let (name, pod) = pods.next().unwrap_or_else(|| panic!("{title}: nobody behind {service}"));
            assert!(pods.next().is_none(), "{title}: {service} leads to two kinds of pods");
            let open = list(&pod["spec"]["containers"][0]["ports"]);
            for port in list(&spec["ports"]) {
                let target = open.iter().find(|open| open["name"] == port["targetPort"]);
                let target =
                    target.unwrap_or_else(|| panic!("{title}: {name} has no port {}", port["targetPort"]));
                assert_eq!(target["containerPort"], port["port"], "{title}: {service}");
            }
        }
        let door = &manifests.one("Service", "mailfleet-webhooks")["spec"];
        assert_eq!(door["selector"]["app.kubernetes.io/component"], "producer", "{title}");
        assert_eq!(door["ports"][0]["port"], 8080, "{title}");
    }
}
